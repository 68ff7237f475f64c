"""Streams and exit codes: bytes from outside PowerShell, text from its pipelines, codes unchanged."""

import os
import subprocess

import pytest
from shimhost import PWSH, Host

CAT = "#!/bin/sh\nexec cat\n"
BYTES = bytes(range(256)) * 300 + b"a\0b\r\n\xff"


def test_bytes_pass_through(host: Host) -> None:
    host.program(CAT)
    done = host.shim("exec", "cat", stdin=BYTES)
    assert done.out == BYTES
    assert done.err == ""


@pytest.mark.parametrize("code", [0, 1, 2, 42, 125, 127, 137, 254])
def test_exit_codes(host: Host, mode: str, code: int) -> None:
    host.exit_code(code)
    assert host.shim("exec", "x").code == code
    done = host.script_text("& $shim exec -- x\n$LASTEXITCODE\nexit $LASTEXITCODE\n", mode)
    assert done.code == code
    assert done.out.decode().split() == [str(code)]


def test_output_can_be_captured_and_piped_on(host: Host, mode: str) -> None:
    host.program("#!/bin/sh\nprintf 'grün 𝄞\\nzwei\\n'; printf 'to stderr\\n' >&2\n")
    done = host.script_text('$x = & $shim exec -- x\n"$($x.Count):$($x -join "|")"\n', mode)
    assert done.out.decode().strip() == "2:grün 𝄞|zwei"
    assert "to stderr" in done.err
    done = host.script_text('& $shim exec -- x | ForEach-Object { "[$_]" }\n', mode)
    assert done.out.decode().split("\n")[:2] == ["[grün 𝄞]", "[zwei]"]


def test_json_can_be_read(host: Host, mode: str) -> None:
    host.program('#!/bin/sh\necho \'{"data": {"box": "x"}}\'\n')
    done = host.script_text("(& $shim status --json | ConvertFrom-Json).data.box\n", mode)
    assert done.out.decode().strip() == "x"


def test_text_of_a_pipeline_gets_linux_line_ends(host: Host, mode: str) -> None:
    host.program("#!/bin/sh\nod -An -c\n")
    done = host.script_text("'grün', '', 'b' | & $shim exec -- cat\n", mode)
    assert done.out.decode().split() == ["g", "r", "303", "274", "n", "\\n", "\\n", "b", "\\n"]


def test_bytes_of_a_pipeline_stay_bytes(host: Host, mode: str) -> None:
    host.program("#!/bin/sh\nod -An -tx1\n")
    done = host.script_text("[byte[]]@(0, 255, 13, 10) | & $shim exec -- cat\n", mode)
    assert done.out.decode().split() == ["00", "ff", "0d", "0a"]


def test_more_than_a_pipe_holds(host: Host, mode: str) -> None:
    """The command reads and writes at once; neither side may wait for the other."""
    host.program(CAT)
    done = host.script_text('$x = 1..40000 | & $shim exec -- cat\n"$($x.Count) $($x[0]) $($x[-1])"\n', mode)
    assert done.out.decode().split() == ["40000", "1", "40000"]


def test_a_command_that_reads_nothing_ends(host: Host, mode: str) -> None:
    host.program("#!/bin/sh\necho done\nexit 7\n")
    done = host.script_text("1..40000 | & $shim exec -- true\nexit $LASTEXITCODE\n", mode)
    assert done.out.decode().strip() == "done"
    assert done.code == 7


def test_an_empty_pipeline_is_an_empty_input(host: Host) -> None:
    """The terminal, here a pipe that never closes, is not read in its stead."""
    host.program("#!/bin/sh\nexec wc -c\n")
    place = host.folder / "test.ps1"
    place.write_text(f"@() | & '{host.script}' exec -- wc -c\n")
    never, kept = os.pipe()
    variables = {**os.environ, "SystemRoot": str(host.folder), "LOCALAPPDATA": str(host.folder), "LANG": "C.UTF-8"}
    argv = [str(PWSH), "-NoProfile", "-File", str(place)]
    try:
        done = subprocess.run(argv, stdin=never, env=variables, capture_output=True, timeout=120, check=False)
    finally:
        os.close(never)
        os.close(kept)
    assert done.stdout.split() == [b"0"], done.stderr
