"""`require_mac` of the host's policy on a host with AppArmor, and what doctor says where its profile is not loaded."""

import json
from collections.abc import Callable, Iterator

import pytest
from guest import Done, Guest
from seats import AIBOX, PROFILE, SETUP_SECONDS, Seat, Seats, load, unload

POLICY = "/etc/aibox/policy.yaml"
Demand = Callable[[str], None]


def error_of(done: Done) -> tuple[str, str]:
    """Code and cause in a JSON document about a refusal."""
    error = json.loads(done.out)["error"]
    return error["code"], error["why"]


def wrong(done: Done) -> dict[str, str]:
    """Doctor's checks that are wrong, with their remedies."""
    rows = json.loads(done.out)["data"]["checks"]
    return {row["id"]: row["remedy"] for row in rows if row["level"] == "wrong"}


@pytest.fixture
def demand(guest: Guest) -> Iterator[Demand]:
    """Sets the host's policy, which is gone afterwards."""
    yield lambda module: guest.write(POLICY, f"require_mac: {module}\n")
    guest.sh(f"rm -f {POLICY}")


@pytest.mark.parametrize(("user", "module"), [("root", "any"), ("dev1", "apparmor")])
def test_a_demand_that_is_met_changes_nothing(seats: Seats, demand: Demand, user: str, module: str) -> None:
    seat = seats[user]
    place = seat.workspace("met")
    demand(module)
    seat.ok("start", "--workspace", place)
    seat.ok("verify", "--workspace", place)
    seat.ok("destroy", "--workspace", place)


def test_a_demand_for_selinux_is_refused_because_runsc_cannot(seat: Seat, demand: Demand) -> None:
    place = seat.workspace("selinux")
    demand("selinux")
    refused = seat.aibox("start", "--workspace", place, "--json")
    assert refused.code == 3, str(refused)
    code, why = error_of(refused)
    assert code == "policy-refused"
    assert "require_mac" in why
    assert seat.aibox("status", "--workspace", place).code == 5


def test_doctor_names_a_profile_that_is_not_loaded_and_its_remedy_mends_it(seats: Seats) -> None:
    seat, guest = seats["dev1"], seats["root"].guest
    assert wrong(seat.aibox("doctor", "--json")) == {}
    unload(guest)
    try:
        found = seat.aibox("doctor", "--json")
        assert found.code == 3, str(found)
        assert wrong(found).get("confinement") == "sudo aibox setup", str(found)
    finally:
        guest.ok([AIBOX, "setup", "--yes", "--runsc", "/usr/bin/runsc"], timeout=SETUP_SECONDS)
    assert wrong(seat.aibox("doctor", "--json")) == {}


def test_reduced_mode_is_said_and_a_demand_refuses_it(seats: Seats) -> None:
    """A user whose administrator has not loaded the profile: setup goes on without, unless policy demands it."""
    seat, guest = seats["dev2"], seats["root"].guest
    place = seat.workspace("reduced")
    unload(guest)
    guest.sh(f"mv {PROFILE} /root/away")
    try:
        reduced = seat.ok("setup", "--yes", "--runsc", "/usr/bin/runsc", timeout=SETUP_SECONDS)
        assert "reduced mode" in reduced.out + reduced.err, str(reduced)
        seat.ok("start", "--workspace", place)
        assert "reduced mode" in seat.ok("status", "--workspace", place).out
        assert "reduced mode" in seat.ok("verify", "--workspace", place).out
        seat.ok("destroy", "--workspace", place)
        guest.write(POLICY, "require_mac: apparmor\n")
        refused = seat.aibox("start", "--workspace", place, "--json")
        assert (refused.code, error_of(refused)[0]) == (3, "policy-refused"), str(refused)
        assert seat.aibox("status", "--workspace", place).code == 5
    finally:
        guest.sh(f"rm -f {POLICY}; mv /root/away {PROFILE}")
        load(guest)
        seat.ok("setup", "--yes", "--runsc", "/usr/bin/runsc", timeout=SETUP_SECONDS)
    assert "reduced mode" not in seat.ok("start", "--workspace", place).out
    seat.ok("destroy", "--workspace", place)
