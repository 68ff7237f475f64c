"""The generated profiles in real containers of runc, crun and runsc, without aibox around them."""

import json
import os
from collections.abc import Sequence

import demanded
from machines import LOCAL_IMAGE, Machine

from aibox import jsonview, seccomp

ARCH = os.uname().machine
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
HARDENED = ("--network", "none", "--cap-drop", "ALL", "--user", "1000:1000")
EPERM, ENOSYS = 1, 38
# Name=number words in; name=errno lines out, and the mode of the filter. Every call gets six times -1.
PROBE = r"""
$| = 1;
for (@ARGV) {
    my ($name, $number, @words) = split /[=,]/;
    @words = (-1) x 6 unless @words;
    $! = 0;
    my $result = syscall($number, map { $_ + 0 } @words);
    print "$name=", $result == -1 ? $! + 0 : 0, "\n";
}
open my $status, '<', '/proc/self/status';
while (<$status>) { print "Seccomp=$1\n" if /^Seccomp:\s*(\d)/ }
"""
HARMLESS = {"init_module": "0,0,0", "unshare": "0", "vhangup": "0"}


def words() -> list[str]:
    """The attempts: every denied call, two absent ones, and four that a box needs."""
    numbers = demanded.numbers(ARCH)
    wanted = [row.name for row in numbers.values() if row.verdict == "deny"]
    wanted += ["clone3", "mseal", "futex_waitv", "getpid", "statx", "rseq", "close_range"]
    found = {row.name: number for number, row in numbers.items()}
    listed = [f"{name}={found[name]}" + (f",{HARMLESS[name]}" if name in HARMLESS else "") for name in wanted]
    socket, clone = found["socket"], found["clone"]
    return [*listed, f"packet={socket},17,3,0", f"alg={socket},38,5,0", f"unix={socket},1,1,0",
            f"newuser={clone},{0x10000000 | 17},0,0,0,0"]  # fmt: skip


def outcomes(text: str) -> dict[str, int]:
    """What the probe printed."""
    return {name: int(value) for name, _, value in (line.partition("=") for line in text.split())}


def judge(told: dict[str, int], unknown: int) -> None:
    """Denied calls give EPERM, unknown ones `unknown`, the needed ones neither."""
    assert told.pop("Seccomp") == 2
    denied = {row.name for row in demanded.numbers(ARCH).values() if row.verdict == "deny"}
    assert {name: told[name] for name in denied} == dict.fromkeys(denied, EPERM)
    assert [told[name] for name in ("packet", "alg", "newuser")] == [EPERM] * 3
    assert [told[name] for name in ("mseal", "futex_waitv")] == [unknown] * 2
    assert told["clone3"] == ENOSYS if unknown == ENOSYS else told["clone3"] != EPERM
    assert told["getpid"] == told["unix"] == 0
    assert not {told[name] for name in ("statx", "close_range")} & {EPERM, ENOSYS}


def write_profile(machine: Machine, runtime: str) -> str:
    path = f"{machine.home}/{runtime}.json"
    machine.write(path, jsonview.dump(seccomp.profile(runtime)))
    return path


def probe(machine: Machine, engine: list[str], profile: str, prefix: Sequence[str] = ()) -> dict[str, int]:
    """Run the probe in a container of its own."""
    options = [*HARDENED, *LIMITS, "--security-opt", f"seccomp={profile}"]
    argv = [*prefix, "podman", *engine, "run", "--rm", *options, LOCAL_IMAGE, "perl", "-e", PROBE, *words()]
    done = machine.run(argv)
    assert done.code == 0, str(done)
    return outcomes(done.out)


def test_runc_loads_the_profile(machine: Machine) -> None:
    engine = ["--runtime", "runc"]
    judge(probe(machine, engine, write_profile(machine, "native")), ENOSYS)
    free = probe(machine, engine, "unconfined")
    # what needs no capability shows that the profile, and nothing else, refused it
    assert free["Seccomp"] == 0
    assert EPERM not in {free[name] for name in ("keyctl", "ptrace", "unshare", "setns", "add_key", "newuser", "alg")}


def test_crun_of_a_rootful_engine_loads_the_profile(rootful: Machine) -> None:
    """In a mount namespace of its own: crun 1.8 refuses a host that shows it both versions of cgroups."""
    alone = ["unshare", "--mount", "sh", "-c", 'umount -q /sys/fs/cgroup/unified; exec "$@"', "sh"]
    judge(probe(rootful, ["--runtime", "crun"], write_profile(rootful, "native"), prefix=alone), ENOSYS)


def test_runsc_loads_the_profile(machine: Machine) -> None:
    flags = ["network=none", "oci-seccomp", "ignore-cgroups", "platform=systrap"]
    engine = ["--runtime", str(machine.runsc), *(f"--runtime-flag={flag}" for flag in flags)]
    told = probe(machine, engine, write_profile(machine, "runsc"))
    judge(told, EPERM)
    free = probe(machine, engine, "unconfined")
    assert free["Seccomp"] == 0
    assert EPERM not in {free[name] for name in ("ptrace", "unshare", "newuser")}
    assert json.dumps(told) != json.dumps(free)
