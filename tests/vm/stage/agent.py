"""Runs commands in the guest for the tests outside: one TCP connection is one command. Usage: agent.py PORT

The request is a JSON line {token, argv, env, cwd, timeout, stdin: bytes that follow}. The answer is a row of frames:
one letter (o: standard output, e: standard error, x: the end, as JSON {code, hangs}), four bytes of length, content.
"""

import json
import os
import signal
import socketserver
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

TOKEN = Path("/payload/token")


class Command(socketserver.StreamRequestHandler):
    """One command from its request to its exit code."""

    def handle(self) -> None:
        """Run it and send what it prints as it comes."""
        request = json.loads(self.rfile.readline())
        if request["token"] != TOKEN.read_text():
            return
        given = self.rfile.read(request["stdin"])
        sending = threading.Lock()

        def send(kind: bytes, content: bytes) -> None:
            with sending:
                self.wfile.write(kind + struct.pack(">I", len(content)) + content)

        def forward(kind: bytes, pipe: IO[bytes]) -> None:
            while piece := os.read(pipe.fileno(), 1 << 16):
                send(kind, piece)

        try:
            child = subprocess.Popen(
                request["argv"], env=request["env"], cwd=request["cwd"], start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            send(b"e", f"{error}\n".encode())
            send(b"x", json.dumps({"code": 127, "hangs": False}).encode())
            return
        assert child.stdin
        assert child.stdout
        assert child.stderr
        readers = [
            threading.Thread(target=forward, args=(kind, pipe), daemon=True)
            for kind, pipe in ((b"o", child.stdout), (b"e", child.stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            child.stdin.write(given)
            child.stdin.close()
        except BrokenPipeError:
            pass
        hangs = False
        try:
            child.wait(request["timeout"])
        except subprocess.TimeoutExpired:
            hangs = True
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for reader in readers:
            reader.join(5)  # what the command left in the background may hold its pipes
        send(b"x", json.dumps({"code": child.returncode, "hangs": hangs}).encode())


class Server(socketserver.ThreadingTCPServer):
    """Any number of commands at once."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("0.0.0.0", int(sys.argv[1])), Command).serve_forever()
