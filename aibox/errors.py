"""Every way aibox can fail: one table of kinds, one exception.

A kind has a stable kebab-case code that scripts and the troubleshooting page rely on. The message says what
happened, why, and the command that mends it.
"""

from typing import NamedTuple

OK = 0
FAILED = 1
USAGE = 2
CONTROL = 3
HOST = 4
NOT_FOUND = 5
SESSION = 125
INTERRUPTED = 130


class ExitCode(NamedTuple):
    """One documented exit code: `meaning` is what the reference prints."""

    value: int
    meaning: str


EXIT_CODES: tuple[ExitCode, ...] = (
    ExitCode(OK, "done, or already so"),
    ExitCode(FAILED, "the command failed; the message says why"),
    ExitCode(USAGE, "wrong arguments, configuration or workspace"),
    ExitCode(CONTROL, "a security control is missing or different; the box was not left running"),
    ExitCode(HOST, "this host lacks something that `aibox setup` or an administrator can add"),
    ExitCode(NOT_FOUND, "no such box or volume, or the box is not running"),
    ExitCode(SESSION, "`exec`, `run`, `shell`: aibox itself failed (else the child's own code)"),
    ExitCode(INTERRUPTED, "interrupted by Ctrl-C"),
)


class Kind(NamedTuple):
    """A kind of failure: its exit code and, for the reference, what it means."""

    exit_code: int
    meaning: str


KINDS: dict[str, Kind] = {
    "bundle-failed": Kind(FAILED, "a bundle could not be made"),
    "bundle-invalid": Kind(USAGE, "the file is not a bundle, or one of a version that aibox does not read"),
    "bundle-tampered": Kind(CONTROL, "the bundle is damaged, cut or changed; nothing was installed"),
    "bundle-unsigned": Kind(CONTROL, "the bundle has no signature, and one is demanded"),
    "bundle-untrusted": Kind(CONTROL, "the bundle's signature is not by the key that is demanded"),
    "box-missing": Kind(NOT_FOUND, "there is no box for this workspace"),
    "box-not-running": Kind(NOT_FOUND, "the box exists but is stopped"),
    "command-failed": Kind(FAILED, "a program that aibox called failed"),
    "command-missing": Kind(HOST, "a program that aibox needs is not installed"),
    "command-timeout": Kind(FAILED, "a program that aibox called did not end in time and was stopped"),
    "config-invalid": Kind(USAGE, "a configuration file, variable or flag holds a wrong value"),
    "config-unknown-key": Kind(USAGE, "a configuration file names a key that does not exist"),
    "config-unreadable": Kind(USAGE, "a configuration file cannot be read"),
    "consent-needed": Kind(USAGE, "a change needs consent and nobody is there to ask"),
    "control-failed": Kind(CONTROL, "a mandatory security control is missing or different"),
    "engine-failed": Kind(FAILED, "the container engine reported an error"),
    "engine-garbage": Kind(FAILED, "the container engine printed something that is not its documented output"),
    "engine-missing": Kind(HOST, "neither Podman nor Docker is installed"),
    "engine-remote": Kind(HOST, "the engine runs its containers elsewhere, where aibox cannot see them"),
    "engine-unsupported": Kind(HOST, "the engine is too old or of a kind that aibox cannot prove"),
    "fallback-refused": Kind(CONTROL, "runc or crun may not stand in for gVisor on this host"),
    "host-unsupported": Kind(HOST, "aibox does not run on this kind of host"),
    "image-missing": Kind(HOST, "the image is not on this host and cannot be fetched"),
    "image-moved": Kind(CONTROL, "the image's name stands for another image than the pinned or signed one"),
    "image-unchecked": Kind(CONTROL, "a signature is demanded, and that of the image was not checked"),
    "image-unsigned": Kind(CONTROL, "the image has no signature, and the signature policy demands one"),
    "image-unsuitable": Kind(CONTROL, "the image asks for something a box may not have"),
    "image-untrusted": Kind(CONTROL, "the image is not signed by the key that the signature policy demands"),
    "internal-error": Kind(FAILED, "aibox itself is at fault"),
    "interrupted": Kind(INTERRUPTED, "stopped by Ctrl-C or a signal"),
    "limits-failed": Kind(HOST, "the host's systemd did not take the limits of a box"),
    "lock-differs": Kind(FAILED, "an image cannot be built of exactly the locked package versions"),
    "lock-timeout": Kind(FAILED, "another aibox command holds the lock for too long"),
    "platform-failed": Kind(HOST, "gVisor is present but cannot start a box here"),
    "policy-refused": Kind(CONTROL, "the host's policy does not allow this"),
    "policy-untrusted": Kind(CONTROL, "the policy file could have been changed by somebody who is not root"),
    "program-failed": Kind(FAILED, "aibox's own update could not be fetched or put in place; the old file is there"),
    "program-older": Kind(CONTROL, "the offered aibox is older than the one that runs"),
    "program-tampered": Kind(CONTROL, "the offered aibox does not have its published checksum"),
    "program-untrusted": Kind(CONTROL, "the offered aibox is not signed by the key that is demanded"),
    "runtime-missing": Kind(HOST, "runsc, or aibox's wrapper around it, is not installed"),
    "runtime-tampered": Kind(CONTROL, "an installed runtime file differs from what aibox installed"),
    "sbom-failed": Kind(FAILED, "no SBOM can be made of an image"),
    "setup-failed": Kind(HOST, "a setup step did not reach its goal"),
    "signing-failed": Kind(FAILED, "a signature could not be made"),
    "sigstore-disabled": Kind(HOST, "this build of the engine cannot check sigstore signatures"),
    "state-unwritable": Kind(HOST, "aibox's own state folder cannot be written"),
    "trust-failed": Kind(USAGE, "the signature policy or the key for it cannot be used"),
    "usage": Kind(USAGE, "wrong arguments"),
    "volume-archive": Kind(USAGE, "the file is no whole backup of such a volume, made by aibox"),
    "volume-failed": Kind(FAILED, "the work on a volume's files failed; the volume is as it was"),
    "volume-in-use": Kind(FAILED, "a box that runs uses the volume"),
    "volume-missing": Kind(NOT_FOUND, "there is no such volume"),
    "workspace-filesystem": Kind(USAGE, "the workspace is on a filesystem that cannot be used"),
    "workspace-forbidden": Kind(USAGE, "this folder may not be a workspace"),
    "workspace-missing": Kind(USAGE, "the workspace does not exist"),
    "workspace-name": Kind(USAGE, "the workspace's path cannot be handed to the engine unchanged"),
    "workspace-not-folder": Kind(USAGE, "the workspace is not a folder"),
    "yaml-refused": Kind(USAGE, "a YAML document is wrong, or uses a feature that aibox does not read"),
}


class AiboxError(Exception):
    """A failure that a user can act on.

    `code` is a key of KINDS; `what` one sentence on what happened; `why` the cause, as far as known; `fix` the
    command (or action) that mends it. `recorded` says that the audit log has it.
    """

    def __init__(self, code: str, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.why = why
        self.fix = fix
        self.exit_code = KINDS[code].exit_code
        self.recorded = False

    @property
    def refusal(self) -> bool:
        """Whether this is a refusal for safety's sake, which the audit log keeps."""
        return self.exit_code == CONTROL or self.code == "workspace-forbidden"
