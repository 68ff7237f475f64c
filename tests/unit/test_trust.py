"""Signature policies: which entry counts for an image, one entry changed in the text, what the engine's words mean."""

import json
from pathlib import Path

import pytest

from aibox import imagetrust, state, trustfiles, trustpolicy
from aibox.config import Policy, load_config
from aibox.context import Context, require_signed
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import Developer
from aibox.plan import Image
from aibox.state import Paths
from aibox.trustpolicy import Demand

IMAGE = "harbor.internal:8443/aibox/base:24.04"
SIGNED: list[Json] = [{"type": "signedBy", "keyType": "GPGKeys", "keyData": "eA=="}]
ANY: list[Json] = [{"type": "insecureAcceptAnything"}]
REJECT: list[Json] = [{"type": "reject"}]
GPG_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"


def policy(docker: dict[str, Json], default: Json = ANY) -> dict[str, Json]:
    return {"default": default, "transports": {"docker": docker}}


def test_the_scopes_of_an_image() -> None:
    assert trustpolicy.scopes("a.harbor.internal:8443/team/aibox/base:24.04") == [
        "a.harbor.internal:8443/team/aibox/base:24.04", "a.harbor.internal:8443/team/aibox/base",
        "a.harbor.internal:8443/team/aibox", "a.harbor.internal:8443/team", "a.harbor.internal:8443",
        "*.harbor.internal", "*.internal", "",
    ]  # fmt: skip
    digest = f"sha256:{'a' * 64}"
    assert trustpolicy.scopes(f"localhost:5000/x:1@{digest}")[0] == f"localhost:5000/x@{digest}"
    assert trustpolicy.scopes("docker.io/debian")[:2] == ["docker.io/library/debian:latest", "docker.io/library/debian"]
    assert trustpolicy.scopes("debian") == [""], "whose registry is not known, nobody vouches for"


@pytest.mark.parametrize(
    ("docker", "default", "scope", "signed"),
    [
        ({}, ANY, "default", False),
        ({}, SIGNED, "default", True),
        ({"harbor.internal:8443/aibox/base": SIGNED}, ANY, "harbor.internal:8443/aibox/base", True),
        ({"harbor.internal:8443": SIGNED, IMAGE: ANY}, ANY, IMAGE, False),
        ({"harbor.internal": SIGNED}, ANY, "default", False),
        ({"harbor.internal:8443/aibox/bas": SIGNED}, ANY, "default", False),
        ({"harbor.internal:8443/aibox/base:24": SIGNED}, ANY, "default", False),
        ({"*.internal": SIGNED}, ANY, "*.internal", True),
        ({"": SIGNED}, ANY, "docker", True),
        ({"": ANY}, SIGNED, "docker", False),
        ({"harbor.internal:8443": REJECT}, SIGNED, "harbor.internal:8443", False),
        ({"harbor.internal:8443": [*SIGNED, *REJECT]}, ANY, "harbor.internal:8443", False),
        ({"harbor.internal:8443": [*ANY, *SIGNED]}, ANY, "harbor.internal:8443", True),
        ({"harbor.internal:8443": [{"type": "sigstoreSigned"}]}, ANY, "harbor.internal:8443", True),
    ],
)  # fmt: skip
def test_what_a_policy_demands(docker: dict[str, Json], default: Json, scope: str, *, signed: bool) -> None:
    found = trustpolicy.demand(policy(docker, default), "p", IMAGE)
    assert (found.scope, found.signed) == (scope, signed)


def test_a_short_name_gets_the_default_alone() -> None:
    assert not trustpolicy.demand(policy({"docker.io": SIGNED, "": SIGNED}), "p", "debian:12").signed


@pytest.mark.parametrize(
    "text",
    [
        '{"default": [{"type": "reject"}]}',
        '{\n    "default": [\n        {"type": "reject"}   ]\n}\n',
        '{\n\t"transports": {"docker-daemon": {"": []}},\n\t"default": [ ]}\n',
        '{"default":[],"transports":{"docker":{"a.example":[{"type":"reject"}], "b.example": [ ] }}}',
        '\n{\n  "default": [],\n  "transports": {\n    "docker": {\n      "z.example": []\n    }\n  }\n}',
    ],
)
def test_one_entry_comes_and_goes_and_every_other_byte_stays(text: str) -> None:
    added = trustpolicy.with_entry(text.encode(), "harbor.internal", SIGNED)
    before, after = json.loads(text), json.loads(added)
    assert after["transports"]["docker"].pop("harbor.internal") == SIGNED
    for level in (after["transports"], after):
        for name in ("docker", "transports"):
            if level.get(name) == {}:
                del level[name]
    assert after == before
    assert trustpolicy.without_entry(added, "harbor.internal") == text.encode()
    again = trustpolicy.with_entry(added, "harbor.internal", ANY)
    assert json.loads(again)["transports"]["docker"]["harbor.internal"] == ANY
    assert trustpolicy.without_entry(text.encode(), "harbor.internal") == text.encode()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"default": {}}', '{"default": [], "default": []}', '{"default": [], "transports": []}']
)
def test_what_the_engine_would_not_read_is_not_touched(text: str) -> None:
    with pytest.raises(AiboxError) as caught:
        trustpolicy.parse(text.encode(), "/etc/containers/policy.json")
    assert caught.value.code == "trust-failed"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (GPG_ARMOR, "signedBy"),
        (b"\x99\x01\x0d", "signedBy"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA", "sigstoreSigned"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----", ""),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", ""),
        (b"hello", ""),
    ],
)
def test_keys(key: bytes, kind: str) -> None:
    if kind:
        assert trustpolicy.requirement(key)["type"] == kind
        return
    with pytest.raises(AiboxError) as caught:
        trustpolicy.requirement(key)
    assert caught.value.code == "trust-failed"


DEMANDED = Demand("p", "harbor.internal", ("signedBy",))
REJECTING = Demand("p", "harbor.internal", ("reject",))


# each as Podman 4.3 said it in a real pull
@pytest.mark.parametrize(
    ("asked", "complaint", "reason"),
    [
        (DEMANDED, "Source image rejected: A signature was required, but no signature exists", "unsigned"),
        (DEMANDED, "Source image rejected: Signature for identity h/a:1 is not accepted", "other name"),
        (DEMANDED, "Source image rejected: Invalid GPG signature: gpgme.Signature{Summary:128, ...}", "other key"),
        (DEMANDED, "Source image rejected: Debian-local change: sigstore disabled", "sigstore off"),
        (REJECTING, "Source image rejected: Running image docker://h/a:1 is rejected by policy.", "rejected"),
        (DEMANDED, "initializing source docker://h/a:1: reading manifest 1 in h/a: manifest unknown", ""),
        (DEMANDED, "pinging container registry: connection refused", ""),
        (Demand("p", "default", ("insecureAcceptAnything",)), "Source image rejected: no signature exists", ""),
    ],
)  # fmt: skip
def test_the_engines_words(asked: Demand, complaint: str, reason: str) -> None:
    assert trustpolicy.reason(asked, complaint) == reason


def context(folder: Path, flags: dict[str, str], policy_: Policy | None = None, uid: int = 1001) -> Context:
    own = Paths(f"{folder}/data", f"{folder}/run", f"{folder}/config/aibox", f"{folder}/data/seccomp.json")
    config = load_config([], environ={}, flags={"engine": "podman", **flags})
    return Context({"HOME": str(folder)}, Developer(uid, uid, "dev1"), own, config, policy_ or Policy())


def test_a_key_of_the_users_does_not_count_where_the_administrator_demands_one(tmp_path: Path) -> None:
    kept: dict[str, Json] = {"reference": IMAGE, "signature": "checked", "policy": f"{tmp_path}/policy.json"}
    require_signed(Policy(), kept, IMAGE)
    with pytest.raises(AiboxError):
        require_signed(Policy(require_signature=True), kept, IMAGE)
    require_signed(Policy(require_signature=True), {**kept, "policy": imagetrust.SYSTEM_POLICY}, IMAGE)
    own = tmp_path / "config/containers/policy.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps(policy({"harbor.internal:8443": SIGNED})))
    assert imagetrust.policy_path(context(tmp_path, {})) == str(own)
    assert imagetrust.policy_path(context(tmp_path, {}, Policy(require_signature=True))) == imagetrust.SYSTEM_POLICY
    assert imagetrust.policy_path(context(tmp_path, {}, uid=0)) == imagetrust.SYSTEM_POLICY
    assert imagetrust.demand(context(tmp_path, {}), IMAGE).signed
    assert not imagetrust.demand(context(tmp_path, {"engine": "docker"}), IMAGE).signed, "Docker reads no such file"
    assert "demands a signature" in imagetrust.unchecked(context(tmp_path, {}), {}, IMAGE)
    assert imagetrust.unchecked(context(tmp_path, {}), kept, IMAGE) == ""


@pytest.mark.parametrize("how", [{"digest": "sha256:1"}, {"signature": "checked"}])
def test_a_pulled_image_is_pinned_and_one_that_was_built_here_is_not(how: dict[str, Json]) -> None:
    imagetrust.require_pinned({"reference": IMAGE, "id": "a" * 64}, Image(IMAGE, "b" * 64, ()))
    imagetrust.require_pinned({"reference": IMAGE, "id": "a" * 64, **how}, Image(IMAGE, "a" * 64, ()))
    imagetrust.require_pinned({"reference": "other", "id": "a" * 64, **how}, Image(IMAGE, "b" * 64, ()))
    with pytest.raises(AiboxError) as caught:
        imagetrust.require_pinned({"reference": IMAGE, "id": "a" * 64, **how}, Image(IMAGE, "b" * 64, ()))
    assert caught.value.code == "image-moved"
    assert "aibox update" in caught.value.fix


def test_a_scope_covers_the_image_and_is_never_every_image() -> None:
    assert trustfiles.scope_for(IMAGE, "") == "harbor.internal:8443/aibox/base"
    assert trustfiles.scope_for(IMAGE, "harbor.internal:8443") == "harbor.internal:8443"
    for reference, wanted in ((IMAGE, "docker.io"), (IMAGE, "*.internal"), (IMAGE, "harbor.internal"),
                              ("base:1", ""), ("localhost/aibox/base:1", "")):  # fmt: skip
        with pytest.raises(AiboxError) as caught:
            trustfiles.scope_for(reference, wanted)
        assert caught.value.code == "trust-failed"


def test_the_way_back_restores_an_entry_that_was_there(tmp_path: Path) -> None:
    made = context(tmp_path, {})
    own = tmp_path / "config/containers/policy.json"
    own.parent.mkdir(parents=True)
    text = json.dumps(policy({"harbor.internal:8443/aibox/base": REJECT}), indent=2)
    own.write_text(text)
    (tmp_path / ".config/containers/registries.d").mkdir(parents=True)
    trust = trustfiles.Trust("harbor.internal:8443/aibox/base", trustpolicy.requirement(GPG_ARMOR), "a key")
    for _ in range(2):
        changes = trustfiles.adding(made, trust, "https://signatures.internal")
        trustfiles.remember(made, trust.scope, changes)
        trustfiles.apply(changes)
    assert trustfiles.adding(made, trust, "https://signatures.internal") == [], "the second time nothing changes"
    assert imagetrust.demand(made, IMAGE).signed
    place = Path(trustfiles.places(made)) / trustfiles.file_name(trust.scope)
    assert 'lookaside: "https://signatures.internal"' in place.read_text()
    trustfiles.apply(trustfiles.removing(made, trust.scope))
    trustfiles.forget(made, trust.scope)
    assert json.loads(own.read_text()) == json.loads(text)
    assert not place.exists()
    with pytest.raises(AiboxError):
        trustfiles.removing(made, trust.scope)
    assert state.read_record(trustfiles.record_path(made)) == {}


def test_a_name_that_another_file_holds_is_refused(tmp_path: Path) -> None:
    made = context(tmp_path, {})
    folder = tmp_path / ".config/containers/registries.d"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text('docker:\n  "harbor.internal:8443":\n    lookaside: https://a\n')
    own = tmp_path / "config/containers/policy.json"
    own.parent.mkdir(parents=True)
    own.write_text(json.dumps(policy({})))
    trust = trustfiles.Trust("harbor.internal:8443", trustpolicy.requirement(GPG_ARMOR), "a key")
    with pytest.raises(AiboxError) as caught:
        trustfiles.adding(made, trust, "https://b")
    assert caught.value.code == "trust-failed"
    assert len(trustfiles.adding(made, trust, "")) == 1
