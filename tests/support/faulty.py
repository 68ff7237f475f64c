"""A stand-in for the engine's program that notes its calls, and may have one fault.

Called by aibox in place of podman or docker (`--engine-path`); passes everything on to the real one, except the command
that is named in `fault.json` beside it: that one fails, hangs, is killed or prints garbage. `before` is a fault without
the command's work, `after` one that follows it.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAULTS = ("fails", "killed", "garbage", "no-space", "hangs")
SECONDS = 400


def main() -> None:
    """Play the engine; does not return."""
    given = json.loads((HERE / "fault.json").read_text())
    words = sys.argv[1:]
    with open(HERE / "calls.txt", "a") as file:
        file.write(command(words) + "\n")
    if command(words) != given["command"]:
        os.execv(given["engine"], [given["engine"], *words])
    with open(HERE / "met.txt", "a") as file:
        file.write(" ".join(words) + "\n")
    if given["when"] == "after":
        subprocess.run([given["engine"], *words], stdout=subprocess.DEVNULL, check=False)
    play(given["fault"])


def play(fault: str) -> None:
    """End as the fault has it."""
    if fault == "hangs":
        os.execv("/usr/bin/sleep", ["sleep", str(SECONDS)])
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "garbage":
        sys.stdout.buffer.write(b'\xff{{"')
        sys.exit(0)
    told = "write /x: no space left on device" if fault == "no-space" else "it is broken"
    sys.exit(f"Error: {told}")


def command(words: list[str]) -> str:
    """The engine's command, with its object: `image inspect`."""
    skipped, kept = False, []
    for word in words:
        if skipped or word.startswith("-"):
            # the options before the command have a value each
            skipped = not skipped and word in ("--config", "--host", "--runtime")
            continue
        kept.append(word)
        if kept[0] not in ("container", "image", "volume") or len(kept) == 2:
            break
    return " ".join(kept)


if __name__ == "__main__":
    main()
