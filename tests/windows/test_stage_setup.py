"""`aibox setup` from Windows where something is missing: WSL, a distribution, a real kernel; refused, or to be restarted."""

import shutil
from collections.abc import Iterator

import pytest
import stagehost
from stagehost import Windows

DEBIAN = "[Debian]\nversion=2\nstate=Stopped\n"
# stands in the distribution's place: says what it was asked, and answers as one that has all that setup looks for
DISTRIBUTION = r"""#!/bin/sh
case "$*" in
    *"id -un"*) echo root ;;
    *"sha256sum /usr/local/bin/aibox 2>"*) ;;
    *"cat >/usr/local/bin/aibox.new"*) exec sha256sum ;;
    *--from-windows*) echo "inside: aibox" ;;
esac
"""


@pytest.fixture
def host(windows: Windows) -> Iterator[Windows]:
    """A Windows whose distribution answers from a script."""
    answers = windows.folder / "distribution"
    answers.write_text(DISTRIBUTION)
    answers.chmod(0o755)
    windows.enter([str(answers)], [str(answers)])
    (windows.folder / "shim" / "aibox").write_bytes(b"the artifact")
    with stagehost.alone(windows.drive):
        shutil.rmtree(windows.installed, ignore_errors=True)
        yield windows
        shutil.rmtree(windows.installed, ignore_errors=True)


def asked(host: Windows) -> list[str]:
    """What wsl.exe was asked to change."""
    words = [call.partition('wsl.exe"')[2].strip() for call in host.calls()]
    return [line for line in words if line.startswith(("--install", "--set-version", "--terminate"))]


def test_everything_from_nothing(host: Windows, edition: str) -> None:
    host.wsl(general="present=0\n", distributions="")
    done = host.file("setup", "--yes", edition=edition)
    assert done.code == 0, str(done)
    assert asked(host) == ["--install --no-distribution", "--install --distribution Debian"]
    assert "inside: aibox" in done.text()
    assert "distribution = Debian" in (host.installed / "shim.conf").read_text()


def test_dry_run_changes_nothing(host: Windows) -> None:
    host.wsl(general="present=0\n", distributions="")
    done = host.file("setup", "--dry-run")
    assert done.code == 0, str(done)
    assert "would: wsl.exe --install --no-distribution" in done.errors()
    assert asked(host) == []
    assert not host.installed.exists()


def test_nothing_is_changed_without_consent(host: Windows) -> None:
    host.wsl(general="present=0\n", distributions="")
    done = host.file("setup", edition="powershell")
    assert done.code == 4
    assert "[consent-needed]" in done.errors()
    assert asked(host) == []


@pytest.mark.parametrize(
    ("general", "distributions", "kind", "fix"),
    [
        ("present=0\ninstall_fails=1\n", "", "wsl-missing", "administrator"),
        ("present=0\ninstall_needs_restart=1\n", "", "wsl-restart", "restart Windows"),
        ("language=de\n", "[Debian]\nversion=2\nfails=E_FAIL\n", "wsl-distribution-failed", "wsl --shutdown"),
        ("default=\n", "[A]\nversion=2\n[B]\nversion=2\n", "wsl-no-distribution", "wsl --set-default A"),
    ],
)
def test_what_setup_cannot_do(host: Windows, general: str, distributions: str, kind: str, fix: str) -> None:
    host.wsl(general=general, distributions=distributions)
    done = host.file("setup", "--yes", edition="powershell")
    assert done.code == 4, str(done)
    assert f"[{kind}]" in done.errors()
    assert fix in done.errors()


def test_wsl1_is_converted(host: Windows) -> None:
    host.wsl(distributions="[Debian]\nversion=1\nstate=Stopped\n")
    assert "[wsl1-only]" in host.file("status").errors()
    done = host.file("setup", "--yes")
    assert done.code == 0, str(done)
    assert asked(host) == ["--set-version Debian 2"]


def test_a_distribution_of_another_tool_is_left_alone(host: Windows) -> None:
    host.wsl(general="default=docker-desktop\n", distributions="[docker-desktop]\nversion=2\n")
    done = host.file("setup", "--yes")
    assert done.code == 0, str(done)
    assert asked(host) == ["--install --distribution Debian"]
    assert not any("-d docker-desktop" in call for call in host.calls())


def test_a_named_distribution(host: Windows) -> None:
    host.wsl(distributions=DEBIAN + "[Other]\nversion=2\n")
    done = host.file("setup", "--yes", "--distribution", "Other")
    assert done.code == 0, str(done)
    assert "distribution = Other" in (host.installed / "shim.conf").read_text()
    assert "[wsl-distribution-missing]" in host.file("setup", "--distribution=Nope").errors()


@pytest.mark.parametrize("language", ["en", "de", "ja"])
def test_messages_in_other_languages(host: Windows, language: str) -> None:
    host.wsl(general=f"language={language}\n")
    done = host.file("setup", "--yes", edition="powershell")
    assert done.code == 0, str(done)
    assert "[windows] WSL: ready, version 2.6.3.0" in done.errors()


def test_a_call_that_wsl_refuses(host: Windows) -> None:
    host.wsl(distributions="[Debian]\nversion=2\nfails=E_ACCESSDENIED\n")
    done = host.file("exec", "true")
    assert done.code == 125
    assert "[wsl-distribution-failed]" in done.errors()
