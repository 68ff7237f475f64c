"""Bundles: what is written is read back; every byte of one is settled, so that no change of any goes unnoticed."""

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from aibox import bundleformat, bundlemake, bundleread, context, setupbundle, signing, state
from aibox.bundleformat import Manifest, Member
from aibox.config import Policy, load_config
from aibox.context import Context
from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.state import Paths

FILES = {
    "aibox": b"#!program\n" * 300,
    "runsc/runsc": os.urandom(5000),
    "runsc/gvisor-bin/gofer": b"g",
    "image.tar": os.urandom(3000),
}
ENV = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


def manifest_of(files: dict[str, bytes]) -> Manifest:
    members = tuple(
        Member(name, len(content), state.sha256(content), 0o755 if "runsc" in name else 0o644)
        for name, content in files.items()
    )
    return Manifest("0.1.0", "2026-11-28T00:00:00Z", os.uname().machine, "localhost/x:1", "a" * 64, members)


def write(folder: Path, files: dict[str, bytes] | None = None, signature: bytes | None = None) -> Path:
    """A bundle of small files."""
    held = files or FILES
    sources = []
    manifest = manifest_of(held)
    for member in manifest.members:
        place = folder / "sources" / member.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(held[member.name])
        sources.append((member, str(place)))
    path = folder / "a.bundle"
    bundlemake._write(str(path), bundleformat.encode(manifest), signature, sources, lambda _count: None)
    return path


@pytest.fixture
def gathered(tmp_path: Path) -> Context:
    own = Paths(f"{tmp_path}/data", f"{tmp_path}/run", f"{tmp_path}/config", f"{tmp_path}/seccomp.json")
    return Context({"HOME": str(tmp_path)}, Developer(1001, 1001, "dev1"), own, load_config([], environ={}), Policy())


def stage(gathered: Context, path: Path) -> setupbundle.Bundle:
    return setupbundle.stage(gathered, str(path), lambda _count: None)


def code(act: Callable[[], object]) -> str:
    try:
        act()
    except AiboxError as error:
        return error.code
    return ""


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_staged(tmp_path: Path, gathered: Context) -> None:
    staged = stage(gathered, write(tmp_path))
    assert tree(Path(staged.folder)) == FILES
    assert os.stat(staged.runsc).st_mode & 0o777 == 0o755
    assert os.stat(staged.folder).st_mode & 0o777 == 0o700


def test_standard_tools_read_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "--extract", "--file", str(path), "--directory", str(out)], check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=out, check=True)
    assert {name: content for name, content in tree(out).items() if name in FILES} == FILES
    with tarfile.open(path) as tar:
        assert tar.getnames()[:2] == ["manifest.json", "SHA256SUMS"]


def test_every_flipped_bit_is_noticed(tmp_path: Path, gathered: Context) -> None:
    """Every byte of the head and of the end, and 300 random others."""
    path = write(tmp_path, signature=None)
    whole = path.read_bytes()
    chosen = {*range(0, 4096, 7), *range(len(whole) - 2048, len(whole), 5)}
    chosen |= set(random.Random(6).sample(range(len(whole)), 300))
    unnoticed = []
    for place in sorted(chosen):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        if code(lambda: stage(gathered, path)) not in ("bundle-tampered", "bundle-invalid"):
            unnoticed.append(place)
    assert unnoticed == []
    assert not os.path.exists(setupbundle.folder_of(gathered.paths))


def test_without_the_check_a_flipped_byte_would_be_installed(
    tmp_path: Path, gathered: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    changed = path.read_bytes().replace(FILES["runsc/runsc"], b"evil" + FILES["runsc/runsc"][4:])
    path.write_bytes(changed)
    assert code(lambda: stage(gathered, path)) == "bundle-tampered"
    monkeypatch.setattr(bundleread, "tampered", lambda _path, _why: None)
    assert Path(stage(gathered, path).runsc).read_bytes()[:4] == b"evil"


def blocks(whole: bytes) -> list[bytes]:
    """The members of an archive, each with its header and padding."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        starts = [member.offset for member in tar]
    return [whole[at:end] for at, end in zip(starts, [*starts[1:], len(whole) - 1024], strict=True)]


def renamed(block: bytes, name: str) -> bytes:
    info = tarfile.TarInfo.frombuf(block[:512], "ascii", "strict")
    info.name = name
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict") + block[512:]


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "cut": lambda parts: parts[:-1],
    "reordered": lambda parts: [*parts[:2], parts[3], parts[2], *parts[4:]],
    "duplicated": lambda parts: [*parts[:3], parts[2], *parts[3:]],
    "one more": lambda parts: [*parts, renamed(parts[2], "more")],
    "parent folder": lambda parts: [*parts[:2], renamed(parts[2], "../../aibox"), *parts[3:]],
    "absolute": lambda parts: [*parts[:2], renamed(parts[2], "/etc/aibox"), *parts[3:]],
    "no sums": lambda parts: [parts[0], *parts[2:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_archives_are_refused(change: str, tmp_path: Path, gathered: Context) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    assert b"".join(blocks(whole)) + bytes(1024) == whole
    path.write_bytes(b"".join(CHANGES[change](blocks(whole))) + bytes(1024))
    assert code(lambda: stage(gathered, path)) == "bundle-tampered"
    assert not os.path.exists(setupbundle.folder_of(gathered.paths))


def test_cut_at_any_place_is_refused(tmp_path: Path, gathered: Context) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for length in (0, 1, 511, 512, 700, 2000, 9000, len(whole) - 1024, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert code(lambda: stage(gathered, path)) in ("bundle-tampered", "bundle-invalid"), length
    path.write_bytes(whole + b"\0")
    assert code(lambda: stage(gathered, path)) == "bundle-tampered"


@pytest.mark.parametrize(
    "name", ["../aibox", "/etc/passwd", "a/../b", "a//b", "", ".", "a b", "manifest.json", "x" * 100]
)
def test_a_manifest_with_an_odd_name_is_refused(name: str) -> None:
    content = bundleformat.encode(manifest_of({**FILES, name: b"x"}))
    assert code(lambda: bundleformat.decode(content)) == "bundle-invalid"


def test_an_interrupted_run_keeps_what_it_checked(
    tmp_path: Path, gathered: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    real = bundleread.copy
    copied: list[str] = []

    def interrupted(bundle: bundleread.Opened, member: Member, *rest: object) -> None:
        if member.name == "image.tar" and len(copied) < 4:
            copied.append("interrupted")
            raise KeyboardInterrupt
        copied.append(member.name)
        real(bundle, member, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(bundleread, "copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage(gathered, path)
    # what was damaged meanwhile is not taken for checked
    kept = Path(setupbundle.folder_of(gathered.paths)) / state.sha256(bundleformat.encode(manifest_of(FILES)))[:16]
    (kept / "aibox").write_bytes(FILES["aibox"].replace(b"#", b"!"))
    assert tree(Path(stage(gathered, path).folder)) == FILES
    assert copied == ["aibox", "runsc/runsc", "runsc/gvisor-bin/gofer", "interrupted", "aibox", "image.tar"]


def test_the_digest_of_runsc_is_that_of_the_installed_one(tmp_path: Path, gathered: Context) -> None:
    from aibox.runtimefiles import program_digest

    staged = stage(gathered, write(tmp_path))
    assert staged.runsc_digest == program_digest(staged.runsc)


# Signatures


def openssl_pair(folder: Path, name: str, algorithm: str) -> tuple[str, str]:
    private, public = f"{folder}/{name}.key", f"{folder}/{name}.pem"
    kind = (
        ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "EC" else ["-algorithm", algorithm]
    )
    subprocess.run(["openssl", "genpkey", *kind, "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return private, public


@pytest.mark.parametrize("algorithm", ["ED25519", "EC", "RSA"])
def test_signatures_by_openssl(algorithm: str, tmp_path: Path) -> None:
    private, public = openssl_pair(tmp_path, "one", algorithm)
    _, other = openssl_pair(tmp_path, "two", algorithm)
    signature = signing.sign(private, b"content", ENV)
    key = signing.load(public, ENV)
    assert signing.verify(key, b"content", signature, "it") == f"the key in {public}"
    assert code(lambda: signing.verify(key, b"Content", signature, "it")) == "bundle-untrusted"
    assert code(lambda: signing.verify(signing.load(other, ENV), b"content", signature, "it")) == "bundle-untrusted"
    assert code(lambda: signing.verify(key, b"content", None, "it")) == "bundle-unsigned"
    assert code(lambda: signing.verify(key, b"content", b"rubbish", "it")) == "bundle-untrusted"


def gpg_pair(folder: Path, name: str, *more: str) -> tuple[dict[str, str], str]:
    home = folder / name
    home.mkdir(mode=0o700)
    (home / ".gnupg").mkdir(mode=0o700)
    env = {**ENV, "HOME": str(home)}
    make = [
        "gpg",
        "--batch",
        "--passphrase",
        "",
        "--quick-generate-key",
        f"{name} <{name}@example.org>",
        "ed25519",
        "sign",
    ]
    subprocess.run([*make, *(more or ("0",))], env=env, check=True, capture_output=True)
    public = subprocess.run(["gpg", "--export", "--armor"], env=env, check=True, capture_output=True).stdout
    (folder / f"{name}.asc").write_bytes(public)
    return env, str(folder / f"{name}.asc")


def test_signatures_by_gpg(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    env, public = gpg_pair(tmp_path, "one")
    stranger, other = gpg_pair(tmp_path, "two")
    for each in (env, stranger):
        # gpg leaves an agent behind for each keyring that it made
        request.addfinalizer(partial(subprocess.run, ["gpgconf", "--kill", "gpg-agent"], env=each, check=True))
    signature = signing.sign("gpg:one@example.org", b"content", env)
    key = signing.load(public, ENV)
    assert signing.verify(key, b"content", signature, "it") == f"the key in {public}"
    assert code(lambda: signing.verify(key, b"Content", signature, "it")) == "bundle-untrusted"
    assert code(lambda: signing.verify(signing.load(other, ENV), b"content", signature, "it")) == "bundle-untrusted"
    assert code(lambda: signing.sign("gpg:nobody@example.org", b"content", env)) == "signing-failed"


def test_a_signed_bundle(tmp_path: Path, gathered: Context) -> None:
    private, public = openssl_pair(tmp_path, "one", "ED25519")
    _, other = openssl_pair(tmp_path, "two", "ED25519")
    signature = signing.sign(private, bundleformat.encode(manifest_of(FILES)), ENV)
    path = write(tmp_path, signature=signature)
    wanting = gathered._replace(config=load_config([], environ={}, flags={"signing_key": public}))
    assert stage(wanting, path).signed_by == f"the key in {public}"
    assert stage(gathered, path).signed_by == ""
    wrong = gathered._replace(config=load_config([], environ={}, flags={"signing_key": other}))
    assert code(lambda: stage(wrong, path)) == "bundle-untrusted"
    # an attacker who mends every sum is stopped by the signature alone
    mended = write(tmp_path, {**FILES, "image.tar": b"evil"}, signature)
    assert code(lambda: stage(wanting, mended)) == "bundle-untrusted"
    assert code(lambda: stage(gathered, mended)) == ""
    assert code(lambda: stage(wanting, write(tmp_path))) == "bundle-unsigned"


def test_policy_chooses_the_key(tmp_path: Path, gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    _, public = openssl_pair(tmp_path, "one", "ED25519")
    own = gathered._replace(config=load_config([], environ={}, flags={"signing_key": public}))
    demanding = own._replace(policy=Policy(require_signature=True))
    with pytest.raises(AiboxError) as caught:
        setupbundle.key_for(demanding)
    assert (caught.value.code, caught.value.what, caught.value.why, caught.value.fix) == (
        "policy-refused",
        "the host's policy demands signed bundles, and names no key to check them with",
        "/etc/aibox/policy.yaml: require_signature without signing_key",
        "have the administrator of this host add signing_key",
    )
    monkeypatch.setattr("aibox.configfiles.read_trusted", lambda path, code: f"{path} {code}".encode())
    bound = own._replace(policy=Policy(require_signature=True, signing_key="/etc/aibox/key.pem"))
    key = setupbundle.key_for(bound)
    assert key is not None
    assert (key.path, key.content) == ("/etc/aibox/key.pem", b"/etc/aibox/key.pem policy-untrusted")
    assert setupbundle.key_for(gathered) is None


def test_another_processor_is_refused(tmp_path: Path, gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setattr("os.uname", lambda: os.uname_result(("Linux", "x", "6", "v", "riscv64")))
    assert code(lambda: stage(gathered, path)) == "host-unsupported"


def test_no_space_is_said_before_anything_is_copied(
    tmp_path: Path, gathered: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
    assert code(lambda: stage(gathered, write(tmp_path))) == "state-unwritable"


TEXTS = {
    "bundle-tampered": (
        "P is not as it was made",
        "image.tar does not have the SHA-256 that the manifest gives it; nothing was installed",
        "copy the bundle again from where it was made, and compare: sha256sum FILE",
    ),
    "bundle-invalid": (
        "this file is no bundle that aibox can read",
        "P does not begin with manifest.json",
        "aibox bundle create -o FILE",
    ),
    "bundle-unsigned": (
        "P is not signed",
        "a signature by the key in K is demanded",
        "have it made with: aibox bundle create --sign-with KEY -o FILE",
    ),
    "bundle-untrusted": (
        "the signature of P is not by the key in K",
        "it was signed with another key, or changed after it was signed; nothing was installed",
        "get the bundle and the key again, each from its maker",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_of_errors(name: str, tmp_path: Path, gathered: Context) -> None:
    _, public = openssl_pair(tmp_path, "one", "ED25519")
    path = write(tmp_path, signature=b"rubbish" if name == "bundle-untrusted" else None)
    if name == "bundle-tampered":
        path.write_bytes(path.read_bytes().replace(FILES["image.tar"], bytes(3000)))
    if name == "bundle-invalid":
        path.write_bytes(b"x" * 5000)
    if name.startswith("bundle-un"):
        gathered = gathered._replace(config=load_config([], environ={}, flags={"signing_key": public}))
    with pytest.raises(AiboxError) as caught:
        stage(gathered, path)
    error = caught.value
    told = tuple(text.replace(str(path), "P").replace(public, "K") for text in (error.what, error.why, error.fix))
    assert (error.code, told) == (name, TEXTS[name])


def test_from_the_source_tree_there_is_no_file_to_bundle(gathered: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/nonexistent/aibox"])
    monkeypatch.setattr(context, "installed_runtime", lambda _context: None)
    assert code(lambda: bundlemake.gather(gathered, None, "")) == "bundle-failed"  # type: ignore[arg-type]
