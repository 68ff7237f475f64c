"""The SBOM of an image: what dpkg says, as SPDX 2.3."""

import io
import json
import re
import tarfile

import jsonschema
import pytest

from aibox import imagefiles, sbom
from aibox.jsonview import Json

STATUS = """Package: libstdc++6
Status: install ok installed
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: amd64
Multi-Arch: same
Source: gcc-14 (14.2.0-19)
Version: 14.2.0-19+b1
Description: C++
 has a second line
 .
 Version: 9

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2+b5
Maintainer: Matthias Klose <doko@debian.org>

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: g++
Status: install ok installed
Architecture: amd64
Version: 4:14.2.0-1
"""
SUM = "ab" * 32
SUMS = f"bash amd64 5.2.37-2+b5 {SUM}\nlibstdc++6 amd64 1.0 {SUM}\nnonsense\n"
DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: bash

Files: *
Copyright: 1987-2022 FSF
License: GPL-3+

Files: x
License: BSD-3-clause or Expat, and Odd_Name
 text of it
"""
SUBJECT = sbom.Subject("localhost/aibox/base:24.04", "c" * 64, "2026-11-28T00:00:00Z", "debian", "13", "aibox-0.1.0")
EXPRESSION = r"^(NOASSERTION|NONE|[A-Za-z0-9.+-]+( AND [A-Za-z0-9.+-]+)*)$"
# what SPDX 2.3's own JSON schema and text demand of the fields that are used here, and no other field
PACKAGE: dict[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["SPDXID", "name", "downloadLocation"],
    "properties": {
        "SPDXID": {"type": "string", "pattern": "^SPDXRef-[A-Za-z0-9.-]+$"},
        "name": {"type": "string", "minLength": 1},
        "versionInfo": {"type": "string", "minLength": 1},
        "downloadLocation": {"const": "NOASSERTION"},
        "filesAnalyzed": {"const": False},
        "licenseConcluded": {"type": "string", "pattern": EXPRESSION},
        "licenseDeclared": {"type": "string", "pattern": EXPRESSION},
        "copyrightText": {"const": "NOASSERTION"},
        "primaryPackagePurpose": {"enum": ["CONTAINER"]},
        "sourceInfo": {"type": "string"},
        "supplier": {"type": "string", "pattern": r"^(Person|Organization): [^<>]+( \(.+@.+\))?$"},
        "externalRefs": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["referenceCategory", "referenceType", "referenceLocator"],
                "properties": {
                    "referenceCategory": {"const": "PACKAGE-MANAGER"},
                    "referenceType": {"const": "purl"},
                    "referenceLocator": {
                        "type": "string",
                        "pattern": r"^pkg:deb/[a-z]+/[a-z0-9.%A-F-]+@[\w.%~-]+\?arch=\w+(&distro=[a-z0-9.-]+)?$",
                    },
                },
            },
        },
        "checksums": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["algorithm", "checksumValue"],
                "properties": {
                    "algorithm": {"const": "SHA256"},
                    "checksumValue": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                },
            },
        },
    },
}
SCHEMA: dict[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"],
    "properties": {
        "spdxVersion": {"const": "SPDX-2.3"},
        "dataLicense": {"const": "CC0-1.0"},
        "SPDXID": {"const": "SPDXRef-DOCUMENT"},
        "name": {"type": "string", "minLength": 1},
        "documentNamespace": {"type": "string", "pattern": "^https://[^#]+$"},
        "documentDescribes": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "creationInfo": {
            "type": "object",
            "additionalProperties": False,
            "required": ["created", "creators"],
            "properties": {
                "created": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                "creators": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": r"^(Tool: \S+-\S+|Person: .+|Organization: .+)$"},
                },
            },
        },
        "packages": {"type": "array", "items": PACKAGE},
        "relationships": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["spdxElementId", "relationshipType", "relatedSpdxElement"],
                "properties": {
                    "spdxElementId": {"type": "string"},
                    "relationshipType": {"enum": ["DESCRIBES", "CONTAINS"]},
                    "relatedSpdxElement": {"type": "string"},
                },
            },
        },
        "hasExtractedLicensingInfos": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["licenseId", "extractedText"],
                "properties": {
                    "licenseId": {"type": "string", "pattern": "^LicenseRef-[A-Za-z0-9.-]+$"},
                    "name": {"type": "string"},
                    "extractedText": {"type": "string", "minLength": 1},
                },
            },
        },
    },
}


def require_valid(document: object) -> None:
    """What a schema says, and what none can: every id once, every reference to one that is there."""
    jsonschema.validate(document, SCHEMA)
    read = json.loads(json.dumps(document))
    ids = [row["SPDXID"] for row in read["packages"]]
    assert len(set(ids)) == len(ids)
    known = {*ids, "SPDXRef-DOCUMENT"}
    used = {row[key] for row in read["relationships"] for key in ("spdxElementId", "relatedSpdxElement")}
    assert used == known
    assert set(read["documentDescribes"]) <= known
    written = {word for row in read["packages"] for word in row["licenseDeclared"].split()}
    own = [row["licenseId"] for row in read.get("hasExtractedLicensingInfos", [])]
    assert sorted(own) == sorted(word for word in written if word.startswith("LicenseRef-"))


def made() -> dict[str, Json]:
    files = {imagefiles.STATUS: STATUS, imagefiles.SUMS: SUMS, f"{imagefiles.DOCS}/bash/copyright": DEP5}
    found = sbom.document(SUBJECT, imagefiles.packages(files))
    assert isinstance(found, dict)
    return found


def row(name: str) -> dict[str, Json]:
    packages = made()["packages"]
    assert isinstance(packages, list)
    return next(one for one in packages if isinstance(one, dict) and one["name"] == name)


def test_the_document_is_valid_spdx() -> None:
    require_valid(made())
    require_valid(sbom.document(SUBJECT, []))


@pytest.mark.parametrize("field", ["spdxVersion", "SPDXID", "documentNamespace", "creationInfo"])
def test_the_check_can_fail(field: str) -> None:
    document = made()
    del document[field]
    with pytest.raises(jsonschema.ValidationError):
        require_valid(document)
    twice = made()
    packages = twice["packages"]
    assert isinstance(packages, list)
    packages.append(packages[-1])
    with pytest.raises(AssertionError):
        require_valid(twice)


def test_only_what_is_installed_is_listed() -> None:
    assert [one.name for one in sbom.installed(STATUS)] == ["bash", "g++", "libstdc++6"]
    found = sbom.installed(STATUS)[2]
    assert (found.version, found.source, found.source_version) == ("14.2.0-19+b1", "gcc-14", "14.2.0-19")
    assert sbom.installed(STATUS)[0].source == "bash"


def test_a_sum_counts_for_its_own_version_alone() -> None:
    assert row("bash")["checksums"] == [{"algorithm": "SHA256", "checksumValue": SUM}]
    assert "checksums" not in row("libstdc++6")


def test_a_package_url() -> None:
    assert [sbom.purl(one, SUBJECT) for one in sbom.installed(STATUS)] == [
        "pkg:deb/debian/bash@5.2.37-2%2Bb5?arch=amd64&distro=debian-13",
        "pkg:deb/debian/g%2B%2B@4%3A14.2.0-1?arch=amd64&distro=debian-13",
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-13",
    ]


def test_licences() -> None:
    assert sbom.licenses(DEP5) == ("BSD-3-clause", "Expat", "GPL-3+", "Odd_Name")
    assert sbom.licenses("This is bash.\nLicense: GPL-3+\n") == ()
    assert row("bash")["licenseDeclared"] == "BSD-3-Clause AND GPL-3.0-or-later AND LicenseRef-debian-Odd-Name AND MIT"
    assert row("g++")["licenseDeclared"] == "NOASSERTION"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-or-later"),
        ("gpl-9+", "LicenseRef-debian-gpl-9"),
        ("Expat", "MIT"),
        ("(weird", "LicenseRef-debian-weird"),
        ("(", "LicenseRef-debian-unnamed"),
    ],
)
def test_names_of_licences(name: str, expected: str) -> None:
    assert sbom.spdx_license(name) == expected
    assert re.fullmatch(r"[A-Za-z0-9.-]+", expected)


def test_names_that_differ_in_a_plus_stay_two() -> None:
    both = [sbom.Package(name, "1", "amd64", name, "1", "") for name in ("gtk", "gtk+", "gtk++")]
    require_valid(sbom.document(SUBJECT, both))


def test_what_is_not_as_locked() -> None:
    packages = sbom.installed(STATUS)
    assert sbom.differing(packages, {one.name: one.version for one in packages}) == []
    assert sbom.differing(packages, {"bash": "5.2.37-2+b5", "g++": "4:13"}) == [
        "g++ 4:14.2.0-1 (locked: 4:13)",
        "libstdc++6 14.2.0-19+b1 (locked: not at all)",
    ]


def test_shared_copyright_files() -> None:
    """Debian's packages share the folder of documents of another one, or only the file."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, target in (("doc/libx", "libx-common"), ("doc/liby/copyright", "../libx-common/copyright")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
        info = tarfile.TarInfo("doc/libx-common/copyright")
        info.size = len(DEP5)
        tar.addfile(info, io.BytesIO(DEP5.encode()))
        tar.addfile(tarfile.TarInfo("doc/libx-common/README"))
    content.seek(0)
    with tarfile.open(fileobj=content) as tar:
        found = dict(imagefiles.texts(tar, "usr/share"))
    places = [f"usr/share/doc/{name}/copyright" for name in ("libx", "libx-common", "liby")]
    assert found == dict.fromkeys(places, DEP5)
