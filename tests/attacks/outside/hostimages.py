"""Images whose metadata tries to change what a box is."""

from byhand import Refused, destroy, in_box, podman_run, started, worked
from machines import LOCAL_IMAGE, Done
from scene import Scene


def image(scene: Scene, *changes: str) -> str:
    """An image with such metadata."""
    name = f"localhost/hostile/{abs(hash(changes)):x}:1"
    maker = "hostile-maker"
    options = [part for change in changes for part in ("--change", change)]
    scene.machine.run(["podman", "rm", "--force", "--ignore", maker])
    for words in (["podman", "create", "--name", maker, LOCAL_IMAGE, "true"],
                  ["podman", "commit", "--quiet", *options, maker, name]):  # fmt: skip
        done = scene.machine.run(words, timeout=120)
        assert done.code == 0, str(done)
    scene.machine.run(["podman", "rm", "--force", maker])
    return name


def look(scene: Scene, name: str, *words: str) -> Done:
    """Start a box from the image and look into it."""
    place = scene.machine.workspace("image")
    started(scene, place, "--image", name, "--caches", "")
    try:
        return in_box(scene, place, *words)
    finally:
        destroy(scene, place)


def user_root(scene: Scene) -> str:
    """USER root."""
    done = look(scene, image(scene, "USER 0:0"), "sh", "-c", "id -u; stat -c %u /proc/1")
    if done.out.split() == ["1000", "1000"]:
        raise Refused("user 1000")
    return f"user {done.out}"


def user_root_control(scene: Scene) -> str:
    """Plain Podman is root there."""
    done = podman_run(scene, [], ["id", "-u"], image(scene, "USER 0:0"))
    assert done.out == "0\n", str(done)
    return "user 0"


def _environment(scene: Scene, change: str) -> str:
    return look(scene, image(scene, change), "env").out


def preload(scene: Scene) -> str:
    """ENV LD_PRELOAD."""
    return _environment(scene, "ENV LD_PRELOAD=/workspace/evil.so")


def perl_options(scene: Scene) -> str:
    """ENV PERL5OPT, which the launcher of sessions would follow."""
    return _environment(scene, "ENV PERL5OPT=-Mevil")


def perl_options_control(scene: Scene) -> str:
    """Plain Podman: perl looks for the module."""
    done = podman_run(scene, [], ["perl", "-e", "1"], image(scene, "ENV PERL5OPT=-Mevil"))
    assert "evil.pm" in done.err, str(done)
    return "perl follows it"


def preload_control(scene: Scene) -> str:
    """Plain Podman: the loader looks for it."""
    done = podman_run(scene, [], ["true"], image(scene, "ENV LD_PRELOAD=/workspace/evil.so"))
    assert "evil.so" in done.err, str(done)
    return "the loader follows it"


def aibox_variable(scene: Scene) -> str:
    """ENV AIBOX_..., as if aibox's own."""
    return _environment(scene, "ENV AIBOX_SESSION=1")


def aibox_variable_control(scene: Scene) -> str:
    """Plain Podman hands it in."""
    return worked(podman_run(scene, [], ["env"], image(scene, "ENV AIBOX_SESSION=1")), "AIBOX_SESSION=1")


def entrypoint(scene: Scene) -> str:
    """ENTRYPOINT and CMD of its own."""
    name = image(scene, 'ENTRYPOINT ["/bin/echo","hostile"]', 'CMD ["hostile"]')
    first = look(scene, name, "cat", "/proc/1/cmdline").out
    if "hostile" not in first:
        raise Refused("aibox's own first process")
    return first


def entrypoint_control(scene: Scene) -> str:
    """Plain Podman runs it."""
    name = image(scene, 'ENTRYPOINT ["/bin/echo","hostile"]', 'CMD ["hostile"]')
    return worked(podman_run(scene, [], [], name), "hostile")


def volume(scene: Scene) -> str:
    """VOLUME: a further place that can be written."""
    name = image(scene, "VOLUME /srv")
    done = look(scene, name, "sh", "-c", "grep -c ' /srv ' /proc/mounts; touch /srv/x && echo written")
    if done.out.split() == ["0"]:
        raise Refused("no such mount")
    return done.out


def volume_control(scene: Scene) -> str:
    """Plain Podman makes and mounts it, on a read-only root too."""
    words = ["sh", "-c", "touch /srv/x && echo written"]
    return worked(podman_run(scene, ["--read-only", "--user", "0"], words, image(scene, "VOLUME /srv")), "written")


FLAG = "dev.gvisor.flag.oci-seccomp=false"
POD = "io.kubernetes.cri.container-type=container"


def gvisor_label(scene: Scene) -> str:
    """A label that looks like one of gVisor's annotations, which change its flags."""
    return look(scene, image(scene, f"LABEL {FLAG}"), "true").out


def pod_label(scene: Scene) -> str:
    """A label that looks like a pod's annotation, by which gVisor joins a sandbox that runs already."""
    return look(scene, image(scene, f"LABEL {POD}"), "true").out


def gvisor_label_control(scene: Scene) -> str:
    """Plain Podman puts it on its container."""
    return _label_control(scene, FLAG)


def pod_label_control(scene: Scene) -> str:
    """Plain Podman puts it on its container."""
    return _label_control(scene, POD)


def _label_control(scene: Scene, label: str) -> str:
    name = image(scene, f"LABEL {label}")
    done = scene.machine.run(["podman", "create", name, "true"])
    assert done.code == 0, str(done)
    identifier = done.out.strip()
    shown = scene.machine.run(["podman", "inspect", "--format", "{{.Config.Labels}}", identifier])
    scene.machine.run(["podman", "rm", identifier])
    return worked(shown, label.replace("=", ":"))
