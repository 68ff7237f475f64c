"""`require_mac` of the host's policy on a host with AppArmor, and what doctor says where its profile is not loaded."""

import json
from collections.abc import Iterator

import pytest
from guest import Done
from seats import AIBOX, SETUP_SECONDS, Seat, Seats

POLICY = "/etc/aibox/policy.yaml"
PROFILE = "/etc/apparmor.d/aibox-runsc"


def error_of(done: Done) -> tuple[str, str]:
    """Code and cause in a JSON document about a refusal."""
    error = json.loads(done.out)["error"]
    return error["code"], error["why"]


def wrong(done: Done) -> dict[str, str]:
    """Doctor's checks that are wrong, with their remedies."""
    rows = json.loads(done.out)["data"]["checks"]
    return {row["id"]: row["remedy"] for row in rows if row["level"] == "wrong"}


@pytest.fixture
def demand(seat: Seat) -> Iterator[Seat]:
    """A seat on a host whose policy is gone afterwards."""
    yield seat
    seat.guest.sh(f"rm -f {POLICY}")


@pytest.mark.parametrize("module", ["any", "apparmor"])
def test_a_demand_that_is_met_changes_nothing(demand: Seat, module: str) -> None:
    place = demand.workspace("met")
    demand.guest.write(POLICY, f"require_mac: {module}\n")
    demand.ok("start", "--workspace", place)
    demand.ok("verify", "--workspace", place)
    demand.ok("destroy", "--workspace", place)


def test_a_demand_for_selinux_is_refused_because_runsc_cannot(demand: Seat) -> None:
    place = demand.workspace("selinux")
    demand.guest.write(POLICY, "require_mac: selinux\n")
    refused = demand.aibox("start", "--workspace", place, "--json")
    assert refused.code == 3, str(refused)
    code, why = error_of(refused)
    assert code == "policy-refused"
    assert "require_mac" in why
    assert demand.aibox("status", "--workspace", place).code == 5


def test_doctor_names_a_profile_that_is_not_loaded_and_its_remedy_mends_it(demand: Seat, root: Seat) -> None:
    guest = root.guest
    assert wrong(demand.aibox("doctor", "--json")) == {}
    guest.sh(f"apparmor_parser --remove {PROFILE}")
    try:
        found = demand.aibox("doctor", "--json")
        assert found.code == 3, str(found)
        assert wrong(found).get("confinement") == "sudo aibox setup", str(found)
    finally:
        guest.ok([AIBOX, "setup", "--yes", "--runsc", "/usr/bin/runsc"], timeout=SETUP_SECONDS)
    assert wrong(demand.aibox("doctor", "--json")) == {}


def test_reduced_mode_is_said_and_a_demand_refuses_it(seats: Seats) -> None:
    """A user whose administrator has not loaded the profile: setup goes on without, unless policy demands it."""
    seat, guest = seats["dev2"], seats["root"].guest
    place = seat.workspace("reduced")
    guest.sh(f"apparmor_parser --remove {PROFILE}; mv {PROFILE} /root/away")
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
        guest.ok([AIBOX, "setup", "--yes", "--runsc", "/usr/bin/runsc"], timeout=SETUP_SECONDS)
        seat.ok("setup", "--yes", "--runsc", "/usr/bin/runsc", timeout=SETUP_SECONDS)
    assert "reduced mode" not in seat.ok("start", "--workspace", place).out
    seat.ok("destroy", "--workspace", place)
