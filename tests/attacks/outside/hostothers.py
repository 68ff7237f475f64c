"""Other users of the host, other boxes, engine commands typed by hand, and taking more than a box is given."""

import json
import subprocess
import time
from pathlib import Path

from byhand import LIMITS, Refused, destroy, hand_over, in_box, podman_run, started, worked
from machines import LOCAL_IMAGE, Done
from scene import ATTACK, PYTHON, Scene

NOBODY = 65534


def as_other(scene: Scene, *words: str) -> Done:
    """A command of another user of the host, without any right to this box."""
    home = scene.machine.workspace("other")
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", f"HOME={home}"]
    scene.machine.run(["chown", str(NOBODY), str(home)], root=True)
    scene.machine.run(["chmod", "o+x", scene.machine.home], root=True)
    return scene.machine.run([*become, *words], root=True)


def sentry(scene: Scene) -> int:
    """The host's number of the box's main process."""
    done = scene.machine.run(["podman", "inspect", "--format", "{{.State.Pid}}", scene.name])
    return int(done.out)


def other_exec(scene: Scene) -> str:
    """A session in it by aibox."""
    return worked(
        as_other(scene, str(scene.machine.zipapp), "exec", "--workspace", str(scene.place), "--", "id"), "uid="
    )


def other_exec_control(scene: Scene) -> str:
    """Its owner can."""
    return worked(in_box(scene, scene.place, "id"), "uid=1000")


def other_engine(scene: Scene) -> str:
    """A session in it by the engine."""
    return worked(as_other(scene, "podman", "exec", scene.name, "id"), "uid=")


def other_engine_control(scene: Scene) -> str:
    """Its owner can."""
    return worked(scene.machine.run(["podman", "exec", scene.name, "id"]), "uid=1000")


def other_stop(scene: Scene) -> str:
    """Stop it."""
    return worked(as_other(scene, str(scene.machine.zipapp), "stop", "--workspace", str(scene.place)))


def other_kill(scene: Scene) -> str:
    """Kill its process on the host (signal 0: only asked whether it may)."""
    return worked(as_other(scene, "kill", "-0", str(sentry(scene)))) or "may signal it"


def owner_kill_control(scene: Scene) -> str:
    """The host's root can."""
    return worked(scene.machine.run(["kill", "-0", str(sentry(scene))], root=True)) or "may signal it"


def other_memory(scene: Scene) -> str:
    """Read its memory on the host."""
    return worked(as_other(scene, "head", "-c", "1", f"/proc/{sentry(scene)}/environ")) or "read"


def owner_memory_control(scene: Scene) -> str:
    """The host's root can."""
    done = scene.machine.run(["head", "-c", "1", f"/proc/{sentry(scene)}/environ"], root=True)
    return worked(done) or "read"


def _private(scene: Scene) -> str:
    """A file whose own mode is open and whose folder above is closed, by the way that the engine takes."""
    (scene.place / "private").write_text("the developer's\n")
    mounts = next(word for word in scene.create if "destination=/workspace" in word)
    return mounts.split("source=")[1].split(",")[0] + "/private"


def other_workspace(scene: Scene) -> str:
    """Read its workspace past a closed folder above it."""
    path = _private(scene)
    home = scene.place.parent
    mode = home.stat().st_mode
    home.chmod(0o700)
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    try:
        return worked(scene.machine.run([*become, "cat", path], root=True))
    finally:
        home.chmod(mode)


def owner_workspace_control(scene: Scene) -> str:
    """The host's root can."""
    return worked(scene.machine.run(["cat", _private(scene)], root=True), "developer")


def exec_root(scene: Scene) -> str:
    """`podman exec --user 0` by hand."""
    return worked(scene.machine.run(["podman", "exec", "--user", "0", scene.name, "id"]), "uid=0")


def exec_root_control(scene: Scene) -> str:
    """The control container, without aibox's wrapper, lets it in."""
    return worked(scene.machine.run(["podman", "exec", "--user", "0", f"{scene.name}-unfiltered", "id"]), "uid=0")


def exec_privileged(scene: Scene) -> str:
    """`podman exec --privileged` by hand."""
    words = ["podman", "exec", "--privileged", scene.name, "grep", "CapPrm", "/proc/self/status"]
    return worked(scene.machine.run(words), "CapPrm")


def exec_privileged_control(scene: Scene) -> str:
    """The control container lets it in with capabilities."""
    words = ["podman", "exec", "--privileged", f"{scene.name}-unfiltered-runc", "grep", "CapBnd", "/proc/self/status"]
    done = scene.machine.run(words)
    assert done.code == 0, str(done)
    if int(done.out.split()[1], 16) == 0:
        raise Refused("no capability")
    return done.out


LISTEN = r"""
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind("\0" + sys.argv[1])
listener.listen(9)
print("up", flush=True)
time.sleep(600)
"""
LISTENING = f"""{PYTHON} -c "$1" "$2" > /tmp/up 2>&1 &
for i in $(seq 200); do grep -q up /tmp/up && exit 0; sleep 0.3; done
exit 1"""


def other_box(scene: Scene) -> str:
    """Reach an abstract socket of another box of the same developer."""
    place = scene.machine.workspace("peer")
    started(scene, place, "--caches", "")
    try:
        _listen(scene, place, "aibox-peer")
        words = [PYTHON, f"{ATTACK}/run.py", f"{ATTACK}/scene-box.json", "network.other_box"]
        told = json.loads(in_box(scene, scene.place, *words).out)
        if told["ended"] != "succeeded":
            raise Refused(told["what"])
        return str(told["what"])
    finally:
        destroy(scene, place)


def _listen(scene: Scene, place: object, name: str) -> None:
    words = ["sh", "-c", LISTENING, "sh", LISTEN, name]
    done = in_box(scene, str(place), *words)
    assert done.code == 0, str(done)


def other_box_control(scene: Scene) -> str:
    """From inside the box that listens it can be reached."""
    _listen(scene, scene.place, "aibox-peer-control")
    words = [PYTHON, f"{ATTACK}/run.py", f"{ATTACK}/scene-control.json", "network.other_box"]
    told = json.loads(in_box(scene, scene.place, *words).out)
    if told["ended"] != "succeeded":
        raise Refused(told["what"])
    return str(told["what"])


def _hog(scene: Scene, attempt: str, *limits: str) -> str:
    place = scene.machine.workspace("hog")
    started(scene, place, "--caches", "", *limits)
    scene.machine.run(["cp", "-r", str(scene.place / ".attack"), str(place)], root=True)
    hand_over(scene, place / ".attack")
    try:
        done = in_box(scene, place, PYTHON, f"{ATTACK}/run.py", f"{ATTACK}/scene-box.json", attempt)
        try:
            told = json.loads(done.out.splitlines()[-1]) if done.out.strip() else {}
        except ValueError:
            told = {}
        if told.get("ended") == "succeeded":
            return str(told["what"])
        # the host goes on: a fresh command in another box answers
        assert in_box(scene, scene.place, "true").code == 0
        # at the limit the host ends parts of the Sentry, and a process in the box ends without a word
        silent = not told or told["ended"] == "killed" or (told["ended"] == "broken" and not done.err.strip())
        raise Refused("ended by its limit" if silent else f"{told['what']} {done.err.strip()[-200:]}".strip())
    finally:
        destroy(scene, place)


def memory(scene: Scene) -> str:
    """640 MiB in a box of 256."""
    return _hog(scene, "hogs.memory", "--memory", "256M")


def memory_control(scene: Scene) -> str:
    """A box of 8 GiB holds them."""
    return _hog(scene, "hogs.memory", "--memory", "8G")


def fork_bomb(scene: Scene) -> str:
    """150 processes in a box of 128; in an emulator each takes seconds, so there are no more than it needs."""
    return _hog(scene, "hogs.fork_bomb", "--pids", "128")


def fork_bomb_control(scene: Scene) -> str:
    """A box of 4096 holds them."""
    return _hog(scene, "hogs.fork_bomb", "--pids", "4096")


def _preferred() -> set[str]:
    """Threads of the host that are preferred to others."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/task/[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[16]) < 0:
            found.add(path.parent.name)
    return found


PREFERRED = """import os, time
os.setpriority(0, 0, -10)
end = time.monotonic() + 2
while time.monotonic() < end: pass"""


def _preferred_during(scene: Scene, words: list[str], *, root: bool) -> str:
    before = _preferred()
    with subprocess.Popen(scene.machine.inside([*words, PYTHON, "-c", PREFERRED], root=root)) as child:
        found: set[str] = set()
        while child.poll() is None:
            found |= _preferred() - before
            time.sleep(0.1)
    assert child.returncode == 0
    if not found:
        raise Refused("nothing changed on the host")
    return f"threads {sorted(found)}"


def priority(scene: Scene) -> str:
    """A lower niceness in the box, looked for on the host while the box's process runs and works."""
    session = [str(scene.machine.zipapp), "exec", "--workspace", str(scene.place), "--"]
    return _preferred_during(scene, session, root=False)


def priority_control(scene: Scene) -> str:
    """The host's root gets it there."""
    return _preferred_during(scene, [], root=True)


def forged_labels(scene: Scene) -> str:
    """A container under runc with a box's name and all its labels."""
    place = scene.machine.workspace("forged")
    name = started(scene, place, "--caches", "")
    create = scene.machine.aibox("start", "--workspace", str(place), "--caches", "", "--dry-run", "--json")
    assert create.code == 0, str(create)
    shown = scene.machine.run(["podman", "inspect", "--format", "{{json .Config.Labels}}", name])
    labels = [part for key, value in json.loads(shown.out).items() for part in ("--label", f"{key}={value}")]
    options = ["--detach", "--name", name, "--network", "none", *LIMITS, *labels]
    run = ["podman", "--runtime", "runc", "run", *options, LOCAL_IMAGE, "sleep", "100"]
    try:
        for words in (["podman", "rm", "--force", "--time", "0", name], run):
            done = scene.machine.run(words)
            assert done.code == 0, str(done)
        done = scene.machine.aibox("exec", "--workspace", str(place), "--json", "--", "cat", "/proc/version")
        if done.code == 0:
            return done.out
        raise Refused(json.loads(done.out)["error"]["code"])
    finally:
        scene.machine.run(["podman", "rm", "--force", "--time", "0", name])
        destroy(scene, place)


def forged_labels_control(scene: Scene) -> str:
    """Plain Podman enters whatever has the name."""
    name = f"forged-{time.monotonic_ns()}"
    done = podman_run(scene, ["--detach", "--name", name], ["sleep", "100"])
    assert done.code == 0, str(done)
    try:
        return worked(scene.machine.run(["podman", "exec", name, "cat", "/proc/version"]), "Linux")
    finally:
        scene.machine.run(["podman", "rm", "--force", "--time", "0", name])
