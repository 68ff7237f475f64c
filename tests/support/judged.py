"""Facts of a host as doctor's judgements take them, each broken alone, and the nearest facts that are still right.

They are injected: no machine here has them. What is broken on real machines stands in breaks.py.
"""

from aibox import doctorjudge as judge
from aibox.doctorjudge import NOTE, OK, WRONG, Look, Space, Tool

MIB, GIB = 1 << 20, 1 << 30
SETUID_TOOL = Tool("newuidmap", "/usr/bin/newuidmap", 0, 0o104755, capabilities=False)
CAPABLE_TOOL = Tool("newgidmap", "/usr/bin/newgidmap", 0, 0o100755, capabilities=True)
GOOD_IDS = {"/etc/subuid": b"dev1:100000:65536\n", "/etc/subgid": b"1001:100000:65536\n"}
OLD_CONMON, TTY = "conmon version 2.1.6, commit: unknown", "case $argument in\n --tty | --tty=*) continue ;;"
HOOK = b'{"version": "1.0.0", "hook": {"path": "/bin/x"}, "when": {"always": true}}'
RARE_HOOK = b'{"version": "1.0.0", "hook": {"path": "/bin/x"}, "when": {"annotations": {"x": "y"}}}'
POLICY = b'{"default": [{"type": "insecureAcceptAnything"}]}'


def storage(driver: str) -> Look:
    return judge.storage({"store": {"graphDriverName": driver, "graphRoot": "/s"}})


# the check, a name, the verdict, its level, what the evidence or the remedy says
CASES: list[tuple[str, str, Look, str, str]] = [
    ("mapping-tools", "tools", judge.mapping_tools([SETUID_TOOL, CAPABLE_TOOL]), OK, "/usr/bin/newuidmap"),
    (
        "mapping-tools",
        "newuidmap missing",
        judge.mapping_tools([SETUID_TOOL._replace(path=""), CAPABLE_TOOL]),
        WRONG,
        "uidmap",
    ),
    (
        "mapping-tools",
        "newgidmap missing",
        judge.mapping_tools([SETUID_TOOL, CAPABLE_TOOL._replace(path="")]),
        WRONG,
        "newgidmap",
    ),
    (
        "mapping-tools",
        "no setuid",
        judge.mapping_tools([SETUID_TOOL._replace(mode=0o100755)]),
        WRONG,
        "chmod u+s /usr/bin/newuidmap",
    ),
    (
        "mapping-tools",
        "setuid to a user",
        judge.mapping_tools([SETUID_TOOL._replace(uid=1000)]),
        WRONG,
        "neither setuid root",
    ),
    (
        "mapping-tools",
        "no capability",
        judge.mapping_tools([CAPABLE_TOOL._replace(capabilities=False)]),
        WRONG,
        "cap_setgid",
    ),
    ("id-ranges", "ids", judge.id_ranges("dev1", 1001, GOOD_IDS), OK, "65536 ids for dev1"),
    ("id-ranges", "ids of another", judge.id_ranges("dev2", 1002, GOOD_IDS), WRONG, "no range for dev2"),
    (
        "id-ranges",
        "too few ids",
        judge.id_ranges("dev1", 1001, {**GOOD_IDS, "/etc/subgid": b"dev1:1:999\n"}),
        WRONG,
        "/etc/subgid",
    ),
    (
        "id-ranges",
        "no file",
        judge.id_ranges("dev1", 1001, {"/etc/subuid": None, "/etc/subgid": None}),
        WRONG,
        "usermod",
    ),
    (
        "runtime-dir",
        "runtime folder",
        judge.runtime_folder("/run/user/1001", 1001, 1001, 0o40700),
        OK,
        "/run/user/1001",
    ),
    ("runtime-dir", "none", judge.runtime_folder("", 1001, None, 0), WRONG, "not set"),
    ("runtime-dir", "gone", judge.runtime_folder("/run/user/1001", 1001, None, 0), WRONG, "not there"),
    ("runtime-dir", "root's", judge.runtime_folder("/run/user/0", 1001, 0, 0o40700), WRONG, "belongs to uid 0"),
    ("runtime-dir", "open", judge.runtime_folder("/run/user/1001", 1001, 1001, 0o40755), WRONG, "chmod 0700"),
    ("user-namespaces", "namespaces", judge.user_namespaces("9999", "", "", root=False), OK, "9999"),
    ("user-namespaces", "namespaces off", judge.user_namespaces("0", "", "", root=True), WRONG, "max_user_namespaces"),
    (
        "user-namespaces",
        "unprivileged off",
        judge.user_namespaces("9999", "0", "", root=False),
        WRONG,
        "unprivileged_userns_clone",
    ),
    ("user-namespaces", "unprivileged off, root", judge.user_namespaces("9999", "0", "", root=True), OK, ""),
    ("user-namespaces", "restricted", judge.user_namespaces("9999", "1", "1", root=False), OK, "AppArmor restricts"),
    ("ptrace-scope", "no Yama", judge.ptrace_scope(""), OK, "no Yama"),
    ("ptrace-scope", "scope 1", judge.ptrace_scope("1"), OK, "1"),
    ("ptrace-scope", "scope 2", judge.ptrace_scope("2"), NOTE, "directfs"),
    ("ptrace-scope", "scope 3", judge.ptrace_scope("3"), WRONG, "until a reboot"),
    ("kernel-seccomp", "seccomp", judge.kernel_seccomp("kill_process errno allow"), OK, "errno"),
    ("kernel-seccomp", "no seccomp", judge.kernel_seccomp(""), WRONG, "no seccomp filters"),
    ("kernel-seccomp", "seccomp without errno", judge.kernel_seccomp("kill_process allow"), WRONG, "errno"),
    ("cgroups", "v2, root", judge.cgroups("v2", None, root=True), OK, "v2"),
    ("cgroups", "v2, user", judge.cgroups("v2", "cpuset cpu io memory pids\n", root=False), OK, "memory"),
    ("cgroups", "v2 without cpu", judge.cgroups("v2", "memory pids", root=False), NOTE, "hand cpu to users"),
    ("cgroups", "v2 without a session", judge.cgroups("v2", None, root=False), NOTE, "no systemd session"),
    ("cgroups", "hybrid, root", judge.cgroups("hybrid v1", None, root=True), NOTE, "old controllers"),
    ("cgroups", "hybrid, user", judge.cgroups("hybrid v1", None, root=False), NOTE, "not enforced"),
    ("linger", "linger", judge.linger(root=False, systemd=True, enabled=True, name="dev1"), OK, "dev1"),
    (
        "linger",
        "no linger",
        judge.linger(root=False, systemd=True, enabled=False, name="dev1"),
        NOTE,
        "enable-linger dev1",
    ),
    ("linger", "linger of root", judge.linger(root=True, systemd=True, enabled=False, name="root"), OK, ""),
    ("confinement", "no confinement", judge.confinement("none", "", "", "reduced mode: x"), NOTE, "reduced mode"),
    (
        "confinement",
        "AppArmor",
        judge.confinement("apparmor", "aibox-runsc", "", "AppArmor confines runsc"),
        OK,
        "confines",
    ),
    (
        "confinement",
        "profile gone",
        judge.confinement("apparmor", "aibox-runsc", "not loaded: x", ""),
        WRONG,
        "not loaded: x",
    ),
    (
        "confinement",
        "AppArmor unused",
        judge.confinement("apparmor", "", "not loaded: x", "reduced"),
        NOTE,
        "sudo aibox setup",
    ),
    ("landlock", "Landlock", judge.landlock(6), OK, "ABI 6"),
    ("landlock", "Landlock without scopes", judge.landlock(5), NOTE, "abstract sockets and signals"),
    ("landlock", "Landlock without TCP", judge.landlock(3), NOTE, "TCP"),
    ("landlock", "no Landlock", judge.landlock(0), NOTE, "no Landlock"),
    ("memory", "memory", judge.memory(16 * GIB, 8 * GIB, 8 * GIB), OK, "16384 MiB"),
    ("memory", "memory full", judge.memory(16 * GIB, 100 * MIB, 8 * GIB), NOTE, "little is free"),
    ("memory", "memory exceeded", judge.memory(4 * GIB, 3 * GIB, 8 * GIB), NOTE, "--memory 4G"),
    ("data-space", "space", judge.space(Space("/s", 5 * GIB, 1000), MIB, GIB), OK, "5120 MiB"),
    ("data-space", "little space", judge.space(Space("/s", 100 * MIB, -1), MIB, GIB), NOTE, "advised"),
    ("data-space", "no space", judge.space(Space("/s", 0, -1), MIB, GIB), WRONG, "0 MiB only"),
    ("data-space", "no inodes", judge.space(Space("/s", 5 * GIB, 3), MIB, GIB), WRONG, "3 files only"),
    ("own-folder", "folder", judge.folder("/d", 1001, 1001, 0o40700, noexec=False), OK, "/d"),
    ("own-folder", "no folder", judge.folder("/d", 1001, None, 0, noexec=False), OK, "not made yet"),
    ("own-folder", "another's folder", judge.folder("/d", 1001, 1002, 0o40700, noexec=False), WRONG, "chown 1001"),
    ("own-folder", "open folder", judge.folder("/d", 1001, 1001, 0o40770, noexec=False), WRONG, "chmod go-w"),
    ("own-folder", "noexec", judge.folder("/d", 1001, 1001, 0o40700, noexec=True), WRONG, "noexec"),
    ("environment", "no redirection", judge.redirected([]), OK, ""),
    (
        "environment",
        "redirection",
        judge.redirected(["DOCKER_HOST", "CONTAINER_HOST"]),
        NOTE,
        "unset DOCKER_HOST CONTAINER_HOST",
    ),
    ("wsl", "no WSL", judge.windows([]), OK, "not WSL"),
    (
        "wsl",
        "WSL2",
        judge.windows([("kernel", "ok", "6.6", ""), ("systemd", "ok", "it runs", "")]),
        OK,
        "kernel: 6.6; systemd",
    ),
    (
        "wsl",
        "WSL2 odd",
        judge.windows([("a", "ok", "b", ""), ("systemd", "warning", "off", "turn on")]),
        NOTE,
        "turn on",
    ),
    (
        "wsl",
        "WSL2 wrong",
        judge.windows([("kernel", "error", "4.19", "update"), ("c", "warning", "d", "e")]),
        WRONG,
        "4.19",
    ),
    ("storage-driver", "overlay", storage("overlay"), OK, "overlay in /s"),
    ("storage-driver", "vfs", storage("vfs"), NOTE, "copies the whole image"),
    ("conmon", "conmon", judge.monitor("conmon version 2.1.12, commit: x", ""), OK, "2.1.12"),
    ("conmon", "old conmon", judge.monitor(OLD_CONMON, TTY), OK, "the wrapper drops it"),
    ("conmon", "old conmon, no wrapper", judge.monitor(OLD_CONMON, "exec runsc"), WRONG, "does not drop it"),
    ("conmon", "no conmon", judge.monitor("", TTY), WRONG, "install the package conmon"),
    ("trust-policy", "trust", judge.trust("/p", POLICY, ""), OK, "insecureAcceptAnything"),
    ("trust-policy", "no trust file", judge.trust("/p", None, ""), WRONG, "missing"),
    ("trust-policy", "trust file damaged", judge.trust("/p", b"{", "line 1"), WRONG, "not JSON"),
    ("trust-policy", "strict trust", judge.trust("/p", b'{"default": [{"type": "reject"}]}', ""), NOTE, "podman load"),
    ("hooks", "no hooks", judge.hooks({}), OK, ""),
    ("hooks", "hook", judge.hooks({"/h/x.json": HOOK}), WRONG, "rm /h/x.json"),
    ("hooks", "rare hook", judge.hooks({"/h/x.json": RARE_HOOK}), NOTE, "/h/x.json"),
    ("hooks", "damaged hook", judge.hooks({"/h/x.json": b"{"}), WRONG, "/h/x.json"),
    ("added-mounts", "no mounts", judge.added_mounts({"/m": []}), OK, ""),
    ("added-mounts", "mounts", judge.added_mounts({"/m": ["/a:/b"]}), WRONG, "/m adds /a:/b"),
    ("image-signature", "signed", judge.signature("r/i:1", "GPG, key X", local=False, required=True), OK, "GPG, key X"),
    (
        "image-signature",
        "local image",
        judge.signature("localhost/i:1", "", local=True, required=False),
        OK,
        "no signature to check",
    ),
    (
        "image-signature",
        "unknown signature",
        judge.signature("r/i:1", "", local=False, required=False),
        NOTE,
        "unknown",
    ),
    (
        "image-signature",
        "signature required",
        judge.signature("r/i:1", "", local=False, required=True),
        WRONG,
        "policy requires",
    ),
    (
        "image-signature",
        "local, required",
        judge.signature("localhost/i:1", "", local=True, required=True),
        WRONG,
        "policy requires",
    ),
]
