# Loaded by the user's PowerShell profile: the command `aibox`, and its completion with the Tab key.
# As Set-Alias does; an alias, so that PowerShell hands the words of a call straight to the script.
[void]$ExecutionContext.SessionState.InvokeProvider.Item.Set('Alias:\aibox', [IO.Path]::Combine($PSScriptRoot, 'aibox.ps1'))

Register-ArgumentCompleter -Native -CommandName aibox -ScriptBlock {
    param($word, $call, $cursor)
    # The verbs and options are those that the installed aibox names in its help; asked once for each verb.
    if ($null -eq $ExecutionContext.SessionState.PSVariable.Get('global:AiboxCompletions')) { $global:AiboxCompletions = @{} }
    $typed = @($call.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursor } | ForEach-Object { $_.Extent.Text })
    $verb = if ($typed.Count -gt 1) { $typed[1] } else { '' }
    if (-not $global:AiboxCompletions.ContainsKey($verb)) {
        $shim = [IO.Path]::Combine($PSScriptRoot, 'aibox.ps1')
        $help = if ($verb) { & $shim $verb --help 2>$null } else { & $shim --help 2>$null }
        $pattern = if ($verb) { '(?:^|\s)(--[a-z][a-z-]*)' } else { '^  ([a-z]+)  ' }
        $found = @(foreach ($line in $help) { foreach ($match in [regex]::Matches($line, $pattern)) { $match.Groups[1].Value } })
        $global:AiboxCompletions[$verb] = @($found | Select-Object -Unique)
    }
    foreach ($candidate in $global:AiboxCompletions[$verb]) {
        if ($candidate.StartsWith($word)) { [Management.Automation.CompletionResult]::new($candidate) }
    }
}
