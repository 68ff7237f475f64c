"""A host without network: a bundle in, a box running, every check passed; a bundle that was touched changes nothing."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from islands import Island
from machines import Machine

MIB = 1 << 20
LARGEST_RSS = 64 * MIB
FLIPS = 100
ENGINE_FOLDERS = "/var/lib/aibox /etc/aibox /etc/containers /run/aibox"


def fingerprint(machine: Machine) -> str:
    """What aibox and its engine have there; only locks, the audit log and the note of the engine's version may come."""
    home = f"{machine.home}/.local/share/aibox {machine.home}/.config"
    script = rf"""for place in {home} {ENGINE_FOLDERS}; do
        find "$place" -type f ! -name '*.lock' ! -name engine.json ! -name audit.jsonl \
            -exec sha256sum {{}} + 2>/dev/null | sort; done
        podman image ls --all --no-trunc --format '{{{{.Id}}}} {{{{.Repository}}}}:{{{{.Tag}}}}'
        podman ps --all --quiet"""
    return machine.run(["sh", "-c", script], timeout=120).out


def test_a_bundle_is_all_that_a_host_without_network_needs(island: Island, bundle: Path) -> None:
    interfaces = island.run(["cat", "/proc/net/dev"]).out.splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    done = island.aibox("setup", "--yes", "--bundle", str(bundle), timeout=400)
    assert done.code == 0, str(done)
    assert "source: the bundle" in done.err
    assert island.run(["ls", f"{island.data}/bundle"], root=True).code != 0
    place = island.workspace()
    island.ok("start", "--workspace", str(place), timeout=120)
    verified = island.ok("verify", "--workspace", str(place), "--json", timeout=120)
    assert json.loads(verified.out)["data"]["failed"] == 0
    again = island.ok("setup", "--yes", "--bundle", str(bundle), "--json", timeout=300)
    assert {step["action"] for step in json.loads(again.out)["data"]["steps"]} == {"none"}
    island.ok("destroy", "--workspace", str(place))


def test_the_bundle_itself(maker: Machine, bundle: Path) -> None:
    listed = subprocess.run(["tar", "--list", "--file", str(bundle)], check=True, capture_output=True, text=True)
    names = listed.stdout.split()
    assert names[:3] == ["manifest.json", "SHA256SUMS", "aibox"]
    assert {"runsc/runsc", "windows/aibox.ps1", "profiles/apparmor-runsc", "wrapper/wrapper.sh"} <= set(names)
    assert names[-1] == "image.tar"
    document = json.loads(maker.ok("bundle", "inspect", str(bundle), "--json", timeout=120).out)["data"]
    assert document["signature"] == "none"
    assert [file["name"] for file in document["files"]] == names[2:]
    inside = subprocess.run(["tar", "-xOf", str(bundle), "aibox"], check=True, capture_output=True).stdout
    assert inside == maker.zipapp.read_bytes()
    inside = subprocess.run(["tar", "-xOf", str(bundle), "image.spdx.json"], check=True, capture_output=True).stdout
    told = json.loads(maker.ok("image", "inspect", "--sbom", "--json", timeout=300).out)["data"]["sbom"]
    assert json.loads(inside)["packages"] == told["packages"]


def test_memory_does_not_grow_with_the_image(maker: Machine, bundle: Path, store: Path) -> None:
    assert bundle.stat().st_size > 300 * MIB
    measure = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )
    inspect = maker.run(["python3", "-c", measure, str(maker.zipapp), "bundle", "inspect", str(bundle)], timeout=120)
    assert inspect.code == 0, str(inspect)
    kib = int(inspect.err.splitlines()[-1])
    print(f"bundle inspect of {bundle.stat().st_size / MIB:.0f} MiB: {kib / 1024:.0f} MiB of memory")
    assert kib * 1024 < LARGEST_RSS
    # the engine's own memory is not aibox's: of `create` only its own process is measured
    child = subprocess.Popen(maker.inside([str(maker.zipapp), "bundle", "create", "-o", f"{store}/second", "--yes"]))
    peak = 0
    while child.poll() is None:
        peak = max(peak, resident(child.pid))
        time.sleep(0.02)
    assert child.returncode == 0
    print(f"bundle create: {peak / MIB:.0f} MiB of memory")
    assert 0 < peak < LARGEST_RSS
    os.unlink(f"{store}/second")


def resident(pid: int) -> int:
    """Resident memory of a process that became the Python of aibox, in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+([0-9]+) kB", status)
    return int(found[1]) * 1024 if found else 0


@pytest.fixture(scope="module")
def small(maker: Machine, store: Path) -> Path:
    """A bundle with an image of a few bytes."""
    script = "cd $(mktemp -d) && echo x > file && tar cf - file | podman import --quiet - localhost/aibox/small:1"
    assert maker.run(["sh", "-c", script], timeout=120).code == 0
    path = store / "small.bundle"
    maker.ok("bundle", "create", "--image", "localhost/aibox/small:1", "--output", str(path), timeout=120)
    return path


def test_a_flipped_byte_is_refused_and_changes_nothing(
    rootful_island: Island,
    small: Path,
    store: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = fingerprint(rootful_island)
    size = small.stat().st_size
    whole = bytearray(small.read_bytes())
    changed = store / "flipped.bundle"
    flips = FLIPS if request.config.getoption("--full") else 10
    told: Counter[str] = Counter()
    for place in random.Random(20261128).sample(range(size), flips):
        whole[place] ^= 1 << (place % 8)
        changed.write_bytes(whole)
        whole[place] ^= 1 << (place % 8)
        done = rootful_island.aibox("setup", "--yes", "--bundle", str(changed))
        assert done.code in (2, 3), f"byte {place}: {done}"
        code = next(iter(re.findall(r"\[(bundle-[a-z]+)\]", done.err)), "")
        assert code in ("bundle-tampered", "bundle-invalid"), f"byte {place}: {done}"
        told[code] += 1
    changed.write_bytes(whole[: size // 2])
    done = rootful_island.aibox("setup", "--yes", "--bundle", str(changed))
    assert (done.code, "it ends" in done.err) == (3, True), str(done)
    changed.unlink()
    assert fingerprint(rootful_island) == before
    told_of = [json.loads(line) for line in rootful_island.read("/var/lib/aibox/audit.jsonl").splitlines()]
    assert {event["event"] for event in told_of} == {"refused"}
    with capsys.disabled():
        print(f"{flips} flipped bytes of {size}: {dict(told)}, the host is as it was")


def test_signatures(rootful_island: Island, maker: Machine, small: Path, store: Path) -> None:
    keys = {}
    for name in ("maker", "other"):
        keys[name] = f"{store}/{name}.key", f"{store}/{name}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", keys[name][0]], check=True)
        subprocess.run(["openssl", "pkey", "-in", keys[name][0], "-pubout", "-out", keys[name][1]], check=True)
    signed = store / "signed.bundle"
    words = ("--image", "localhost/aibox/small:1", "--output", str(signed), "--sign-with", keys["maker"][0])
    maker.ok("bundle", "create", *words, timeout=120)
    before = fingerprint(rootful_island)

    def refused(path: Path, code: str, *more: str) -> None:
        done = rootful_island.aibox("setup", "--yes", "--bundle", str(path), *more)
        assert (done.code, f"[{code}]" in done.err) == (3, True), str(done)

    refused(signed, "bundle-untrusted", "--signing-key", keys["other"][1])
    refused(small, "bundle-unsigned", "--signing-key", keys["maker"][1])
    rootful_island.write("/etc/aibox/policy.yaml", "require_signature: true\n")
    refused(signed, "policy-refused", "--signing-key", keys["maker"][1])
    rootful_island.run(["rm", "/etc/aibox/policy.yaml"], root=True)
    assert fingerprint(rootful_island) == before
    good = maker.ok("bundle", "inspect", str(signed), "--signing-key", keys["maker"][1], "--json")
    assert json.loads(good.out)["data"]["signature"] == f"by the key in {keys['maker'][1]}"
    dry = rootful_island.ok("setup", "--dry-run", "--bundle", str(signed), "--signing-key", keys["maker"][1])
    assert "podman load" in dry.out
    assert fingerprint(rootful_island) == before


def test_killed_at_any_moment_the_next_run_converges(
    rootful_island: Island, bundle: Path, request: pytest.FixtureRequest
) -> None:
    """The first kills come early and late in one run; at the end a run goes through and a box is proved."""
    kills = 50 if request.config.getoption("--full") else 4
    chance = random.Random(28)
    words = [str(rootful_island.zipapp), "setup", "--yes", "--bundle", str(bundle)]
    ended = 0
    for _ in range(kills):
        child = subprocess.Popen(
            rootful_island.inside(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            child.wait(chance.uniform(0.2, 12))
            ended += child.returncode == 0
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if ended:
            # set up already: from the beginning again
            rootful_island.run(["sh", "-c", f"rm -rf {rootful_island.data}/* && podman rmi --all --force"], timeout=120)
            ended = 0
    done = rootful_island.aibox("setup", "--yes", "--bundle", str(bundle), timeout=400)
    assert done.code == 0, str(done)
    left = rootful_island.run(["podman", "ps", "--all", "--quiet"]).out
    assert left == "", left
