# Loaded by the user's PowerShell profile: the command `aibox`, and its completion with the Tab key.
# As Set-Alias does; an alias, so that PowerShell hands the words of a call straight to the script.
[void]$ExecutionContext.SessionState.InvokeProvider.Item.Set('Alias:\aibox', [IO.Path]::Combine($PSScriptRoot, 'aibox.ps1'))

Register-ArgumentCompleter -Native -CommandName aibox, aibox.ps1, aibox.cmd -ScriptBlock {
    param($word, $call, $cursor)
    # What can follow says the aibox that is installed in the distribution, which alone knows its verbs, options, boxes,
    # volumes and checks; nothing of it is kept here. Each word goes behind a mark, as no word may be empty.
    $given = @('__complete', 'powershell')
    foreach ($element in @($call.CommandElements | Select-Object -Skip 1)) {
        if ($element.Extent.StartOffset -ge $cursor) { continue }
        $text = if ($element -is [Management.Automation.Language.StringConstantExpressionAst]) { $element.Value } else { $element.Extent.Text }
        $given += 'w:' + $text
    }
    if ($word -eq '') { $given += 'w:' }
    $shim = [IO.Path]::Combine($PSScriptRoot, 'aibox.ps1')
    foreach ($line in @(& $shim @given 2>$null)) {
        if ($line -eq '' -or $line[0] -eq ':') { continue } # the rest, such as files, PowerShell completes itself
        $parts = "$line".Split([char]9)
        $value = $parts[0]
        $tip = if ($parts.Length -gt 1) { $parts[1] } else { $value }
        $text = if ($value -match '[^A-Za-z0-9_./:=-]') { "'" + $value.Replace("'", "''") + "'" } else { $value }
        [Management.Automation.CompletionResult]::new($text, $value, 'ParameterValue', $tip)
    }
}
