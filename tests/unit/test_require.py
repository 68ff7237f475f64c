"""What the host's policy demands of facts: a checked signature, a security module."""

from pathlib import Path

import pytest

from aibox import state
from aibox.config import Policy, load_config
from aibox.context import Context, require_confinement, require_signed
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import RUNSC_PROFILE, Developer
from aibox.state import Paths

IMAGE = "harbor.internal/aibox/base:24.04"


def context(folder: Path, *, demanded: bool, kept: dict[str, Json]) -> Context:
    own = Paths(f"{folder}/data", "", "", "")
    state.write_record(own.setup_record, {"image": kept})
    policy = Policy(require_signature=demanded)
    return Context({}, Developer(1001, 1001, "dev1"), own, load_config((), environ={}), policy)


KEPT: list[dict[str, Json]] = [
    {}, {"reference": IMAGE}, {"reference": IMAGE, "signature": "unknown"},
    {"reference": "localhost/other", "signature": "checked"},
]  # fmt: skip


@pytest.mark.parametrize("kept", KEPT)
def test_an_unchecked_signature_is_refused_where_demanded(tmp_path: Path, kept: dict[str, Json]) -> None:
    require_signed(context(tmp_path, demanded=False, kept=kept), IMAGE)
    with pytest.raises(AiboxError) as caught:
        require_signed(context(tmp_path, demanded=True, kept=kept), IMAGE)
    assert (caught.value.code, caught.value.exit_code) == ("policy-refused", 3)
    assert IMAGE in caught.value.what


def test_a_checked_one_is_taken(tmp_path: Path) -> None:
    require_signed(context(tmp_path, demanded=True, kept={"reference": IMAGE, "signature": "checked"}), IMAGE)


@pytest.mark.parametrize(
    ("demanded", "profile", "allowed"),
    [
        ("none", "", True), ("none", RUNSC_PROFILE, True), ("any", RUNSC_PROFILE, True), ("any", "", False),
        ("apparmor", RUNSC_PROFILE, True), ("apparmor", "", False), ("selinux", RUNSC_PROFILE, False),
        ("selinux", "", False),
    ],
)  # fmt: skip
def test_a_security_module(demanded: str, profile: str, allowed: bool) -> None:
    if allowed:
        require_confinement(demanded, profile)
        return
    with pytest.raises(AiboxError) as caught:
        require_confinement(demanded, profile)
    assert caught.value.code == "policy-refused"
    assert "require_mac" in caught.value.why
