"""Images with Docker: bundles there and back, updates from a registry, and what Docker cannot prove."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hosts import make
from machines import LOCAL_IMAGE, WORK, Machine
from registry import Registry


def record(machine: Machine) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = json.loads(machine.read(f"{machine.data}/setup.json"))
    return known


class Signed(NamedTuple):
    """A signed bundle, and the key that proves it."""

    bundle: Path
    key: Path


@pytest.fixture(scope="module")
def signed(machine: Machine) -> Iterator[Signed]:
    """A bundle of the machine's image, where every machine sees it."""
    folder = Path(tempfile.mkdtemp(prefix="docker-bundle-", dir=WORK))
    private, key, bundle = folder / "key", folder / "key.pem", folder / "aibox.bundle"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", str(private)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(key)], check=True)
    machine.ok("bundle", "create", "--output", str(bundle), "--sign-with", str(private), timeout=600)
    yield Signed(bundle, key)
    shutil.rmtree(folder)


def test_a_bundle_sets_another_docker_up(machine: Machine, signed: Signed, zipapp: Path) -> None:
    told = machine.ok("bundle", "inspect", str(signed.bundle), "--signing-key", str(signed.key), "--json", timeout=300)
    assert json.loads(told.out)["data"]["signature"] == f"by the key in {signed.key}"
    dry = machine.ok("bundle", "create", "--output", f"{machine.home}/x", "--dry-run").out
    assert "save --output image.tar" in dry, dry
    for other in make(machine.name, zipapp):
        # the administrator of that host asks for signed images, and names the key of bundles
        other.write("/etc/aibox/policy.yaml", "require_signature: true\nsigning_key: /etc/aibox/bundles.pem\n")
        other.write("/etc/aibox/bundles.pem", signed.key.read_text())
        refused = other.aibox("setup", "--yes", "--image", LOCAL_IMAGE, timeout=300)
        assert (refused.code, "[policy-refused]" in refused.err) == (3, True), str(refused)
        done = other.aibox("setup", "--yes", "--bundle", str(signed.bundle), timeout=900)
        assert done.code == 0, str(done)
        assert record(other)["image"]["id"] == record(machine)["image"]["id"]
        assert record(other)["image"]["signature"] == "checked"
        place = other.workspace()
        other.ok("start", "--workspace", str(place), timeout=180)
        verified = json.loads(other.ok("verify", "--workspace", str(place), "--json", timeout=180).out)["data"]
        assert verified["failed"] == 0
        again = other.ok("setup", "--yes", "--bundle", str(signed.bundle), "--json", timeout=900)
        assert {step["action"] for step in json.loads(again.out)["data"]["steps"]} == {"none"}


def test_update_there_and_back(machine: Machine) -> None:
    registry, box = Registry(), machine.workspace("update")
    reference = f"{registry.name}/aibox/base:24.04"
    first, second = (Path(machine.home) / name for name in ("first", "second"))
    script = f"""set -e; cd {machine.home}; docker create --name made {LOCAL_IMAGE} true
    docker commit --change 'ENV GENERATION=2' made localhost/second:1; docker rm made
    for pair in first={LOCAL_IMAGE} second=localhost/second:1; do
        docker save --output image.tar "${{pair#*=}}"; skopeo copy --quiet docker-archive:image.tar "dir:${{pair%%=*}}"
    done; rm image.tar; docker rmi localhost/second:1"""
    done = machine.run(["sh", "-c", script], timeout=600)
    assert done.code == 0, str(done)
    # skopeo, which asks the registry, does not read Docker's settings
    entry = f'[[registry]]\nlocation = "{registry.name}"\ninsecure = true\n'
    machine.write("/etc/containers/registries.conf", entry)
    had = record(machine)["image"]
    words = ("--yes", "--image", reference)
    try:
        registry.folder = first
        machine.ok("setup", *words, "--pull", "always", timeout=600)
        old = record(machine)["image"]["id"]
        machine.ok("start", "--workspace", str(box), timeout=180)
        machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo kept > ~/mine")
        registry.folder = second
        part = json.loads(machine.ok("update", "--check", "--image", reference, "--json").out)["data"]["parts"][0]
        assert part["state"] == "outdated"
        told = json.loads(machine.ok("update", *words, "--recreate", "--json", timeout=600).out)["data"]
        assert (told["parts"][0]["action"], told["boxes"]) == ("updated", [])
        new = record(machine)["image"]["id"]
        assert (new != old, record(machine)["image_previous"]["id"]) == (True, old)
        shown = machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo $GENERATION; cat ~/mine").out
        assert shown == "2\nkept\n"
        machine.ok("update", "--rollback", "--recreate", *words, timeout=600)
        assert record(machine)["image"]["id"] == old
        shown = machine.ok("exec", "--workspace", str(box), "--", "sh", "-c", "echo $GENERATION; cat ~/mine").out
        assert shown == "\nkept\n"
        machine.ok("verify", "--workspace", str(box))
    finally:
        registry.close()
        machine.aibox("destroy", "--workspace", str(box))
        machine.ok("setup", "--yes", "--image", had["reference"], timeout=600)


def test_docker_checks_no_signatures_and_says_so(machine: Machine) -> None:
    done = machine.aibox("image", "trust", "--key", "/nonexistent.asc", "--yes")
    assert done.code != 0
    assert "[trust-failed]" in done.err, str(done)
    assert "Docker checks no signatures" in done.err
