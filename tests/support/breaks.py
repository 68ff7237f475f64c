"""Deliberate breaks of a machine: what each does, which check of doctor has to name it, and what mends it.

`how` says what is not the thing itself. `damage` and `mend` are scripts that root runs on the
machine, with the places in variables; what they need for themselves goes to /run/aibox, which is the machine's own. An
empty `mend` means that the remedy is `aibox ...` in `verb`, or, if that is empty as well, the very command that doctor
prints.
"""

from typing import NamedTuple

# what a break is: the thing itself, or something that stands in for it
REAL, STAND_IN, FLAG, RECORD = "real", "a script in its place", "named by a flag", "aibox's own record is edited"
BOTH, ROOTLESS = ("rootless", "rootful"), ("rootless",)


class Break(NamedTuple):
    """One break; `remedy` is a part of what doctor prints; `code` its exit code."""

    name: str
    check: str
    remedy: str
    damage: str
    mend: str = ""
    verb: tuple[str, ...] = ()
    code: int = 4
    level: str = "wrong"
    words: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    machines: tuple[str, ...] = ROOTLESS
    how: str = REAL


SETUP = ("setup", "--yes")
FIX = ("doctor", "--fix", "--yes")
ENGINE_HERE = ("--engine-path", "/run/aibox/test-engine")
START_BOX = 'become aibox start --workspace "$PLACE" >/dev/null'
STOP_BOX = 'become aibox stop --workspace "$PLACE" >/dev/null'


def engine(script: str) -> str:
    """A program in the engine's place."""
    return f"printf '%s\\n' '#!/bin/sh' {script} > /run/aibox/test-engine; chmod 0755 /run/aibox/test-engine"


BREAKS = (
    Break("runsc removed", "runsc", "aibox setup", 'mv "$RUNSC" "$RUNSC.away"', 'mv "$RUNSC.away" "$RUNSC"',
          machines=BOTH),
    Break("runsc not executable", "runsc", "chmod a+rx", 'chmod 0644 "$RUNSC"', machines=BOTH),
    Break("runsc too old", "runsc-flags", "release 20230801 or newer",
          'cp "$RUNSC" "$RUNSC.away" && cp "$OLD_RUNSC" "$RUNSC"', 'mv "$RUNSC.away" "$RUNSC"', machines=BOTH),
    Break("no runsc at all in its place", "runsc-flags", "aibox setup --runsc",
          'cp "$RUNSC" "$RUNSC.away" && cp /bin/false "$RUNSC"', 'mv "$RUNSC.away" "$RUNSC"',
          how=STAND_IN),
    Break("runsc exchanged", "runsc-unchanged", "aibox setup", 'printf x >> "$RUNSC"', verb=SETUP, code=3,
          machines=BOTH),
    Break("wrapper edited", "wrapper", "aibox setup", 'echo "# x" >> "$WRAPPER/aibox-runsc"', verb=SETUP, code=3,
          machines=BOTH),
    Break("launcher edited", "wrapper", "aibox setup", 'echo "# x" >> "$WRAPPER/launch.py"', verb=SETUP, code=3),
    Break("outer filter emptied", "wrapper", "aibox setup", ': > "$WRAPPER/outer.bpf"', verb=SETUP, code=3),
    Break("wrapper incomplete", "wrapper", "aibox setup", 'rm "$WRAPPER/session.bpf"', verb=SETUP, code=3),
    Break("wrapper writable by others", "wrapper", "aibox setup", 'chmod o+w "$WRAPPER/aibox-runsc"', verb=SETUP,
          code=3),
    Break("wrapper not executable", "wrapper", "aibox setup", 'chmod 0644 "$WRAPPER/aibox-runsc"', verb=SETUP, code=3),
    Break("another kernel", "wrapper-current", "aibox setup",
          r"""sed -i 's/"kernel": *"[^"]*"/"kernel": "5.0.0-old"/g' "$DATA/setup.json" """, verb=SETUP, machines=BOTH,
          how=RECORD),
    Break("another platform asked for", "wrapper-current", "aibox setup",
          'mkdir -p "$CONFIG" && echo "platform: ptrace" > "$CONFIG/config.yaml" && own "$CONFIG"',
          'rm "$CONFIG/config.yaml"'),
    Break("another runsc asked for", "wrapper-current", "aibox setup",
          'mkdir -p "$CONFIG" && echo "runsc_path: /usr/bin/true" > "$CONFIG/config.yaml" && own "$CONFIG"',
          'rm "$CONFIG/config.yaml"'),
    Break("not registered", "registration", "aibox doctor --fix", 'rm "$CONTAINERS/containers.conf.d/50-aibox.conf"',
          verb=FIX, machines=BOTH),
    Break("registered as another program", "registration", "grep -r aibox",
          r"""printf '[engine.runtimes]\naibox = ["/usr/bin/true"]\n' > "$CONTAINERS/containers.conf.d/99-x.conf" """
          '&& own "$CONTAINERS"', 'rm "$CONTAINERS/containers.conf.d/99-x.conf"', machines=BOTH),
    Break("seccomp profile with a blank more", "seccomp-profile", "aibox doctor --fix", 'printf " " >> "$SECCOMP"',
          verb=FIX, code=3, machines=BOTH),
    Break("seccomp profile that allows all", "seccomp-profile", "aibox doctor --fix",
          """echo '{"defaultAction": "SCMP_ACT_ALLOW"}' > "$SECCOMP" """, verb=FIX, code=3),
    Break("seccomp profile missing", "seccomp-profile", "aibox doctor --fix", 'rm "$SECCOMP"', verb=FIX, code=3),
    Break("image missing", "image", "aibox setup", 'become podman untag "$IMAGE"',
          'become podman tag "$IMAGE_ID" "$IMAGE"', machines=BOTH),
    Break("another image under the name", "image", "aibox setup",
          'tar -C "$DATA" -cf /tmp/x.tar seccomp.json; become podman import -q /tmp/x.tar "$IMAGE" >/dev/null',
          'become podman untag "$IMAGE"; become podman tag "$IMAGE_ID" "$IMAGE"'),
    Break("image unsigned where policy wants a signature", "image-signature", "a signed image",
          "echo 'require_signature: true' > /etc/aibox/policy.yaml", "rm /etc/aibox/policy.yaml", code=3),
    Break("policy.json missing", "trust-policy", "reinstall the package",
          "mv /etc/containers/policy.json /etc/containers/policy.away",
          "mv /etc/containers/policy.away /etc/containers/policy.json", machines=BOTH),
    Break("policy.json damaged", "trust-policy", "correct /etc/containers/policy.json",
          "cp -a /etc/containers/policy.json /etc/containers/policy.away; echo '{' > /etc/containers/policy.json",
          "mv /etc/containers/policy.away /etc/containers/policy.json"),
    Break("policy.json rejects", "trust-policy", "",
          """cp -a /etc/containers/policy.json /etc/containers/policy.away
          echo '{"default": [{"type": "reject"}]}' > /etc/containers/policy.json""",
          "mv /etc/containers/policy.away /etc/containers/policy.json", code=0, level="note"),
    Break("hook for every container", "hooks", "rm /etc/containers/oci/hooks.d/x.json",
          """mkdir -p /etc/containers/oci/hooks.d
          echo '{"version": "1.0.0", "hook": {"path": "/usr/bin/true"}, "when": {"always": true},
                 "stages": ["prestart"]}' > /etc/containers/oci/hooks.d/x.json""", machines=BOTH),
    Break("hook for some containers", "hooks", "", """mkdir -p /etc/containers/oci/hooks.d
          echo '{"version": "1.0.0", "hook": {"path": "/usr/bin/true"}, "when": {"annotations": {"^x$": "."}},
                 "stages": ["prestart"]}' > /etc/containers/oci/hooks.d/x.json""",
          "rm /etc/containers/oci/hooks.d/x.json", code=0, level="note"),
    Break("folder added to every container", "added-mounts", "mounts.conf",
          "echo /usr/share/doc:/run/secrets > /etc/containers/mounts.conf", machines=BOTH),
    Break("CONTAINERS_CONF set", "environment", "unset CONTAINERS_CONF", "true", "true", code=0, level="note",
          environment=(("CONTAINERS_CONF", "/nonexistent"),), machines=BOTH),
    Break("CONTAINER_HOST set", "environment", "unset CONTAINER_HOST", "true", "true", code=0, level="note",
          environment=(("CONTAINER_HOST", "ssh://x@y/z"),)),
    Break("XDG_RUNTIME_DIR missing", "runtime-dir", "/run/user/", "true", "true",
          environment=(("XDG_RUNTIME_DIR", ""),)),
    Break("XDG_RUNTIME_DIR of nobody", "runtime-dir", "/run/user/", "true", "true",
          environment=(("XDG_RUNTIME_DIR", "/run/user/4242"),)),
    Break("XDG_RUNTIME_DIR open to others", "runtime-dir", "chmod 0700", 'chmod 0755 "/run/user/$ID"'),
    Break("newuidmap without its bit", "mapping-tools", "chmod u+s",
          "cp /usr/bin/newuidmap /run/aibox/newuidmap; chmod 0755 /run/aibox/newuidmap; "
          "mount --bind /run/aibox/newuidmap /usr/bin/newuidmap"),
    Break("subuid without the user", "id-ranges", "usermod --add-subuids",
          ": > /run/aibox/subuid; mount --bind /run/aibox/subuid /etc/subuid", "umount /etc/subuid"),
    Break("subgid too small", "id-ranges", "usermod --add-subuids",
          'echo "$NAME:100000:1000" > /run/aibox/subgid; mount --bind /run/aibox/subgid /etc/subgid',
          "umount /etc/subgid"),
    Break("unknown key in the configuration", "config", "",
          'mkdir -p "$CONFIG" && echo "imge: x" > "$CONFIG/config.yaml" && own "$CONFIG"', 'rm "$CONFIG/config.yaml"'),
    Break("configuration writable by others", "config", "chmod go-w",
          'mkdir -p "$CONFIG" && echo "pull: never" > "$CONFIG/config.yaml" && chmod 0666 "$CONFIG/config.yaml" '
          '&& own "$CONFIG"', 'rm "$CONFIG/config.yaml"'),
    Break("policy of somebody else", "policy", "chown 0",
          'echo "max_cpus: 64" > /etc/aibox/policy.yaml; chown 1000 /etc/aibox/policy.yaml',
          "rm /etc/aibox/policy.yaml", code=3),
    Break("policy with an unknown key", "policy", "", 'echo "max_cpu: 64" > /etc/aibox/policy.yaml',
          "rm /etc/aibox/policy.yaml", code=3),
    Break("engine missing", "engine", "aibox setup", "true", "true", words=("--engine-path", "/nonexistent/podman"),
          how=FLAG),
    Break("engine too old", "engine", "install Podman", engine("'echo podman version 3.4.4'"), "true",
          words=ENGINE_HERE, how=STAND_IN),
    Break("engine that is none", "engine", "aibox setup", engine("'echo hello'"), "true", words=ENGINE_HERE,
          how=STAND_IN),
    Break("engine fails", "engine-answers", "podman info",
          engine("'case $1 in --version) echo podman version 4.3.1; exit ;; esac' 'echo Error: locked >&2; exit 125'"),
          "true", words=ENGINE_HERE, how=STAND_IN),
    Break("engine hangs", "engine-answers", "podman info",
          engine("'case $1 in --version) echo podman version 4.3.1 ;; *) sleep 600 ;; esac'"), "true",
          words=ENGINE_HERE, how=STAND_IN),
    Break("own folder writable by others", "own-folder", "chmod go-w", 'chmod g+w "$DATA"', verb=FIX, code=3,
          machines=BOTH),
    Break("own folder without exec", "own-folder", "mount it with exec",
          'mount --bind "$DATA" "$DATA" && mount -o remount,bind,noexec "$DATA"', 'umount "$DATA"', machines=BOTH),
    Break("own folder full", "data-space", "free some space",
          'cp -a "$DATA" /run/aibox/kept; size=$(( $(du -sk "$DATA" | cut -f1) + 12000 )); '
          'mount -t tmpfs -o size="$size"k,mode=0700,uid="$ID" none "$DATA"; '
          'cp -a /run/aibox/kept/. "$DATA"', 'umount "$DATA"; rm -r /run/aibox/kept', machines=BOTH),
    Break("more memory asked for than there is", "memory", "--memory", "true", "true", code=0, level="note",
          words=("--memory", "4000G"), how=FLAG),
    Break("record of setup lost", "setup", "aibox setup", 'mv "$DATA/setup.json" "$DATA/setup.away"',
          'mv "$DATA/setup.away" "$DATA/setup.json"', machines=BOTH),
    Break("lock held", "locks", "fuser",
          'mkdir -p "$RUN/locks"; own "$RUN"; (become flock -o "$RUN/locks/x.lock" sleep 60) >/dev/null 2>&1 & '
          'sleep 0.5', 'become pkill -f "flock -o $RUN/locks/x.lock"; rm "$RUN/locks/x.lock"', code=0, level="note"),
    Break("box removed by hand", "box-notes", "aibox doctor --fix",
          f'{START_BOX}; become podman rm --force --time 0 "$(become podman ps -q)" >/dev/null', verb=FIX, code=0,
          level="note", machines=BOTH),
    Break("box without notes", "box-orphans", "podman rm --force",
          f'{START_BOX}; rm "$DATA"/boxes/*.json', code=0, level="note", machines=BOTH),
    Break("workspace removed", "box-workspaces", "aibox destroy --workspace",
          f'{START_BOX}; {STOP_BOX}; rm -r "$PLACE"', code=0, level="note"),
    Break("workspace exchanged", "box-workspaces", "aibox destroy --workspace",
          f'{START_BOX}; {STOP_BOX}; mv "$PLACE" "$PLACE.old"; mkdir "$PLACE"; own "$PLACE"', code=0, level="note"),
    Break("record of a running box changed", "box-drift", "aibox restart --workspace",
          f"""{START_BOX}; sed -i 's/"network": *"none"/"network": "host"/' "$DATA"/boxes/*.json""", code=3,
          how=RECORD),
    Break("leftover of a killed check", "box-leftovers", "aibox doctor --fix",
          "become podman volume create aibox-x.proof99999999-home >/dev/null", verb=FIX, code=0, level="note",
          machines=BOTH),
)  # fmt: skip
