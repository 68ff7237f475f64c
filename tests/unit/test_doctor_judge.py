"""What doctor concludes from what it saw: each fact broken alone, and the nearest facts that are still right."""

import pytest

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


# name, the verdict, its level, what the evidence or the remedy says
CASES: list[tuple[str, Look, str, str]] = [
    ("tools", judge.mapping_tools([SETUID_TOOL, CAPABLE_TOOL]), OK, "/usr/bin/newuidmap"),
    ("newuidmap missing", judge.mapping_tools([SETUID_TOOL._replace(path=""), CAPABLE_TOOL]), WRONG, "uidmap"),
    ("newgidmap missing", judge.mapping_tools([SETUID_TOOL, CAPABLE_TOOL._replace(path="")]), WRONG, "newgidmap"),
    ("no setuid", judge.mapping_tools([SETUID_TOOL._replace(mode=0o100755)]), WRONG, "chmod u+s /usr/bin/newuidmap"),
    ("setuid to a user", judge.mapping_tools([SETUID_TOOL._replace(uid=1000)]), WRONG, "neither setuid root"),
    ("no capability", judge.mapping_tools([CAPABLE_TOOL._replace(capabilities=False)]), WRONG, "cap_setgid"),
    ("ids", judge.id_ranges("dev1", 1001, GOOD_IDS), OK, "65536 ids for dev1"),
    ("ids of another", judge.id_ranges("dev2", 1002, GOOD_IDS), WRONG, "no range for dev2"),
    ("too few ids", judge.id_ranges("dev1", 1001, {**GOOD_IDS, "/etc/subgid": b"dev1:1:999\n"}), WRONG, "/etc/subgid"),
    ("no file", judge.id_ranges("dev1", 1001, {"/etc/subuid": None, "/etc/subgid": None}), WRONG, "usermod"),
    ("runtime folder", judge.runtime_folder("/run/user/1001", 1001, 1001, 0o40700), OK, "/run/user/1001"),
    ("none", judge.runtime_folder("", 1001, None, 0), WRONG, "not set"),
    ("gone", judge.runtime_folder("/run/user/1001", 1001, None, 0), WRONG, "not there"),
    ("root's", judge.runtime_folder("/run/user/0", 1001, 0, 0o40700), WRONG, "belongs to uid 0"),
    ("open", judge.runtime_folder("/run/user/1001", 1001, 1001, 0o40755), WRONG, "chmod 0700"),
    ("namespaces", judge.user_namespaces("9999", "", "", root=False), OK, "9999"),
    ("namespaces off", judge.user_namespaces("0", "", "", root=True), WRONG, "max_user_namespaces"),
    ("unprivileged off", judge.user_namespaces("9999", "0", "", root=False), WRONG, "unprivileged_userns_clone"),
    ("unprivileged off, root", judge.user_namespaces("9999", "0", "", root=True), OK, ""),
    ("restricted", judge.user_namespaces("9999", "1", "1", root=False), OK, "AppArmor restricts"),
    ("no Yama", judge.ptrace_scope(""), OK, "no Yama"),
    ("scope 1", judge.ptrace_scope("1"), OK, "1"),
    ("scope 2", judge.ptrace_scope("2"), NOTE, "directfs"),
    ("scope 3", judge.ptrace_scope("3"), WRONG, "until a reboot"),
    ("seccomp", judge.kernel_seccomp("kill_process errno allow"), OK, "errno"),
    ("no seccomp", judge.kernel_seccomp(""), WRONG, "no seccomp filters"),
    ("seccomp without errno", judge.kernel_seccomp("kill_process allow"), WRONG, "errno"),
    ("v2, root", judge.cgroups("v2", None, root=True), OK, "v2"),
    ("v2, user", judge.cgroups("v2", "cpuset cpu io memory pids\n", root=False), OK, "memory"),
    ("v2 without cpu", judge.cgroups("v2", "memory pids", root=False), NOTE, "hand cpu to users"),
    ("v2 without a session", judge.cgroups("v2", None, root=False), NOTE, "no systemd session"),
    ("hybrid, root", judge.cgroups("hybrid v1", None, root=True), NOTE, "old controllers"),
    ("hybrid, user", judge.cgroups("hybrid v1", None, root=False), NOTE, "not enforced"),
    ("linger", judge.linger(root=False, systemd=True, enabled=True, name="dev1"), OK, "dev1"),
    ("no linger", judge.linger(root=False, systemd=True, enabled=False, name="dev1"), NOTE, "enable-linger dev1"),
    ("linger of root", judge.linger(root=True, systemd=True, enabled=False, name="root"), OK, ""),
    ("no confinement", judge.confinement("none", "", "", "reduced mode: x"), NOTE, "reduced mode"),
    ("AppArmor", judge.confinement("apparmor", "aibox-runsc", "", "AppArmor confines runsc"), OK, "confines"),
    ("profile gone", judge.confinement("apparmor", "aibox-runsc", "not loaded: x", ""), WRONG, "not loaded: x"),
    ("AppArmor unused", judge.confinement("apparmor", "", "not loaded: x", "reduced"), NOTE, "sudo aibox setup"),
    ("Landlock", judge.landlock(6), OK, "ABI 6"),
    ("Landlock without scopes", judge.landlock(5), NOTE, "abstract sockets and signals"),
    ("Landlock without TCP", judge.landlock(3), NOTE, "TCP"),
    ("no Landlock", judge.landlock(0), NOTE, "no Landlock"),
    ("memory", judge.memory(16 * GIB, 8 * GIB, 8 * GIB), OK, "16384 MiB"),
    ("memory full", judge.memory(16 * GIB, 100 * MIB, 8 * GIB), NOTE, "little is free"),
    ("memory exceeded", judge.memory(4 * GIB, 3 * GIB, 8 * GIB), NOTE, "--memory 4G"),
    ("space", judge.space(Space("/s", 5 * GIB, 1000), MIB, GIB), OK, "5120 MiB"),
    ("little space", judge.space(Space("/s", 100 * MIB, -1), MIB, GIB), NOTE, "advised"),
    ("no space", judge.space(Space("/s", 0, -1), MIB, GIB), WRONG, "0 MiB only"),
    ("no inodes", judge.space(Space("/s", 5 * GIB, 3), MIB, GIB), WRONG, "3 files only"),
    ("folder", judge.folder("/d", 1001, 1001, 0o40700, noexec=False), OK, "/d"),
    ("no folder", judge.folder("/d", 1001, None, 0, noexec=False), OK, "not made yet"),
    ("another's folder", judge.folder("/d", 1001, 1002, 0o40700, noexec=False), WRONG, "chown 1001"),
    ("open folder", judge.folder("/d", 1001, 1001, 0o40770, noexec=False), WRONG, "chmod go-w"),
    ("noexec", judge.folder("/d", 1001, 1001, 0o40700, noexec=True), WRONG, "noexec"),
    ("no redirection", judge.redirected([]), OK, ""),
    ("redirection", judge.redirected(["DOCKER_HOST", "CONTAINER_HOST"]), NOTE, "unset DOCKER_HOST CONTAINER_HOST"),
    ("no WSL", judge.windows([]), OK, "not WSL"),
    (
        "WSL2",
        judge.windows([("kernel", "ok", "6.6", ""), ("systemd", "ok", "it runs", "")]),
        OK,
        "kernel: 6.6; systemd",
    ),
    ("WSL2 odd", judge.windows([("a", "ok", "b", ""), ("systemd", "warning", "off", "turn on")]), NOTE, "turn on"),
    ("WSL2 wrong", judge.windows([("kernel", "error", "4.19", "update"), ("c", "warning", "d", "e")]), WRONG, "4.19"),
    ("overlay", storage("overlay"), OK, "overlay in /s"),
    ("vfs", storage("vfs"), NOTE, "copies the whole image"),
    ("conmon", judge.monitor("conmon version 2.1.12, commit: x", ""), OK, "2.1.12"),
    ("old conmon", judge.monitor(OLD_CONMON, TTY), OK, "the wrapper drops it"),
    ("old conmon, no wrapper", judge.monitor(OLD_CONMON, "exec runsc"), WRONG, "does not drop it"),
    ("no conmon", judge.monitor("", TTY), WRONG, "install the package conmon"),
    ("trust", judge.trust("/p", POLICY, ""), OK, "insecureAcceptAnything"),
    ("no trust file", judge.trust("/p", None, ""), WRONG, "missing"),
    ("trust file damaged", judge.trust("/p", b"{", "line 1"), WRONG, "not JSON"),
    ("strict trust", judge.trust("/p", b'{"default": [{"type": "reject"}]}', ""), NOTE, "podman load"),
    ("no hooks", judge.hooks({}), OK, ""),
    ("hook", judge.hooks({"/h/x.json": HOOK}), WRONG, "rm /h/x.json"),
    ("rare hook", judge.hooks({"/h/x.json": RARE_HOOK}), NOTE, "/h/x.json"),
    ("damaged hook", judge.hooks({"/h/x.json": b"{"}), WRONG, "/h/x.json"),
    ("no mounts", judge.added_mounts({"/m": []}), OK, ""),
    ("mounts", judge.added_mounts({"/m": ["/a:/b"]}), WRONG, "/m adds /a:/b"),
    ("signed", judge.signature("r/i:1", "GPG, key X", local=False, required=True), OK, "GPG, key X"),
    ("local image", judge.signature("localhost/i:1", "", local=True, required=False), OK, "no signature to check"),
    ("unknown signature", judge.signature("r/i:1", "", local=False, required=False), NOTE, "unknown"),
    ("signature required", judge.signature("r/i:1", "", local=False, required=True), WRONG, "policy requires"),
    ("local, required", judge.signature("localhost/i:1", "", local=True, required=True), WRONG, "policy requires"),
]


@pytest.mark.parametrize(("look", "level", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_verdicts(look: Look, level: str, said: str) -> None:
    assert look.level == level
    assert said in f"{look.evidence} {look.remedy}"
    assert look.evidence or not said
    assert level != OK or not look.remedy


def test_controls_are_marked() -> None:
    """What concerns a security control leads to exit code 3, whatever the check's own severity is."""
    controls = {name for name, look, _, _ in CASES if look.control}
    required = {"signature required", "local, required"}
    assert controls == {"profile gone", "another's folder", "open folder", *required}


@pytest.mark.parametrize(
    ("text", "found"),
    [("conmon version 2.1.6, commit: unknown", (2, 1, 6)), ("", ()), ("version 2", ()), ("a 1.2.x 3.4", (3, 4))],
)
def test_numbers(text: str, found: tuple[int, ...]) -> None:
    assert judge.numbers(text) == found
