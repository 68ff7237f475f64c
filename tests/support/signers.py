"""Debian's registry on loopback, GPG keys that sign what skopeo copies to it, and a sigstore signature made by hand."""

import base64
import hashlib
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from machines import Machine

COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


PROGRAMS = ("sh", "cat", "grep", "sleep", "true", "perl")  # the first process of a box is perl


def small_image(machine: Machine, name: str) -> None:
    """An image of a few megabytes with what a proof runs in a box, from this host's own programs."""
    root = Path(machine.home) / "root"
    for folder in ("usr/bin", "usr/lib", "etc", "home/dev", "workspace", "opt/toolpacks", "tmp", "var/tmp"):
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\ndev:x:1000:\n")
    for program in PROGRAMS:
        path = shutil.which(program, path="/usr/bin:/bin")
        assert path, program
        shutil.copy(path, root / "usr/bin" / program)
        linked = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", linked):
            place = root / library.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
    base = next(Path("/usr/lib").glob("*/perl-base"))
    shutil.copytree(base, root / str(base).lstrip("/"))
    (root / "bin").symlink_to("usr/bin")
    machine.import_image(root, name)


def attached(digest: str) -> str:
    """The tag under which the sigstore signature of an image lies."""
    return f"{digest.replace(':', '-')}.sig"


class Key(NamedTuple):
    """A signing key: its fingerprint, and the file with its public half."""

    fingerprint: str
    public: Path


class Stage:
    """A registry in a machine's namespace, with a folder of keys, images and detached signatures."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.folder = Path(machine.home) / "stage"
        self.run(f"mkdir -p {self.folder}/gpg {self.folder}/signatures; chmod 700 {self.folder}/gpg")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.name = f"localhost:{port}"
        settings = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": f"{self.folder}/registry"}, "delete": {"enabled": True}},
            "http": {"addr": f"127.0.0.1:{port}"},
        }
        machine.write(f"{self.folder}/registry.yml", json.dumps(settings))  # JSON is YAML
        machine.write("/etc/containers/registries.conf", f'[[registry]]\nlocation = "{self.name}"\ninsecure = true\n')
        serve = machine.inside(["docker-registry", "serve", f"{self.folder}/registry.yml"])
        self.server = subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{self.name}/v2/", timeout=5)
                break
            except OSError:
                assert self.server.poll() is None, "the registry has ended"
                time.sleep(0.05)

    def close(self) -> None:
        """End the registry and the agent of gpg."""
        self.run("gpgconf --kill all", check=False)
        self.server.terminate()
        self.server.wait(10)

    def run(self, script: str, *, check: bool = True) -> str:
        """A script on the machine, with the stage's keys; its output."""
        settings = {"GNUPGHOME": f"{self.folder}/gpg"}
        done = self.machine.run(["sh", "-ec", script], environment=settings, timeout=120)
        assert done.code == 0 or not check, str(done)
        return done.out

    def key(self, name: str) -> Key:
        """A new key."""
        public = self.folder / f"{name}.asc"
        out = self.run(f"""gpg --batch --quiet --passphrase '' --quick-gen-key {name}@example.org ed25519 sign never
            gpg --list-keys --with-colons {name}@example.org | grep ^fpr
            gpg --armor --export {name}@example.org > {public}""")
        return Key(out.split(":")[9], public)

    def image(self, base: str, name: str) -> str:
        """An image that differs from `base` in a variable, as a folder for skopeo."""
        folder = self.folder / name
        self.run(f"""podman create --name made-{name} {base} true
            podman commit --quiet --format docker --change 'ENV GENERATION={name}' made-{name} localhost/{name}:1
            podman rm made-{name}; podman save --quiet --format docker-dir --output {folder} localhost/{name}:1
            podman rmi localhost/{name}:1""")
        return f"dir:{folder}"

    def publish(self, source: str, name: str, key: Key | None = None) -> None:
        """Copy an image to the registry, signed or not."""
        signing = f"--sign-by {key.fingerprint}" if key else ""
        self.run(f"skopeo --registries.d {self.staging()} copy --quiet {signing} {source} docker://{self.name}/{name}")

    def staging(self) -> Path:
        """Where the publisher's signatures go; the reader's registries.d is another one."""
        place = self.folder / "publisher"
        text = f"docker:\\n  {self.name}:\\n    lookaside-staging: file://{self.folder}/signatures\\n"
        self.run(f"mkdir -p {place}; printf '{text}' > {place}/stage.yaml")
        return place

    @property
    def lookaside(self) -> str:
        """The address of the detached signatures."""
        return f"file://{self.folder}/signatures"

    def strip(self, name: str = "") -> None:
        """Remove the signatures of a repository, or of all."""
        self.run(f"rm -rf {self.folder}/signatures/{name}")

    # a sigstore signature, for engines whose skopeo cannot make one

    def sigstore(self, name: str, tag: str, key: str = "sigstore") -> Path:
        """Sign what the registry has under the name, as `cosign sign --key` stores it; the public key's file."""
        private, public = self.folder / f"{key}.pem", self.folder / f"{key}.pub"
        self.run(f"""[ -e {private} ] || openssl ecparam -name prime256v1 -genkey -noout -out {private}
            openssl ec -in {private} -pubout -out {public}""")
        told = self.digest(name, tag)
        payload = json.dumps({
            "critical": {
                "identity": {"docker-reference": f"{self.name}/{name}:{tag}"},
                "image": {"docker-manifest-digest": told},
                "type": "cosign container image signature",
            },
            "optional": {},
        }).encode()  # fmt: skip
        self.machine.write(f"{self.folder}/payload", payload.decode())
        signature = self.run(f"openssl dgst -sha256 -sign {private} {self.folder}/payload | base64 -w0")
        config = b'{"architecture":"","os":"","rootfs":{"type":"layers","diff_ids":[]}}'
        layer = {"mediaType": COSIGN_LAYER, "size": len(payload), "digest": self._blob(name, payload)}
        layers = [{**layer, "annotations": {"dev.cosignproject.cosign/signature": signature}}]
        described = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config)}
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": {**described, "digest": self._blob(name, config)},
        }  # fmt: skip
        self._put(f"/v2/{name}/manifests/{attached(told)}", json.dumps(manifest).encode(), MANIFEST)
        assert base64.b64decode(signature)
        return public

    def digest(self, name: str, tag: str) -> str:
        """What the registry has under the name."""
        return self.run(f"skopeo inspect --format '{{{{.Digest}}}}' docker://{self.name}/{name}:{tag}").strip()

    def unattach(self, name: str, tag: str) -> None:
        """Take away the sigstore signature of what the registry has under the name."""
        tags = f"{self.folder}/registry/docker/registry/v2/repositories/{name}/_manifests/tags"
        self.run(f"rm -r {tags}/{attached(self.digest(name, tag))}")

    def _blob(self, name: str, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begin = urllib.request.Request(f"http://{self.name}/v2/{name}/blobs/uploads/", method="POST")
        with urllib.request.urlopen(begin, timeout=10) as answer:
            place = answer.headers["Location"]
        place = place.partition(self.name)[2] if "://" in place else place
        self._put(f"{place}{'&' if '?' in place else '?'}digest={digest}", content, "application/octet-stream")
        return digest

    def _put(self, place: str, content: bytes, kind: str) -> None:
        asked = urllib.request.Request(f"http://{self.name}{place}", data=content, method="PUT")
        asked.add_header("Content-Type", kind)
        urllib.request.urlopen(asked, timeout=10).close()
