"""The caller's environment and settings of the engine, as far as they could change a box without a word."""

import socket
import subprocess
from pathlib import Path

from byhand import LIMITS, Refused, destroy, folder, hand_over, in_box, podman_run, program, quoted, started, worked
from machines import LOCAL_IMAGE, PATH, PATIENCE
from scene import ATTACK, Scene

MOUNTED = "/opt/from-host"


def _engine_settings(scene: Scene, target: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f'[containers]\nvolumes = ["{target}:{MOUNTED}"]\nenv = ["HOSTILE=1"]\n')
    hand_over(scene, place.parent, place)


def _look(scene: Scene, place: Path) -> str:
    done = in_box(scene, place, "sh", "-c", f"cat {MOUNTED}/secret; env | grep HOSTILE")
    if not done.out:
        raise Refused("not followed")
    return done.out


def containers_conf(scene: Scene) -> str:
    """CONTAINERS_CONF, with a volume and a variable."""
    target, place = folder(scene, "mounted"), scene.machine.workspace("conf")
    _engine_settings(scene, target, target / "containers.conf")
    try:
        started(scene, place, environment={"CONTAINERS_CONF": f"{target}/containers.conf"})
        return _look(scene, place)
    finally:
        destroy(scene, place)


def containers_conf_control(scene: Scene) -> str:
    """Plain Podman follows it."""
    target = folder(scene, "mounted")
    _engine_settings(scene, target, target / "containers.conf")
    settings = {"CONTAINERS_CONF": f"{target}/containers.conf"}
    return worked(podman_run(scene, [], ["cat", f"{MOUNTED}/secret"], environment=settings), "secret")


def own_settings(scene: Scene) -> str:
    """The same in the settings that the engine reads by itself."""
    target, place = folder(scene, "mounted"), scene.machine.workspace("conf")
    where = _own_place(scene)
    try:
        scene.machine.write(where, f'[containers]\nvolumes = ["{target}:{MOUNTED}"]\nenv = ["HOSTILE=1"]\n')
        started(scene, place)
        return _look(scene, place)
    finally:
        scene.machine.run(["rm", "-f", where], root=True)
        destroy(scene, place)


def _own_place(scene: Scene) -> str:
    base = f"{scene.machine.home}/.config/containers" if scene.machine.rootless else "/etc/containers"
    return f"{base}/containers.conf"


def own_settings_control(scene: Scene) -> str:
    """Plain Podman follows them."""
    target, where = folder(scene, "mounted"), _own_place(scene)
    try:
        scene.machine.write(where, f'[containers]\nvolumes = ["{target}:{MOUNTED}"]\n')
        return worked(podman_run(scene, [], ["cat", f"{MOUNTED}/secret"]), "secret")
    finally:
        scene.machine.run(["rm", "-f", where], root=True)


def annotations(scene: Scene) -> str:
    """Annotations for gVisor in the engine's settings."""
    place, where = scene.machine.workspace("conf"), _own_place(scene)
    try:
        scene.machine.write(where, '[containers]\nannotations = ["dev.gvisor.flag.oci-seccomp=false"]\n')
        return started(scene, place)
    finally:
        scene.machine.run(["rm", "-f", where], root=True)
        destroy(scene, place)


def annotations_control(scene: Scene) -> str:
    """Plain Podman puts them on its container."""
    where = _own_place(scene)
    try:
        scene.machine.write(where, '[containers]\nannotations = ["dev.gvisor.flag.oci-seccomp=false"]\n')
        done = scene.machine.run(["podman", "create", LOCAL_IMAGE, "true"])
        identifier = done.out.strip()
        shown = scene.machine.run(["podman", "inspect", "--format", "{{.Config.Annotations}}", identifier])
        scene.machine.run(["podman", "rm", identifier])
        return worked(shown, "dev.gvisor.flag.oci-seccomp:false")
    finally:
        scene.machine.run(["rm", "-f", where], root=True)


def _connected(listener: socket.socket) -> bool:
    listener.settimeout(0.2)
    try:
        listener.accept()[0].close()
    except TimeoutError:
        return False
    return True


def _listener(scene: Scene) -> tuple[socket.socket, str]:
    path = scene.machine.workspace("s") / "e.sock"
    scene.host.listen(path)
    return scene.host.paths[-1], f"unix://{path}"


def container_host(scene: Scene) -> str:
    """CONTAINER_HOST and DOCKER_HOST, which lead to an engine of the attacker's."""
    listener, address = _listener(scene)
    settings = {"CONTAINER_HOST": address, "DOCKER_HOST": address, "CONTAINER_CONNECTION": "evil"}
    done = scene.machine.aibox("exec", "--workspace", str(scene.place), "--", "true", environment=settings)
    listed = scene.machine.aibox("list", "--json", environment=settings)
    assert (done.code, listed.code) == (0, 0), f"{done}\n{listed}"
    if _connected(listener):
        return "the other engine was asked"
    raise Refused("not followed")


def container_host_control(scene: Scene) -> str:
    """Plain Podman's remote client goes there."""
    listener, address = _listener(scene)
    words = ["timeout", f"{2 * PATIENCE:g}", "podman", "--remote", "ps"]
    scene.machine.run(words, environment={"CONTAINER_HOST": address})
    if not _connected(listener):
        raise Refused("nobody came")
    return "the other engine was asked"


def _fakes(scene: Scene) -> tuple[Path, Path]:
    place = scene.machine.workspace("fakes")
    marker = place / "marker"
    for name in ("podman", "runsc", "runc", "crun", "conmon", "newuidmap", "newgidmap", "perl", "python3", "sh", "env"):
        program(scene, place / name, f"#!/bin/dash\necho {name} >> {quoted(marker)}\nexit 1\n")
    return place, marker


def path(scene: Scene) -> str:
    """PATH, with programs of the attacker's first."""
    fakes, marker = _fakes(scene)
    place = scene.machine.workspace("path")
    try:
        started(scene, place, environment={"PATH": f"{fakes}:{PATH}"})
        done = scene.machine.aibox("exec", "--workspace", str(place), "--", "true", environment={"PATH": str(fakes)})
        assert done.code == 0, str(done)
        if marker.exists():
            return f"ran {marker.read_text()}"
        raise Refused("not followed")
    finally:
        destroy(scene, place)


def path_control(scene: Scene) -> str:
    """Plain Podman runs its helpers from there: a shell finds podman itself there."""
    fakes, marker = _fakes(scene)
    scene.machine.run(["/bin/dash", "-c", "podman ps"], environment={"PATH": f"{fakes}:{PATH}"})
    return f"ran {marker.read_text().strip()}"


def python_path(scene: Scene) -> str:
    """PYTHONPATH, PYTHONSTARTUP and PYTHONHOME."""
    place = scene.machine.workspace("python")
    for name in ("sitecustomize.py", "json.py", "aibox.py"):
        (place / name).write_text(f"open('{place}/marker', 'a').write(__name__)\n")
    hand_over(scene, place, *place.iterdir())
    settings = {"PYTHONPATH": str(place), "PYTHONSTARTUP": f"{place}/json.py", "PYTHONINSPECT": "1"}
    done = scene.machine.aibox("exec", "--workspace", str(scene.place), "--", "true", environment=settings)
    assert done.code == 0, str(done)
    if (place / "marker").exists():
        return (place / "marker").read_text()
    raise Refused("not followed")


def python_path_control(scene: Scene) -> str:
    """A plain Python follows it."""
    place = scene.machine.workspace("python")
    (place / "sitecustomize.py").write_text("print('ran')\n")
    hand_over(scene, place / "sitecustomize.py")
    return worked(scene.machine.run(["python3", "-c", "1"], environment={"PYTHONPATH": str(place)}), "ran")


SPY = r"""
#include <stdio.h>
#include <string.h>
__attribute__((constructor)) static void spy(void) {
    char name[64] = "?", mode = '?', line[256];
    FILE *comm = fopen("/proc/self/comm", "r"), *status = fopen("/proc/self/status", "r");
    if (comm) { fgets(name, sizeof name, comm); fclose(comm); }
    while (status && fgets(line, sizeof line, status)) if (!strncmp(line, "Seccomp:", 8)) mode = line[9];
    if (status) fclose(status);
    FILE *log = fopen("@LOG@", "a");
    if (log) { fprintf(log, "%c %s", mode, name); fclose(log); }
}
"""


def _spy(scene: Scene, log: str) -> Path:
    """A library that notes each process into which it is loaded, with the seccomp mode at that moment."""
    library = scene.place / "spy.so"
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), "-x", "c", "-"]
    subprocess.run(command, input=SPY.replace("@LOG@", log), text=True, check=True)
    hand_over(scene, library)
    return library


def preload(scene: Scene) -> str:
    """LD_PRELOAD for the engine and the runtime."""
    place = scene.machine.workspace("preload")
    library = _spy(scene, f"{place}/log")
    try:
        started(scene, place, environment={"LD_PRELOAD": str(library)})
        seen = {line[2:] for line in (place / "log").read_text().splitlines()}
        # the interpreter itself is the caller's own program: the loader obeys before aibox runs
        if found := {name for name in seen if not name.startswith(("python", "aibox"))}:
            return f"loaded into {sorted(found)}"
        raise Refused("not handed on")
    finally:
        destroy(scene, place)


def preload_control(scene: Scene) -> str:
    """Plain Podman loads it."""
    place = scene.machine.workspace("preload")
    library = _spy(scene, f"{place}/log")
    scene.machine.run(["podman", "ps"], environment={"LD_PRELOAD": str(library)})
    seen = (place / "log").read_text()
    if "podman" not in seen:
        raise Refused(seen)
    return "loaded into podman"


def session_preload(scene: Scene) -> str:
    """LD_PRELOAD for a session: code of the workspace before the seccomp filter is on."""
    _spy(scene, "/workspace/log")
    (scene.place / "log").unlink(missing_ok=True)
    done = in_box(scene, scene.place, "true", options=["--env", "LD_PRELOAD=/workspace/spy.so"])
    assert done.code == 0, str(done)
    modes = {line[0] for line in (scene.place / "log").read_text().splitlines()}
    if modes == {"2"}:
        raise Refused("the filter was on")
    return f"seccomp modes {modes}"


def session_preload_control(scene: Scene) -> str:
    """The same in the control container without the filter."""
    _spy(scene, "/workspace/log")
    (scene.place / "log").unlink(missing_ok=True)
    words = ["podman", "exec", "--env", "LD_PRELOAD=/workspace/spy.so", f"{scene.name}-unfiltered", "true"]
    done = scene.machine.run(words)
    assert done.code == 0, str(done)
    modes = {line[0] for line in (scene.place / "log").read_text().splitlines()}
    return f"seccomp modes {modes}" if "0" in modes else worked(done, "no filter")


def session_module(scene: Scene) -> str:
    """PERL_UNSAFE_INC for a session: a module of the workspace in place of one that the launcher uses."""
    _module(scene)
    variables = ["--env", "PERL_UNSAFE_INC=1", "--env", "PERL5LIB=/workspace", "--env", "PERL5OPT=-Mstrict"]
    done = in_box(scene, scene.place, "cat", f"{ATTACK}/scene-box.json", options=variables)
    assert done.code == 0, str(done)
    if "hijacked" in done.out:
        return "the workspace's module ran"
    raise Refused("not followed")


def _module(scene: Scene) -> None:
    (scene.place / "strict.pm").write_text("package strict; print STDOUT qq(hijacked\\n); sub import {} 1;\n")
    hand_over(scene, scene.place / "strict.pm")


def session_module_control(scene: Scene) -> str:
    """A plain Perl there follows it."""
    _module(scene)
    words = ["podman", "exec", "--env", "PERL5LIB=/workspace", f"{scene.name}-unfiltered", "perl", "-e", "use strict"]
    return worked(scene.machine.run(words), "hijacked")


def runtime_variable(scene: Scene) -> str:
    """AIBOX_RUNTIME=runc, which policy has to allow."""
    place = scene.machine.workspace("runtime")
    try:
        return started(scene, place, environment={"AIBOX_RUNTIME": "runc"})
    finally:
        destroy(scene, place)


def runtime_variable_control(scene: Scene) -> str:
    """Plain Podman runs a container under runc."""
    return worked(podman_run(scene, [], ["cat", "/proc/version"]), Path("/proc/version").read_text().strip())


def unknown_variable(scene: Scene) -> str:
    """A variable that might switch something off, if aibox passed over what it does not know."""
    place = scene.machine.workspace("unknown")
    try:
        return started(scene, place, environment={"AIBOX_SECCOMP": "unconfined"})
    finally:
        destroy(scene, place)


def lying_engine(scene: Scene) -> str:
    """An engine that runs everything under runc and says otherwise."""
    place = scene.machine.workspace("lying")
    try:
        return started(scene, place, environment={"AIBOX_ENGINE_PATH": str(_liar(scene))})
    finally:
        destroy(scene, place)


def _liar(scene: Scene) -> Path:
    engine = scene.machine.workspace("liar") / "podman"
    # "--runtime PATH" becomes runc; what inspect says of the runtime is put right again
    program(scene, engine, """#!/usr/bin/python3 -I
import os, subprocess, sys
words = sys.argv[1:]
claimed = "@WRAPPER@"
if "--runtime" in words:
    words[words.index("--runtime") + 1] = "/usr/sbin/runc"
    at = words.index("--entrypoint")
    words[at:at] = ["--ulimit", "nproc=1024:1024"]
if "inspect" in words:
    done = subprocess.run(["/usr/bin/podman", *words], capture_output=True)
    sys.stdout.write(done.stdout.decode().replace("/usr/sbin/runc", claimed).replace('"runc"', f'"{claimed}"'))
    sys.stderr.write(done.stderr.decode())
    sys.exit(done.returncode)
os.execv("/usr/bin/podman", ["/usr/bin/podman", *words])
""".replace("@WRAPPER@", scene.create[scene.create.index("--runtime") + 1]))  # fmt: skip
    return engine


def lying_engine_control(scene: Scene) -> str:
    """Through it a container does run under runc."""
    words = [str(_liar(scene)), "--runtime", "aibox", "run", "--rm", "--network", "none", *LIMITS,
             "--entrypoint", '["cat"]', LOCAL_IMAGE, "/proc/version"]  # fmt: skip
    return worked(scene.machine.run(words), Path("/proc/version").read_text().strip())
