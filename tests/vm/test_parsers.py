"""The profiles compile with the parser of this host (Debian 12: AppArmor 3.0) and of the guest (Debian 13: 4.1)."""

import subprocess

import pytest
from guest import Guest
from settings import ROOT

pytestmark = pytest.mark.short

PROFILES = ("apparmor-runsc", "apparmor-sandbox")
ARGUMENTS = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--kernel-features", "/etc/apparmor.d/abi/3.0"]


@pytest.mark.parametrize("profile", PROFILES)
def test_host_parser(profile: str) -> None:
    command = [*ARGUMENTS, str(ROOT / "data" / profile)]
    done = subprocess.run(
        command, capture_output=True, timeout=120, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin"}
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()


@pytest.mark.parametrize("profile", PROFILES)
def test_guest_parser(guest: Guest, profile: str) -> None:
    content = (ROOT / "data" / profile).read_bytes()
    done = guest.run(["sh", "-c", 'cat > /tmp/p && "$@" /tmp/p', "sh", *ARGUMENTS], stdin=content, timeout=300)
    assert (done.code, done.err) == (0, ""), str(done)
