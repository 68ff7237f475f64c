"""Nothing in the shim needs more than Windows PowerShell 5.1 and .NET Framework 4.8, by the engine's own syntax tree."""

import re
from pathlib import Path

import pytest
from shimhost import SHIM, Host

HERE = Path(__file__).resolve().parent
SCRIPTS = sorted(SHIM.glob("*.ps1"))
# commands of Windows PowerShell 5.1, and their parameters that are used
COMMANDS = {
    "ConvertTo-Json": {"Depth"}, "ForEach-Object": set(), "Get-CimInstance": {"ClassName", "ErrorAction"},
    "New-Object": set(),
    "Register-ArgumentCompleter": {"CommandName", "Native", "ScriptBlock"}, "Select-Object": {"Last", "Skip", "Unique"},
    "Set-StrictMode": {"Version"}, "Test-Path": set(), "Where-Object": set(),
}  # fmt: skip
# types and static members that .NET Framework 4.8 or Windows PowerShell 5.1 has
TYPES = {
    "Array",
    "BitConverter",
    "bool",
    "byte",
    "byte[]",
    "char",
    "Collections.ArrayList",
    "Collections.IDictionary",
    "Collections.IEnumerable",
    "Console",
    "Convert",
    "Diagnostics.Process",
    "Diagnostics.ProcessStartInfo",
    "Environment",
    "GC",
    "int",
    "IO.Directory",
    "IO.File",
    "IO.FileInfo",
    "IO.MemoryStream",
    "IO.Path",
    "long",
    "Management.Automation.CompletionResult",
    "Management.Automation.Language.ArrayLiteralAst",
    "Management.Automation.Language.CommandAst",
    "Management.Automation.Language.CommandParameterAst",
    "Management.Automation.Language.ConstantExpressionAst",
    "Management.Automation.Language.ExpandableStringExpressionAst",
    "Management.Automation.Language.Parser",
    "Management.Automation.Language.StringConstantExpressionAst",
    "Management.Automation.Language.VariableExpressionAst",
    "Math",
    "Microsoft.Win32.Registry",
    "Microsoft.Win32.RegistryValueKind",
    "Microsoft.Win32.RegistryValueOptions",
    "NullString",
    "ordered",
    "ref",
    "Reflection.BindingFlags",
    "regex",
    "Security.Cryptography.SHA256",
    "string",
    "string[]",
    "switch",
    "Text.Encoding",
    "Text.StringBuilder",
    "Text.UTF8Encoding",
    "Threading.Tasks.Task",
    "Threading.Tasks.Task[]",
    "Type[]",
    "void",
}
STATIC = {
    "[Array]::IndexOf",
    "[BitConverter]::ToString",
    "[Console]::Error",
    "[Console]::InputEncoding",
    "[Console]::IsInputRedirected",
    "[Console]::OpenStandardError",
    "[Console]::Out",
    "[Console]::OutputEncoding",
    "[Console]::ReadLine",
    "[Convert]::ToBase64String",
    "[Diagnostics.Process]::Start",
    "[Environment]::ExpandEnvironmentVariables",
    "[Environment]::GetCommandLineArgs",
    "[Environment]::GetEnvironmentVariables",
    "[Environment]::GetFolderPath",
    "[Environment]::ProcessorCount",
    "[Environment]::SetEnvironmentVariable",
    "[IO.Directory]::CreateDirectory",
    "[IO.Directory]::Delete",
    "[IO.Directory]::Exists",
    "[IO.Directory]::GetFileSystemEntries",
    "[IO.File]::Copy",
    "[IO.File]::Delete",
    "[IO.File]::Exists",
    "[IO.File]::Move",
    "[IO.File]::OpenRead",
    "[IO.File]::ReadAllBytes",
    "[IO.File]::ReadAllLines",
    "[IO.File]::ReadAllText",
    "[IO.File]::Replace",
    "[IO.File]::WriteAllBytes",
    "[IO.File]::WriteAllText",
    "[IO.Path]::Combine",
    "[IO.Path]::GetDirectoryName",
    "[IO.Path]::GetFullPath",
    "[IO.Path]::PathSeparator",
    "[Management.Automation.CompletionResult]::new",
    "[Management.Automation.Language.Parser]::ParseInput",
    "[Math]::Floor",
    "[Math]::Max",
    "[Math]::Min",
    "[Microsoft.Win32.RegistryValueKind]::ExpandString",
    "[Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames",
    "[Microsoft.Win32.Registry]::CurrentUser",
    "[Microsoft.Win32.Registry]::LocalMachine",
    "[NullString]::Value",
    "[Security.Cryptography.SHA256]::Create",
    "[Text.Encoding]::GetEncoding",
    "[Text.Encoding]::Unicode",
    "[Text.Encoding]::UTF8",
    "[Threading.Tasks.Task]::WaitAny",
    "[regex]::Escape",
    "[regex]::Matches",
}
# members of objects that newer .NET or PowerShell added; a name that is not here may be old or our own
NEWER = {
    "ArgumentList", "Environment", "StandardInputEncoding", "WaitForExitAsync", "Kill", "ReadExactly", "Statement", "AsSpan",
    "TryGetValue", "GetValueOrDefault", "EndsWithOrdinal", "ToHexString",
}  # fmt: skip
VARIABLES = {"IsWindows", "IsLinux", "IsMacOS", "IsCoreCLR", "PSStyle", "EnabledExperimentalFeatures", "input"}


def findings(host: Host, script: Path) -> list[tuple[str, str, str]]:
    done = host.powershell("-File", str(HERE / "walk.ps1"), str(script))
    assert done.code == 0, str(done)
    return [(kind, text, line) for kind, text, line in (row.split("\t") for row in done.out.decode().splitlines())]


def refused(found: list[tuple[str, str, str]]) -> list[str]:
    """What 5.1 would not run."""
    own = {text.lower() for kind, text, _ in found if kind == "function"}
    shared = {"invoke-setup"} | {
        name.lower() for script in SCRIPTS for name in re.findall(r"function ([\w-]+)", script.read_text())
    }
    bad = []
    for kind, text, line in found:
        command, _, parameter = text.partition(" -")
        if (
            kind in ("error", "new")
            or (kind == "variable" and text in VARIABLES)
            or (kind == "type" and text not in TYPES)
            or (kind == "member" and text.startswith("[") and text not in STATIC)
            or (kind == "member" and text.startswith(".") and text[1:] in NEWER)
            or (kind == "command" and text.lower() not in own | shared and text not in COMMANDS)
            or (kind == "parameter" and command in COMMANDS and parameter not in COMMANDS[command])
        ):
            bad.append(f"line {line}: {kind} {text}")
    return bad


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_windows_powershell_can_run_it(host: Host, script: Path) -> None:
    assert refused(findings(host, script)) == []


@pytest.mark.parametrize(
    "line",
    [
        "$a ? 1 : 2", "a && b", "a || b", "$a ?? 1", "$a ??= 1", "${a}?.Length", "${a}?[0]", "if ($IsWindows) { }",
        "Join-Path a b c", "$start.ArgumentList.Add('x')", "[Convert]::ToHexString($x)", "ConvertFrom-Json -AsHashtable",
        "1..3 | ForEach-Object -Parallel { $_ }", "Get-Uptime", "[Half]$x = 1", "$input", "a &", "function {",
        "New-Object Text.Json.JsonDocument", "[IO.File]::Move('a', 'b', $true); [IO.Path]::Join('a', 'b')",
    ],
)  # fmt: skip
def test_the_check_sees_what_is_newer(host: Host, line: str) -> None:
    script = host.folder / "newer.ps1"
    script.write_text(line)
    assert refused(findings(host, script)), line


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_ascii_only(script: Path) -> None:
    """5.1 reads a script without a mark in the machine's own code page."""
    assert script.read_bytes().isascii()


def test_the_batch_file_has_windows_line_ends() -> None:
    """cmd.exe can lose its place in a file with Linux line ends."""
    content = (SHIM / "aibox.cmd").read_bytes()
    assert content.isascii()
    assert content.count(b"\r\n") == content.count(b"\n") > 3


def test_the_version_is_aiboxs() -> None:
    from aibox import __version__

    assert f"$Version = '{__version__}'" in (SHIM / "aibox.ps1").read_text()


def test_standard_input_is_never_named() -> None:
    """PowerShell hands a script its input as text as soon as that variable stands in it, even in a comment's stead."""
    assert "$input" not in (SHIM / "aibox.ps1").read_text().lower()
