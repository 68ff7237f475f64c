# aibox for Windows: runs aibox inside a WSL2 distribution, from Windows PowerShell 5.1, PowerShell 7 or aibox.cmd.
#
# The arguments travel as one base64 word (NUL-separated UTF-8 inside), so that no quoting rule of PowerShell, of
# CreateProcess or of wsl.exe can change them; aibox decodes it with the hidden option --from-windows.
# The automatic variable for pipeline input must not be named here: PowerShell would then read standard input as text.
begin {
    Set-StrictMode -Version 2
    $ErrorActionPreference = 'Continue'
    $Version = '0.1.0'
    $Config = [IO.Path]::Combine([string]$env:LOCALAPPDATA, 'aibox', 'shim.conf')
    $Wsl = [IO.Path]::Combine([string]$env:SystemRoot, 'System32', 'wsl.exe')
    # distributions that belong to other tools
    $Foreign = '^(docker-desktop|podman-machine-|rancher-desktop)'
    $Fed = [Collections.ArrayList]@()
    $Words = @()
    # JSON for PowerShell's pipeline: what is written to the console directly, a pipeline does not get
    $Documents = [Collections.ArrayList]@()
    # options of exec and run that take no value; every other one takes the word behind it
    $Switches = '--dry-run', '--json', '--rm', '--help', '-h'

    # --- Words: what the user typed, as a program would have got it -------------------------------------------------

    function ConvertTo-Words($value) {
        # as PowerShell does for programs: nothing for $null, one word for each element of a list
        if ($null -eq $value) { return }
        if ($value -is [string]) { return [string]$value }
        if ($value -is [Collections.IEnumerable] -and $value -isnot [Collections.IDictionary]) {
            foreach ($item in $value) { ConvertTo-Words $item }
            return
        }
        [string]$value
    }

    function Join-ListWords($ast, $values, $source) {
        # a,b is one word and a, b are two, as for programs
        $word = ''
        for ($i = 0; $i -lt $ast.Elements.Count; $i++) {
            if ($i -gt 0) {
                $before = $ast.Elements[$i - 1].Extent.EndOffset
                $between = $source.Substring($before, $ast.Elements[$i].Extent.StartOffset - $before)
                $word += ','
                if ($between -ne ',') { $word; $word = '' }
            }
            $word += [string]@($values)[$i]
        }
        $word
    }

    function Split-Verbatim([string]$line) {
        # the C runtime's rules, for what follows a bare --%
        $word = New-Object Text.StringBuilder
        $inside = $false; $open = $false; $slashes = 0
        foreach ($c in [Environment]::ExpandEnvironmentVariables($line).ToCharArray()) {
            if ($c -eq '\') { $slashes++; $open = $true; continue }
            if ($c -eq '"') {
                [void]$word.Append('\', [Math]::Floor($slashes / 2))
                $open = $true
                if ($slashes % 2) { [void]$word.Append('"') } else { $inside = -not $inside }
                $slashes = 0
                continue
            }
            [void]$word.Append('\', $slashes); $slashes = 0
            if (-not $inside -and ($c -eq ' ' -or $c -eq "`t" -or $c -eq "`n" -or $c -eq "`r")) {
                if ($open) { $word.ToString(); [void]$word.Remove(0, $word.Length); $open = $false }
                continue
            }
            [void]$word.Append($c); $open = $true
        }
        [void]$word.Append('\', $slashes)
        if ($open) { $word.ToString() }
    }

    function ConvertTo-Literal($ast) {
        # the value of what needs no evaluation
        if ($ast -is [Management.Automation.Language.StringConstantExpressionAst]) { return $ast.Value }
        if ($ast -is [Management.Automation.Language.ConstantExpressionAst]) { return $ast.Extent.Text }
        if ($ast -is [Management.Automation.Language.ExpandableStringExpressionAst] -and $ast.NestedExpressions.Count -eq 0) { return $ast.Value }
        $why = "$($ast.Extent.Text) stands behind a quoted --%, where PowerShell loses a word that begins with a dash"
        $fix = 'put the words into an array: $words = @(...); aibox @words'
        [Console]::Error.Write((Format-Failure (New-Failure 'word-lost' 'PowerShell hides a word of this call' $why $fix) 4 $false))
        exit 4
    }

    function Test-Lost($element, $next) {
        # Behind a word whose value is --%, quoted or not, PowerShell takes the rest as it stands if a parameter follows, and
        # drops the parameter: something stands between the two elements.
        if ($null -eq $next -or $element.Extent.Text -eq '--%') { return $false }
        if (-not ($element.PSObject.Properties['Value'] -and [string]$element.Value -eq '--%')) { return $false }
        $from = $element.Extent.EndOffset
        $between = $element.Extent.StartScriptPosition.GetFullScript().Substring($from, $next.Extent.StartOffset - $from)
        $between.Replace('`', ' ').Trim() -ne ''
    }

    function Get-LostWords($element, $last) {
        # the words behind the quoted --%, from the source
        $from = $element.Extent.EndOffset
        $text = 'x' + $element.Extent.StartScriptPosition.GetFullScript().Substring($from, $last.Extent.EndOffset - $from)
        $tokens = $null; $errors = $null
        $tree = [Management.Automation.Language.Parser]::ParseInput($text, [ref]$tokens, [ref]$errors)
        $elements = @($tree.Find({ $args[0] -is [Management.Automation.Language.CommandAst] }, $true).CommandElements | Select-Object -Skip 1)
        $word = ''
        for ($i = 0; $i -lt $elements.Count; $i++) {
            $one = $elements[$i]
            $next = if ($i + 1 -lt $elements.Count) { $elements[$i + 1] } else { $null }
            if ($one.Extent.Text -eq '--%' -and $null -ne $next) { return Split-Verbatim $next.Value }
            if ($one -is [Management.Automation.Language.CommandParameterAst]) {
                $word += $one.ErrorPosition.Text
                $part = $one.Argument
                if ($null -ne $part -and $part.Extent.StartOffset -gt $one.ErrorPosition.EndOffset) { $word; $word = '' }
            } else { $part = $one }
            if ($part -is [Management.Automation.Language.ArrayLiteralAst]) {
                $parts = @(Join-ListWords $part @($part.Elements | ForEach-Object { ConvertTo-Literal $_ }) $text)
                $word += $parts[0]
                foreach ($more in @($parts | Select-Object -Skip 1)) { $word; $word = $more }
            } elseif ($null -ne $part) { $word += ConvertTo-Literal $part }
            if ($null -ne $next -and $next.Extent.StartOffset -eq $one.Extent.EndOffset -and (Test-Cut $one)) { continue }
            $word; $word = ''
            if (Test-Lost $one $next) { return Get-LostWords $one $elements[-1] }
        }
    }

    function Find-Call($invocation) {
        # The source of this call: PowerShell swallows a bare --, and cuts -name:value in two, before a script sees them.
        $place = $invocation.GetType().GetProperty('ScriptPosition', [Reflection.BindingFlags]'Instance, NonPublic, Public')
        $extent = $null
        if ($null -ne $place) { $extent = $place.GetValue($invocation, $null) }
        if ($null -ne $extent -and $extent.Text) { $source = $extent.Text; $at = 0 }
        else { $source = [string]$invocation.Line; $at = $invocation.OffsetInLine - 1 }
        $tokens = $null; $errors = $null
        $tree = [Management.Automation.Language.Parser]::ParseInput($source, [ref]$tokens, [ref]$errors)
        $calls = $tree.FindAll({
                param($node)
                $node -is [Management.Automation.Language.CommandAst] -and $node.Extent.StartOffset -le $at -and
                $node.CommandElements[0].Extent.EndOffset -gt $at
            }, $true)
        $call = $null
        foreach ($found in $calls) { $call = $found }
        if ($null -ne $call) { @{ Source = $source; Elements = @($call.CommandElements) } }
    }

    function Get-Taken($element) {
        # how many of the script's arguments an element of the call has become
        if ($element -is [Management.Automation.Language.CommandParameterAst]) {
            if ($element.ParameterName -eq '' -or $element.ParameterName -eq '-') { return 0 }
            if ($null -ne $element.Argument) { return 2 }
        }
        1
    }

    function Test-Cut($element) {
        # whether what stands right behind this element was one word with it
        if ($element -is [Management.Automation.Language.CommandParameterAst]) {
            if ($null -eq $element.Argument) { return $true }
            $element = $element.Argument
        }
        $element.Extent.Text -match '^[-\u2013\u2014\u2015]'
    }

    function Get-ElementWords($element, $taken, $source) {
        if ($element -is [Management.Automation.Language.CommandParameterAst]) {
            if ($taken.Count -eq 0) { return $element.Extent.Text }
            if ($taken.Count -eq 1) { return [string]$taken[0] }
            $more = @(if ($element.Argument -is [Management.Automation.Language.ArrayLiteralAst]) {
                    Join-ListWords $element.Argument $taken[1] $source
                } else { ConvertTo-Words $taken[1] })
            $name = [string]$taken[0]
            if ($element.Argument.Extent.StartOffset -gt $element.ErrorPosition.EndOffset) { return @($name) + $more }
            if ($more.Count -eq 0) { return $name }
            return @($name + $more[0]) + @($more | Select-Object -Skip 1)
        }
        if ($element -is [Management.Automation.Language.ArrayLiteralAst]) { return Join-ListWords $element $taken[0] $source }
        ConvertTo-Words $taken[0]
    }

    function Get-Words($values, $invocation) {
        $call = $null
        try { $call = Find-Call $invocation } catch { $call = $null }
        if ($null -eq $call) { return ConvertTo-Words $values }
        $elements = @($call.Elements | Select-Object -Skip 1)
        $splats = @(for ($i = 0; $i -lt $elements.Count; $i++) {
                if ($elements[$i] -is [Management.Automation.Language.VariableExpressionAst] -and $elements[$i].Splatted) { $i }
            })
        $head = $elements.Count; $tail = $elements.Count
        if ($splats.Count) { $head = $splats[0]; $tail = $splats[-1] + 1 }
        $first = 0; $last = $values.Count
        for ($i = 0; $i -lt $head; $i++) { $first += Get-Taken $elements[$i] }
        for ($i = $tail; $i -lt $elements.Count; $i++) { $last -= Get-Taken $elements[$i] }
        # another call than the one that was found
        if ($first -gt $last -or ($splats.Count -eq 0 -and $first -ne $last)) { return ConvertTo-Words $values }
        $at = 0
        for ($i = 0; $i -lt $elements.Count; $i++) {
            if ($i -eq $head) {
                ConvertTo-Words @(for (; $at -lt $last; $at++) { , $values[$at] })
                $i = $tail - 1
                continue
            }
            $element = $elements[$i]
            $count = Get-Taken $element
            $taken = @(for ($n = 0; $n -lt $count; $n++) { , $values[$at + $n] })
            $at += $count
            $next = if ($i + 1 -lt $elements.Count) { $elements[$i + 1] } else { $null }
            if ($element.Extent.Text -eq '--%' -and $null -ne $next) {
                Split-Verbatim ([string]$values[$at])
                return
            }
            if (Test-Lost $element $next) {
                '--%'
                Get-LostWords $element $elements[-1]
                return
            }
            $words = @(Get-ElementWords $element $taken $call.Source)
            # the parser cuts -name.rest in two, and behind a bare -- also -name:value
            while ($words.Count -eq 1 -and $null -ne $next -and $next.Extent.StartOffset -eq $element.Extent.EndOffset -and
                (Test-Cut $element) -and (Get-Taken $next) -eq 1) {
                $words = @($words[0] + [string](@(Get-ElementWords $next @(, $values[$at]) $call.Source) -join ','))
                $at++; $i++
                $element = $next
                $next = if ($i + 1 -lt $elements.Count) { $elements[$i + 1] } else { $null }
            }
            $words
        }
    }

    function Get-HostWords {
        # Called by `powershell -File aibox.ps1 ...`: the process's own command line, as the C runtime splits it, holds the
        # words untouched. Returns nothing when this script was called from within PowerShell.
        $line = [Environment]::GetCommandLineArgs()
        for ($i = 1; $i -lt $line.Count; $i++) {
            if ($line[$i] -notlike '*aibox.ps1') { continue }
            $full = try { [IO.Path]::GetFullPath($line[$i]) } catch { '' }
            if ($full -eq $PSCommandPath) { return , @($line | Select-Object -Skip ($i + 1)) }
        }
    }

    # --- WSL --------------------------------------------------------------------------------------------------------

    function ConvertTo-Argument([string]$word) {
        # the C runtime's quoting rules
        if ($word -ne '' -and $word -notmatch '[\s"]') { return $word }
        '"' + (($word -replace '(\\*)"', '$1$1\"') -replace '(\\+)$', '$1$1') + '"'
    }

    function New-WslStart([string[]]$arguments) {
        $start = New-Object Diagnostics.ProcessStartInfo
        $start.FileName = $Wsl
        $start.Arguments = @($arguments | ForEach-Object { ConvertTo-Argument $_ }) -join ' '
        $start.UseShellExecute = $false
        $start
    }

    function Invoke-Wsl([string[]]$arguments) {
        # wsl.exe's own answers are UTF-16LE, or UTF-8 where it knows WSL_UTF8
        $start = New-WslStart $arguments
        $start.RedirectStandardOutput = $true
        $start.RedirectStandardInput = $true # what is there belongs to the command that comes after this one
        $start.EnvironmentVariables['WSL_UTF8'] = '1'
        $process = [Diagnostics.Process]::Start($start)
        $process.StandardInput.Close()
        $bytes = New-Object IO.MemoryStream
        $process.StandardOutput.BaseStream.CopyTo($bytes)
        $process.WaitForExit()
        $raw = $bytes.ToArray()
        $wide = [Array]::IndexOf($raw, [byte]0) -ge 0
        $text = if ($wide) { [Text.Encoding]::Unicode.GetString($raw) } else { [Text.Encoding]::UTF8.GetString($raw) }
        @{ Code = $process.ExitCode; Text = $text.TrimStart([char]0xFEFF) }
    }

    function Get-Distributions {
        # name, version and which one is the default; the last column is a number in every language
        $answer = Invoke-Wsl '--list', '--verbose'
        $rows = @(foreach ($line in $answer.Text -split '\r?\n') {
                if ($line -match '^\s*(\*?)\s*(\S+)\s+\S.*?\s+([12])\s*$') {
                    @{ Name = $Matches[2]; Version = [int]$Matches[3]; Default = $Matches[1] -eq '*' }
                }
            })
        @{ Code = $answer.Code; Text = $answer.Text; Rows = $rows }
    }

    function Get-ConfiguredDistribution {
        if ($env:AIBOX_DISTRIBUTION) { return $env:AIBOX_DISTRIBUTION }
        if (-not [IO.File]::Exists($Config)) { return '' }
        foreach ($line in [IO.File]::ReadAllLines($Config)) {
            if ($line -match '^\s*distribution\s*=\s*(\S+)\s*$') { return $Matches[1] }
        }
        ''
    }

    function New-Failure([string]$code, [string]$what, [string]$why, [string]$fix) {
        @{ Code = $code; What = $what; Why = $why; Fix = $fix }
    }

    function Get-Absence($listing) {
        if ($listing.Text -match 'DISTRO_NOT_FOUND') {
            return New-Failure 'wsl-no-distribution' 'WSL has no distribution yet' 'aibox runs inside one' 'aibox setup'
        }
        New-Failure 'wsl-missing' 'the Windows Subsystem for Linux is not installed' 'aibox runs inside it' 'wsl --install, then restart Windows and run: aibox setup'
    }

    function Select-Distribution {
        # the configured one, else the default one, else the only one; a hashtable with Code means a failure
        if (-not [IO.File]::Exists($Wsl)) { return Get-Absence @{ Text = '' } }
        $configured = Get-ConfiguredDistribution
        if ($configured) { return @{ Name = $configured } }
        $listing = Get-Distributions
        if ($listing.Rows.Count -eq 0) { return Get-Absence $listing }
        $own = @($listing.Rows | Where-Object { $_.Name -notmatch $Foreign })
        $usable = @($own | Where-Object { $_.Version -eq 2 })
        $default = @($usable | Where-Object { $_.Default })
        if ($default.Count) { return @{ Name = $default[0].Name } }
        if ($usable.Count -eq 1) { return @{ Name = $usable[0].Name } }
        if ($usable.Count) {
            $names = @($usable | ForEach-Object { $_.Name }) -join ', '
            return New-Failure 'wsl-no-distribution' "it is not clear which distribution to use: $names" 'none of them is the default one' "wsl --set-default $($usable[0].Name)"
        }
        if ($own.Count) { return Get-Wsl1Failure $own[0].Name }
        $names = @($listing.Rows | ForEach-Object { $_.Name }) -join ', '
        New-Failure 'wsl-no-distribution' 'WSL has no distribution for aibox yet' "$names belongs to another tool" 'aibox setup'
    }

    function Get-Wsl1Failure([string]$name) {
        New-Failure 'wsl1-only' "the distribution $name runs on WSL1, which has no Linux kernel" 'gVisor needs a real one' "wsl --set-version $name 2"
    }

    function Get-StartFailure([string]$name) {
        # wsl.exe itself failed (-1): say why, as far as it can be seen
        $listing = Get-Distributions
        if ($listing.Rows.Count -eq 0) { return Get-Absence $listing }
        $row = @($listing.Rows | Where-Object { $_.Name -eq $name })
        if ($row.Count -eq 0) {
            $names = @($listing.Rows | ForEach-Object { $_.Name }) -join ', '
            return New-Failure 'wsl-distribution-missing' "WSL has no distribution $name" "it has: $names; $name comes from $Config or AIBOX_DISTRIBUTION" 'aibox setup --distribution NAME'
        }
        if ($row[0].Version -eq 1) { return Get-Wsl1Failure $name }
        New-Failure 'wsl-distribution-failed' "the distribution $name does not start" 'WSL gave its reason above' "wsl --shutdown, then: wsl -d $name"
    }

    function Format-Failure($failure, [int]$code, [bool]$json) {
        if ($json) {
            $kind = [ordered]@{ code = $failure.Code; message = $failure.What; why = $failure.Why; fix = $failure.Fix; exit_code = $code }
            $document = [ordered]@{ schema_version = 1; aibox = $Version; ok = $false; verb = $Verb; error = $kind }
            return (ConvertTo-Json $document -Depth 4) + "`n"
        }
        "aibox: $($failure.What) [$($failure.Code)]`n  why: $($failure.Why)`n  fix: $($failure.Fix)`n"
    }

    function Write-Failure($failure) {
        if ($Verb -ceq '__complete') { return } # Tab asked, and a message would land in the line that is being typed
        $text = Format-Failure $failure $OwnCode $Json
        if (-not $Json) { [Console]::Error.Write($text) }
        elseif ($null -ne $fromHost) { [Console]::Out.Write($text) }
        else { [void]$Documents.Add($text.TrimEnd()) }
    }

    function Get-OwnOptions {
        # aibox's own: up to a --, and before the words of a command; the value of an option is neither
        $command = $Verb -ceq 'exec' -or $Verb -ceq 'run'
        for ($i = 1; $i -lt $Words.Count; $i++) {
            $word = $Words[$i]
            if ($word -ceq '--' -or ($command -and ($word -notlike '-*' -or $word -ceq '-'))) { break }
            $word
            if ($command -and $word -match '^(-\w|--[^=]+)$' -and $Switches -cnotcontains $word) { $i++ }
        }
    }

    # --- The call ---------------------------------------------------------------------------------------------------

    function ConvertTo-Base64([string]$text) { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($text)) }

    function Get-CurrentFolder {
        # PowerShell's own current folder, which the process need not share; not a folder in HKLM: and the like
        $folder = $ExecutionContext.SessionState.Path.CurrentFileSystemLocation
        if ($null -eq $folder) { return '' }
        $folder.ProviderPath
    }

    function New-Payload([string[]]$words, [string[]]$more) {
        $settings = @(foreach ($entry in [Environment]::GetEnvironmentVariables().GetEnumerator()) {
                if (($entry.Key -like 'AIBOX_*' -and $entry.Key -ne 'AIBOX_DISTRIBUTION') -or $entry.Key -eq 'NO_COLOR') { "$($entry.Key)=$($entry.Value)" }
            }) + @($more | Where-Object { $_ })
        $fields = @('1', (Get-CurrentFolder), [string]$env:USERPROFILE, [string]$settings.Count) + $settings + $words
        ConvertTo-Base64 ($fields -join [string][char]0)
    }

    # Finds aibox in the distribution. No double quote in it, so that PowerShell 5.1 hands it on as one argument. First comes
    # the one that `aibox setup` keeps up to date and that only root can change; an old copy of the user's never hides it.
    $Finder = 'IFS=;set -f;m=;for a in /usr/local/bin/aibox $HOME/.local/bin/aibox /usr/bin/aibox;do if [ -x $a ];then ' +
    '[ -x /usr/bin/python3 ]&&exec $a --from-windows $1;m=$4;fi;done;' +
    '[ $2 = - ]||exec 2>&1;echo ${m:-$5}|base64 -d>&2;exit $3'

    function Get-WslArguments([string]$distribution, [string[]]$words, [string[]]$more) {
        $python = New-Failure 'python-missing' "python3 is not installed in the distribution $distribution" 'aibox is written in Python' "wsl -d $distribution -u root apt-get install --yes python3"
        $aibox = New-Failure 'aibox-missing' "aibox is not installed in the distribution $distribution" 'it is neither in ~/.local/bin nor in /usr/local/bin' 'aibox setup'
        $style = if ($Json) { 'json' } else { '-' }
        $messages = @($python, $aibox | ForEach-Object { ConvertTo-Base64 (Format-Failure $_ $OwnCode $Json) })
        '-d', $distribution, '--cd', '/', '--exec', '/bin/sh', '-c', $Finder, 'aibox', (New-Payload $words $more), $style, [string]$OwnCode, $messages[0], $messages[1]
    }

    function Invoke-Inherited([string[]]$arguments) {
        # standard streams are this process's own, byte for byte
        $start = New-WslStart $arguments
        $process = [Diagnostics.Process]::Start($start)
        $process.WaitForExit()
        $process.ExitCode
    }

    function ConvertTo-Bytes($objects) {
        if (@($objects | Where-Object { $_ -isnot [byte] }).Count -eq 0) { return , [byte[]]@($objects) }
        $text = (@($objects | ForEach-Object { [string]$_ }) -join "`n") + "`n"
        , [Text.Encoding]::UTF8.GetBytes($text)
    }

    function Invoke-Fed([string[]]$arguments, $objects) {
        # Input from a PowerShell pipeline: UTF-8 with Linux line ends, bytes as they are. Output goes on as lines.
        $start = New-WslStart $arguments
        $start.RedirectStandardInput = $true
        $start.RedirectStandardOutput = $true
        $start.StandardOutputEncoding = New-Object Text.UTF8Encoding $false
        # .NET Framework sends the mark of the console's input encoding ahead of everything
        try { [Console]::InputEncoding = New-Object Text.UTF8Encoding $false } catch { [void]$_ }
        $process = [Diagnostics.Process]::Start($start)
        $to = $process.StandardInput.BaseStream
        $bytes = ConvertTo-Bytes $objects
        $write = $to.WriteAsync($bytes, 0, $bytes.Length)
        $read = $process.StandardOutput.ReadLineAsync()
        while ($true) {
            if ($null -ne $write) {
                [void][Threading.Tasks.Task]::WaitAny([Threading.Tasks.Task[]]@($write, $read))
                if ($write.IsCompleted) {
                    # the command may have ended without reading all
                    try { $write.Wait(); $to.Close() } catch { [void]$_ }
                    $write = $null
                }
                if (-not $read.IsCompleted) { continue }
            }
            $line = $read.Result
            if ($null -eq $line) { break }
            $line
            $read = $process.StandardOutput.ReadLineAsync()
        }
        $process.WaitForExit()
        $script:Code = $process.ExitCode
    }
}
process {
    if ($MyInvocation.ExpectingInput) { [void]$Fed.Add($_) }
}
end {
    $fromHost = $null
    if (-not $MyInvocation.Line) { $fromHost = Get-HostWords }
    $Words = if ($null -ne $fromHost) { @($fromHost) } else { @(Get-Words $args $MyInvocation) }
    $Words = @($Words | ForEach-Object { [string]$_ })
    $Verb = if ($Words.Count) { $Words[0] } else { '' }
    $session = $Verb -ceq 'exec' -or $Verb -ceq 'run' -or $Verb -ceq 'shell'
    $OwnCode = if ($session) { 125 } else { 4 }
    $own = @(Get-OwnOptions)
    $Json = $own -contains '--json'

    if ($Verb -ceq 'setup' -and -not ($own -contains '--help' -or $own -contains '-h')) {
        . ([IO.Path]::Combine($PSScriptRoot, 'setup.ps1'))
        $Code = Invoke-Setup @($Words | Select-Object -Skip 1) | Select-Object -Last 1
        $Documents
        exit $Code
    }
    $chosen = Select-Distribution
    if ($chosen.ContainsKey('Code')) { Write-Failure $chosen; $Documents; exit $OwnCode }
    $arguments = Get-WslArguments $chosen.Name $Words
    # CreateProcess takes 32,767 characters: the program's name in quotes, a blank, the words, and a zero
    $length = (New-WslStart $arguments).Arguments.Length + $Wsl.Length + 4
    if ($length -gt 32767) {
        Write-Failure (New-Failure 'words-too-long' 'the words of this call are too long' "packed they take $length characters, and Windows hands on 32767 in one call" 'hand a long text over by standard input, or in a file of the workspace')
        $Documents
        exit $OwnCode
    }
    $Code = 0
    if ($Json) {
        # wsl.exe tells its own failures on standard output, where only the document may stand: it is tried before
        $tried = Invoke-Wsl '-d', $chosen.Name, '--cd', '/', '--exec', '/bin/true'
        if ($tried.Code -eq -1) {
            [Console]::Error.WriteLine($tried.Text.Trim())
            Write-Failure (Get-StartFailure $chosen.Name)
            $Documents
            exit $OwnCode
        }
    }
    if ($null -ne $fromHost) { $Code = Invoke-Inherited $arguments }
    # an empty pipeline, too: without input of its own the command would read the terminal
    elseif ($MyInvocation.ExpectingInput) { Invoke-Fed $arguments $Fed }
    else {
        # Called by name, so that PowerShell itself decides where the output goes. None of these arguments needs quotes but
        # the finder, which every way of passing arguments quotes alike.
        $PSNativeCommandArgumentPassing = 'Legacy'
        $PSNativeCommandUseErrorActionPreference = $false
        $before = $null
        try { $before = [Console]::OutputEncoding; [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false } catch { $before = $null }
        try { & $Wsl $arguments; $Code = $LASTEXITCODE }
        finally { if ($null -ne $before) { [Console]::OutputEncoding = $before } }
    }
    if ($Code -eq -1) { Write-Failure (Get-StartFailure $chosen.Name); $Documents; exit $OwnCode }
    exit $Code
}
