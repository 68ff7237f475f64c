"""Images that are built here: a variant as a layer on the base image, a box of it, and its SBOM, with a real engine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import make
from machines import LOCAL_IMAGE, Machine

VARIANT = "localhost/aibox/python:24.04"
BUILD_SECONDS = 2400
EXTENSION = """cd /workspace && python3 -m venv --without-pip made && printf '%s' "$1" > fast.c
gcc -shared -fPIC $(python3-config --includes) -o fast.so fast.c
made/bin/python -c 'import fast; print(fast.__name__)'
"""
SOURCE = """#include <Python.h>
static struct PyModuleDef m = {PyModuleDef_HEAD_INIT, "fast"};
PyMODINIT_FUNC PyInit_fast(void) { return PyModule_Create(&m); }
"""


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    """A rootless machine with the base image and, above it, the variant `python`, which is the smallest."""
    for made in make("rootless-2024", zipapp):
        made.set_up()
        made.ok("image", "build", "--variant", "python", "--yes", timeout=BUILD_SECONDS)
        made.ok("setup", "--variant", "python", "--yes", timeout=300)
        yield made


def layers(machine: Machine, reference: str) -> list[str]:
    done = machine.run(["podman", "image", "inspect", reference])
    found: list[str] = json.loads(done.out)[0]["RootFS"]["Layers"]
    return found


def test_it_is_one_layer_on_the_base_image(machine: Machine) -> None:
    below, above = layers(machine, LOCAL_IMAGE), layers(machine, VARIANT)
    assert (above[:-1], len(above)) == (below, len(below) + 1)


def test_its_tools_work_in_a_box_and_the_sbom_lists_what_dpkg_lists(machine: Machine) -> None:
    place = machine.workspace()
    box = ("--workspace", str(place))
    machine.ok("start", *box, "--variant", "python")
    try:
        done = machine.ok("exec", *box, "--", "sh", "-ec", EXTENSION, "sh", SOURCE)
        assert done.out == "fast\n"
        installed = machine.ok("exec", *box, "--", "dpkg-query", "--show", "--showformat", "${Package} ${Version}\n")
        failing = machine.aibox("exec", *box, "--", "node", "--version")
        assert failing.code == 127, "another variant's tools are not there"
    finally:
        machine.aibox("destroy", *box)
    document = json.loads(machine.ok("image", "inspect", "--sbom", VARIANT).out)
    rows = [row for row in document["packages"] if row["SPDXID"] != "SPDXRef-image"]
    assert sorted(f"{row['name']} {row['versionInfo']}" for row in rows) == sorted(installed.out.splitlines())
    sums = {row["name"]: row["checksums"][0]["checksumValue"] for row in rows if "checksums" in row}
    assert {"python3-dev", "python3-pip"} <= set(sums), "the sum of each .deb that was fetched is known"
    identifier = document["packages"][0]["versionInfo"].removeprefix("sha256:")
    kept = json.loads(machine.read(f"{machine.data}/sbom/{identifier[:12]}.spdx.json"))
    assert kept == document


def test_built_again_it_is_the_same(machine: Machine) -> None:
    before = machine.run(["podman", "image", "inspect", "--format", "{{.Id}}", VARIANT]).out
    machine.ok("image", "build", "--variant", "python", "--yes", timeout=BUILD_SECONDS)
    assert machine.run(["podman", "image", "inspect", "--format", "{{.Id}}", VARIANT]).out == before
