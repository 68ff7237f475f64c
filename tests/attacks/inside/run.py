"""Runs attempts: each in a process of its own, with a time limit. Standard library only; it is copied into boxes.

Usage: run.py SCENE.json NAME...   NAME is MODULE.FUNCTION of this folder. SCENE.json is what the outside tells: syscall
numbers, addresses of listeners, the time limit, and so on. Prints one JSON line for each name: how it ended.
An attempt that works returns what it got; one that is stopped raises OSError or `Refused`.
"""

import errno
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kernel


def main(scene: str, names: list[str]) -> None:
    """Each attempt in turn."""
    with open(scene, encoding="utf-8") as file:
        kernel.SCENE.update(json.load(file))
    for name in names:
        print(json.dumps({"program": name, **attempt(name)}), flush=True)


def attempt(name: str) -> dict[str, str]:
    """How it ended: `succeeded` with what it got, `refused` with an error's name, `killed`, `hung` or `broken`."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(reading)
        try:
            os.write(writing, json.dumps(outcome(name)).encode())
        finally:
            if sys.exc_info()[0]:
                traceback.print_exc()
            os._exit(1)
    os.close(writing)
    seconds = float(str(kernel.SCENE["seconds"]))
    answer, deadline = b"", time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            piece = os.read(reading, 65536)
            answer += piece
            if not piece:
                break
    os.close(reading)
    end_group(child)
    _, status = os.waitpid(child, 0)
    if answer:
        told: dict[str, str] = json.loads(answer)
        return told
    if time.monotonic() >= deadline:
        return {"ended": "hung", "what": f"for {seconds:g} s"}
    if os.WIFSIGNALED(status):
        return {"ended": "killed", "what": signal.Signals(os.WTERMSIG(status)).name}
    # a mistake of the program itself stands on standard error; without one it was ended from outside
    return {"ended": "broken", "what": f"exit code {os.waitstatus_to_exitcode(status)} without an answer"}


def end_group(child: int) -> None:
    """Leave nothing of an attempt behind."""
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def outcome(name: str) -> dict[str, str]:
    """Make the attempt."""
    module, _, function = name.partition(".")
    try:
        return {"ended": "succeeded", "what": str(getattr(importlib.import_module(module), function)())}
    except kernel.Refused as error:
        return {"ended": "refused", "what": str(error)}
    except OSError as error:
        return {"ended": "refused", "what": errno.errorcode.get(error.errno or 0, str(error))}
    except MemoryError:
        return {"ended": "refused", "what": "ENOMEM"}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
