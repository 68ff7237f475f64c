"""A stand-in for the engine's program that alters one thing on its way: what a mistaken or hostile engine would do.

Called by aibox in place of podman (`--engine-path`); passes everything on to the real one, except that the mutant
named in `mutant.json` beside it changes the command line of `create`, or what `inspect` and the OCI configuration say.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

PODMAN = "/usr/bin/podman"
HERE = Path(__file__).resolve().parent


def main() -> None:
    """Play the engine; does not return."""
    mutant = json.loads((HERE / "mutant.json").read_text())
    words = sys.argv[1:]
    verb = next((word for word in words if not word.startswith("-") and not word.startswith("/")), "")
    with open(HERE / "calls.txt", "a") as log:
        log.write(f"{verb}\n")
    if verb == "create" and mutant["level"] == "create":
        words = altered(words, mutant)
    if words[:2] == ["container", "inspect"] and mutant["level"] in ("inspect", "oci"):
        sys.exit(inspect(words, mutant))
    if words[:2] == ["unshare", "cat"] and words[-1] == str(HERE / "config.json"):
        words = ["unshare", "cat", str(HERE / "config.json")]
    os.execv(PODMAN, [PODMAN, *words])


def altered(words: list[str], mutant: dict[str, object]) -> list[str]:
    """The command line of `create` with some words taken out and others put in before the image."""
    drop, add = mutant.get("drop", []), mutant.get("add", [])
    assert isinstance(drop, list)
    assert isinstance(add, list)
    for option in drop:
        at = next(at for at, word in enumerate(words) if " ".join(words[at : at + len(option)]) == " ".join(option))
        del words[at : at + len(option)]
    replace = mutant.get("replace", [])
    assert isinstance(replace, list)
    for old, new in replace:
        assert any(old in word for word in words), f"no {old!r}"
        words = [word.replace(old, new) for word in words]
    at = words.index("--entrypoint")
    return [*words[:at], *add, *words[at:]]


def inspect(words: list[str], mutant: dict[str, object]) -> int:
    """The engine's record with one value changed, or with another OCI configuration."""
    done = subprocess.run([PODMAN, *words], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return done.returncode
    record = json.loads(done.stdout)
    if mutant["level"] == "inspect":
        change(record[0], mutant)
    elif record[0].get("OCIConfigPath"):
        real = record[0]["OCIConfigPath"]
        read = [PODMAN, "unshare", "cat", real] if os.geteuid() else ["cat", real]
        config = json.loads(subprocess.run(read, stdout=subprocess.PIPE, check=True).stdout)
        change(config, mutant)
        (HERE / "config.json").write_text(json.dumps(config))
        record[0]["OCIConfigPath"] = str(HERE / "config.json")
    sys.stdout.write(json.dumps(record))
    return 0


def change(document: object, mutant: dict[str, object]) -> None:
    """Set the value under the mutant's path; `null` removes it, and a trailing "+" appends to a list."""
    path = mutant["path"]
    assert isinstance(path, list)
    *way, last = path
    place = document
    for step in way:
        place = place[step]  # type: ignore[index]
    value = mutant["value"]
    if last == "+":
        assert isinstance(place, list)
        place.append(value)
    elif value is None:
        del place[last]  # type: ignore[attr-defined]
    else:
        assert place[last] != value if isinstance(place, list) or last in place else True  # type: ignore[index, operator]
        place[last] = value  # type: ignore[index]


if __name__ == "__main__":
    main()
