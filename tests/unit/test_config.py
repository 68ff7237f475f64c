"""Configuration: sources and their order, origins, values, and what every wrong one is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibox.config import Config, ConfigFile, config_rows, load_config
from aibox.configkeys import KEYS, POLICY_KEYS, Row, convert, expected, from_text, show
from aibox.errors import AiboxError

SYSTEM, USER = "/etc/aibox/config.yaml", "/home/dev1/.config/aibox/config.yaml"
GIB = 1 << 30


Texts = dict[str, str] | None


def load(system: str = "", user: str = "", environ: Texts = None, flags: Texts = None) -> Config:
    files = [ConfigFile("system", SYSTEM, system.encode()), ConfigFile("user", USER, user.encode())]
    return load_config(files, environ=environ or {}, flags=flags)


def refusal(system: str = "", environ: Texts = None, flags: Texts = None) -> AiboxError:
    with pytest.raises(AiboxError) as caught:
        load(system, "", environ, flags)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_variant_has_its_own_image_where_none_is_set() -> None:
    assert load_config([], environ={"AIBOX_VARIANT": "java"}).image == "harbor.internal/aibox/java:24.04"
    both = {"AIBOX_VARIANT": "java", "AIBOX_IMAGE": "r.internal/mine:1"}
    assert load_config([], environ=both).image == "r.internal/mine:1"


@pytest.mark.parametrize("url", ["https://a b/", "https:///x", "file://host/x", "http://x/'y", "https://$(x)", "//x"])
def test_urls_that_are_none(url: str) -> None:
    assert refusal(environ={"AIBOX_MIRROR": url}).code == "config-invalid"


def test_defaults() -> None:
    config = load_config([], environ={})
    assert config._replace(origins={}) == Config(
        engine="auto", engine_path="", image="harbor.internal/aibox/base:24.04", variant="base", mirror="",
        runtime="runsc", platform="auto",
        runsc_path="", memory=8 * GIB, cpus=4.0, pids=4096, shm=256 << 20, pull="missing", signing_key="",
        program_url="", start_timeout=90,
        stop_timeout=10, caches=("maven", "gradle", "npm", "bazel", "pip", "go", "cargo"), log_format="text",
        origins={},
    )  # fmt: skip
    assert {str(origin) for origin in config.origins.values()} == {"default"}
    assert set(config.origins) == {row.path for row in KEYS}


def test_later_sources_win_and_are_named() -> None:
    system = "# site\nengine: docker\npull: never\nlimits:\n  memory: 1G\n  pids: 100\n"
    user = "limits: {memory: 2G}\nengine: podman\n"
    config = load(system, user, {"AIBOX_LIMITS_MEMORY": "3G"}, {"limits.memory": "4G"})
    assert (config.engine, config.pull, config.memory, config.pids) == ("podman", "never", 4 * GIB, 100)
    rows = {key: (value, origin) for key, value, origin in config_rows(config)}
    assert rows["engine"] == ("podman", f"{USER}:2")
    assert rows["pull"] == ("never", f"{SYSTEM}:3")
    assert rows["limits.memory"] == ("4G", "--memory")
    assert rows["limits.pids"] == ("100", f"{SYSTEM}:6")
    assert rows["limits.cpus"] == ("4", "default")
    without_flag = load(system, "", {"AIBOX_LIMITS_MEMORY": "3G"})
    assert (without_flag.memory, str(without_flag.origins["limits.memory"])) == (3 * GIB, "AIBOX_LIMITS_MEMORY")


def test_an_overridden_wrong_value_is_still_told() -> None:
    assert refusal("engine: rkt\n", flags={"engine": "podman"}).code == "config-invalid"
    assert refusal("", {"AIBOX_ENGINE": "rkt"}, {"engine": "podman"}).code == "config-invalid"


VALUES: list[tuple[str, str, object]] = [
    ("limits.memory", "64M", 64 << 20), ("limits.memory", "8g", 8 * GIB), ("limits.memory", "1T", 1 << 40),
    ("limits.memory", "67108864", 67108864), ("limits.memory", "0", 0), ("limits.memory", "65536K", 64 << 20),
    ("limits.cpus", "1.5", 1.5), ("limits.cpus", "2", 2.0), ("limits.cpus", "0", 0.0), ("limits.cpus", "0.01", 0.01),
    ("limits.pids", "16", 16), ("limits.pids", "0", 0), ("limits.shm", "1M", 1 << 20),
    ("start_timeout", "3600", 3600), ("stop_timeout", "1", 1), ("engine", "podman", "podman"),
    ("engine_path", "/opt/podman", "/opt/podman"), ("engine_path", "", ""), ("runtime", "crun", "crun"),
    ("platform", "kvm", "kvm"), ("pull", "always", "always"), ("image", "localhost:5000/a/b@sha256:" + "0" * 64,
                                                              "localhost:5000/a/b@sha256:" + "0" * 64),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "value"), VALUES)
def test_values_are_equal_from_every_source(path: str, text: str, value: object) -> None:
    row = next(row for row in KEYS if row.path == path)
    section, _, leaf = path.rpartition(".")
    line = f"{leaf}: {text or chr(39) * 2}\n"
    file = f"{section}:\n  {line}" if section else line
    for config in (load(file), load("", "", {row.env: text}), load(flags={path: text})):
        assert getattr(config, row.name) == value
        assert type(getattr(config, row.name)) is type(value)


WRONG = [
    ("limits.memory", "63M"), ("limits.memory", "-1"), ("limits.memory", "1GB"), ("limits.memory", "8 G"),
    ("limits.memory", "1.5G"), ("limits.memory", "G"), ("limits.memory", "2000T"), ("limits.memory", "\u0661G"),
    ("limits.cpus", "0.001"), ("limits.cpus", "5000"), ("limits.cpus", "1e1"), ("limits.cpus", "nan"),
    ("limits.pids", "15"), ("limits.pids", "1.0"), ("limits.pids", "many"), ("limits.shm", "0"),
    ("start_timeout", "0"), ("stop_timeout", "3601"), ("engine", "Podman"), ("engine", ""),
    ("engine_path", "podman"), ("engine_path", "/usr/../bin/x"), ("engine_path", "/"), ("engine_path", "/a//b"),
    ("engine_path", "/a\u200bb"), ("runtime", "kata"), ("platform", "gvisor"), ("pull", "newer"),
    ("image", "UPPER/case"), ("image", ""), ("image", "docker://x"), ("image", "a b"), ("caches", "maven,maven"),
    ("caches", "conan"), ("log_format", "xml"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text"), WRONG)
def test_wrong_values_are_refused_with_what_is_expected(path: str, text: str) -> None:
    row = next(row for row in KEYS if row.path == path)
    told = refusal("", {row.env: text})
    assert told.code == "config-invalid"
    assert told.what.startswith(f"{row.env}: wrong value {text!r} for {path}")
    assert told.why.startswith(f"expected {expected(row)}")
    assert told.fix == f"correct or unset {row.env}"
    assert refusal(flags={path: text}).fix == f"correct {row.flag}"


FILES = [
    ("engin: podman\n", "config-unknown-key", f"{SYSTEM}:1: unknown key 'engin'", "did you mean engine?"),
    ("limits:\n  memroy: 1G\n", "config-unknown-key", f"{SYSTEM}:2: unknown key 'limits.memroy'",
     "did you mean limits.memory?"),
    ("limits.memory: 1G\n", "config-unknown-key", f"{SYSTEM}:1: unknown key 'limits.memory'",
     "write 'limits:' and, indented below it, 'memory: ...'"),
    ("engine: {x: y}\n", "config-invalid", f"{SYSTEM}:1: wrong value a mapping for engine", "correct this line"),
    ("\n\nengine: [podman]\n", "config-invalid", f"{SYSTEM}:3: wrong value ['podman'] for engine", "correct this line"),
    ("engine: yes\n", "config-invalid", f"{SYSTEM}:1: wrong value true for engine", "correct this line"),
    ("engine:\n", "config-invalid", f"{SYSTEM}:1: wrong value null for engine", "correct this line"),
    ("limits:\n", "config-invalid", f"{SYSTEM}:1: keys are missing in limits", "add them"),
    ("limits: 3\n", "config-invalid", f"{SYSTEM}:1: keys are missing in limits", "add them"),
    ("- engine\n", "config-invalid", f"{SYSTEM}:1: keys are missing in the file", "add them"),
    ("caches: [maven,\n", "yaml-refused", f"cannot read {SYSTEM}:1:16", "write it on this line"),
    ("caches:\n  - maven\n  - pip\n  - x\n", "config-invalid", f"{SYSTEM}:4: wrong value 'x' for caches",
     "correct this line"),
    ("caches:\n  - maven\n  - maven\n", "config-invalid", f"{SYSTEM}:2: wrong value ['maven', 'maven'] for caches",
     "correct this line"),
    ("engine: podman\nengine: docker\n", "yaml-refused", f"cannot read {SYSTEM}:2:1", "remove one of the two"),
    ("limits: {cpus: .inf}\n", "config-invalid", f"{SYSTEM}:1: wrong value inf for limits.cpus", "correct this line"),
    ("limits: {pids: 4096.0}\n", "config-invalid", f"{SYSTEM}:1: wrong value 4096.0 for limits.pids",
     "correct this line"),
    (f"image: {'x' * 200}!\n", "config-invalid", f"{SYSTEM}:1: wrong value {repr('x' * 200)[:76]} ... for image", None),
]  # fmt: skip


@pytest.mark.parametrize(("content", "code", "what", "fix"), FILES)
def test_files_are_refused_with_their_line(content: str, code: str, what: str, fix: str | None) -> None:
    told = refusal(content)
    assert (told.code, told.what) == (code, what)
    assert not fix or told.fix == fix


def test_far_off_keys_list_what_is_known() -> None:
    told = refusal("xyzzy: 1\n")
    assert told.fix.startswith("known are: engine, engine_path, image")
    assert refusal("", {"AIBOX_ENGIN": "x"}).fix == "did you mean AIBOX_ENGINE?"
    assert refusal("", {"AIBOX_": "x"}).what == "unknown environment variable 'AIBOX_'"


def test_the_zipapps_own_variable_is_no_key() -> None:
    assert load("", "", {"AIBOX_CACHE": "/x", "OTHER": "y"}).engine == "auto"


def test_an_empty_file_sets_nothing() -> None:
    for content in ("", "\n", "# nothing\n", "---\n", "~\n"):
        assert load(content) == load()


def test_caches_keep_one_order() -> None:
    assert load("caches: [npm, maven]\n").caches == ("maven", "npm")
    assert load("", "", {"AIBOX_CACHES": "npm, maven"}).caches == ("maven", "npm")
    assert load("caches: []\n").caches == load("", "", {"AIBOX_CACHES": ""}).caches == ()


# The tables


@pytest.mark.parametrize("row", [*KEYS, *POLICY_KEYS], ids=lambda row: row.path)
def test_every_row_is_whole(row: Row) -> None:
    assert row.meaning
    assert expected(row)
    if row in KEYS:
        assert row.env == "AIBOX_" + row.path.replace(".", "_").upper()
        assert row.flag == "--" + row.name.replace("_", "-")
        assert convert(row, from_text(row, show(row, row.default))) == row.default
    else:
        assert (row.env, row.flag) == ("", "")
    assert row.kind not in ("size", "integer", "decimal") or 0 <= row.minimum < row.maximum
    assert set(row.locked_by) <= {policy.path for policy in POLICY_KEYS}


@given(st.integers(64 << 20, 1 << 50))
def test_sizes_survive_being_shown(size: int) -> None:
    row = next(row for row in KEYS if row.name == "memory")
    assert convert(row, from_text(row, show(row, size))) == size


@given(st.text(max_size=30), st.sampled_from([*KEYS]))
def test_any_text_is_a_value_or_refused(text: str, row: Row) -> None:
    """Nothing but config-invalid comes out, and what is accepted is shown and read back as the same value."""
    try:
        value = convert(row, from_text(row, text))
    except ValueError:
        return
    assert convert(row, from_text(row, show(row, value))) == value
