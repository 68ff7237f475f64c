"""Where engines and their versions differ, as tables for the checks and the documentation. Pure."""

from typing import NamedTuple

RUNTIME_KEY = "aibox"  # aibox's only key among the runtimes of Docker's daemon.json


class Dialect(NamedTuple):
    """How one engine says what all of them can do.

    `files`: what it mounts into every container of its own; `place`: a pattern of where it keeps those on the host
    (`{name}` is the file's); `oldest`: the first version that can hold every control.
    """

    engine: str
    title: str
    oldest: tuple[int, int]
    because: str
    files: tuple[str, ...]
    place: str


class Difference(NamedTuple):
    """One thing that an engine or a version does in its own way, and what aibox does about it."""

    engine: str
    versions: str
    what: str
    answer: str


DIALECTS = {
    "podman": Dialect(
        "podman",
        "Podman",
        (4, 3),
        "it maps the developer's uid with --userns=keep-id:uid=",
        ("/etc/group", "/etc/hostname", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf", "/run/.containerenv"),
        r"/userdata/{name}",
    ),
    "docker": Dialect(
        "docker",
        "Docker",
        (20, 10),
        "it gives a box a cgroup namespace of its own with --cgroupns=private",
        ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf"),
        r"/containers/[0-9a-f]{64}/{name}",
    ),
}

DIFFERENCES = (
    Difference("Podman", "all", "`init` sets a box up without its first process", "the checks come between both"),
    Difference("Podman", "4.3", "`rm` may find shared memory busy after the kill", "it is asked a second time"),
    Difference("Podman", "4.3", "conmon before 2.1.11 passes `--tty` to runsc", "the wrapper drops it"),
    Difference("Podman", "5.x", "storage folders are closed to the Gofer", "the wrapper opens the way (o+x)"),
    Difference("Podman", "5.x", "`unconfined` is written where there is no AppArmor profile", "read as none"),
    Difference("Docker", "all", "no `init`", "the wrapper holds `start` until aibox has checked the box"),
    Difference("Docker", "all", "no user namespace for one container", "the wrapper adds it; volumes are handed over"),
    Difference("Docker", "all", "bind mounts know no nosuid and nodev", "the wrapper adds them"),
    Difference("Docker", "all", "storage folders are closed to the Gofer", "the wrapper mounts what it serves apart"),
    Difference("Docker", "all", "runtimes are named in daemon.json", "setup adds the key `aibox`, after consent"),
    Difference("Docker", "20.10 to 25", "a libnetwork hook runs on the host", "the wrapper drops it"),
    Difference("Docker", "all", "`--read-only` adds no writable folders", "nothing to switch off"),
)  # fmt: skip


def dialect(engine: str) -> Dialect:
    """The dialect of an engine by its kind."""
    return DIALECTS[engine]
