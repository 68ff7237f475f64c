"""Signed pulls with a real registry, skopeo and GPG: each refusal with its reason; the control has no policy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hosts import make
from machines import LOCAL_IMAGE, Done, Machine
from signers import Key, Stage, small_image

BASE = "aibox/base:24.04"
SCOPED = "aibox/base"


class Place(NamedTuple):
    """A machine that trusts one key for one repository, and two generations of the image."""

    machine: Machine
    stage: Stage
    own: Key
    other: Key
    first: str
    second: str

    @property
    def reference(self) -> str:
        return f"{self.stage.name}/{BASE}"


# what depends on whose policy it is runs on both; what an engine refuses is the same for root
BOTH = pytest.mark.parametrize("place", ["rootless-2024", "rootful-2024"], indirect=True, scope="module")
ONE = pytest.mark.parametrize("place", ["rootless-2024"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Place]:
    for machine in make(request.param, zipapp):
        machine.choose_storage()
        small_image(machine, LOCAL_IMAGE)
        machine.ok("setup", "--yes", "--runsc", str(machine.runsc), timeout=300)
        stage = Stage(machine)
        try:
            first, second = stage.image(LOCAL_IMAGE, "first"), stage.image(LOCAL_IMAGE, "second")
            machine.environment["AIBOX_IMAGE"] = f"{stage.name}/{BASE}"
            yield Place(machine, stage, stage.key("own"), stage.key("other"), first, second)
        finally:
            stage.close()


@pytest.fixture(autouse=True)
def _fresh(place: Place) -> None:
    """Nothing is pulled, published, pinned or trusted."""
    trusted(place, "--remove", check=False)
    place.stage.strip()
    for name in (place.reference, "kept:1"):
        place.machine.run(["podman", "rmi", "--force", name])
    path = f"{place.machine.data}/setup.json"
    known = json.loads(place.machine.read(path))
    known.pop("image", None)
    known.pop("image_previous", None)
    place.machine.write(path, json.dumps(known))
    place.machine.run(["chown", f"{place.machine.uid}", path], root=True)


def trusted(place: Place, *words: str, check: bool = True) -> Done:
    done = place.machine.aibox("image", "trust", "--yes", *words)
    assert done.code == 0 or not check, str(done)
    return done


def trust(place: Place, key: Key) -> Done:
    return trusted(place, "--key", str(key.public), "--lookaside", place.stage.lookaside)


def policy(place: Place) -> str:
    own = f"{place.machine.home}/.config/containers/policy.json"
    return own if place.machine.rootless else "/etc/containers/policy.json"


def record(place: Place) -> dict[str, str]:
    known: dict[str, dict[str, str]] = json.loads(place.machine.read(f"{place.machine.data}/setup.json"))
    return known.get("image", {})


def taken(place: Place) -> dict[str, str]:
    """The first image is published, signed by the trusted key and in use; what setup recorded of it."""
    place.stage.publish(place.first, BASE, place.own)
    trust(place, place.own)
    place.machine.ok("setup", "--yes", timeout=300)
    return record(place)


def refused(done: Done, code: str, why: str) -> None:
    assert f"[{code}]" in done.err, str(done)
    assert why in done.err, str(done)
    assert "Traceback" not in done.err


def pulls_without_policy(place: Place) -> None:
    """The control: the same pull works where no signature is demanded."""
    anyone = Path(place.machine.home) / "anyone.json"
    place.machine.write(str(anyone), '{"default": [{"type": "insecureAcceptAnything"}]}')
    done = place.machine.run(["podman", "pull", "--quiet", "--signature-policy", str(anyone), place.reference])
    assert done.code == 0, str(done)
    place.machine.run(["podman", "rmi", place.reference])


@BOTH
def test_a_signed_image_is_taken_pinned_and_shown(place: Place) -> None:
    machine = place.machine
    kept = taken(place)
    assert (kept["reference"], kept["signature"], kept["policy"]) == (place.reference, "checked", policy(place))
    assert kept["digest"].startswith("sha256:")
    box = machine.workspace("signed")
    machine.ok("start", "--workspace", str(box))
    shown = json.loads(machine.ok("status", "--json", "--workspace", str(box)).out)["data"]
    assert (shown["digest"], shown["signature"]) == (kept["digest"], "checked")
    looked = json.loads(machine.ok("image", "inspect", "--json").out)["data"]
    assert (looked["signature"], looked["policy"]["demands"]) == ("checked", ["signedBy"])
    assert looked["policy"]["scope"] == f"{place.stage.name}/{SCOPED}"
    images = json.loads(machine.ok("image", "list", "--json").out)["data"]["images"]
    mine = next(one for one in images if one["in_use"])
    assert (mine["references"], mine["signature"], mine["digest"]) == ([place.reference], "checked", kept["digest"])
    assert mine["boxes"] == [shown["box"]]
    machine.ok("destroy", "--workspace", str(box))

    # the image is gone: start fetches the pinned one again; under the administrator's demand, too
    machine.run(["podman", "rmi", "--force", place.reference])
    machine.ok("start", "--workspace", str(box))
    assert record(place) == kept
    machine.ok("destroy", "--workspace", str(box))


@BOTH
def test_pull_success_alone_is_no_checked_signature(place: Place) -> None:
    place.stage.publish(place.first, BASE, place.own)
    place.machine.ok("setup", "--yes", timeout=300)
    assert "signature" not in record(place), "no policy demanded one"
    trust(place, place.own)
    box = place.machine.workspace("early")
    refused(place.machine.aibox("start", "--workspace", str(box)), "image-unchecked", "before the signature policy")
    place.machine.ok("setup", "--yes", timeout=300)
    assert record(place)["signature"] == "checked"


@ONE
def test_an_unsigned_image_is_refused(place: Place) -> None:
    place.stage.publish(place.first, BASE)
    pulls_without_policy(place)
    trust(place, place.own)
    refused(place.machine.aibox("setup", "--yes"), "image-unsigned", "no signature is stored for it")
    assert record(place) == {}


@ONE
def test_another_key_is_refused(place: Place) -> None:
    place.stage.publish(place.first, BASE, place.other)
    pulls_without_policy(place)
    trust(place, place.own)
    refused(place.machine.aibox("setup", "--yes"), "image-untrusted", place.other.fingerprint)
    assert record(place) == {}


@ONE
def test_a_removed_signature_is_named(place: Place) -> None:
    machine = place.machine
    taken(place)
    machine.run(["podman", "rmi", "--force", place.reference])
    place.stage.strip()
    pulls_without_policy(place)
    box = machine.workspace("stripped")
    why = "this same image was signed when it was checked last: its signature was removed"
    refused(machine.aibox("start", "--workspace", str(box)), "image-unsigned", why)
    refused(machine.aibox("setup", "--yes"), "image-unsigned", why)


@ONE
def test_a_moved_tag_is_refused_and_only_update_moves_on(place: Place) -> None:
    machine = place.machine
    kept = taken(place)
    place.stage.publish(place.second, BASE, place.own)

    machine.run(["podman", "rmi", "--force", place.reference])
    box = machine.workspace("moved")
    for words in (("start", "--workspace", str(box)), ("setup", "--yes")):
        refused(machine.aibox(*words), "image-moved", kept["digest"])
        gone = machine.run(["podman", "image", "exists", place.reference])
        assert (record(place), gone.code) == (kept, 1), "what was refused is not left under the name"
    # the control: rightly signed, the engine alone takes it under the same policy; only the pin refuses it
    pulled = machine.run(["podman", "pull", "--quiet", place.reference])
    assert (pulled.code, pulled.out.strip() in ("", kept["id"])) == (0, False), str(pulled)
    machine.run(["podman", "rmi", place.reference])

    machine.ok("update", "--yes", timeout=300)
    moved = record(place)
    assert (moved["signature"], moved["id"] != kept["id"], moved["digest"] != kept["digest"]) == ("checked", True, True)

    # on this host, around the registry
    machine.run(["podman", "tag", LOCAL_IMAGE, place.reference])
    for words in (("start", "--workspace", str(box)), ("setup", "--yes")):
        refused(machine.aibox(*words), "image-moved", moved["digest"])
    machine.ok("update", "--yes", timeout=300)
    assert record(place)["id"] == moved["id"]

    # to an image that is not signed, or under another name
    place.stage.publish(place.first, "aibox/base:other", place.own)
    place.stage.publish(place.first, BASE)
    told = machine.aibox("update", "--yes", timeout=300)
    assert told.code == 3, str(told)
    refused(told, "image-moved", "signed under another name")
    place.stage.strip()
    told = machine.aibox("update", "--yes", timeout=300)
    assert told.code == 3, str(told)
    refused(told, "image-unsigned", "the tag was moved to another image")
    assert record(place) == moved, "what was in use is in use"
    pulls_without_policy(place)


@BOTH
def test_sigstore_is_checked_or_named_as_switched_off(place: Place) -> None:
    """An engine that can check it takes a right signature and no other; Debian 12's is named as what it is."""
    machine, stage, (name, tag) = place.machine, place.stage, BASE.split(":")
    stage.publish(place.first, BASE)
    public = stage.sigstore(name, tag)
    done = trusted(place, "--key", str(public))
    assert "use-sigstore-attachments: true" in done.err
    done = machine.aibox("setup", "--yes", timeout=300)
    if done.code != 0:
        refused(done, "sigstore-disabled", "the signature may be right")
        pulls_without_policy(place)
        return
    kept = record(place)
    assert (kept["signature"], kept["digest"]) == ("checked", stage.digest(name, tag))

    machine.run(["podman", "rmi", "--force", place.reference])
    stage.unattach(name, tag)
    pulls_without_policy(place)
    why = "this same image was signed when it was checked last: its signature was removed"
    refused(machine.aibox("setup", "--yes", timeout=300), "image-unsigned", why)

    stage.sigstore(name, tag, "other")
    pulls_without_policy(place)
    refused(machine.aibox("setup", "--yes", timeout=300), "image-untrusted", "")

    stage.publish(place.second, BASE)
    stage.sigstore(name, tag)
    pulls_without_policy(place)
    refused(machine.aibox("setup", "--yes", timeout=300), "image-moved", kept["digest"])
    assert record(place) == kept

    stage.publish(place.first, f"{name}:never")
    stage.unattach(name, "never")
    machine.environment["AIBOX_IMAGE"] = f"{stage.name}/{name}:never"
    try:
        refused(machine.aibox("setup", "--yes", timeout=300), "image-unsigned", "no signature is stored for it")
    finally:
        machine.environment["AIBOX_IMAGE"] = place.reference


@BOTH
def test_trust_is_shown_asked_for_and_taken_back(place: Place) -> None:
    machine, words = place.machine, ("image", "trust", "--key", str(place.own.public))
    files = [
        "sh",
        "-c",
        f"cd {Path(policy(place)).parent} && find . -type f -name '*.[jy]*' -exec sha256sum {{}} + | sort",
    ]
    before = machine.run(files).out
    done = machine.aibox(*words)
    assert (done.code, "[consent-needed]" in done.err) == (2, True), str(done)
    shown = machine.ok(*words, "--dry-run").out
    assert f'+            "{place.stage.name}/{SCOPED}": [' in shown or f'"{place.stage.name}/{SCOPED}"' in shown
    assert machine.run(files).out == before, "nothing is written before consent"
    done = trust(place, place.own)
    assert place.own.fingerprint in done.out
    written = json.loads(machine.read(policy(place)))
    assert written["default"] == [{"type": "insecureAcceptAnything"}], "the default is not aibox's to change"
    assert list(written["transports"]["docker"]) == [f"{place.stage.name}/{SCOPED}"]
    trusted(place, "--remove")
    assert machine.run(files).out == before


@BOTH
def test_only_the_administrators_key_counts_where_signatures_are_demanded(place: Place) -> None:
    machine = place.machine
    place.stage.publish(place.first, BASE, place.own)
    if machine.rootless:
        trust(place, place.own)
        machine.ok("setup", "--yes", timeout=300)
    machine.write("/etc/aibox/policy.yaml", "require_signature: true\n")
    box = machine.workspace("demanded")
    try:
        if not machine.rootless:
            refused(machine.aibox("setup", "--yes"), "policy-refused", "demands none for it")
            trust(place, place.own)
            machine.ok("setup", "--yes", timeout=300)
            machine.ok("start", "--workspace", str(box))
            machine.ok("doctor", "--check", "image-signature")
            return
        refused(machine.aibox("start", "--workspace", str(box)), "policy-refused", "require_signature")
        refused(trusted(place, "--key", str(place.own.public), check=False), "policy-refused", "only the administrator")
        machine.run(["podman", "rmi", "--force", place.reference])
        refused(machine.aibox("setup", "--yes"), "policy-refused", "demands none for it")
    finally:
        machine.aibox("destroy", "--workspace", str(box))
        machine.run(["rm", "/etc/aibox/policy.yaml"], root=True)
