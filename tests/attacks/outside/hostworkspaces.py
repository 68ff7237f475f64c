"""Workspaces that are not what they seem when a box is started for them."""

import shutil
from pathlib import Path

from byhand import LIMITS, Refused, destroy, folder, hand_over, in_box, podman_run, program, quoted, started, worked
from machines import LOCAL_IMAGE
from scene import Scene


def _reads_release(scene: Scene, path: Path | str) -> str:
    """Control: plain Podman mounts what the path leads to."""
    return worked(podman_run(scene, ["--volume", f"{path}:/w"], ["head", "-1", "/w/os-release"]))


def symlink(scene: Scene) -> str:
    """A workspace that is a symlink to the host's settings."""
    link = scene.machine.workspace("link") / "project"
    link.symlink_to("/etc")
    return started(scene, link)


def symlink_control(scene: Scene) -> str:
    """As above."""
    link = scene.machine.workspace("link") / "project"
    link.symlink_to("/etc")
    return _reads_release(scene, link)


def dots(scene: Scene) -> str:
    """A path that climbs out by dots."""
    return started(scene, f"{scene.machine.workspace('dots')}/../../../../../../../../etc")


def dots_control(scene: Scene) -> str:
    """As above."""
    return _reads_release(scene, f"{scene.machine.workspace('dots')}/../../../../../../../../etc")


def inner_symlink(scene: Scene) -> str:
    """A folder in a workspace that a box replaced by a symlink, opened as a workspace of its own."""
    return started(scene, _inner_link(scene))


def _inner_link(scene: Scene) -> Path:
    done = in_box(scene, scene.place, "ln", "-sfn", "/etc", "/workspace/subproject")
    assert done.code == 0, str(done)
    assert (scene.place / "subproject").is_symlink()
    return scene.place / "subproject"


def inner_symlink_control(scene: Scene) -> str:
    """As above."""
    return _reads_release(scene, _inner_link(scene))


def swapping_engine(scene: Scene, verb: str, place: Path, target: Path) -> Path:
    """An engine that, just before it does `verb`, exchanges the workspace for a symlink."""
    engine = scene.machine.workspace("engine") / "podman"
    moved = f"{place}.moved"
    program(scene, engine, f"""#!/bin/sh
case " $* " in *" {verb} "*)
    [ -e {quoted(moved)} ] || {{ mv {quoted(place)} {quoted(moved)} && ln -s {quoted(target)} {quoted(place)}; }} ;;
esac
exec /usr/bin/podman "$@"
""")  # fmt: skip
    return engine


def _swapped(scene: Scene, verb: str) -> str:
    place, target = scene.machine.workspace("swapped"), folder(scene, "target")
    engine = swapping_engine(scene, verb, place, target)
    try:
        started(scene, place, "--engine-path", str(engine))
        assert place.is_symlink(), "the workspace was not exchanged"
        seen = scene.machine.run(["podman", "exec", "--latest", "cat", "/workspace/secret"])
        if seen.code == 0:
            return f"the box sees {seen.out}"
        raise Refused("the box has the folder that was checked")
    finally:
        scene.machine.run(["sh", "-c", quoted("rm", "-f", place) + "; " + quoted("mv", f"{place}.moved", place)])
        destroy(scene, place)


def swapped_before_create(scene: Scene) -> str:
    """Exchanged for a symlink after it was checked."""
    return _swapped(scene, "image")


def swapped_before_init(scene: Scene) -> str:
    """Exchanged for a symlink after the box was made and before it is set up."""
    return _swapped(scene, "init")


def swapped_control(scene: Scene) -> str:
    """Plain Podman, the same exchange between create and start."""
    place, target = scene.machine.workspace("swapped"), folder(scene, "target")
    name = f"swapped-{target.name}"
    options = ["--name", name, "--network", "none", *LIMITS, "--volume", f"{place}:/w"]
    create = ["podman", "--runtime", "runc", "create", *options, LOCAL_IMAGE, "cat", "/w/secret"]
    try:
        assert scene.machine.run(create).code == 0
        shutil.rmtree(place)
        place.symlink_to(target)
        return worked(scene.machine.run(["podman", "start", "--attach", name]), "secret")
    finally:
        scene.machine.run(["podman", "rm", "--force", "--time", "0", name])


def cache_parent(scene: Scene) -> str:
    """A box replaces the folder above a cache by a symlink; the next start makes that cache's folder through it."""
    target = folder(scene, "chain")
    place = scene.machine.workspace("caches")
    started(scene, place, "--caches", "")
    try:
        aside = f"mv ~/.cargo ~/.cargo-kept && ln -s {quoted(target)} ~/.cargo"
        done = in_box(scene, place, "sh", "-c", aside)
        assert done.code == 0, str(done)
        destroy(scene, place)
        try:
            started(scene, place, "--caches", "cargo")
        except Refused:
            found = sorted(path.name for path in target.iterdir())
            if found != ["secret"] or target.stat().st_uid != scene.machine.uid:
                return f"{target} holds {found}"
            raise
        found = sorted(path.name for path in target.iterdir())
        if found == ["secret"] and target.stat().st_uid == scene.machine.uid:
            raise Refused("nothing outside changed")
        return f"{target} holds {found}"
    finally:
        destroy(scene, place)
        started(scene, place, "--caches", "")
        mend = "[ -d ~/.cargo-kept ] && rm -f ~/.cargo && mv ~/.cargo-kept ~/.cargo"
        done = in_box(scene, place, "sh", "-c", mend)
        assert done.code == 0, str(done)
        destroy(scene, place)


def cache_parent_control(scene: Scene) -> str:
    """A tool that makes the folder from outside by its name follows the link."""
    target, home = folder(scene, "chain"), scene.machine.workspace("volume")
    (home / ".cargo").symlink_to(target)
    hand_over(scene, home / ".cargo")
    worked(scene.machine.run(["mkdir", "-p", f"{home}/.cargo/registry"]))
    assert (target / "registry").is_dir()
    return f"made {target}/registry"


PRETENDERS = ("aibox.yaml", ".aibox.yaml", "config.yaml", "policy.yaml", ".env", "containers.conf", "storage.conf")


def pretending_files(scene: Scene) -> str:
    """Files in a workspace that pretend to be settings or modules, with the caller right beside them."""
    place = scene.machine.workspace("pretending")
    marker = place / "marker"
    for name in PRETENDERS:
        (place / name).write_text("runtime: runc\nAIBOX_RUNTIME=runc\n[containers]\nvolumes = ['/etc:/host']\n")
    for name in ("json.py", "os.py", "sitecustomize.py", "usercustomize.py", "aibox.py"):
        (place / name).write_text(f"open({str(marker)!r}, 'a').write(__name__)\n")
    for name in ("podman", "perl", "python3", "newuidmap"):
        program(scene, place / name, f"#!/bin/sh\necho {name} >> {quoted(marker)}\n")
    hand_over(scene, place, *place.iterdir())
    script = 'cd "$1" && shift && exec "$@"'
    try:
        words = [str(scene.machine.zipapp), "run", "--", "sh", "-c", "cat /proc/version; ls /host"]
        done = scene.machine.run(["sh", "-c", script, "sh", str(place), *words])
        if marker.exists():
            return f"ran {marker.read_text()}"
        if "gvisor" not in done.out and "4.4.0" not in done.out:
            return f"another runtime: {done}"
        assert "No such file" in done.err, str(done)
        raise Refused("not read")
    finally:
        destroy(scene, place)


def pretending_files_control(scene: Scene) -> str:
    """A Python started there runs the workspace's module."""
    place = scene.machine.workspace("pretending")
    (place / "json.py").write_text("print('the workspace ran')\n")
    hand_over(scene, place / "json.py")
    words = ["sh", "-c", 'cd "$1" && exec python3 -c "import json"', "sh", str(place)]
    return worked(scene.machine.run(words), "the workspace ran")
