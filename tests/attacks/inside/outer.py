"""What a program inside the outer layer around gVisor tries: runsc's place is taken by this. Run by itself.

Usage: outer.py SCENE.json   (the launcher appends runsc's own words, which are passed over)
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kernel
import run
from kernel import call, number, text


def tcp_connect() -> str:
    """Connect by a socket that was made before the filter, so that Landlock has to say no."""
    inherited = socket.socket(fileno=number("inherited"))
    inherited.connect(("127.0.0.1", number("tcp_port")))
    return "connected"


def tcp_socket() -> str:
    """Make an internet socket."""
    socket.socket(socket.AF_INET).close()
    return "a socket"


def abstract_socket() -> str:
    """Connect to an abstract socket of the host."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(b"\0" + text("abstract").encode())
    return "connected"


def signal_host_process() -> str:
    """Signal a process outside."""
    os.kill(number("marker_pid"), signal.SIGCONT)
    return "signalled"


def keyctl() -> str:
    """Ask for the session keyring."""
    return f"keyring {call('keyctl', 0, -3, 0)}"


def io_uring_setup() -> str:
    """I/O rings."""
    import ctypes

    return f"descriptor {call('io_uring_setup', 4, ctypes.create_string_buffer(120))}"


ATTEMPTS: tuple[Callable[[], str], ...] = (
    tcp_connect, tcp_socket, abstract_socket, signal_host_process, keyctl, io_uring_setup,
)  # fmt: skip


def main() -> None:
    """Each attempt in turn, as run.py does it."""
    with open(sys.argv[1], encoding="utf-8") as file:
        kernel.SCENE.update(json.load(file))
    for act in ATTEMPTS:
        print(json.dumps({"program": f"outer.{act.__name__}", **run.attempt(f"outer.{act.__name__}")}), flush=True)


if __name__ == "__main__":
    main()
