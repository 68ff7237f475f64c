"""`aibox doctor` on machines that were broken on purpose: it names that break alone, and its remedy mends it."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest
from breaks import BREAKS, Break
from findings import Finding, meet, shown
from machines import CACHE, LOCAL_IMAGE, WORK, Done, Machine

from aibox.doctorchecks import IDS

# what is true of the machine that builds, and no fault of aibox or of the break
USUAL = {"cgroups", "confinement", "linger"}
# a throw-away box for each break would cost hours; it is started where the break is about it, and on the good machine
WITH_A_BOX = ("box", "session-filter", "proof")
PLACE = "broken project"


# a wrapper as setup writes it for a runsc that filters sessions itself, which the one of 2024 does not
class Row(TypedDict):
    """A check as `--json` prints it."""

    id: str
    level: str
    evidence: str
    remedy: str
    docs: str


class Ward:
    """The machines of this module, each made once, when it is first needed; its runsc is its own, to be broken."""

    def __init__(self, zipapp: Path) -> None:
        self.zipapp = zipapp
        self.patients: dict[str, Machine] = {}

    def patient(self, name: str) -> Machine:
        if name not in self.patients:
            folder = Path(tempfile.mkdtemp(prefix=f"doctor-{name}-", dir=WORK))
            os.chmod(folder, 0o755)
            shutil.copy(CACHE / "runsc-2024", folder / "runsc")
            machine = Machine(name, name.startswith("rootless"), folder / "runsc", self.zipapp, folder / "m")
            self.patients[name] = machine
            machine.enter()
            machine.own_etc()  # some breaks mount over its files
            machine.set_up()
        return self.patients[name]


@pytest.fixture(scope="module")
def ward(zipapp: Path) -> Iterator[Ward]:
    """The machines, ended with the module."""
    made = Ward(zipapp)
    try:
        yield made
    finally:
        for machine in made.patients.values():
            machine.leave()


@pytest.fixture
def patient(request: pytest.FixtureRequest, ward: Ward) -> Machine:
    """One of them; it must not depend on the order of tests, so each test leaves it well."""
    return ward.patient(str(request.param))


@pytest.fixture(scope="module")
def old_runsc() -> Path:
    """Debian 12's runsc of December 2022, which has no systrap."""
    place = CACHE / "runsc-2022"
    assert place.exists(), "tests/run fetches it"
    return place


def doctor(machine: Machine, *words: str, environment: tuple[tuple[str, str], ...] = ()) -> tuple[Done, list[Row]]:
    """Exit code and checks."""
    done = machine.aibox("doctor", "--json", *words, timeout=400, environment=dict(environment))
    document = json.loads(done.out)
    assert "data" in document, str(done)
    rows: list[Row] = document["data"]["checks"]
    return done, rows


def not_right(rows: list[Row]) -> dict[str, str]:
    """What is wrong or noted, beyond what is usual here."""
    return {row["id"]: row["level"] for row in rows if row["level"] in ("wrong", "note") and row["id"] not in USUAL}


def told(rows: list[Row]) -> str:
    """What is not right, to read when a test fails."""
    return "\n".join(f"{row['id']}: {row['level']}: {row['evidence']}" for row in rows if row["level"] != "ok")


def prelude(machine: Machine, old: Path) -> str:
    """The places as shell variables, and what the scripts share."""
    record = json.loads(machine.read(f"{machine.data}/setup.json"))
    config = f"{machine.home}/.config/aibox" if machine.rootless else "/etc/aibox"
    places = {
        "RUNSC": str(machine.runsc),
        "OLD_RUNSC": str(old),
        "DATA": machine.data,
        "WRAPPER": str(Path(record["runtime"]["path"]).parent),
        "SECCOMP": record["seccomp"]["path"],
        "IMAGE": LOCAL_IMAGE,
        "IMAGE_ID": record["image"]["id"],
        "CONFIG": config,
        "CONTAINERS": f"{machine.home}/.config/containers" if machine.rootless else "/etc/containers",
        "RUN": f"/run/user/{machine.uid}/aibox" if machine.rootless else "/run/aibox",
        "ID": str(machine.uid),
        "NAME": machine.user,
        "PLACE": f"{machine.home}/{PLACE}",
        "ZIPAPP": str(machine.zipapp),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in places.items()]
    drop = (
        f"setpriv --reuid={machine.uid} --regid={machine.uid} --init-groups --inh-caps=-all" if machine.rootless else ""
    )
    runtime = f"XDG_RUNTIME_DIR=/run/user/{machine.uid}" if machine.rootless else "X=x"
    path = f"{machine.home}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    lines += [
        f'become() {{ {drop} env HOME={machine.home} USER={machine.user} {runtime} PATH={path} "$@"; }}',
        f'own() {{ chown -R {machine.uid}:{machine.uid} "$@"; }}',
        f'mkdir -p {machine.home}/bin "$PLACE"; own "$PLACE"; ln -sf "$ZIPAPP" {machine.home}/bin/aibox',
    ]
    return "\n".join(lines) + "\n"


def script(machine: Machine, text: str) -> None:
    """Run a script as root on the machine."""
    done = machine.run(["sh", "-c", text], root=True, timeout=180)
    assert done.code == 0, str(done)


def cases() -> list[object]:
    """Each break on each of its machines."""
    return [
        pytest.param(f"{kind}-2024", case, id=f"{kind}-{case.name.replace(' ', '-')}")
        for kind in ("rootful", "rootless")
        for case in BREAKS
        if kind in case.machines
    ]


@pytest.mark.parametrize(("patient", "case"), cases(), indirect=["patient"])
def test_a_break_is_named_alone_and_its_remedy_mends_it(patient: Machine, case: Break, old_runsc: Path) -> None:
    shared = prelude(patient, old_runsc)
    remedy = case.mend
    try:
        script(patient, shared + case.damage)
        checks = [] if case.check in WITH_A_BOX else [f"--check={name}" for name in IDS if name not in WITH_A_BOX]
        done, rows = doctor(patient, *case.words, *checks, environment=case.environment)
        found = next(row for row in rows if row["id"] == case.check)
        assert not_right(rows) == {case.check: case.level}, told(rows)
        assert case.remedy in found["remedy"]
        assert found["evidence"]
        assert done.code == case.code
        if patient.rootless:
            meet(case.name, Finding(shown(patient, found["evidence"]), shown(patient, found["remedy"])))
        if not remedy and not case.verb:
            # the last words of a remedy may be for the reader
            remedy = (
                found["remedy"].partition(", then")[0].replace("sudo ", "").replace("podman rm", "become podman rm")
            )
            remedy = remedy.replace("aibox ", "become aibox ")
    finally:
        if case.verb:
            mended = patient.aibox(*case.verb, timeout=300)
            assert mended.code == 0, str(mended)
        else:
            script(patient, shared + (remedy or "true"))
        leave_no_box(patient, shared)
    rows = doctor(patient, "--check", case.check)[1]
    assert not_right(rows) == {}, told(rows)


def leave_no_box(machine: Machine, shared: str) -> None:
    """Whatever a case left running is removed, with its folder."""
    script(machine, f'{shared}become aibox destroy --all >/dev/null 2>&1; rm -rf "$PLACE" "$PLACE.old"')


@pytest.mark.parametrize("patient", ["rootful-2024", "rootless-2024"], indirect=True)
def test_a_good_machine_is_right(patient: Machine) -> None:
    done, rows = doctor(patient)
    assert (done.code, not_right(rows)) == (0, {}), str(done)
    assert {row["id"] for row in rows if row["level"] == "unchecked"} == set()


def test_every_kind_of_break_is_there() -> None:
    assert len({case.name for case in BREAKS}) == len(BREAKS) >= 40


@pytest.mark.parametrize("patient", ["rootless-2024"], indirect=True)
def test_a_session_never_hangs_on_a_dead_folder(patient: Machine, tmp_path: Path) -> None:
    """A FIFO in the place of a file blocks whoever opens it: the check ends all the same."""
    del tmp_path
    fifo = "/etc/containers/mounts.conf"
    script(patient, f"rm -f {fifo}; mkfifo {fifo}")
    try:
        rows = doctor(patient, "--check", "added-mounts")[1]
        assert not_right(rows) == {"added-mounts": "wrong"}
        assert "within" in rows[0]["evidence"]
    finally:
        script(patient, f"rm {fifo}")


def test_rootless_a_fresh_machine_is_not_given_a_storage_driver_by_looking(zipapp: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="doctor-fresh-", dir=WORK))
    os.chmod(folder, 0o755)
    machine = Machine("fresh", True, CACHE / "runsc-2024", zipapp, folder / "m")
    machine.enter()
    try:
        done, rows = doctor(machine)
        assert done.code == 4
        assert not_right(rows) == {"storage-choice": "wrong", "setup": "wrong"}
        assert not Path(f"{machine.home}/.local/share/containers").exists()
        # now somebody calls Podman first, as many do
        subprocess.run(machine.inside(["podman", "info"]), check=True, capture_output=True, timeout=60)
        rows = doctor(machine, "--check", "storage-driver")[1]
        assert not_right(rows) == {"storage-driver": "note"}
        remedy = next(row["remedy"] for row in rows if row["id"] == "storage-driver")
        assert "podman system reset" in remedy
    finally:
        machine.leave()
