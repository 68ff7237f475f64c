"""The built file: equal bytes everywhere, nothing in it but aibox, every supported Python, and a safe cache."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 500_000
VERSIONS = Path("/root/.pyenv/versions")
SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")


def interpreters(*, old: bool) -> list[str]:
    """CPythons of this machine: those that aibox runs on, or the older ones."""
    found = {} if old else {"running": sys.executable}
    if VERSIONS.is_dir() and os.access(VERSIONS, os.X_OK):
        for folder in sorted(VERSIONS.iterdir()):
            if (folder.name.startswith(SUPPORTED)) is not old and (folder / "bin" / "python").exists():
                found[folder.name] = str(folder / "bin" / "python")
    return list(found.values())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The artifact, built from two copies of the tree with other paths, times, umasks and modes."""
    outputs: list[Path] = []
    for name, umask in (("a", 0o022), ("b/deeper folder", 0o002)):
        tree = tmp_path_factory.mktemp("tree") / name
        tree.mkdir(parents=True)
        for part in ("aibox", "data", "windows_shim", "docs"):
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, tree / part, copy_function=shutil.copyfile)
        shutil.copy(ROOT / "build_zipapp.py", tree)
        (ROOT / "build").mkdir(exist_ok=True)
        (tree / "build").symlink_to(ROOT / "build")  # the pinned tools, installed once
        (tree / "aibox" / "left.pyc").write_bytes(b"x")
        os.utime(tree / "aibox" / "cli.py", (len(outputs) * 10**6, 10**9))
        (tree / "aibox" / "cli.py").chmod(0o600 if outputs else 0o664)
        output = tree / "out" / "aibox"
        before = os.umask(umask)
        try:
            argv = [sys.executable, str(tree / "build_zipapp.py"), "--output", str(output)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, cwd="/")
        finally:
            os.umask(before)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append(output)
    return outputs


@pytest.fixture
def artifact(built: list[Path]) -> Path:
    """The built file."""
    return built[0]


def call(argv: list[str], home: Path | str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": "/usr/bin:/bin", **more}
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env, cwd="/")


# What is built


def test_equal_bytes_from_other_folders(built: list[Path]) -> None:
    first, second = (path.read_bytes() for path in built)
    assert first == second


def test_size_mode_and_first_line(artifact: Path) -> None:
    assert artifact.stat().st_size < LARGEST
    assert artifact.stat().st_mode & 0o7777 == 0o755
    with artifact.open("rb") as file:
        assert file.readline() == b"#!/usr/bin/python3 -IS\n"
    assert sorted(os.listdir(artifact.parent)) == ["aibox"]


def test_nothing_but_aibox_and_shivs_own_start(artifact: Path) -> None:
    with zipfile.ZipFile(artifact) as archive:
        names = archive.namelist()
        assert len(names) == len(set(names))
        assert all(info.date_time[0] == 1980 for info in archive.infolist())
        ours = {name for name in names if name.startswith("site-packages/aibox/")}
        others = {name.split("/")[0] for name in set(names) - ours}
        assert others == {"__main__.py", "_bootstrap", "environment.json"}
        for part, place in (("aibox", "aibox"), ("data", "aibox/data")):
            wanted = {
                f"site-packages/{place}/{path.relative_to(ROOT / part)}"
                for path in (ROOT / part).rglob("*")
                if path.is_file() and "__pycache__" not in path.parts and path.name != "zipmain.py"
            }
            assert wanted <= ours
        assert not [name for name in names if name.endswith(".pyc")]
        for name in ("launch.py", "syscalls.tsv"):
            assert archive.read(f"site-packages/aibox/data/{name}") == (ROOT / "data" / name).read_bytes()
        assert b"@BUILD@" not in archive.read("__main__.py")


# Pythons


@pytest.mark.parametrize("python", interpreters(old=False))
def test_every_supported_python(artifact: Path, tmp_path: Path, python: str) -> None:
    for words in (["--help"], ["config"], ["exec", "--help"]):
        done = call([python, "-I", str(artifact), *words], tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert call([python, "-I", str(artifact), "--version"], tmp_path).stdout == "aibox 0.1.0\n"


# a machine without an old Python still tests the sentence
PRETEND = "import runpy, sys; sys.version_info = (3, 8); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"


@pytest.mark.parametrize("python", [*interpreters(old=True), ""])
def test_an_old_python_gets_a_sentence(artifact: Path, tmp_path: Path, python: str) -> None:
    if python:
        version = call([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], tmp_path).stdout.strip()
        done = call([python, str(artifact), "start"], tmp_path)
    else:
        version, done = "3.8", call([sys.executable, "-c", PRETEND, str(artifact), "start"], tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"aibox needs Python 3.10 or newer, and this is Python {version}.\n"
        f"  fix: install python3 3.10 or newer, or run: python3.12 {artifact}\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_caller_is_imported(artifact: Path, tmp_path: Path) -> None:
    for name in ("json.py", "argparse.py", "sitecustomize.py", "aibox.py"):
        (tmp_path / name).write_text("raise SystemExit('hijacked')\n")
    env = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "json.py")}
    done = subprocess.run([str(artifact), "config"], capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert (done.returncode, "hijacked" in done.stdout + done.stderr) == (0, False)


# The cache


def cached(root: Path) -> list[str]:
    return sorted(os.listdir(root)) if root.is_dir() else []


def works(artifact: Path, home: Path | str, **more: str) -> None:
    done = call([sys.executable, "-I", str(artifact), "--version"], home, **more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "aibox 0.1.0\n", "")


def test_unpacked_once_for_its_owner_alone(artifact: Path, tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        works(artifact, tmp_path)
    finally:
        os.umask(before)
    root = tmp_path / ".cache" / "aibox"
    (name,) = cached(root)
    assert name.startswith("aibox_")
    assert [path.stat().st_mode & 0o7777 for path in (root, root / name)] == [0o700, 0o700]
    module = root / name / "site-packages" / "aibox" / "cli.py"
    stamp = module.stat().st_mtime_ns
    works(artifact, tmp_path)
    assert module.stat().st_mtime_ns == stamp


def test_interrupted_while_modules_are_loaded(artifact: Path, tmp_path: Path) -> None:
    works(artifact, tmp_path)
    (module,) = (tmp_path / ".cache" / "aibox").glob("*/site-packages/aibox/cli.py")
    module.write_text("raise KeyboardInterrupt\n")
    done = call([sys.executable, "-I", str(artifact), "list"], tmp_path)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "aibox: interrupted; nothing half-made was left [interrupted]\n"


def test_where_it_is(artifact: Path, tmp_path: Path) -> None:
    works(artifact, tmp_path / "h", XDG_CACHE_HOME=str(tmp_path / "x"))
    assert cached(tmp_path / "x" / "aibox")
    works(artifact, tmp_path / "h", AIBOX_CACHE=str(tmp_path / "a"))
    assert cached(tmp_path / "a")
    works(artifact, tmp_path / "h", AIBOX_CACHE="relative")
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_a_folder_that_others_can_write_is_not_used(artifact: Path, tmp_path: Path, mode: int) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(mode)
    works(artifact, tmp_path, AIBOX_CACHE=str(root))
    assert cached(root) == []


def test_links_and_files_in_its_place_are_not_used(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name in ("link", "file", "file/below"):
        works(artifact, tmp_path, AIBOX_CACHE=str(tmp_path / name))
    assert cached(tmp_path / "real") == []


def test_planted_code_in_a_folder_of_another_user_does_not_run(artifact: Path, tmp_path: Path) -> None:
    """`sudo -E aibox`: the cache belongs to the user who called it, and root must not run code from there."""
    root = tmp_path / "cache"
    works(artifact, tmp_path, AIBOX_CACHE=str(root))
    module = root / cached(root)[0] / "site-packages" / "aibox" / "cli.py"
    module.write_text("raise SystemExit('planted')\n")
    done = call([sys.executable, "-I", str(artifact), "--version"], tmp_path, AIBOX_CACHE=str(root))
    assert "planted" in done.stderr, "the control: one's own cache is trusted"
    if os.geteuid() == 0:
        os.chown(root, 1001, 1001)
    else:
        root.chmod(0o770)
    works(artifact, tmp_path, AIBOX_CACHE=str(root))


def test_no_home_and_no_room(artifact: Path) -> None:
    for home in ("/proc/nowhere", "/dev/null", ""):
        works(artifact, home)


def test_a_killed_unpacking_is_not_used(artifact: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    (root / "unpack-killed" / "new" / "site-packages" / "aibox").mkdir(parents=True)
    root.chmod(0o700)
    works(artifact, tmp_path, AIBOX_CACHE=str(root))
    assert len(cached(root)) == 2


def test_many_at_once(artifact: Path, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-I", str(artifact), "--version"]
    children = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) for _ in range(12)]
    assert [child.communicate(timeout=60) for child in children] == [(b"aibox 0.1.0\n", b"")] * 12
    assert len(cached(tmp_path / ".cache" / "aibox")) == 1
