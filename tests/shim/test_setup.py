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
