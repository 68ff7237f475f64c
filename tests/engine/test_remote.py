"""A Podman that hands its work to a service elsewhere is refused by name, with the command that mends it."""

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from machines import Machine

SOCKET = "/run/podman/podman.sock"
SETTINGS = "[engine]\n# remote = false\nremote = true\n"


@pytest.fixture
def client(rootful: Machine) -> Iterator[Machine]:
    """Podman's configuration as `podman machine` and remote hosts have it."""
    rootful.write("/etc/containers/containers.conf", SETTINGS)
    yield rootful
    rootful.run(["rm", "-f", "/etc/containers/containers.conf"], root=True)


def refused(client: Machine) -> dict[str, str]:
    done = client.aibox("setup", "--yes", "--json", timeout=200)
    assert done.code == 4, str(done)
    error: dict[str, str] = json.loads(done.out)["error"]
    return error


def mended(client: Machine, error: dict[str, str]) -> None:
    """The command in the message, as it stands there, mends it."""
    assert error["code"] == "engine-remote"
    assert error["message"] == "/usr/bin/podman hands its work to a Podman elsewhere"
    assert error["why"] == "/etc/containers/containers.conf says `remote = true`"
    done = client.run(["sh", "-c", error["fix"].removeprefix("sudo ")])
    assert done.code == 0, str(done)
    client.ok("setup", "--yes", timeout=400)


def test_no_service_is_reached(client: Machine) -> None:
    examined = client.aibox("doctor", "--json", "--check", "engine-answers", timeout=200)
    assert "hands its work to a Podman elsewhere" in examined.out, str(examined)
    mended(client, refused(client))


@pytest.fixture
def service(rootful: Machine) -> Iterator[None]:
    """A service where a client looks for one; it starts before the configuration says that there are only clients."""
    rootful.run(["mkdir", "-p", "/run/podman"], root=True)
    child = subprocess.Popen(rootful.inside(["podman", "system", "service", "--time", "0", f"unix://{SOCKET}"]))
    for _ in range(300):
        if rootful.run(["test", "-S", SOCKET]).code == 0:
            break
        assert child.poll() is None
        time.sleep(0.2)
    yield
    child.terminate()
    child.wait(30)


@pytest.mark.usefixtures("service")
def test_a_service_answers(client: Machine) -> None:
    """Here it is one of the same host, and a client cannot know that."""
    told = client.run(["podman", "info", "--format", "{{.Host.ServiceIsRemote}}"])
    assert told.out.strip() == "true", str(told)
    mended(client, refused(client))


@pytest.mark.parametrize("variable", ["CONTAINER_HOST", "CONTAINER_CONNECTION"])
def test_a_variable_is_not_followed_and_named(rootful: Machine, variable: str) -> None:
    value = "unix:///nonexistent.sock" if variable == "CONTAINER_HOST" else "podman-machine-default"
    rootful.environment[variable] = value
    try:
        done = rootful.ok("setup", "--yes", timeout=400)
    finally:
        del rootful.environment[variable]
    assert f"{variable} ignored: aibox always uses the local engine" in done.err
