"""`aibox setup` from Windows against a wsl.exe that can be without anything, refuse, and speak another language."""

from collections.abc import Iterator

import pytest
from prompts import Prompt
from setuphost import SetupHost
from shimhost import PWSH, Host

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


FRENCH = "L\u2019op\u00e9ration a r\u00e9ussi.\r\n"
PENDING = "function Test-Path { $true }\n"  # Linux has no registry: stands for the key that Windows makes


@pytest.mark.parametrize(
    ("first", "more"),
    [
        ("", {"present": False, "wsl_says": "Red\u00e9marrez Windows.\r\n"}),
        (PENDING, {"present": False, "wsl_says": FRENCH}),
        ("", {"present": False, "wsl_says": FRENCH, "registers": False}),
        ("", {"present": False, "works_at_once": False, "wsl_says": FRENCH}),
        (PENDING, {"registers": False, "distribution_code": 1}),
    ],
    ids=["word", "noted", "not listed", "does not work", "noted and refused"],
)
def test_a_restart_is_seen_in_every_language(host: Host, first: str, more: dict[str, object]) -> None:
    made = SetupHost(host).make(**{"distributions": {}, **more})
    done = host.script_text(f"{first}& $shim setup --yes\nexit $LASTEXITCODE\n")
    assert done.code == 4, str(done)
    assert done.err.count("[wsl-restart]") == 1, str(done)
    assert done.err.splitlines()[-1] == "  fix: restart Windows, then: aibox setup"
    assert made.asked() == [WSL] * ("present" in more) + [DEBIAN] * ("registers" in more)


def test_no_restart_where_none_is_needed(host: Host) -> None:
    """Control; the exit code is that of the shell which asked for a user name."""
    made = SetupHost(host).make(present=False, distributions={}, wsl_says=FRENCH, distribution_code=1)
    done = host.shim("setup", "--yes")
    assert done.code == 0, str(done)
    assert made.asked() == [WSL, DEBIAN, "--terminate Debian"]
    assert "distribution = Debian" in made.settings.read_text()


@pytest.mark.parametrize(
    ("more", "kind", "fix"),
    [
        ({"default_version": 1}, "wsl1-only", "wsl --set-version Debian 2"),
        ({"registers": False, "distribution_code": 1}, "wsl-no-distribution", "wsl --install --distribution Debian"),
    ],
)
def test_what_counts_is_the_distribution_that_is_there(
    host: Host, more: dict[str, object], kind: str, fix: str
) -> None:
    made = SetupHost(host).make(**{"distributions": {}, **more})
    done = host.shim("setup", "--yes")
    assert done.code == 4, str(done)
    assert f"[{kind}]" in done.err
    assert done.err.splitlines()[-1] == f"  fix: {fix}"
    assert made.asked() == [DEBIAN]
    assert not made.settings.exists()


@pytest.mark.parametrize("python", ["old", "none"])
def test_python_comes_from_the_distributions_packages(host: Host, python: str) -> None:
    made = SetupHost(host).make(python=python)
    done = host.shim("setup", "--yes")
    assert done.code == 0, str(done)
    assert "[windows] Python: Debian has no python3 of version 3.10 or newer" in done.err
    assert "Setting up python3" in done.err
    installs = [call for call in made.calls() if "apt-get" in call[-1]]
    assert [call[:4] for call in installs] == [["-d", "Debian", "-u", "root"]], "once, as root"


def test_a_python_that_is_new_enough_is_left_alone(host: Host) -> None:
    made = SetupHost(host).make()
    assert host.shim("setup", "--yes").code == 0
    assert not any("apt-get" in call[-1] for call in made.calls())


def test_a_distribution_whose_python_stays_too_old(host: Host) -> None:
    made = SetupHost(host).make(python="old", python_installs=False)
    done = host.shim("setup", "--yes")
    assert done.code == 4, str(done)
    assert done.err.splitlines()[-3:] == [
        "aibox: Debian still has no python3 of version 3.10 or newer [python-missing]",
        "  why: its packages do not bring one",
        "  fix: use a newer distribution: wsl --install --distribution Debian, then: aibox setup --distribution Debian",
    ]
    assert made.written() == []
    assert not made.settings.exists()


def test_an_artifact_that_cannot_be_written_is_named(host: Host) -> None:
    made = SetupHost(host).make(copies=False)
    done = host.shim("setup", "--yes")
    assert done.code == 4, str(done)
    assert done.err.splitlines()[-3:] == [
        "aibox: /usr/local/bin/aibox was not written [setup-failed]",
        "  why: Debian said: cat: write error: No space left on device",
        "  fix: free some space in Debian, then: aibox setup",
    ]
    assert len(made.written()) == 1
    assert not made.settings.exists(), "what is not there is not chosen"
    made.make()
    assert host.shim("setup", "--yes").code == 0, "the next run goes on"


@pytest.fixture
def prompt(host: Host) -> Iterator[Prompt]:
    made = Prompt(host)
    yield made
    made.close()


@pytest.mark.parametrize(("key", "changed"), [("y", True), ("yes", True), ("n", False), ("", False), ("yep", False)])
def test_a_person_is_asked(host: Host, prompt: Prompt, key: str, changed: bool) -> None:
    made = SetupHost(host).make(distributions={})
    prompt.type(f"'{PWSH}' -NoProfile -File {host.script} setup; echo code=$?\n")
    said = prompt.until("Go on? [y/N] ")
    assert "will: wsl.exe --install --distribution Debian" in said
    assert "because aibox runs inside a WSL2 distribution" in said
    assert made.asked() == [], "nothing before the answer"
    prompt.type(f"{key}\n")
    if changed:
        # the next question, about the artifact
        assert "copy " in prompt.until("Go on? [y/N] ")
        assert made.asked() == [DEBIAN]
        prompt.type("n\n")
    said = prompt.until("prompt> ")
    assert "nothing more was changed [consent-needed]" in said
    assert "code=4" in said
    assert made.asked() == [DEBIAN] * changed
    assert made.written() == []
    assert not made.settings.exists()
