"""The steps that only WSL2 has, on folders that play Windows's."""

import gzip
from pathlib import Path

import pytest

from aibox import facts, wslsteps
from aibox.config import load_config
from aibox.configfiles import read_policy
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.facts import HostFacts
from aibox.model import Developer
from aibox.setupsteps import STEPS, Setup, Step
from aibox.state import Paths

HOST = HostFacts("wsl2", "6.6.87.2-microsoft-standard-WSL2", "x86_64", "debian", "12", "none", cgroup2=True)
KERNEL = gzip.compress(b"# kernel\nCONFIG_SECURITY_APPARMOR=y\nCONFIG_X=y\n")


@pytest.fixture
def said() -> list[str]:
    """What steps say."""
    return []


@pytest.fixture
def setup(tmp_path: Path, said: list[str]) -> Setup:
    """A setup in a distribution whose Windows profile is a folder here."""
    profile = tmp_path / "profile"
    profile.mkdir()
    environ = {
        "HOME": str(tmp_path),
        "WINDOWS_USERPROFILE": str(profile),
        "WINDOWS_MEMORY": str(32 << 30),
        "WINDOWS_PROCESSORS": "12",
    }
    paths = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    context = Context(environ, Developer(1000, 1000, "me"), paths, load_config([], environ={}, flags={}), read_policy())
    return Setup(context, HOST, "", said.append)


def step(name: str) -> Step:
    return next(step for step in wslsteps.WSL_STEPS if step.id == name)


def test_wsl_steps_come_first_and_only_in_wsl(setup: Setup) -> None:
    podmans = tuple(one for one in STEPS if one.id != "daemon")
    assert wslsteps.steps_for(setup) == (*wslsteps.WSL_STEPS, *podmans)
    setup.host = HOST._replace(kind="linux")
    assert wslsteps.in_wsl(setup)
    setup.context = setup.context._replace(environ={})
    assert wslsteps.steps_for(setup) == podmans
    setup.engine = "docker"
    dockers = [one.id for one in wslsteps.steps_for(setup)]
    assert "daemon" in dockers
    assert "registration" not in dockers


def test_memory_is_proposed_written_and_then_ready(setup: Setup, said: list[str]) -> None:
    memory = step("wsl-memory")
    assert memory.missing(setup) == ".wslconfig lacks memory, processors, swap"
    assert any("memory=16GB (now not set)" in line for line in memory.commands(setup))
    memory.do(setup)
    path = Path(setup.context.environ["WINDOWS_USERPROFILE"]) / ".wslconfig"
    assert path.read_bytes() == b"[wsl2]\r\nmemory=16GB\r\nprocessors=8\r\nswap=4GB\r\n"
    assert memory.missing(setup) == ""
    assert "wsl --shutdown" in said[0]


def test_an_existing_file_is_kept_beside(setup: Setup) -> None:
    path = Path(setup.context.environ["WINDOWS_USERPROFILE"]) / ".wslconfig"
    path.write_bytes(b"\xef\xbb\xbf# mine\n[wsl2]\nmemory=4GB # small\nprocessors=12\n")
    step("wsl-memory").do(setup)
    assert path.read_bytes() == b"\xef\xbb\xbf# mine\n[wsl2]\nmemory=16GB # small\nprocessors=12\nswap=4GB\n"
    assert path.with_name(".wslconfig.aibox-backup").read_bytes().startswith(b"\xef\xbb\xbf# mine\n[wsl2]\nmemory=4GB")


def test_nothing_is_proposed_where_windows_is_out_of_sight(setup: Setup) -> None:
    environ = dict(setup.context.environ)
    setup.context = setup.context._replace(environ={**environ, "WINDOWS_USERPROFILE": "/nowhere"})
    assert step("wsl-memory").missing(setup) == ""
    setup.context = setup.context._replace(environ={**environ, "WINDOWS_MEMORY": ""})
    assert step("wsl-memory").missing(setup) == ""


def test_apparmor_is_offered_where_the_kernel_has_it(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.gz"
    config.write_bytes(KERNEL)
    monkeypatch.setattr(wslsteps, "KERNEL_CONFIG", str(config))
    apparmor = step("wsl-apparmor")
    path = Path(setup.context.environ["WINDOWS_USERPROFILE"]) / ".wslconfig"
    path.write_bytes(b"[wsl2]\r\nkernelCommandLine=a=b\\\\c quiet\r\n")
    apparmor.do(setup)
    assert b"kernelCommandLine=a=b\\\\c quiet apparmor=1" in path.read_bytes()
    path.unlink()
    assert apparmor.missing(setup) == ".wslconfig lacks kernelCommandLine"
    apparmor.do(setup)
    assert b"kernelCommandLine=apparmor=1 security=apparmor lsm=landlock,yama,apparmor\r\n" in path.read_bytes()
    assert apparmor.missing(setup) == ""
    setup.host = HOST._replace(confinement="apparmor")
    path.unlink()
    assert apparmor.missing(setup) == ""


@pytest.mark.parametrize("packed", [b"", b"junk", gzip.compress(b"\nCONFIG_SECURITY_APPARMOR=m\n"), KERNEL[:20]])
def test_a_kernel_without_apparmor(packed: bytes) -> None:
    assert not wslsteps.kernel_has_apparmor(packed)


def test_systemd(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "wsl.conf"
    conf.write_text("[user]\ndefault=me\n")
    monkeypatch.setattr(wslsteps, "WSL_CONF", str(conf))
    monkeypatch.setattr(wslsteps, "SYSTEMD_RUNS", "/nowhere")
    systemd = step("wsl-systemd")
    assert "does not ask for it" in systemd.missing(setup)
    systemd.do(setup)
    assert conf.read_text() == "[user]\ndefault=me\n[boot]\nsystemd=true\n"
    assert systemd.missing(setup) == ""
    assert systemd.needs_root
    assert systemd.optional


def test_preparation(setup: Setup) -> None:
    steps = wslsteps.preparation("me")
    assert [step.id for step in steps] == ["wsl-systemd", "engine", "ids", "apparmor"]
    assert steps[2].commands(setup)[0].endswith("--add-subuids 100000-165535 --add-subgids 100000-165535 me")
    assert "give nobody-such no range" in wslsteps.preparation("nobody-such")[2].missing(setup)
    for name in ("", "-x", "a b", "a;b", "A"):
        with pytest.raises(AiboxError):
            wslsteps.preparation(name)


def test_the_step_table_and_the_host_agree() -> None:
    assert facts.host_kind(HOST.kernel) == "wsl2"
