# Installs the Windows side of aibox for the current user; no administrator is needed, and -Uninstall takes it all back.
#
#   powershell -NoProfile -ExecutionPolicy Bypass -File install.ps1 [-Uninstall] [-DryRun]
#
# It copies the files to %LOCALAPPDATA%\aibox, adds its bin folder to the user's PATH, and adds three lines to the
# PowerShell profiles that define the command and its completion. Each change is named; a second run changes nothing.
param([switch]$Uninstall, [switch]$DryRun)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$Root = [IO.Path]::Combine([string]$env:LOCALAPPDATA, 'aibox')
$Bin = [IO.Path]::Combine($Root, 'bin')
$Lib = [IO.Path]::Combine($Root, 'lib')
# the folder on PATH holds no script: PowerShell would prefer it to aibox.cmd even where its policy refuses scripts
$Files = @(
    @{ Name = 'aibox.cmd'; Folder = $Bin; Needed = $true }
    @{ Name = 'aibox.ps1'; Folder = $Lib; Needed = $true }
    @{ Name = 'setup.ps1'; Folder = $Lib; Needed = $true }
    @{ Name = 'profile.ps1'; Folder = $Lib; Needed = $true }
    @{ Name = 'install.ps1'; Folder = $Lib; Needed = $true }
    @{ Name = 'aibox'; Folder = $Lib; Needed = $false }
    # what an offline kit brings besides
    @{ Name = 'runsc'; Folder = $Lib; Needed = $false; Large = $true }
    @{ Name = 'image.tar'; Folder = $Lib; Needed = $false; Large = $true }
)
# ASCII whatever the user is called, so that it suits every encoding a profile may have
$Load = 'if (Test-Path "$env:LOCALAPPDATA\aibox\lib\profile.ps1") { . "$env:LOCALAPPDATA\aibox\lib\profile.ps1" }'
$Start = '# >>> aibox >>>'
$StartAfterText = '# >>> aibox, after a line without an end >>>'
# these say what has to go again when nothing else is left
$StartOwnFile = '# >>> aibox, in a file of its own >>>'
$StartOwnFolder = '# >>> aibox, in a file and a folder of its own >>>'
$End = '# <<< aibox <<<'
$Changes = 0

function Write-Change([string]$text) {
    $script:Changes++
    [Console]::Out.WriteLine($(if ($DryRun) { "would $text" } else { $text }))
}

function Test-SameBytes([byte[]]$a, [byte[]]$b) {
    $a.Length -eq $b.Length -and [Convert]::ToBase64String($a) -eq [Convert]::ToBase64String($b)
}

function Test-SameFile([string]$a, [string]$b) {
    # by length and time, which a copy keeps
    if (-not [IO.File]::Exists($b)) { return $false }
    $one = New-Object IO.FileInfo $a
    $other = New-Object IO.FileInfo $b
    $one.Length -eq $other.Length -and $one.LastWriteTimeUtc -eq $other.LastWriteTimeUtc
}

function Copy-Large([string]$source, [string]$target) {
    # never as a whole in memory, and never half there; no script, so that a download's mark does no harm
    if (Test-SameFile $source $target) { return }
    Write-Change "write $target"
    if ($DryRun) { return }
    [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($target))
    [IO.File]::Copy($source, "$target.new", $true)
    if ([IO.File]::Exists($target)) { [IO.File]::Delete($target) }
    [IO.File]::Move("$target.new", $target)
}

function Install-Files {
    foreach ($file in $Files) {
        $source = [IO.Path]::Combine($PSScriptRoot, $file.Name)
        if (-not [IO.File]::Exists($source) -and $file.Name -eq 'aibox.cmd') {
            $source = [IO.Path]::Combine($PSScriptRoot, '..', 'bin', $file.Name)
        }
        $target = [IO.Path]::Combine($file.Folder, $file.Name)
        if (-not [IO.File]::Exists($source)) {
            if ($file.Needed) { throw "$source is missing: install.ps1 has to lie beside the other files of the shim" }
            continue
        }
        if ($file.ContainsKey('Large')) { Copy-Large $source $target; continue }
        $content = [IO.File]::ReadAllBytes($source)
        if ([IO.File]::Exists($target) -and (Test-SameBytes $content ([IO.File]::ReadAllBytes($target)))) { continue }
        Write-Change "write $target"
        if ($DryRun) { continue }
        [void][IO.Directory]::CreateDirectory($file.Folder)
        # written anew, not copied: a copy would keep the mark of a download, which PowerShell refuses to run
        [IO.File]::WriteAllBytes($target, $content)
    }
}

function Uninstall-Files {
    foreach ($path in $Bin, $Lib, [IO.Path]::Combine($Root, 'shim.conf')) {
        if ([IO.Directory]::Exists($path)) {
            Write-Change "remove $path"
            if (-not $DryRun) { [IO.Directory]::Delete($path, $true) }
        }
        elseif ([IO.File]::Exists($path)) {
            Write-Change "remove $path"
            if (-not $DryRun) { [IO.File]::Delete($path) }
        }
    }
    if ([IO.Directory]::Exists($Root) -and -not $DryRun -and [IO.Directory]::GetFileSystemEntries($Root).Count -eq 0) {
        [IO.Directory]::Delete($Root)
    }
}

function Add-Folder([string]$raw, [bool]$exists) {
    # what stood there stays as it is, and so does a semicolon at its end, which Windows' own default has
    if (-not $exists) { $Bin } elseif ($raw.EndsWith(';')) { "$raw$Bin;" } else { "$raw;$Bin" }
}

function Remove-Folder([string]$raw) {
    # with the semicolon that Add-Folder wrote: behind it, or before it where it is the last
    $own = [regex]::Escape($Bin) + '\\*'
    ($raw -replace ('(?<=^|;)' + $own + ';'), '') -replace ('(^|;)' + $own + '$'), ''
}

function Set-UserPath([bool]$wanted) {
    # the registry, not SetEnvironmentVariable: that one would freeze every %VARIABLE% in the user's PATH
    $key = [Microsoft.Win32.Registry]::CurrentUser.CreateSubKey('Environment')
    $exists = @($key.GetValueNames() | Where-Object { $_ -eq 'Path' }).Count -gt 0
    $raw = [string]$key.GetValue('Path', '', [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
    $kind = if ($exists) { $key.GetValueKind('Path') } else { [Microsoft.Win32.RegistryValueKind]::ExpandString }
    $parts = @($raw -split ';')
    $there = @($parts | Where-Object { $_.TrimEnd('\') -eq $Bin }).Count -gt 0
    if ($there -eq $wanted) { return }
    $new = if ($wanted) { Add-Folder $raw $exists } else { Remove-Folder $raw }
    Write-Change $(if ($wanted) { "add $Bin to the user's PATH" } else { "take $Bin out of the user's PATH" })
    if ($DryRun) { return }
    if ($new -or $raw.StartsWith(';')) { $key.SetValue('Path', $new, $kind) } else { $key.DeleteValue('Path') }
    # tells running programs, such as the Explorer, that the environment changed
    [Environment]::SetEnvironmentVariable('AiboxInstaller', [NullString]::Value, 'User')
}

function Get-Policy([string]$edition) {
    # what a new PowerShell of that edition will allow; this process may run under another policy
    foreach ($hive in [Microsoft.Win32.Registry]::LocalMachine, [Microsoft.Win32.Registry]::CurrentUser) {
        $name = if ($edition -eq 'Core') { 'SOFTWARE\Policies\Microsoft\PowerShellCore' } else { 'SOFTWARE\Policies\Microsoft\Windows\PowerShell' }
        $key = $hive.OpenSubKey($name)
        if ($null -ne $key -and $key.GetValue('ExecutionPolicy')) { return [string]$key.GetValue('ExecutionPolicy') }
    }
    if ($edition -eq 'Core') {
        $file = [IO.Path]::Combine([Environment]::GetFolderPath('MyDocuments'), 'PowerShell', 'powershell.config.json')
        if ([IO.File]::Exists($file) -and [IO.File]::ReadAllText($file) -match '"Microsoft\.PowerShell:ExecutionPolicy"\s*:\s*"(\w+)"') { return $Matches[1] }
        return 'RemoteSigned'
    }
    foreach ($hive in [Microsoft.Win32.Registry]::CurrentUser, [Microsoft.Win32.Registry]::LocalMachine) {
        $key = $hive.OpenSubKey('SOFTWARE\Microsoft\PowerShell\1\ShellIds\Microsoft.PowerShell')
        if ($null -ne $key -and $key.GetValue('ExecutionPolicy')) { return [string]$key.GetValue('ExecutionPolicy') }
    }
    'Restricted'
}

function Get-Encoding([byte[]]$bytes) {
    # only what tells how ASCII looks in the file; its own text is never decoded
    if ($bytes.Length -ge 2 -and $bytes[0] -eq 0xFF -and $bytes[1] -eq 0xFE) { return [Text.Encoding]::Unicode }
    [Text.Encoding]::GetEncoding(28591)
}

function Find-Block([byte[]]$bytes) {
    # first byte and length of our lines, or nothing
    $encoding = Get-Encoding $bytes
    $text = $encoding.GetString($bytes)
    $first = ''
    foreach ($first in $StartAfterText, $StartOwnFile, $StartOwnFolder, $Start) {
        $at = $text.IndexOf($first)
        if ($at -ge 0) { break }
    }
    if ($first -eq $StartAfterText -and $at -ge 2) { $at -= 2 }
    $stop = $text.IndexOf($End)
    if ($at -lt 0 -or $stop -lt $at) { return }
    $stop += $End.Length
    if ($text.Substring($stop).StartsWith("`r`n")) { $stop += 2 }
    $size = $encoding.GetByteCount('x')
    @{ First = $at * $size; Length = ($stop - $at) * $size; Mark = $first }
}

function Set-Profile([string]$path, [bool]$wanted) {
    $exists = [IO.File]::Exists($path)
    [byte[]]$bytes = @()
    if ($exists) { $bytes = [IO.File]::ReadAllBytes($path) }
    $block = Find-Block $bytes
    if (($null -ne $block) -eq $wanted) { return }
    Write-Change $(if ($wanted) { "add three lines to $path" } else { "take three lines out of $path" })
    if ($DryRun) { return }
    $folder = [IO.Path]::GetDirectoryName($path)
    $new = New-Object IO.MemoryStream
    if ($wanted) {
        $mark = if ($exists) { $Start } elseif ([IO.Directory]::Exists($folder)) { $StartOwnFile } else { $StartOwnFolder }
        [void][IO.Directory]::CreateDirectory($folder)
        $encoding = Get-Encoding $bytes
        $text = $encoding.GetString($bytes)
        $lines = if ($text -eq '' -or $text.EndsWith("`n") -or $text.Length -eq 1) { "$mark`r`n$Load`r`n$End`r`n" } else { "`r`n$StartAfterText`r`n$Load`r`n$End`r`n" }
        $more = $encoding.GetBytes($lines)
        $new.Write($bytes, 0, $bytes.Length)
        $new.Write($more, 0, $more.Length)
    }
    else {
        $after = $block.First + $block.Length
        $new.Write($bytes, 0, $block.First)
        $new.Write($bytes, $after, $bytes.Length - $after)
    }
    if (-not $wanted -and $new.Length -eq 0 -and $block.Mark -ne $Start) {
        [IO.File]::Delete($path)
        if ($block.Mark -eq $StartOwnFolder -and [IO.Directory]::GetFileSystemEntries($folder).Count -eq 0) { [IO.Directory]::Delete($folder) }
        return
    }
    # written beside it and moved over it: a profile is never half there
    [IO.File]::WriteAllBytes("$path.aibox-new", $new.ToArray())
    if ($exists) { [IO.File]::Replace("$path.aibox-new", $path, [NullString]::Value) } else { [IO.File]::Move("$path.aibox-new", $path) }
}

function Install-Profiles {
    $documents = [Environment]::GetFolderPath('MyDocuments')
    $core = [IO.Directory]::Exists([IO.Path]::Combine([string]$env:ProgramFiles, 'PowerShell', '7')) -or $PSVersionTable.PSEdition -eq 'Core'
    $editions = @(@{ Name = 'Windows PowerShell 5.1'; Edition = 'Desktop'; Folder = 'WindowsPowerShell' })
    # taken back also where PowerShell 7 itself is gone by now, or was the one that installed
    if ($core -or $Uninstall) { $editions += @{ Name = 'PowerShell 7'; Edition = 'Core'; Folder = 'PowerShell' } }
    foreach ($edition in $editions) {
        $path = [IO.Path]::Combine($documents, $edition.Folder, 'profile.ps1')
        if ($Uninstall) { Set-Profile $path $false; continue }
        $policy = Get-Policy $edition.Edition
        if ($policy -eq 'Restricted' -or $policy -eq 'AllSigned') {
            [Console]::Out.WriteLine("note: $($edition.Name) runs no scripts of yours (its policy is $policy), so there the command aibox is aibox.cmd: completion and some arguments are limited")
            [Console]::Out.WriteLine('  fix: Set-ExecutionPolicy -Scope CurrentUser RemoteSigned, then run install.ps1 again')
            continue
        }
        Set-Profile $path $true
    }
}

if ($Uninstall) {
    Install-Profiles
    Set-UserPath $false
    Uninstall-Files
    if ($Changes -eq 0) { [Console]::Out.WriteLine('nothing of aibox is installed here') }
    else { [Console]::Out.WriteLine('The boxes and aibox inside WSL stay; to remove them, in the distribution: aibox destroy --all --volumes') }
}
else {
    Install-Files
    Set-UserPath $true
    Install-Profiles
    if ($Changes -eq 0) { [Console]::Out.WriteLine('aibox is installed already') }
    else { [Console]::Out.WriteLine('Open a new terminal, then: aibox setup') }
}
