"""The policy: what it allows and refuses, that it only tightens, and who may have written it."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox import context, state
from aibox.config import ConfigFile, Policy, load_config, load_policy, policy_violations
from aibox.configfiles import read_config_files, read_policy, read_trusted, user_config_path
from aibox.configkeys import KEYS, POLICY_KEYS
from aibox.errors import AiboxError
from aibox.model import Developer
from aibox.yamlreader import MAX_BYTES

OWN = os.geteuid()


def broken(policy: str, *, workspace: str = "/home/dev1/project", **flags: str) -> dict[str, str]:
    """The policy keys that are broken, with their messages."""
    config = load_config([], environ={}, flags={name.replace("__", "."): text for name, text in flags.items()})
    return dict(policy_violations(config, load_policy(policy.encode()), workspace))


def test_without_a_policy_only_the_fallback_is_refused() -> None:
    config = load_config([], environ={})
    assert policy_violations(config, Policy(), "/anywhere") == []
    for runtime in ("runc", "crun"):
        (violation,) = policy_violations(config._replace(runtime=runtime), Policy(), "/x")
        assert violation[0] == "fallback_runtime"


CASES: list[tuple[str, dict[str, str], set[str]]] = [
    ("fallback_runtime: true", {"runtime": "runc"}, set()),
    ("fallback_runtime: false", {"runtime": "runc"}, {"fallback_runtime"}),
    ("max_memory: 8G", {}, set()),
    ("max_memory: 4G", {}, {"max_memory"}),
    ("max_memory: 64G", {"limits__memory": "0"}, {"max_memory"}),
    ("max_memory: 64G", {"limits__memory": "64G"}, set()),
    ("max_cpus: 2", {"limits__cpus": "2.5"}, {"max_cpus"}),
    ("max_cpus: 2", {"limits__cpus": "0"}, {"max_cpus"}),
    ("max_pids: 100", {"limits__pids": "101"}, {"max_pids"}),
    ("max_pids: 100", {"limits__pids": "100"}, set()),
    ("workspace_roots: [/home/dev1]", {}, set()),
    ("workspace_roots: [/home/dev]", {}, {"workspace_roots"}),
    ("workspace_roots: []", {}, {"workspace_roots"}),
    ("workspace_roots: [/]", {}, set()),
    ("workspace_roots: [/srv, /home/dev1/project]", {}, set()),
    ("allowed_registries: [harbor.internal]", {}, set()),
    ("allowed_registries: ['localhost:5000']", {"image": "localhost:5000/x:1"}, set()),
    ("allowed_registries: [localhost]", {"image": "localhost:5000/x:1"}, {"allowed_registries"}),
    ("allowed_registries: []", {}, {"allowed_registries"}),
    ("allowed_registries: [docker.io]", {"image": "ubuntu"}, {"allowed_registries"}),
    ("allowed_images: ['harbor.internal/aibox/*']", {}, set()),
    ("allowed_images: ['harbor.internal/*']", {}, {"allowed_images"}),
    ("allowed_images: ['harbor.internal/**']", {}, set()),
    ("allowed_images: ['harbor.internal/aibox/base:24.0?']", {}, set()),
    ("allowed_images: ['harbor.internal/aibox/base']", {}, {"allowed_images"}),
    ("allowed_images: []", {}, {"allowed_images"}),
    ("allowed_images: ['harbor.internal/**']", {"image": "evil.example/harbor.internal/x"}, {"allowed_images"}),
    ("max_memory: 1G\nmax_pids: 16\nallowed_images: []", {}, {"max_memory", "max_pids", "allowed_images"}),
]


@pytest.mark.parametrize(("policy", "flags", "wanted"), CASES)
def test_policy(policy: str, flags: dict[str, str], wanted: set[str]) -> None:
    found = broken(policy, **flags)
    assert set(found) == wanted
    assert all(found.values())


@pytest.mark.parametrize("path", ["/home/dev1x", "/home", "/home/dev1/../x", "relative", "", "/home/dev1/a/../../b"])
def test_roots_hold_whole_names(path: str) -> None:
    assert "workspace_roots" in broken("workspace_roots: [/home/dev1]", workspace=path)


def test_messages_name_value_origin_and_ceiling() -> None:
    found = broken("max_memory: 4G\nallowed_registries: [a.example, b.example]", limits__memory="6G")
    assert found["max_memory"] == "limits.memory is 6G (--memory); the ceiling is 4G"
    assert found["allowed_registries"] == "registry harbor.internal is none of: a.example, b.example"
    found = broken("max_pids: 50", limits__pids="0")
    assert found["max_pids"] == "limits.pids is unlimited (--pids); the ceiling is 50"


# `signing_key` is also a setting of the user's, which the policy's goes before
@pytest.mark.parametrize("row", [row for row in POLICY_KEYS if row.path != "signing_key"], ids=lambda row: row.path)
def test_no_variable_flag_or_config_file_sets_policy(row: object) -> None:
    path = getattr(row, "path", "")
    assert path not in {key.path for key in KEYS}
    with pytest.raises(AiboxError, match="unknown environment variable"):
        load_config([], environ={f"AIBOX_{path.upper()}": "true"})
    with pytest.raises(AiboxError, match="unknown key"):
        load_config([ConfigFile("user", "/u", f"{path}: true\n".encode())], environ={})


@given(st.sampled_from([text for text, _, _ in CASES]), st.sampled_from([flags for _, flags, _ in CASES]))
def test_a_policy_never_allows_what_none_refuses(policy: str, flags: dict[str, str]) -> None:
    """Only the fallback runtime is refused without a policy and can be allowed by one."""
    config = load_config([], environ={}, flags={name.replace("__", "."): text for name, text in flags.items()})
    without = {key for key, _ in policy_violations(config, Policy(), "/w")} - {"fallback_runtime"}
    assert without <= {key for key, _ in policy_violations(config, load_policy(policy.encode()), "/w")}


@pytest.mark.parametrize("content", ["", "# all gone\n", "---\n", "~\n"])
def test_a_policy_without_any_key_is_refused(content: str) -> None:
    with pytest.raises(AiboxError) as caught:
        load_policy(content.encode())
    assert caught.value.code == "config-invalid"
    assert caught.value.what == "/etc/aibox/policy.yaml: the policy file holds no key"


@pytest.mark.parametrize(
    ("content", "code"),
    [("allow_images: []\n", "config-unknown-key"), ("max_memory: lots\n", "config-invalid"),
     ("a: &b c\n", "yaml-refused"),
     ("allowed_images: ['[a-z]']\n", "config-invalid"), ("allowed_images: x\n", "config-invalid"),
     ("workspace_roots: [relative]\n", "config-invalid"), ("workspace_roots: [/a/../b]\n", "config-invalid"),
     ("allowed_registries: [UPPER]\n", "config-invalid"), ("fallback_runtime: 1\n", "config-invalid"),
     ("fallback_runtime: 'true'\n", "config-invalid"), ("require_mac: tomoyo\n", "config-invalid")],
)  # fmt: skip
def test_a_policy_that_is_not_understood_is_refused(content: str, code: str) -> None:
    with pytest.raises(AiboxError) as caught:
        load_policy(content.encode())
    assert caught.value.code == code


def test_every_key_of_a_policy_arrives() -> None:
    policy = load_policy(
        b"allowed_images: [a]\nallowed_registries: [b]\nfallback_runtime: true\nrequire_mac: any\nmax_memory: 1G\n"
        b"max_cpus: 2\nmax_pids: 99\nworkspace_roots: [/w]\nrequire_signature: true\n"
    )
    assert policy == Policy(("a",), ("b",), True, "any", 1 << 30, 2.0, 99, ("/w",), True)
    assert set(Policy._fields) == {row.path for row in POLICY_KEYS}


# Who may have written it


def write(path: Path, content: bytes = b"fallback_runtime: true\n", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def trusted(path: Path, top: Path, owner: int = OWN) -> bytes | None:
    return read_trusted(str(path), code="policy-untrusted", top=str(top), owner=owner)


def untrusted(path: Path, top: Path, owner: int = OWN) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        trusted(path, top, owner)
    assert (caught.value.code, caught.value.exit_code) == ("policy-untrusted", 3)
    return caught.value


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "etc" / "policy.yaml")
    assert trusted(path, tmp_path) == b"fallback_runtime: true\n"
    assert trusted(tmp_path / "etc" / "other.yaml", tmp_path) is None
    assert trusted(tmp_path / "no" / "policy.yaml", tmp_path) is None


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620, 0o602])
def test_a_file_that_others_can_write(tmp_path: Path, mode: int) -> None:
    told = untrusted(write(tmp_path / "e" / "p", mode=mode), tmp_path)
    assert told.why == f"its mode {mode:04o} lets others than its owner write it"
    assert told.fix == f"chmod go-w {tmp_path}/e/p"


def test_a_folder_that_others_can_write(tmp_path: Path) -> None:
    path = write(tmp_path / "e" / "p")
    path.parent.chmod(0o777)
    assert str(tmp_path / "e") in untrusted(path, tmp_path).what


def test_another_owner(tmp_path: Path) -> None:
    path = write(tmp_path / "e" / "p")
    assert f"belongs to uid {OWN}, not to uid {OWN + 1}" in untrusted(path, tmp_path, OWN + 1).why


def test_links_and_special_files(tmp_path: Path) -> None:
    real = write(tmp_path / "real" / "p")
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "way").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "fifo", 0o644)
    (tmp_path / "folder").mkdir()
    assert "symlink" in untrusted(tmp_path / "link", tmp_path).why
    assert "symlink" in untrusted(tmp_path / "way" / "p", tmp_path).why
    assert untrusted(tmp_path / "fifo", tmp_path).why == "it is not a regular file"
    assert untrusted(tmp_path / "folder", tmp_path).why == "it is not a regular file"
    assert untrusted(real / "below", tmp_path).why


def test_a_file_that_is_too_large_is_refused_by_the_reader(tmp_path: Path) -> None:
    content = trusted(write(tmp_path / "p", b"#" * (MAX_BYTES + 10)), tmp_path)
    assert content is not None
    assert len(content) == MAX_BYTES + 1
    with pytest.raises(AiboxError) as caught:
        load_policy(content)
    assert caught.value.code == "yaml-refused"


def test_no_policy_file_is_the_default_policy() -> None:
    assert read_policy("/nonexistent/policy.yaml") == Policy()


# The user's file


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"HOME": "/home/a"}, "/home/a/.config/aibox/config.yaml"),
        ({"HOME": "/home/a", "XDG_CONFIG_HOME": "/c/"}, "/c/aibox/config.yaml"),
        ({"HOME": "/home/a", "XDG_CONFIG_HOME": "relative"}, "/home/a/.config/aibox/config.yaml"),
        ({"HOME": "relative"}, None),
        ({}, None),
    ],
)
def test_where_the_users_file_is(environ: dict[str, str], wanted: str | None) -> None:
    assert user_config_path(environ) == wanted


def test_the_users_file(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert read_config_files(environ, system_path="/nonexistent/c.yaml") == ()
    path = write(tmp_path / ".config" / "aibox" / "config.yaml", b"engine: podman\n")
    (file,) = read_config_files(environ, system_path="/nonexistent/c.yaml")
    assert (file.kind, file.path, file.content) == ("user", str(path), b"engine: podman\n")
    dotfiles = write(tmp_path / "dotfiles" / "aibox.yaml", b"engine: podman\n")
    path.unlink()
    path.symlink_to(dotfiles)
    assert len(read_config_files(environ, system_path="/nonexistent/c.yaml")) == 1
    dotfiles.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IWOTH)
    with pytest.raises(AiboxError) as caught:
        read_config_files(environ, system_path="/nonexistent/c.yaml")
    assert caught.value.code == "config-unreadable"


def test_a_broken_policy_refuses_the_box() -> None:
    config = load_config([], environ={})
    paths = state.paths({}, 0)
    policy = load_policy(b"max_pids: 20\nallowed_images: []\n")
    made = context.Context({}, Developer(0, 0, "root"), paths, config, policy)
    with pytest.raises(AiboxError) as caught:
        context.require_policy(made, "localhost/x:1", "/w")
    assert (caught.value.code, caught.value.exit_code) == ("policy-refused", 3)
    assert caught.value.why == "/etc/aibox/policy.yaml: allowed_images, max_pids"
