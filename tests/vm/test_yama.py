"""Yama's ptrace_scope, which gVisor's systrap depends on. The last file of this suite: 3 stays until a reboot."""

import json

from seats import Seats

SCOPE = "/proc/sys/kernel/yama/ptrace_scope"


def test_scopes(seats: Seats) -> None:
    """2 is noted and boxes start; 3 is named, also as the cause of a start that fails, and refuses."""
    for user in ("root", "dev1"):
        assert seats[user].user == user
    for scope, level in (("1", "ok"), ("2", "note"), ("3", "wrong")):
        seats["root"].guest.sh(f"echo {scope} > {SCOPE}")
        for user in ("root", "dev1"):
            seat = seats[user]
            seat.guest.ok(["grep", "-qx", scope, SCOPE])
            place = seat.workspace(f"yama-{scope}")
            told = seat.aibox("doctor", "--check", "ptrace-scope", "--json")
            (row,) = [row for row in json.loads(told.out)["data"]["checks"] if row["id"] == "ptrace-scope"]
            assert row["level"] == level, str(told)
            started = seat.aibox("start", "--workspace", place)
            if scope != "3":
                assert started.code == 0, str(started)
                seat.ok("destroy", "--workspace", place)
                continue
            assert "ptrace_scope to 1" in row["remedy"], str(told)
            assert started.code != 0, str(started)
            assert "ptrace_scope is 3" in started.err, str(started)
            assert seat.aibox("status", "--workspace", place).code == 5
            proved = seat.aibox("doctor", "--check", "box", "--json")
            assert "ptrace_scope is 3" in proved.out, str(proved)
