# Prints what the script uses, one finding a line: KIND<tab>TEXT<tab>LINE. Used by test_syntax.py.
$tokens = $null; $errors = $null
$tree = [Management.Automation.Language.Parser]::ParseFile($args[0], [ref]$tokens, [ref]$errors)
foreach ($e in $errors) { "error`t$($e.Message)`t$($e.Extent.StartLineNumber)" }
foreach ($token in $tokens) {
    if ('QuestionQuestion', 'QuestionQuestionEquals', 'AndAnd', 'OrOr', 'QuestionDot', 'QuestionLBracket' -contains "$($token.Kind)") {
        "new`t$($token.Kind)`t$($token.Extent.StartLineNumber)"
    }
}
foreach ($node in $tree.FindAll({ $true }, $true)) {
    $kind = $node.GetType().Name
    $line = $node.Extent.StartLineNumber
    if ($kind -eq 'TernaryExpressionAst' -or $kind -eq 'PipelineChainAst') { "new`t$kind`t$line" }
    if ($kind -eq 'PipelineAst' -and $node.Background) { "new`tbackground`t$line" }
    if ($kind -eq 'VariableExpressionAst') { "variable`t$($node.VariablePath.UserPath)`t$line" }
    if ($kind -eq 'TypeExpressionAst' -or $kind -eq 'TypeConstraintAst') { "type`t$($node.TypeName.FullName)`t$line" }
    if ($kind -eq 'MemberExpressionAst' -or $kind -eq 'InvokeMemberExpressionAst') {
        if ($node.NullConditional) { "new`tnull-conditional`t$line" }
        $left = if ($node.Static) { "[$($node.Expression.TypeName.FullName)]::" } else { '.' }
        "member`t$left$($node.Member.Extent.Text)`t$line"
    }
    if ($kind -eq 'CommandAst') {
        $name = $node.GetCommandName()
        if ($name) {
            "command`t$name`t$line"
            foreach ($part in $node.CommandElements) {
                if ($part -is [Management.Automation.Language.CommandParameterAst]) { "parameter`t$name -$($part.ParameterName)`t$line" }
            }
            if ($name -eq 'Join-Path' -and $node.CommandElements.Count -gt 3) { "new`tJoin-Path with three parts`t$line" }
            if ($name -eq 'New-Object') { "type`t$($node.CommandElements[1].Extent.Text)`t$line" }
        }
    }
    if ($kind -eq 'FunctionDefinitionAst') { "function`t$($node.Name)`t$line" }
}
