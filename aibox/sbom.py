"""The software bill of materials of an image, as SPDX 2.3 in JSON, from what dpkg says is installed. Pure.

Sources: https://spdx.github.io/spdx-spec/v2.3/, dpkg-query(1), Debian's machine-readable copyright format 1.0, and
https://github.com/package-url/purl-spec.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aibox.jsonview import Json

VERSION = "SPDX-2.3"
NONE = "NOASSERTION"
_ID = re.compile(r"[^A-Za-z0-9.-]+")
_DEP5 = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0"
# Debian's short names of licences, and SPDX's; a `+` there is `-or-later` here
_FAMILIES = {"gpl": "GPL", "lgpl": "LGPL", "agpl": "AGPL", "gfdl": "GFDL", "gfdl-niv": "GFDL"}
_SAME = {
    "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0-Perl", "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
    "bsl-1.0": "BSL-1.0", "cc0-1.0": "CC0-1.0", "curl": "curl", "expat": "MIT", "ftl": "FTL", "isc": "ISC",
    "mit": "MIT", "mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0", "openssl": "OpenSSL", "unlicense": "Unlicense",
    "x11": "X11", "zlib": "Zlib", "cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0", "epl-1.0": "EPL-1.0", "epl-2.0": "EPL-2.0", "psf-2": "PSF-2.0",
}  # fmt: skip


class Package(NamedTuple):
    """An installed package; `sha256` is that of its .deb, empty where it is not known."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    maintainer: str
    sha256: str = ""
    licenses: tuple[str, ...] = ()


class Subject(NamedTuple):
    """The image: its reference, its id, when it was made (RFC 3339), and the distribution (os-release)."""

    reference: str
    identifier: str
    created: str
    distribution: str
    release: str
    tool: str


def stanzas(text: str) -> Iterable[dict[str, str]]:
    """The paragraphs of a control file (deb822(5)), each as its fields; a field's further lines are kept."""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        found: dict[str, str] = {}
        last = ""
        for line in paragraph.split("\n"):
            if line[:1] in (" ", "\t"):
                if last:
                    found[last] += f"\n{line.strip()}"
            elif ":" in line and not line.startswith("#"):
                last, _, value = line.partition(":")
                found[last] = value.strip()
        if found:
            yield found


def installed(status: str) -> list[Package]:
    """The packages that a dpkg status file says are installed, by name."""
    found = []
    for fields in stanzas(status):
        whole = all(fields.get(name) for name in ("Package", "Version", "Architecture"))
        if not whole or fields.get("Status", "").split()[-1:] != ["installed"]:
            continue
        source, _, version = fields.get("Source", fields["Package"]).partition(" ")
        found.append(
            Package(
                fields["Package"],
                fields["Version"],
                fields["Architecture"],
                source,
                version.strip("()") or fields["Version"],
                fields.get("Maintainer", ""),
            )
        )
    return sorted(found)


def with_sums(packages: Iterable[Package], listed: str) -> list[Package]:
    """The packages with the sums that the image's own list has (lines of name, architecture, version, SHA-256)."""
    rows = [line.split() for line in listed.splitlines()]
    sums = {tuple(row[:3]): row[3] for row in rows if len(row) == 4 and re.fullmatch("[0-9a-f]{64}", row[3])}
    return [one._replace(sha256=sums.get((one.name, one.architecture, one.version), "")) for one in packages]


def licenses(copyright_: str) -> tuple[str, ...]:
    """The short names of licences in a machine-readable copyright file; none for any other."""
    head = next(iter(stanzas(copyright_)), {})
    if _DEP5 not in head.get("Format", "").replace("http:", "https:"):
        return ()
    names: set[str] = set()
    for fields in stanzas(copyright_):
        line = fields.get("License", "").partition("\n")[0]
        names |= {part.strip(" ,()") for part in re.split(r"\b(?:and/or|and|or)\b|,", line)}
    return tuple(sorted(name for name in names if name))


def spdx_license(name: str) -> str:
    """SPDX's identifier for a short name of Debian's; a LicenseRef for one that SPDX does not have."""
    lower = name.lower()
    known = _SAME.get(lower)
    if known:
        return known
    match = re.fullmatch(r"(gpl|lgpl|agpl|gfdl|gfdl-niv)-?(\d(?:\.\d)?)(\+?)", lower)
    if match:
        number = match[2] if "." in match[2] else f"{match[2]}.0"
        made = f"{_FAMILIES[match[1]]}-{number}-{'or-later' if match[3] else 'only'}"
        if made.rpartition("-o")[0] in _VERSIONS:
            return made
    return f"LicenseRef-debian-{_ID.sub('-', name).strip('-') or 'unnamed'}"


_VERSIONS = {
    "GPL-1.0", "GPL-2.0", "GPL-3.0", "LGPL-2.0", "LGPL-2.1", "LGPL-3.0", "AGPL-1.0", "AGPL-3.0", "GFDL-1.1", "GFDL-1.2",
    "GFDL-1.3",
}  # fmt: skip


def document(subject: Subject, packages: list[Package]) -> Json:
    """The SPDX document of an image."""
    image: Json = {
        "SPDXID": "SPDXRef-image",
        "name": subject.reference,
        "versionInfo": f"sha256:{subject.identifier}",
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "CONTAINER",
    }
    texts: dict[str, str] = {}
    rows = [_package(one, subject, texts) for one in packages]
    relations: list[Json] = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")]
    relations += [_relation("SPDXRef-image", "CONTAINS", str(row["SPDXID"])) for row in rows]
    made: dict[str, Json] = {
        "spdxVersion": VERSION,
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.reference,
        "documentNamespace": f"https://spdx.org/spdxdocs/aibox-image-{subject.identifier}",
        "creationInfo": {"created": subject.created, "creators": [f"Tool: {subject.tool}"]},
        "documentDescribes": ["SPDXRef-image"],
        "packages": [image, *rows],
        "relationships": relations,
    }
    if texts:
        made["hasExtractedLicensingInfos"] = [
            {"licenseId": key, "name": name, "extractedText": f"'{name}': /usr/share/doc/*/copyright has its text"}
            for key, name in sorted(texts.items())
        ]
    return made


def _package(one: Package, subject: Subject, texts: dict[str, str]) -> dict[str, Json]:
    expressions = sorted({spdx_license(name) for name in one.licenses})
    for name in one.licenses:
        if spdx_license(name).startswith("LicenseRef-"):
            texts.setdefault(spdx_license(name), name)
    row: dict[str, Json] = {
        "SPDXID": f"SPDXRef-deb-{_spdx_id(one.name)}-{_spdx_id(one.architecture)}",
        "name": one.name,
        "versionInfo": one.version,
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": " AND ".join(expressions) or NONE,
        "copyrightText": NONE,
        "sourceInfo": f"built from the source package {one.source} {one.source_version}",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(one, subject)}
        ],
    }
    supplier = re.sub(r"\s*<(.*)>$", r" (\1)", one.maintainer)
    row |= {"supplier": f"Organization: {supplier}"} if supplier else {}
    row |= {"checksums": [{"algorithm": "SHA256", "checksumValue": one.sha256}]} if one.sha256 else {}
    return row


def _spdx_id(name: str) -> str:
    """Letters, digits, `.` and `-` are all that an SPDX id may hold: `+` would make two names one."""
    return _ID.sub("-", name.replace("+", "-plus"))


def purl(one: Package, subject: Subject) -> str:
    """The package URL (type deb)."""
    where = _percent(subject.distribution or "debian")
    distro = f"&distro={where}-{_percent(subject.release)}" if subject.release else ""
    return f"pkg:deb/{where}/{_percent(one.name)}@{_percent(one.version)}?arch={one.architecture}{distro}"


def _percent(text: str) -> str:
    """All but letters, digits, `-`, `.`, `_` and `~` as percent codes (RFC 3986)."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-._~") else _codes(c) for c in text)


def _codes(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _relation(source: str, kind: str, target: str) -> dict[str, Json]:
    return {"spdxElementId": source, "relationshipType": kind, "relatedSpdxElement": target}


def differing(packages: Iterable[Package], locked: Mapping[str, str]) -> list[str]:
    """The packages that are not of the version that a lock has, each in words."""
    return [
        f"{one.name} {one.version} (locked: {locked.get(one.name, 'not at all')})"
        for one in packages
        if locked.get(one.name) != one.version
    ]
