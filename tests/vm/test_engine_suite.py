"""Engine tests run in the guest by its own pytest: Podman 5.4, cgroup v2, systemd and AppArmor.

Not all of them, because the emulator takes minutes for what takes seconds here: those that meet the engine most.
"""

import pytest
from guest import Guest

CHOSEN = (
    "test_start_reports_and_is_idempotent", "test_workspace_files_belong_to_the_developer",
    "test_home_and_caches_survive_and_tmp_does_not", "test_isolation_survives_commands_by_hand",
    "test_stop_is_prompt_and_lets_processes_end", "test_limits_are_enforced_or_named",
    "test_setup_run_twice_changes_nothing", "test_session_is_filtered_however_it_begins",
    "test_forbidden_calls_give_eperm_in_a_session", "test_output_is_the_childs_bytes",
    "test_by_hand_no_other_user_and_no_capability", "test_shell_has_size_job_control_and_exit_code",
    "test_signals_reach_the_child", "test_a_good_box_passes",
)  # fmt: skip
PYTEST_SECONDS = 1200
FILES = "tests/engine/test_lifecycle.py tests/engine/test_sessions.py tests/engine/test_verify.py"
PREPARE = """
set -eu
[ -d /root/tree ] || { mkdir /root/tree; tar --extract --file /payload/tree.tar --directory /root/tree; }
# shiv is not in the guest: the artifact is the one that was built from this tree outside
echo "import shutil, sys; shutil.copy('/payload/aibox', sys.argv[-1])" > /root/tree/build_zipapp.py
mkdir -p /var/cache/aibox-tests; cd /var/cache/aibox-tests
ln -sf /usr/bin/runsc runsc-2024; ln -sf /opt/gvisor-2026/runsc runsc-2026
cd /root/tree
name=$(PYTHONPATH=tests/support python3 -c 'import machines
with machines.base_image_archive() as path: print(path)')
ln -sf /payload/image.tar "$name"
"""


@pytest.mark.parametrize("kind", ["rootful-2024", "rootless-2026"])
def test_engine_tests_pass_in_the_guest(guest: Guest, kind: str) -> None:
    guest.sh(PREPARE)
    chosen = f"{kind} and ({' or '.join(CHOSEN)})"
    command = f"cd /root/tree && python3 -m pytest {FILES} -p no:cacheprovider -k '{chosen}'"
    done = guest.run(["sh", "-c", command], timeout=PYTEST_SECONDS)
    assert done.code == 0, str(done)
    assert " passed" in done.out, str(done)
