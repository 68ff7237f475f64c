"""Which kind of host it is, what a WSL2 distribution lacks, and Windows paths."""

import base64
import os
from pathlib import Path

import pytest

from aibox import cli, facts, fromwindows, mountinfo, winpath, wsl, wslconfig
from aibox.errors import AiboxError
from aibox.options import OPTIONS, VERBS, verb
from aibox.winpath import Windows
from aibox.workspace import check_filesystem

# mount lines as WSL2's init makes them
MOUNTS = r"""
74 60 0:40 / /mnt/c rw,noatime - 9p C:\134 rw,aname=drvfs;path=C:\;uid=1000;gid=1000;symlinkroot=/mnt/,cache=5,access=client
75 60 0:41 / /mnt/d rw,noatime - 9p drvfs rw,aname=drvfs;path=D:\;uid=1000
76 60 0:42 / /win/e rw,noatime - drvfs E: rw,case=off
77 60 8:32 / / rw - ext4 /dev/sdc rw
78 77 0:40 /Users/me /home/me/win rw - 9p C:\134 rw,aname=drvfs;path=C:\;uid=1000
"""
HERE = Windows("Debian", {"C": "/mnt/c", "E": "/win/e"}, "C:\\Users\\me\\proj", "/home/me")


@pytest.mark.parametrize(
    ("release", "interop", "container", "kind"),
    [
        ("6.1.0-18-amd64", False, False, "linux"),
        ("6.1.0-18-amd64", False, True, "linux"),
        ("4.4.0-19041-Microsoft", True, False, "wsl1"),
        ("4.4.0-22621-Microsoft", False, False, "wsl1"),
        ("5.15.167.4-microsoft-standard-WSL2", True, False, "wsl2"),
        ("6.6.87.2-microsoft-standard-WSL2", False, False, "wsl2"),
        ("6.18.33.2-microsoft-standard-WSL2+", True, False, "wsl2"),
        ("6.6.87.2-microsoft-standard-WSL2", True, True, "wsl2-container"),
        ("6.9.0-mine", True, False, "wsl2"),
        ("6.9.0-mine", True, True, "linux"),
        ("4.4.302-generic", False, False, "linux"),
    ],
)
def test_kind(release: str, interop: bool, container: bool, kind: str) -> None:
    assert facts.host_kind(release, interop, container=container) == kind


def test_drives() -> None:
    assert winpath.drives(mountinfo.parse(MOUNTS)) == {"C": "/mnt/c", "D": "/mnt/d", "E": "/win/e"}


@pytest.mark.parametrize(
    ("given", "linux"),
    [
        ("C:\\Users\\me\\x y", "/mnt/c/Users/me/x y"),
        ("c:/Users/me", "/mnt/c/Users/me"),
        ("C:\\", "/mnt/c"),
        ("C:", "/mnt/c"),
        ("e:\\a\\", "/win/e/a"),
        ("\\\\?\\C:\\long", "/mnt/c/long"),
        ("\\\\wsl$\\Debian\\home\\me\\p", "/home/me/p"),
        ("\\\\wsl.localhost\\debian\\home\\me\\p ü", "/home/me/p ü"),
        ("\\\\WSL.LOCALHOST\\Debian", "/"),
        ("//wsl$/Debian/home/me", "/home/me"),
        ("\\\\?\\UNC\\wsl.localhost\\Debian\\opt", "/opt"),
        ("/home/me/project", "/home/me/project"),
        ("/mnt/c/x\\y", "/mnt/c/x\\y"),
        ("~", "/home/me"),
        ("~/project", "/home/me/project"),
        ("~\\project", "/home/me/project"),
        (".", "."),
        ("..\\other\\x", "../other/x"),
        ("sub/dir", "sub/dir"),
        ("\\Users\\you", "/mnt/c/Users/you"),
        ("project:x", "project:x"),
    ],
)
def test_to_linux(given: str, linux: str) -> None:
    assert winpath.to_linux(given, HERE) == linux


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("\\\\server\\share\\x", "network folder"),
        ("\\\\wsl$\\Ubuntu\\home", "distribution Ubuntu"),
        ("Z:\\x", "drive Z:"),
        ("C:x", "lacks the backslash"),
    ],
)
def test_out_of_sight(given: str, words: str) -> None:
    with pytest.raises(AiboxError, match=words) as caught:
        winpath.to_linux(given, HERE)
    assert caught.value.code == "usage"
    assert caught.value.fix


@pytest.mark.parametrize("folder", ["\\\\server\\share", "Z:\\x", "\\\\wsl$\\Ubuntu\\home"])
def test_a_relative_path_from_out_of_sight_is_refused(folder: str) -> None:
    """It would be read in another folder than the one that the user is in."""
    for given in ("x", "..\\x", "\\x", "."):
        with pytest.raises(AiboxError, match="is relative to") as caught:
            winpath.to_linux(given, HERE._replace(folder=folder))
        assert caught.value.code == "usage"
    assert winpath.to_linux("~/x", HERE._replace(folder=folder)) == "/home/me/x"


def test_there_and_back() -> None:
    shared = winpath.to_windows("/home/me/my project", "Debian")
    assert shared == "\\\\wsl.localhost\\Debian\\home\\me\\my project"
    assert winpath.to_linux(shared, HERE) == "/home/me/my project"


def test_only_path_options_are_translated() -> None:
    row = verb("exec")
    assert row
    given = [
        "-w",
        "C:\\a",
        "--workdir",
        "C:\\b",
        "--env",
        "X=C:\\c",
        "--workspace=~\\d",
        "-wC:\\e",
        "--engine-path",
        "E:\\f",
    ]
    paths = {name for option in cli.options_of(row) if option.host_path for name in (option.long, option.short) if name}
    assert fromwindows.translated(given, paths, HERE) == [
        "-w", "/mnt/c/a", "--workdir", "C:\\b", "--env", "X=C:\\c", "--workspace=/home/me/d", "-w/mnt/c/e",
        "--engine-path", "/win/e/f"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("volume", ["restore", "home", "C:\\b\\home.tar"], ["restore", "home", "/mnt/c/b/home.tar"]),
        ("volume", ["restore", "C:\\home", "..\\home.tar"], ["restore", "C:\\home", "../home.tar"]),
        ("volume", ["restore", "home"], ["restore", "home"]),
        ("volume", ["backup", "home", "C:\\x"], ["backup", "home", "C:\\x"]),
        ("volume", [], []),
        ("bundle", ["inspect", "\\\\wsl$\\Debian\\x.bundle"], ["inspect", "/x.bundle"]),
        ("repair", ["cache", "a\\b"], ["cache", "a\\b"]),
    ],
)
def test_operands_that_are_files_are_translated(name: str, given: list[str], expected: list[str]) -> None:
    row = verb(name)
    assert row
    assert fromwindows.operands(given, row.operand_files, HERE) == expected


def test_every_operand_that_is_a_file_is_in_the_table() -> None:
    """Help calls files FILE, in operands as in options."""
    for row in VERBS:
        shown = [part.split() for part in row.operand.split("|")]
        found = tuple((part[0], part.index("FILE")) for part in shown if "FILE" in part)
        assert row.operand_files == found, row.name
        own = [OPTIONS[option] for option in row.options]
        assert {option.name for option in own if option.value == "FILE"} <= {one.name for one in own if one.host_path}


def test_a_verb_gets_linux_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[list[str]] = []

    def run(_context: object, given: cli.Arguments, _style: object) -> int:
        got.append(given.words)
        return 0

    monkeypatch.setattr(fromwindows, "accept", lambda _word: (["volume", "restore", "home", "C:\\h.tar"], HERE))
    monkeypatch.setattr(cli, "_load", lambda _row: run)
    assert cli.main(["--from-windows", "x"]) == 0
    assert got == [["restore", "home", "/mnt/c/h.tar"]]


def payload(*fields: str) -> str:
    return base64.b64encode("\0".join(fields).encode()).decode()


def test_decode() -> None:
    call = fromwindows.decode(
        payload("1", "C:\\x", "C:\\Users\\me", "2", "AIBOX_ENGINE=podman", "PATH=evil", "exec", "", "ü")
    )
    assert call == ("C:\\x", "C:\\Users\\me", (("AIBOX_ENGINE", "podman"),), ("exec", "", "ü"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        payload("2", "a", "b", "0"),
        payload("1", "a"),
        payload("1", "a", "b", "5", "x"),
        payload("1", "a", "b", "-1"),
    ],
)
def test_a_strange_word_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--from-windows", text]) == 2
    assert "aibox setup" in capsys.readouterr().err


def test_a_call_from_windows_runs_the_words(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSL_DISTRO_NAME", "Debian")
    monkeypatch.chdir(tmp_path)
    folder = f"\\\\wsl.localhost\\Debian{str(tmp_path).replace('/', chr(92))}"
    os.chdir("/")
    assert cli.main(["--from-windows", payload("1", folder, "", "0", "--version")]) == 0
    assert capsys.readouterr().out.startswith("aibox ")
    assert os.getcwd() == str(tmp_path)
    cli.main(["--from-windows", payload("1", "Q:\\nowhere", "", "0", "--version")])
    assert os.getcwd() == "/"


def test_refusal_names_the_folder_to_use() -> None:
    with pytest.raises(AiboxError) as caught:
        check_filesystem("/mnt/c/Users/me/my app", "9p", home="/home/me", distribution="Debian")
    assert caught.value.code == "workspace-filesystem"
    assert "cp -r '/mnt/c/Users/me/my app' '/home/me/my app'" in caught.value.fix
    assert "\\\\wsl.localhost\\Debian\\home\\me\\my app" in caught.value.fix


@pytest.mark.parametrize("filesystem", ["9p", "drvfs", "virtiofs"])
def test_windows_filesystems_are_refused(filesystem: str) -> None:
    with pytest.raises(AiboxError, match=filesystem):
        check_filesystem("/x", filesystem, home="/home/me")


def test_a_bind_mount_of_a_windows_folder_is_seen() -> None:
    entry = mountinfo.holding(mountinfo.parse(MOUNTS), "/home/me/win/app")
    assert entry
    assert entry.filesystem == "9p"


GOOD = wsl.Wsl(
    "Debian", (6, 6), "6.6.87.2-microsoft-standard-WSL2", 16 << 30, 4 << 30, 8, systemd=True, systemd_wanted=True,
    interop=False, cgroup2=True, modules=("landlock", "apparmor"), profile="/mnt/c/Users/me")  # fmt: skip


def test_a_good_distribution_is_green() -> None:
    assert {finding.severity for finding in wsl.findings(GOOD)} == {"ok"}


@pytest.mark.parametrize(
    ("bad", "name", "severity", "words"),
    [
        (GOOD._replace(kernel=(5, 10), release="5.10.16.3"), "wsl-kernel", "error", "wsl --update"),
        (GOOD._replace(memory=2 << 30), "wsl-memory", "warning", ".wslconfig"),
        (GOOD._replace(systemd=False, systemd_wanted=None), "wsl-systemd", "warning", "systemd=true"),
        (GOOD._replace(cgroup2=False), "wsl-cgroups", "warning", "2.5"),
        (GOOD._replace(modules=("yama",)), "wsl-confinement", "warning", "kernelCommandLine"),
        (GOOD._replace(interop=True), "wsl-interop", "warning", "[interop]"),
        (GOOD._replace(config=b"[wsl2]\nmemory=8gb\n"), "wsl-config", "warning", "aibox setup"),
        (GOOD._replace(config=b"[wsl2]\r\nprocessors=all\r\n"), "wsl-config", "warning", "wsl --shutdown"),
        (GOOD._replace(config=b"[wsl2]\nmemory=32GB\n"), "wsl-config", "warning", "wsl --shutdown"),
        (GOOD._replace(config=b"[wsl2]\nmemory=8GB\n"), "wsl-config", "warning", "wsl --shutdown"),
        (GOOD._replace(config=b"[wsl2]\n# \xfc\n"), "wsl-config", "warning", "UTF-8"),
    ],
)
def test_each_lack_is_named(bad: wsl.Wsl, name: str, severity: str, words: str) -> None:
    found = [finding for finding in wsl.findings(bad) if finding.severity != "ok"]
    assert [(finding.id, finding.severity) for finding in found] == [(name, severity)]
    assert words in found[0].remedy


@pytest.mark.parametrize(
    ("config", "evidence"),
    [
        (b"", "sets no size: WSL's own hold"),
        (b"\xff\xfe" + "[wsl2]\r\nmemory=16GB\r\n".encode("utf-16-le"), "memory=16GB"),
        (b"[wsl2]\nmemory=17179869184\nprocessors=8\nswap=0\n", "memory=17179869184, processors=8, swap=0"),
        (b"[other]\nmemory=1GB\n", "sets no size: WSL's own hold"),
    ],
)
def test_wslconfig_is_shown(config: bytes, evidence: str) -> None:
    (found,) = [finding for finding in wsl.findings(GOOD._replace(config=config)) if finding.id == "wsl-config"]
    assert (found.severity, found.evidence) == ("ok", evidence)


def test_wslconfig_is_read_from_the_windows_profile(tmp_path: Path) -> None:
    (tmp_path / ".wslconfig").write_bytes(b"[wsl2]\nswap=2GB\n")
    seen = wsl.look({fromwindows.PROFILE: str(tmp_path)})
    assert (seen.profile, seen.config) == (str(tmp_path), b"[wsl2]\nswap=2GB\n")


@pytest.mark.parametrize(
    ("kernel", "severity"), [("5.14.21", "error"), ("5.15.0", "ok"), ("4.19.128", "error"), ("6.18.33.2", "ok")]
)
def test_the_oldest_kernel(kernel: str, severity: str) -> None:
    seen = GOOD._replace(kernel=wsl.version(kernel), release=f"{kernel}-microsoft-standard-WSL2")
    assert next(finding for finding in wsl.findings(seen) if finding.id == "wsl-kernel").severity == severity


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[boot]\nsystemd=true\n"),
        ("[boot]\nsystemd=false # no\n", "[boot]\nsystemd=true # no\n"),
        ("[boot]\ncommand=x\n[user]\ndefault=me\n", "[boot]\ncommand=x\nsystemd=true\n[user]\ndefault=me\n"),
        ("[automount]\nroot=/win/\n", "[automount]\nroot=/win/\n[boot]\nsystemd=true\n"),
    ],
)
def test_systemd_in_wsl_conf(before: str, after: str) -> None:
    assert wsl.with_systemd(before.encode()) == after.encode()
    assert wsl.systemd_wanted(after.encode()) is True
    assert wsl.systemd_wanted(before.encode()) in (False, None)


def test_automount_root() -> None:
    assert fromwindows.automount_root(b"") == "/mnt/"
    assert fromwindows.automount_root(b"[user]\nroot=/x\n[automount]\nroot = /win\n") == "/win/"


def test_wsl_conf_setting() -> None:
    assert wsl.setting(b"[Boot]\nSystemd=True\n", "boot", "systemd") == "true"
    assert wslconfig.size("4GB") == wsl.LEAST_MEMORY


def test_meminfo() -> None:
    assert wsl.meminfo(b"MemTotal:       16384 kB\nX: 1 kB\nSwapTotal:  2048 kB\n") == (16 << 20, 2 << 20)


def test_look_at_this_host() -> None:
    """Nothing here is WSL's, and nothing of it fails."""
    seen = wsl.look({})
    assert seen.memory > 0
    assert seen.processors == os.cpu_count()
    assert seen.profile == ""
