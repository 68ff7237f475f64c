"""Which distribution is used, what is said where there is none, and how each failure of WSL is named."""

import json
import re
import subprocess

import pytest
from shimhost import SHIM, Host

HEADER = "  NAME                   STATE           VERSION\r\n"
GERMAN = (
    "  NAME     STATUS             VERSION\r\n* Ubuntu   Wird ausgeführt    2\r\n  Debian   Beendet            1\r\n"
)
NONE = (
    "Windows Subsystem for Linux has no installed distributions.\r\nError code: Wsl/WSL_E_DEFAULT_DISTRO_NOT_FOUND\r\n"
)


def row(name: str, version: int = 2, *, default: bool = False) -> str:
    return f"{'*' if default else ' '} {name:<22} Stopped         {version}\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16"])
@pytest.mark.parametrize(
    ("listing", "chosen"),
    [
        (HEADER + row("Debian", default=True), "Debian"),
        (HEADER + row("Ubuntu-24.04") + row("Debian", default=True), "Debian"),
        (HEADER + row("docker-desktop", default=True) + row("Debian"), "Debian"),
        (HEADER + row("podman-machine-default", default=True) + row("Ubuntu"), "Ubuntu"),
        (HEADER + row("Old", 1, default=True) + row("Debian"), "Debian"),
        (GERMAN, "Ubuntu"),
    ],
)
def test_choice(host: Host, listing: str, chosen: str, encoding: str) -> None:
    host.listing(listing, encoding=encoding)
    done = host.shim("status")
    assert host.calls()[-1][:4] == ["-d", chosen, "--cd", "/"], str(done)


def test_configured(host: Host) -> None:
    place = host.folder / "local" / "aibox"
    place.mkdir(parents=True)
    (place / "shim.conf").write_text("# chosen by setup\r\ndistribution = Chosen\r\n")
    host.shim("status")
    assert host.calls()[-1][:2] == ["-d", "Chosen"]
    host.shim("status", environment={"AIBOX_DISTRIBUTION": "Other"})
    assert host.calls()[-1][:2] == ["-d", "Other"]
    assert not any(call[0] == "--list" for call in host.calls())


FAILURES = [
    ("", 50, "wsl-missing", "wsl --install"),
    ("Windows-Subsystem für Linux ist nicht installiert.\r\n", 1, "wsl-missing", "wsl --install"),
    (NONE, -1, "wsl-no-distribution", "aibox setup"),
    (HEADER + row("docker-desktop", default=True), 0, "wsl-no-distribution", "aibox setup"),
    (HEADER + row("Debian", 1, default=True), 0, "wsl1-only", "wsl --set-version Debian 2"),
    (HEADER + row("A", 1, default=True) + row("B") + row("C"), 0, "wsl-no-distribution", "wsl --set-default B"),
]


@pytest.mark.parametrize(("listing", "code", "kind", "fix"), FAILURES)
@pytest.mark.parametrize(("verb", "exit_code"), [("status", 4), ("exec", 125)])
def test_nothing_usable(host: Host, listing: str, code: int, kind: str, fix: str, verb: str, exit_code: int) -> None:
    host.listing(listing, code & 255, "utf-16-le")
    done = host.shim(verb, "x")
    lines = done.err.splitlines()
    assert done.code == exit_code, str(done)
    assert f"[{kind}]" in lines[0], str(done)
    assert fix in lines[2]
    assert len(lines) == 3
    assert done.out == b""
    assert host.forwarded() == []


def test_failure_as_json(host: Host) -> None:
    host.listing(NONE, 255)
    done = host.shim("status", "--json")
    document = json.loads(done.out)
    assert document["ok"] is False
    assert document["schema_version"] == 1
    assert document["error"]["code"] == "wsl-no-distribution"
    assert document["error"]["exit_code"] == done.code == 4
    assert done.err == ""


# calls, and how many documents PowerShell's pipeline gets of them
JSON_CALLS = [
    ("exec -- x --json", "0"),
    ("exec x --json", "0"),
    ("exec -w X --json x", "1"),
    ("exec --workdir=X -e A=1 --json -- x", "1"),
    ("exec --dry-run x --json", "0"),
    ("run -w X -- --json", "0"),
    ("status --json", "1"),
    ("shell -w X --json", "1"),
    ("setup --backend x --json", "1"),
]


def test_json_of_the_command_is_not_the_shims(host: Host) -> None:
    host.listing(NONE, 255)
    text = "\n".join(f'$x = & $shim {words}; "$(@($x).Count)"' for words, _ in JSON_CALLS)
    shown = host.script_text(text).out.decode().split()
    assert shown == [count for _, count in JSON_CALLS]


def test_switches_are_aiboxs() -> None:
    """Where a command begins, the shim knows by the few options that take no value."""
    from aibox.cli import options_of
    from aibox.options import VERBS

    found = re.search(r"\$Switches = (.*)", (SHIM / "aibox.ps1").read_text())
    assert found
    rows = [row for row in VERBS if row.words]
    assert [row.name for row in rows] == ["exec", "run"]
    wanted = {
        name for row in rows for option in options_of(row) if not option.value for name in (option.long, option.short)
    }
    assert set(re.findall(r"'(.*?)'", found[1])) == wanted - {""} | {"--help", "-h"}


def test_no_wsl_exe(host: Host) -> None:
    (host.folder / "System32" / "wsl.exe").unlink()
    done = host.shim("exec", "x")
    assert done.code == 125
    assert "[wsl-missing]" in done.err


PRINTER = '#!/bin/sh\nprintf "%s\\n" "$1" "$#"\nprintf out\nprintf err >&2\nexit 42\n'


def test_the_finder_starts_aibox(host: Host) -> None:
    host.program(PRINTER)
    done = host.shim("exec", "x")
    assert done.out == b"--from-windows\n2\nout"
    assert done.err == "err"
    assert done.code == 42


def test_the_aibox_that_setup_updates_goes_before_a_copy_of_the_users(host: Host) -> None:
    host.program("#!/bin/sh\necho stale\n")
    assert host.shim("exec", "x").out == b"stale\n", "better than none"
    host.program("#!/bin/sh\necho current\n", "local-bin")
    assert host.shim("exec", "x").out == b"current\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_aibox_missing(host: Host, options: list[str]) -> None:
    host.program(PRINTER)
    (host.folder / "home/.local/bin/aibox").unlink()
    done = host.shim("status", *options)
    assert done.code == 4
    if options:
        assert json.loads(done.out)["error"]["code"] == "aibox-missing"
        assert done.err == ""
    else:
        assert done.err.splitlines()[0] == "aibox: aibox is not installed in the distribution Debian [aibox-missing]"
        assert done.err.splitlines()[2] == "  fix: aibox setup"


def test_python_missing(host: Host) -> None:
    """Seen for real: /usr/bin/python3 is covered up in a mount namespace of its own."""
    host.program(PRINTER)
    real = subprocess.run(["readlink", "-f", "/usr/bin/python3"], capture_output=True, text=True, check=True)
    cover = f'mount --bind /dev/null "{real.stdout.strip()}" && exec "$@"'
    done = host.powershell(
        "-File", str(host.script), "exec", "x", before=["unshare", "--mount", "sh", "-c", cover, "sh"]
    )
    assert done.code == 125, str(done)
    lines = done.err.splitlines()
    assert "[python-missing]" in lines[0]
    assert "apt-get install --yes python3" in lines[2]


def test_the_finder_survives_an_odd_home(host: Host) -> None:
    host.program(PRINTER)
    odd = host.folder / "home * 'x"
    (host.folder / "home").rename(odd)
    stand_in = host.folder / "System32" / "wsl.exe"
    stand_in.write_text(stand_in.read_text().replace('export HOME="$d/home"', 'export HOME="$d/home * \'x"'))
    assert host.shim("exec", "x").code == 42
