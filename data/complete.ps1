# PowerShell completion of aibox (5.1 and 7); made by: aibox completion powershell
Register-ArgumentCompleter -Native -CommandName aibox, aibox.ps1 -ScriptBlock {
    param($word, $ast, $cursor)
    # each word behind a mark, because 5.1 drops empty arguments
    $given = @()
    foreach ($element in @($ast.CommandElements)) {
        if ($element.Extent.StartOffset -ge $cursor) { continue }
        $text = if ($element -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $element.Value } else { $element.Extent.Text }
        $given += 'w:' + $text
    }
    $program = "$($ast.CommandElements[0])"
    $given = @($given | Select-Object -Skip 1)
    if ($word -eq '') { $given += 'w:' }
    foreach ($line in @(& $program __complete powershell @given 2>$null)) {
        if ($line -eq '' -or $line[0] -eq ':') { continue }
        $parts = "$line".Split([char]9)
        $value = $parts[0]
        $tip = if ($parts.Length -gt 1) { $parts[1] } else { $value }
        $text = if ($value -match '[^A-Za-z0-9_./:=-]') { "'" + $value.Replace("'", "''") + "'" } else { $value }
        New-Object System.Management.Automation.CompletionResult $text, $value, 'ParameterValue', $tip
    }
}
