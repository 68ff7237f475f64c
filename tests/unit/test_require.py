"""What the host's policy demands of facts: a checked signature, a security module."""

import pytest

from aibox.config import Policy
from aibox.context import require_confinement, require_signed
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import RUNSC_PROFILE

IMAGE = "harbor.internal/aibox/base:24.04"


KEPT: list[dict[str, Json]] = [
    {}, {"reference": IMAGE}, {"reference": IMAGE, "signature": "unknown"},
    {"reference": "localhost/other", "signature": "checked"},
]  # fmt: skip


@pytest.mark.parametrize("kept", KEPT)
def test_an_unchecked_signature_is_refused_where_demanded(kept: dict[str, Json]) -> None:
    require_signed(Policy(require_signature=False), kept, IMAGE)
    with pytest.raises(AiboxError) as caught:
        require_signed(Policy(require_signature=True), kept, IMAGE)
    assert (caught.value.code, caught.value.exit_code) == ("policy-refused", 3)
    assert IMAGE in caught.value.what


def test_a_checked_one_is_taken() -> None:
    require_signed(Policy(require_signature=True), {"reference": IMAGE, "signature": "checked"}, IMAGE)


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
