"""What the stage's parts have in common."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CACHE = Path(os.environ.get("AIBOX_TEST_CACHE", "/var/cache/aibox-tests"))
USERS = {"dev1": 1000, "dev2": 1001}
# the guest's port for each user's agent
PORTS = {"root": 7000, "dev1": 7001, "dev2": 7002}
