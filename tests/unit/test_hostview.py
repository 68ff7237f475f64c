"""Reading /proc: of this very process, and of texts as the kernel writes them."""

import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aibox import apparmor, hostview, mountinfo
from aibox.hostview import HostProcess
from aibox.mountinfo import holding, location, parse, unescape

HEAD = "Iface\tDestination\tGateway\tFlags\n"
LO6 = "00000000000000000000000000000000 00 0 00 0 00200200       lo\n"


def test_this_process() -> None:
    process = hostview.read_process(os.getpid())
    assert process
    assert process.argv[0].endswith(os.path.basename(sys.orig_argv[0]))
    assert (process.pid, process.uid, process.role) == (os.getpid(), os.getuid(), "first process")
    assert process.program == os.path.realpath("/proc/self/exe")
    assert "lo" in process.interfaces
    assert process.mounts[0].target
    assert process.id_map
    assert process.seccomp in (0, 2)
    assert hostview.look(os.getpid(), "x").processes == (hostview.read_process(os.getpid()),)


@pytest.mark.parametrize("mounted", [True, False])
def test_a_program_in_a_mount_that_was_left_behind(monkeypatch: pytest.MonkeyPatch, mounted: bool) -> None:
    """As gVisor is under Docker where /var is a filesystem of its own: the kernel names it from the mount's top."""
    real = os.path.realpath("/proc/self/exe")
    top, name = os.path.dirname(os.path.dirname(real)), "/" + "/".join(real.split("/")[-2:])
    number = os.stat(real).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    places = ["/", top] if mounted else ["/"]
    text = "".join(f"1 2 {device} / {place} rw - ext4 /dev/x rw\n" for place in places)
    monkeypatch.setattr(hostview, "_read", lambda path: text if path.endswith("/self/mountinfo") else "x")
    monkeypatch.setattr(os, "readlink", lambda _path: name)
    process = hostview.read_process(os.getpid())
    assert process
    assert process.program == (real if mounted else name), "only the very same file is taken for it"


def test_a_filtered_process_shows_it() -> None:
    """no_new_privs and a seccomp filter of a child, as the kernel tells them."""
    program = (
        "import ctypes, sys; libc = ctypes.CDLL(None); libc.prctl(38, 1, 0, 0, 0);"
        "P = type('P', (ctypes.Structure,), {'_fields_': [('n', ctypes.c_ushort), ('f', ctypes.c_char_p)]});"
        "code = bytes([6, 0, 0, 0, 0, 0, 0xff, 0x7f]); p = P(1, code);"
        "print(libc.prctl(22, 2, ctypes.byref(p)), flush=True); sys.stdin.read()"
    )
    before = hostview.read_process(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout
        assert child.stdout.readline() == b"0\n"
        process = hostview.read_process(child.pid)
        assert process
        assert before
        assert (process.no_new_privileges, process.seccomp) == (True, 2)
        assert process.filters == before.filters + 1
    finally:
        child.communicate()


def test_filters_that_the_monitor_is_under_itself() -> None:
    """A child of a filtered process, as everything is in a container or under SystemCallFilter."""
    program = (
        "import ctypes, subprocess, sys; libc = ctypes.CDLL(None); libc.prctl(38, 1, 0, 0, 0);"
        "P = type('P', (ctypes.Structure,), {'_fields_': [('n', ctypes.c_ushort), ('f', ctypes.c_char_p)]});"
        "p = P(1, bytes([6, 0, 0, 0, 0, 0, 0xff, 0x7f])); assert libc.prctl(22, 2, ctypes.byref(p)) == 0;"
        "words = [sys.executable, '-c', 'print(1, flush=True); input()'];"
        "inner = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE);"
        # before it runs its argv may not be there
        "inner.stdout.readline(); print(inner.pid, flush=True); sys.stdin.read(); inner.communicate(b'\\n')"
    )
    here = hostview.look(os.getpid(), "x")
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout
        view = hostview.look(int(child.stdout.readline()), "x")
        assert view.inherited == view.processes[0].filters == here.processes[0].filters + 1
        assert hostview.look(child.pid, "x").inherited == here.processes[0].filters
    finally:
        child.communicate()
    assert hostview._inherited(4194305) == -1


@pytest.mark.parametrize(
    ("label", "names", "uid", "wanted"),
    [
        ("a//&b (mixed)", frozenset({"a"}), 0, frozenset({"a"})),
        ("a//&b (mixed)", None, 0, frozenset()),
        ("a//&b (mixed)", None, 1000, None),
        ("a (enforce)", frozenset({"a"}), 0, None),
    ],
)
def test_profiles_in_force_are_asked_for_where_a_label_does_not_say(
    monkeypatch: pytest.MonkeyPatch, label: str, names: frozenset[str] | None, uid: int, wanted: frozenset[str] | None
) -> None:
    process = hostview.read_process(os.getpid())
    assert process
    monkeypatch.setattr(apparmor, "loaded_names", lambda: names)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert hostview._enforced([process._replace(label=label)]) == wanted


def test_nothing_is_there() -> None:
    assert hostview.look(0, "x").processes == ()
    assert hostview.read_process(4194305) is None
    assert hostview.start_time(4194305) == 0
    assert hostview.start_time(os.getpid()) > 0


def test_start_time_names_one_process() -> None:
    """A name with blanks and brackets must not shift the fields."""
    program = "import ctypes; ctypes.CDLL(None).prctl(15, b'a) b (c'); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout
        child.stdout.readline()
        assert hostview.start_time(child.pid) >= hostview.start_time(os.getpid())
    finally:
        child.communicate(b"\n")


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "wanted"),
    [
        ("", "", ()),
        (HEAD, LO6, ()),
        (HEAD + "eth0\t00000000\t0101A8C0\t0003\n", LO6, ("eth0",)),
        (HEAD, LO6 + LO6.replace("      lo", "    sit0"), ("sit0",)),
        (HEAD + "lo\t0000007F\t0\t1\n", "", ()),
    ],
)
def test_routes(ipv4: str, ipv6: str, wanted: tuple[str, ...]) -> None:
    assert hostview._routes(ipv4, ipv6) == wanted


def test_other_tables() -> None:
    assert hostview._interfaces("Inter-| R\n face |b\n    lo:  0 0\n  eth0: 1\n") == ("lo", "eth0")
    rows = "         0     100000       1000\n      1000 1001 1\n\nx\n"
    assert hostview._id_map(rows) == ((0, 100000, 1000), (1000, 1001, 1))
    assert hostview._integer("x") == -1
    assert hostview._integer("1f", 16) == 31


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        ("runsc-sandbox --network=none -x --a=b=c boot --network=host", {"network": "none", "x": "true", "a": "b=c"}),
        ("runsc-sandbox", {}),
        ("runsc-sandbox boot --a=b", {}),
    ],
)
def test_flags_end_at_the_subcommand(argv: str, wanted: dict[str, str]) -> None:
    values = dict.fromkeys(HostProcess._fields, None)
    assert HostProcess(**{**values, "argv": tuple(argv.split())}).flags() == wanted  # type: ignore[arg-type]


# Mount tables

TABLE = """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 21 0:26 / /tmp rw,nosuid - tmpfs tmpfs rw
31 21 254:1 /srv/a\\040b /data\\040x ro,nodev master:1 - xfs /dev/my\\134disk ro
32 21 0:50 / /mnt/c rw,noatime - 9p C:\\134 rw,aname=drvfs
33 30 254:2 /x /tmp rw - ext4 /dev/vdc rw
garbage
34 21 0:9
"""


def test_parse_and_location() -> None:
    entries = parse(TABLE)
    assert [entry.target for entry in entries] == ["/", "/tmp", "/data x", "/mnt/c", "/tmp"]
    data = entries[2]
    assert (data.root, data.options, data.filesystem) == ("/srv/a b", ("ro", "nodev"), "xfs")
    assert (data.source, data.super_options) == ("/dev/my\\disk", ("ro",))
    assert location(entries, "/data x/y") == ("254:1", "/srv/a b/y")
    assert location(entries, "/tmp/z") == ("254:2", "/x/z"), "the upper of two mounts at one place"
    assert location(entries, "/home") == ("254:0", "/home")
    assert location(entries, "/") == ("254:0", "/")
    assert location(entries, "/mnt/c") == ("0:50", "/")
    assert location([], "/x") is None
    holder = holding(entries, "/mnt/cd")
    assert holder
    assert holder.target == "/", "a name that only begins alike is another place"


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30))
@example("a\x0cb\x85c\u2028d\x1ce\rf")
def test_every_name_survives_the_kernels_escapes(name: str) -> None:
    """The kernel escapes blank, tab, newline, backslash and hash, and leaves all other control characters alone."""
    escaped = "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in name)
    assert unescape(escaped) == name
    entries = parse(f"30 21 0:26 /{escaped} /mnt/{escaped} rw - fuse /{escaped} rw\n{TABLE}")
    assert (entries[0].root, entries[0].target, entries[0].source) == (f"/{name}", f"/mnt/{name}", f"/{name}")
    assert entries[1:] == parse(TABLE)


def test_a_processes_name_cannot_pose_as_a_field() -> None:
    program = "import ctypes; ctypes.CDLL(None).prctl(15, b'a\\x0cF:1\\rG:2'); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout
        child.stdout.readline()
        status = hostview._status(child.pid)
        assert (status["Name"], "F" in status, "G" in status) == ("a\x0cF:1\rG:2", False, False)
    finally:
        child.communicate(b"\n")


def test_this_hosts_own_table_is_read_whole() -> None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    assert len(mountinfo.parse(text)) == text.count("\n")
