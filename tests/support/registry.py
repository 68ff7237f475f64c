"""A registry on loopback that serves one image out of a folder: enough for a real engine's `pull`.

The folder is what `podman save --format docker-dir` wrote. Source: https://github.com/opencontainers/distribution-spec
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Registry:
    """Serves `folder` under every name and tag; None: every question gets 404."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.answer(self, body=True)

            def do_HEAD(self) -> None:
                registry.answer(self, body=False)

            def log_message(self, *_words: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def name(self) -> str:
        """Host and port, as they stand in a reference."""
        return f"localhost:{self.server.server_address[1]}"

    def close(self) -> None:
        """Out of reach from now on."""
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        """One question of the protocol."""
        kind, _, last = request.path.rstrip("/").rpartition("/")
        if request.path.rstrip("/") == "/v2":
            reply(request, b"{}", "application/json", body=body)
            return
        path = None
        if self.folder and kind.endswith("/manifests"):
            path = self.folder / "manifest.json"
        elif self.folder and kind.endswith("/blobs"):
            path = self.folder / last.removeprefix("sha256:")
        if path is None or not path.exists():
            request.send_error(404)
            return
        content = path.read_bytes()
        media = "application/octet-stream"
        if path.name == "manifest.json":
            media = str(json.loads(content)["mediaType"])
        reply(request, content, media, body=body)


def reply(request: BaseHTTPRequestHandler, content: bytes, media: str, *, body: bool) -> None:
    """A good answer."""
    request.send_response(200)
    request.send_header("Content-Type", media)
    request.send_header("Content-Length", str(len(content)))
    request.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
    request.end_headers()
    if body:
        request.wfile.write(content)
