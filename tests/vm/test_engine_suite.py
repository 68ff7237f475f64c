"""Engine tests and the attack suite run in the guest by its own pytest: Podman 5.4, cgroup v2, systemd and AppArmor.

Not all engine tests, because the emulator takes minutes for what takes seconds here: those that meet the engine most.
The attack suite runs whole, rootful under one runsc and rootless under the other; in the short set what is tried from
inside, without control runs.
"""

import re

import pytest
from guest import Done, Guest
from seats import Seats

# what every run of CI plays, and the rest
FIRST = (
    "test_workspace_files_belong_to_the_developer", "test_session_is_filtered_however_it_begins",
    "test_forbidden_calls_give_eperm_in_a_session", "test_by_hand_no_other_user_and_no_capability",
    "test_a_good_box_passes",
)  # fmt: skip
REST = (
    "test_start_reports_and_is_idempotent", "test_home_and_caches_survive_and_tmp_does_not",
    "test_isolation_survives_commands_by_hand", "test_stop_is_prompt_and_lets_processes_end",
    "test_limits_are_enforced_or_named", "test_setup_run_twice_changes_nothing", "test_output_is_the_childs_bytes",
    "test_shell_has_size_job_control_and_exit_code", "test_signals_reach_the_child",
)  # fmt: skip
# the emulator alone makes everything about ten times as slow, and work beside it slower still
PATIENCE = "8"
PYTEST_SECONDS = 4800
ATTACK_SECONDS = 7200
# the attempts from inside a box, and the others: how to choose them, and how many there are at least
PARTS = {"inside": ("test_attempt_from_inside", 120), "outside": ("not from_inside", 30)}
SIGNED = 9  # at least
SWEEP = "test_nothing_from_inside_succeeds"
FILES = "tests/engine/test_lifecycle.py tests/engine/test_sessions.py tests/engine/test_verify.py"
PREPARE = """
set -eu
[ -d /root/tree ] || { mkdir /root/tree; tar --extract --file /payload/tree.tar --directory /root/tree; }
# shiv is not in the guest: the artifact is the one that was built from this tree outside
echo "import shutil, sys; shutil.copy('/payload/aibox', sys.argv[-1])" > /root/tree/build_zipapp.py
mkdir -p /var/cache/aibox-tests; cd /var/cache/aibox-tests
ln -sf /usr/bin/runsc runsc-2024; ln -sf /opt/gvisor-2026/runsc runsc-2026
"""


def run_pytest(guest: Guest, words: str, timeout: float) -> Done:
    """pytest in the guest, on the tree that is under test."""
    guest.sh(PREPARE)
    command = f"cd /root/tree && python3 -m pytest -p no:cacheprovider {words}"
    done = guest.run(["sh", "-c", command], timeout=timeout, environment={"AIBOX_TEST_PATIENCE": PATIENCE})
    assert done.code == 0, str(done)
    return done


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [
        pytest.param("rootless-2026", FIRST, marks=pytest.mark.short, id="rootless-first"),
        pytest.param("rootless-2026", REST, id="rootless-rest"),
        pytest.param("rootful-2024", FIRST + REST, id="rootful"),
    ],
)
def test_engine_tests_pass_in_the_guest(guest: Guest, kind: str, chosen: tuple[str, ...]) -> None:
    done = run_pytest(guest, f"{FILES} -k '{kind} and ({' or '.join(chosen)})'", PYTEST_SECONDS)
    passed = re.search(r"(\d+) passed", done.out)
    assert passed, str(done)
    assert int(passed[1]) >= len(chosen), str(done)


def test_signed_pulls_in_the_guest(guest: Guest) -> None:
    """GPG and sigstore, both of which this engine checks."""
    done = run_pytest(guest, "tests/engine/test_signed.py -k rootless-2024", PYTEST_SECONDS)
    passed = re.search(r"(\d+) passed", done.out)
    assert passed, str(done)
    assert int(passed[1]) >= SIGNED, str(done)


@pytest.mark.short
@pytest.mark.parametrize("kind", ["rootful-2024", "rootless-2026"])
def test_nothing_from_inside_succeeds_in_the_guest(guest: Guest, seats: Seats, kind: str) -> None:
    """Every attempt from inside a box that AppArmor confines as well, in one session."""
    assert seats["root"].user == "root"
    done = run_pytest(guest, f"tests/attacks --tb=short -k '{kind} and {SWEEP}'", ATTACK_SECONDS)
    counts = re.search(r"(\d+) attempts from inside, \d+ denied, \d+ known limits, 0 SUCCEEDED", done.out)
    assert counts, str(done)
    assert int(counts[1]) >= PARTS["inside"][1], str(done)
    print(counts[0])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["rootful-2024", "rootless-2026"])
def test_attacks_fail_in_the_guest(guest: Guest, seats: Seats, kind: str, part: str) -> None:
    """With root's profiles loaded: Sentry and Gofer of the boxes under attack are confined by AppArmor as well."""
    assert seats["root"].user == "root"
    chosen, least = PARTS[part]
    done = run_pytest(guest, f"tests/attacks --tb=short -k '{kind} and {chosen}'", ATTACK_SECONDS)
    passed = re.search(r"(\d+) passed", done.out)
    assert passed, str(done)
    assert int(passed[1]) >= least, str(done)
    print("\n".join(line for line in done.out.splitlines() if kind in line))
