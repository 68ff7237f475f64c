# `aibox setup` from Windows: WSL, the distribution, Python, aibox inside it; then `aibox setup` there does the rest.
# Loaded by aibox.ps1, whose functions it uses. Each change is named and asked for; --yes consents, --dry-run only names.

$ConfigFolder = [IO.Path]::GetDirectoryName($Config)
$Offered = 'Debian'
$Machine = 'podman-machine-aibox' # Podman calls its distribution as the machine, if that name begins with `podman`
$DiskSize = 100
$GiB = 1073741824
$Later = 'the rest can only be said once that is done'

function Stop-Setup([string]$code, [string]$what, [string]$why, [string]$fix) {
    Write-Failure (New-Failure $code $what $why $fix)
    # only an exception leaves every function at once
    throw 'aibox-setup-stopped'
}

function Write-Step([string]$text) { [Console]::Error.WriteLine($text) }

function Confirm-Change([string]$text, [string]$why) {
    # true if the change may be made now; a dry run names it and goes on without
    if ($DryRun) { Write-Step "      would: $text"; return $false }
    Write-Step "      will: $text"
    if ($Yes) { return $true }
    if ([Console]::IsInputRedirected) {
        Stop-Setup 'consent-needed' "consent is needed to do this: $text" 'there is no terminal to ask on' 'repeat the command with --yes'
    }
    [Console]::Error.Write("aibox will do this, because $why.`nGo on? [y/N] ")
    $answer = [Console]::ReadLine()
    if ($answer -eq 'y' -or $answer -eq 'yes') { return $true }
    Stop-Setup 'consent-needed' 'nothing more was changed' 'you did not consent' 'aibox setup'
}

function Invoke-Program([string]$program, [string[]]$arguments) {
    $start = New-WslStart $arguments
    $start.FileName = $program
    if ($Json) {
        # on standard output only the document may stand
        $start.RedirectStandardOutput = $true
        $start.EnvironmentVariables['WSL_UTF8'] = '1'
    }
    $process = [Diagnostics.Process]::Start($start)
    if ($Json) { $process.StandardOutput.BaseStream.CopyTo([Console]::OpenStandardError()) }
    $process.WaitForExit()
    $process.ExitCode
}

function Invoke-Document([string[]]$arguments) {
    # what it prints goes to PowerShell's pipeline, at the end
    $start = New-WslStart $arguments
    $start.RedirectStandardOutput = $true
    $start.StandardOutputEncoding = New-Object Text.UTF8Encoding $false
    $process = [Diagnostics.Process]::Start($start)
    $text = $process.StandardOutput.ReadToEnd().TrimEnd()
    $process.WaitForExit()
    if ($text) { [void]$Documents.Add($text) }
    $process.ExitCode
}

function Invoke-Linux([string]$name, [string]$user, [string]$script, [string]$file) {
    # a shell script in the distribution: exit code and text; its standard input is that file
    $as = if ($user) { @('-u', $user) } else { @() }
    $start = New-WslStart (@('-d', $name) + $as + @('--cd', '/', '--exec', '/bin/sh', '-c', $script))
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardInput = $true
    $start.StandardOutputEncoding = New-Object Text.UTF8Encoding $false
    $start.EnvironmentVariables['WSL_UTF8'] = '1'
    try { [Console]::InputEncoding = New-Object Text.UTF8Encoding $false } catch { [void]$_ }
    $process = [Diagnostics.Process]::Start($start)
    $to = $process.StandardInput.BaseStream
    try {
        if ($file) {
            $from = [IO.File]::OpenRead($file)
            try { $from.CopyTo($to) } finally { $from.Close() }
        }
        $to.Close()
    }
    catch { [void]$_ } # the script may have ended without reading all
    $text = $process.StandardOutput.ReadToEnd()
    $process.WaitForExit()
    @{ Code = $process.ExitCode; Text = $text }
}

function Get-WindowsSize {
    # memory in bytes and processors, as settings for aibox inside; nothing where Windows does not tell
    $bytes = 0
    try { $bytes = [long](Get-CimInstance -ClassName Win32_ComputerSystem -ErrorAction Stop).TotalPhysicalMemory } catch { $bytes = 0 }
    if ($bytes -le 0) {
        # PowerShell 7 knows it without CIM
        $method = [GC].GetMethod('GetGCMemoryInfo', [Type[]]@())
        if ($null -ne $method) { $bytes = [long]$method.Invoke($null, @()).TotalAvailableMemoryBytes }
    }
    if ($bytes -gt 0) { "WINDOWS_MEMORY=$bytes"; "WINDOWS_PROCESSORS=$([Environment]::ProcessorCount)" }
}

function Test-RestartPending {
    # Windows notes it here, whatever its language
    try { [bool](Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending') } catch { $false }
}

function Install-Wsl {
    Write-Step '[windows] WSL: it is not installed'
    $why = 'aibox runs inside WSL2; Windows asks for an administrator, and may have to be restarted afterwards'
    if (-not (Confirm-Change 'wsl.exe --install --no-distribution' $why)) { return }
    if (-not [IO.File]::Exists($Wsl)) {
        Stop-Setup 'wsl-missing' "there is no $Wsl" 'this Windows has no WSL to install' 'update Windows 11, then: aibox setup'
    }
    $answer = Invoke-Wsl '--install', '--no-distribution'
    Write-Step $answer.Text.Trim()
    if ($answer.Code -ne 0) {
        Stop-Setup 'wsl-missing' 'WSL was not installed' 'Windows gave its reason above; most often an administrator has to agree' 'in a terminal that runs as administrator: wsl --install --no-distribution'
    }
    $listing = Get-Distributions
    $works = $listing.Rows.Count -gt 0 -or $listing.Text -match 'DISTRO_NOT_FOUND'
    # the message is in the language of Windows; where no word fits, Windows may have noted it, or no distribution appears
    if (-not $works -or (Test-RestartPending) -or $answer.Text -match 'restart|reboot|neu\s?start|Neustart|red.marr|reinici|riavvi') {
        Stop-Setup 'wsl-restart' 'WSL is installed, and Windows has to be restarted before it works' 'Windows said so' 'restart Windows, then: aibox setup'
    }
}

function Install-Distribution {
    Write-Step '[windows] distribution: none that aibox can use'
    if (-not (Confirm-Change "wsl.exe --install --distribution $Offered" "aibox runs inside a WSL2 distribution; WSL asks you for a user name there, and the command exit comes back here")) { return '' }
    $code = Invoke-Program $Wsl @('--install', '--distribution', $Offered)
    # the exit code may be that of the shell which asked for a user name: what counts is whether it is there
    $row = @((Get-Distributions).Rows | Where-Object { $_.Name -eq $Offered })
    if ($row.Count -eq 0 -and ($code -eq 0 -or (Test-RestartPending))) {
        Stop-Setup 'wsl-restart' "$Offered is not there yet: Windows has to be restarted before WSL works" 'WSL installed it, but does not list it' 'restart Windows, then: aibox setup'
    }
    if ($row.Count -eq 0) { Stop-Setup 'wsl-no-distribution' "$Offered was not installed" 'WSL gave its reason above' "wsl --install --distribution $Offered" }
    if ($row[0].Version -ne 2) { $failure = Get-Wsl1Failure $Offered; Stop-Setup $failure.Code $failure.What $failure.Why $failure.Fix }
    $Offered
}

function Select-SetupDistribution {
    $chosen = if ($Wanted) { @{ Name = $Wanted } } else { Select-Distribution }
    if ($chosen.ContainsKey('Name')) {
        $row = @((Get-Distributions).Rows | Where-Object { $_.Name -eq $chosen.Name })
        if ($row.Count -eq 0) { $chosen = Get-StartFailure $chosen.Name }
        elseif ($row[0].Version -eq 1) { $chosen = Get-Wsl1Failure $chosen.Name }
        else { return $chosen.Name }
    }
    if ($chosen.Code -eq 'wsl1-only') {
        Write-Step "[windows] distribution: $($chosen.What)"
        $name = ($chosen.Fix -split ' ')[2]
        if (-not (Confirm-Change "wsl.exe --set-version $name 2" 'gVisor needs a real Linux kernel; the distribution is converted, which takes some minutes')) { return '' }
        if ((Invoke-Program $Wsl @('--set-version', $name, '2')) -ne 0) {
            Stop-Setup 'wsl1-only' "$name was not converted" 'WSL gave its reason above' "wsl --set-version $name 2"
        }
        return $name
    }
    if ($chosen.Code -eq 'wsl-no-distribution' -and $chosen.Fix -notlike 'wsl --set-default*') { return Install-Distribution }
    Stop-Setup $chosen.Code $chosen.What $chosen.Why $chosen.Fix
}

function Find-Podman {
    foreach ($folder in ([string]$env:PATH).Split([IO.Path]::PathSeparator)) {
        if (-not $folder) { continue }
        $program = [IO.Path]::Combine($folder, 'podman.exe')
        if ([IO.File]::Exists($program)) { return $program }
    }
    Stop-Setup 'podman-missing' 'podman.exe is not on PATH' '--backend machine uses the machine that Podman for Windows makes' 'winget install RedHat.Podman'
}

function Start-Machine {
    # the machine is a WSL2 distribution of Podman's own; aibox runs inside it
    $podman = Find-Podman
    if (@((Get-Distributions).Rows | Where-Object { $_.Name -eq $Machine }).Count -eq 0) {
        $processors = [Math]::Max(1, [Math]::Min(8, [Environment]::ProcessorCount))
        $bytes = @(Get-WindowsSize | Where-Object { $_ -like 'WINDOWS_MEMORY=*' } | ForEach-Object { [long]($_ -split '=')[1] })
        $memory = if ($bytes.Count) { [long][Math]::Max(1, [Math]::Min(16, [Math]::Floor($bytes[0] / 2 / $GiB))) * 1024 } else { 4096 }
        $words = @('machine', 'init', '--cpus', [string]$processors, '--memory', [string]$memory, '--disk-size', [string]$DiskSize, $Machine)
        Write-Step '[windows] Podman machine: not there yet'
        if (-not (Confirm-Change "podman $($words -join ' ')" 'it is the Linux system that boxes run in')) { return '' }
        if ((Invoke-Program $podman $words) -ne 0) { Stop-Setup 'machine-failed' 'the Podman machine was not made' 'Podman gave its reason above' "podman $($words -join ' ')" }
    }
    if ((Invoke-Linux $Machine '' 'true').Code -ne 0 -or (Get-MachineState $podman) -ne 'running') {
        if (-not (Confirm-Change "podman machine start $Machine" 'the machine has to run')) { return '' }
        if ((Invoke-Program $podman @('machine', 'start', $Machine)) -ne 0) { Stop-Setup 'machine-failed' 'the Podman machine did not start' 'Podman gave its reason above' "podman machine start $Machine" }
    }
    $Machine
}

function Get-MachineState([string]$podman) {
    $start = New-WslStart @('machine', 'inspect', '--format', '{{.State}}', $Machine)
    $start.FileName = $podman
    $start.RedirectStandardOutput = $true
    $process = [Diagnostics.Process]::Start($start)
    $text = $process.StandardOutput.ReadToEnd()
    $process.WaitForExit()
    $text.Trim()
}

function Install-Python([string]$name) {
    $check = Invoke-Linux $name '' '/usr/bin/python3 -c "import sys; sys.exit(sys.version_info < (3, 10))"'
    if ($check.Code -eq -1) { $failure = Get-StartFailure $name; Stop-Setup $failure.Code $failure.What $failure.Why $failure.Fix }
    if ($check.Code -eq 0) { return }
    Write-Step "[windows] Python: $name has no python3 of version 3.10 or newer"
    $install = 'if command -v apt-get >/dev/null; then apt-get update -qq && apt-get install --yes python3; else dnf install --assumeyes python3; fi'
    if (-not (Confirm-Change "in $name, as root: $install" 'aibox is written in Python')) { return }
    $answer = Invoke-Linux $name 'root' $install
    Write-Step $answer.Text.Trim()
    $again = Invoke-Linux $name '' '/usr/bin/python3 -c "import sys; sys.exit(sys.version_info < (3, 10))"'
    if ($again.Code -ne 0) { Stop-Setup 'python-missing' "$name still has no python3 of version 3.10 or newer" 'its packages do not bring one' "use a newer distribution: wsl --install --distribution $Offered, then: aibox setup --distribution $Offered" }
}

function Get-Sha256([string]$file) {
    $hash = [Security.Cryptography.SHA256]::Create()
    $from = [IO.File]::OpenRead($file)
    try { ([BitConverter]::ToString($hash.ComputeHash($from)) -replace '-', '').ToLowerInvariant() } finally { $from.Close() }
}

function Copy-IntoLinux([string]$name, [string]$file, [string]$target) {
    # owned by root, so that no program of the user's can change what runs as the user
    $digest = Get-Sha256 $file
    if ((Invoke-Linux $name '' "sha256sum $target 2>/dev/null").Text.StartsWith($digest)) { return }
    Write-Step "[windows] $target in ${name}: not this version"
    if (-not (Confirm-Change "copy $file to $target in $name" 'boxes are started by it')) { return }
    $answer = Invoke-Linux $name 'root' "umask 022; cat >$target.new && chmod 755 $target.new && mv $target.new $target && sha256sum $target" $file
    if ($answer.Code -ne 0 -or -not $answer.Text.StartsWith($digest)) {
        Stop-Setup 'setup-failed' "$target was not written" "$name said: $($answer.Text.Trim())" "free some space in $name, then: aibox setup"
    }
}

function Install-Aibox([string]$name) {
    $file = [IO.Path]::Combine($PSScriptRoot, 'aibox')
    if ([IO.File]::Exists($file)) { Copy-IntoLinux $name $file '/usr/local/bin/aibox' }
    elseif ((Invoke-Linux $name '' 'test -x ~/.local/bin/aibox -o -x /usr/local/bin/aibox').Code -ne 0) {
        Stop-Setup 'aibox-missing' "aibox itself is neither in $name nor beside this script" "$file is not there" 'put the file aibox beside install.ps1, run install.ps1, then: aibox setup'
    }
    # what an offline kit may bring besides
    $runsc = [IO.Path]::Combine($PSScriptRoot, 'runsc')
    if ([IO.File]::Exists($runsc)) { Copy-IntoLinux $name $runsc '/usr/local/bin/runsc' }
}

function Import-Image([string]$name) {
    # the image of an offline kit, unless that very file was loaded before and its image is still there
    $image = [IO.Path]::Combine($PSScriptRoot, 'image.tar')
    if (-not [IO.File]::Exists($image)) { return }
    $digest = Get-Sha256 $image
    $note = '"$HOME/.local/share/aibox/loaded-image"'
    $known = Invoke-Linux $name '' ("i=`$(sed -n 's/^$digest //p' $note 2>/dev/null) && [ -n " + '"$i" ] && podman image exists "$i"')
    if ($known.Code -eq 0) { return }
    if (-not (Confirm-Change "load the image of $image in $name" 'boxes are made from it')) { return }
    $loaded = Invoke-Linux $name '' 'podman load --quiet' $image
    if ($loaded.Code -ne 0) { Stop-Setup 'setup-failed' 'the image was not loaded' 'Podman gave its reason above' 'fetch the kit again, then: aibox setup' }
    $loadedName = if ($loaded.Text -match 'Loaded image[^:]*: *(\S+)') { $Matches[1] } else { '' }
    [void](Invoke-Linux $name '' ("mkdir -p `"`$HOME/.local/share/aibox`" && echo $digest $loadedName >$note"))
}

function Invoke-Inside([string]$name, [string]$user, [string[]]$words) {
    $as = if ($user) { @('-u', $user) } else { @() }
    $arguments = @('-d', $name) + $as + @(Get-WslArguments $name $words @(Get-WindowsSize) | Select-Object -Skip 2)
    if (-not $Json -or $words -cnotcontains '--json') { return Invoke-Program $Wsl $arguments }
    if ($null -ne $fromHost) { Invoke-Inherited $arguments } else { Invoke-Document $arguments }
}

function Restart-ForSystemd([string]$name) {
    # wsl.conf is read only when a distribution starts
    $check = Invoke-Linux $name '' 'if [ -d /run/systemd/system ]; then exit 0; fi; grep -Eiq "^ *systemd *= *(true|1)" /etc/wsl.conf && exit 10; exit 0'
    if ($check.Code -ne 10) { return }
    Write-Step "[windows] systemd: it starts with the distribution"
    if (Confirm-Change "wsl.exe --terminate $name" 'systemd starts only with the distribution; programs that run in it now are ended') {
        [void](Invoke-Program $Wsl @('--terminate', $name))
    }
}

function Save-Distribution([string]$name) {
    if ((Get-ConfiguredDistribution) -eq $name -or $DryRun) { return }
    [void][IO.Directory]::CreateDirectory($ConfigFolder)
    [IO.File]::WriteAllText($Config, "# written by aibox setup`r`ndistribution = $name`r`n")
}

function Invoke-SetupSteps([string[]]$words) {
    $rest = @(); $Wanted = ''; $backend = 'wsl'; $Yes = $false; $DryRun = $false
    for ($i = 0; $i -lt $words.Count; $i++) {
        $name, $value = $words[$i] -split '=', 2
        if ($name -ceq '--distribution' -or $name -ceq '--backend') {
            if ($null -eq $value) { $i++; $value = if ($i -lt $words.Count) { $words[$i] } else { '' } }
            if ($name -ceq '--backend') { $backend = $value } else { $Wanted = $value }
            continue
        }
        if ($words[$i] -ceq '--yes' -or $words[$i] -ceq '-y') { $Yes = $true }
        if ($words[$i] -ceq '--dry-run') { $DryRun = $true }
        $rest += $words[$i]
    }
    if ($backend -ne 'wsl' -and $backend -ne 'machine') { Stop-Setup 'usage' "--backend $backend is not known" 'it is wsl or machine' 'aibox setup --backend machine' }
    $listing = if ([IO.File]::Exists($Wsl)) { Get-Distributions } else { @{ Rows = @(); Text = '' } }
    if ($listing.Rows.Count -eq 0 -and $listing.Text -notmatch 'DISTRO_NOT_FOUND') {
        Install-Wsl
        if ($DryRun) { Write-Step $Later; return 0 }
    }
    $versions = Invoke-Wsl '--version'
    if ($versions.Text -match '\d+(\.\d+)+') { Write-Step "[windows] WSL: ready, version $($Matches[0])" }
    else { Write-Step '[windows] WSL: an old one that comes with Windows; newer: wsl --update' }
    $distribution = if ($backend -eq 'machine') { Start-Machine } else { Select-SetupDistribution }
    if (-not $distribution) { Write-Step $Later; return 0 }
    Write-Step "[windows] distribution: $distribution"
    Install-Python $distribution
    Install-Aibox $distribution
    Save-Distribution $distribution
    $consent = @($rest | Where-Object { $_ -ceq '--yes' -or $_ -ceq '-y' -or $_ -ceq '--dry-run' -or $_ -ceq '--json' })
    $user = (Invoke-Linux $distribution '' 'id -un').Text.Trim()
    if ($user -ne 'root') {
        # what only root can do there: packages, ids for rootless boxes, systemd
        $code = Invoke-Inside $distribution 'root' (@('setup', '--prepare-for', $user) + @($consent | Where-Object { $_ -cne '--json' }))
        if ($code -ne 0) { return $code }
    }
    Restart-ForSystemd $distribution
    Import-Image $distribution
    Invoke-Inside $distribution '' (@('setup') + $rest)
}

function Invoke-Setup([string[]]$words) {
    try { Invoke-SetupSteps $words }
    catch {
        if ("$_" -ne 'aibox-setup-stopped') { throw }
        4
    }
}
