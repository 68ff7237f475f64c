"""The kinds of image that aibox builds: the base image, and toolchains in layers above it. Pure.

A variant shares the layers before its own with the others, and what changes seldom lies below what changes often.
"""

from typing import NamedTuple

BASE = "base"
DEFAULT_IMAGE = "harbor.internal/aibox/base:24.04"
LOCAL_IMAGE = "localhost/aibox/base:24.04"


class Layer(NamedTuple):
    """Packages that are installed together, above what is there; Debian's and Ubuntu's names are the same."""

    name: str
    packages: tuple[str, ...]


class Variant(NamedTuple):
    """One kind of image: what it is for, and its layers above the base image, from below."""

    name: str
    meaning: str
    layers: tuple[Layer, ...]


JAVA = Layer("java", ("openjdk-21-jdk-headless", "maven", "gradle"))
NODE = Layer("node", ("nodejs", "npm"))
PYTHON = Layer("python", ("python3-dev", "python3-pip", "python3-setuptools", "python3-venv", "python3-wheel"))
OTHERS = Layer("others", ("g++", "golang-go", "rustc", "cargo", "bazel-bootstrap"))
VARIANTS: tuple[Variant, ...] = (
    Variant(BASE, "gcc, make, Git, Python, Perl and everyday programs", ()),
    Variant("java", "JDK 21, Maven, Gradle", (JAVA,)),
    Variant("node", "Node.js and npm", (NODE,)),
    Variant("python", "Python's headers, pip, setuptools and venv", (PYTHON,)),
    Variant("full", "all of these, C++, Go, Rust and Bazel", (JAVA, NODE, PYTHON, OTHERS)),
)
NAMES = tuple(one.name for one in VARIANTS)


def variant(name: str) -> Variant:
    """The variant of this name."""
    return next(one for one in VARIANTS if one.name == name)


def of_variant(reference: str, name: str) -> str:
    """The reference of another variant of the base image that `reference` names: `r/aibox/base:1`, `r/aibox/java:1`."""
    head, _, tail = reference.rpartition(f"/{BASE}:")
    return f"{head}/{name}:{tail}"


def variant_of(reference: str) -> str:
    """The variant that one of aibox's own names stands for; empty for any other name."""
    own = {of_variant(base, name): name for base in (DEFAULT_IMAGE, LOCAL_IMAGE) for name in NAMES}
    return own.get(reference, "")


def local_names() -> list[str]:
    """The names of the images that are built here."""
    return [of_variant(LOCAL_IMAGE, name) for name in NAMES]
