"""`aibox setup` from Windows against a wsl.exe that can be without anything, refuse, and speak another language."""

from setuphost import SetupHost
from shimhost import Host

WSL = "--install --no-distribution"
DEBIAN = "--install --distribution Debian"


def test_a_dry_run_without_wsl_says_what_it_would_do(host: Host) -> None:
    """wsl.exe comes with Windows; WSL itself is not installed."""
    made = SetupHost(host).make(present=False)
    done = host.shim("setup", "--dry-run")
    assert done.code == 0, str(done)
    assert done.err.splitlines() == [
        "[windows] WSL: it is not installed",
        f"      would: wsl.exe {WSL}",
        "the rest can only be said once that is done",
    ]
    assert made.asked() == []


def test_a_dry_run_without_wsl_exe_says_the_same(host: Host) -> None:
    SetupHost(host).make()
    (host.folder / "System32/wsl.exe").unlink()
    done = host.shim("setup", "--dry-run")
    assert done.code == 0, str(done)
    assert done.err.splitlines()[-1] == "the rest can only be said once that is done"


def test_json_is_alone_on_standard_output(host: Host) -> None:
    """As a program gets it: everything that others say is on standard error."""
    made = SetupHost(host).make(distributions={})
    done = host.shim("setup", "--yes", "--json")
    assert done.code == 0, str(done)
    assert done.out == b'{"ok": true}\n', str(done)
    assert made.asked() == [DEBIAN, "--terminate Debian"]
    for said in ("Installation de Debian", "prepared: text", "L\u2019op\u00e9ration a r\u00e9ussi."):
        assert said in done.err, str(done)


def test_json_goes_to_powershells_pipeline(host: Host) -> None:
    """Called by its alias."""
    SetupHost(host).make(distributions={})
    text = f". '{host.folder}/shim/profile.ps1'\n(aibox setup --yes --json | ConvertFrom-Json).ok\n"
    done = host.script_text(text)
    assert done.out.split() == [b"True"], str(done)
