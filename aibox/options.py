"""Verbs and options as tables. The parser, help, completion, man page and reference are made from them."""

from typing import NamedTuple


class Option(NamedTuple):
    """One option: `value` is the name of its value in help, empty for a switch.

    `repeat`: it may be given several times. `kind` says what completion offers for the value: `workspace` (folders of
    known boxes, and others), `folder`, `file`, `check` (doctor's checks), or nothing.
    """

    name: str
    long: str
    help: str
    short: str = ""
    value: str = ""
    repeat: bool = False
    kind: str = ""

    @property
    def host_path(self) -> bool:
        """Whether the value is a path of the host, which a caller on Windows writes in Windows's way."""
        return self.kind in ("workspace", "file")


class Verb(NamedTuple):
    """One verb. `module` is loaded only when it is called.

    `words` names what follows the options: `command` (a program and its arguments, passed on untouched), or nothing.
    `settings`: it takes the configuration's flags, too. `session`: standard output belongs to the child.
    `operand` is the name of one word after the verb, `operand_kind` what completion offers for it: `shell`, `topic`,
    `part`, `volume`, `cache`, `image` or `bundle`. `operand_files`: behind which of its words the how-manieth is a file
    of the host. `lenient`: it works even where configuration, policy or host are wrong.
    """

    name: str
    module: str
    summary: str
    options: tuple[str, ...]
    words: str = ""
    settings: bool = False
    session: bool = False
    example: str = ""
    operand: str = ""
    operand_kind: str = ""
    operand_files: tuple[tuple[str, int], ...] = ()
    lenient: bool = False


OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option(
            "workspace",
            "--workspace",
            "the workspace folder (default: the current one, or a parent with a box)",
            "-w",
            "FOLDER",
            kind="workspace",
        ),
        Option("json", "--json", "print one JSON document instead of text"),
        Option("dry_run", "--dry-run", "print the exact commands and change nothing"),
        Option("yes", "--yes", "consent to every change that is named", "-y"),
        Option("all", "--all", "every box of yours", "-a"),
        Option("recreate", "--recreate", "make the box anew even if it runs"),
        Option("volumes", "--volumes", "also remove the home, toolpack and cache volumes"),
        Option("rm", "--rm", "destroy the box afterwards if this command made it"),
        Option("workdir", "--workdir", "folder inside the box to run in", "", "FOLDER"),
        Option("env", "--env", "set a variable for the command; may be repeated", "-e", "NAME=VALUE", repeat=True),
        Option("check", "--check", "only this check; may be repeated", "-c", "ID", repeat=True, kind="check"),
        Option("fix", "--fix", "mend what can be mended safely, each change with your consent"),
        Option("look", "--check", "only say what is here and what is available"),
        Option("rollback", "--rollback", "go back to the image (with --program: the aibox) before the last update"),
        Option("program", "--program", "aibox itself, from program_url, checked and signed"),
        Option("downgrade", "--downgrade", "with --program: also to an older version"),
        Option("follow", "--follow", "keep printing as new lines come", "-f"),
        Option("tail", "--tail", "only the last lines", "-n", "COUNT"),
        Option("runsc", "--runsc", "use this runsc program", "", "FILE", kind="file"),
        Option("prepare_for", "--prepare-for", "as root: only what root has to do for this user (WSL)", "", "USER"),
        Option("output", "--output", "the file to write", "-o", "FILE", kind="file"),
        Option("homes", "--homes", "also homes and toolpacks, not only caches"),
        Option("bundle", "--bundle", "take everything from this bundle, without network", "", "FILE", kind="file"),
        Option(
            "sign_with", "--sign-with", "sign it: gpg:KEY, or a file with a private key (PEM)", "", "KEY", kind="file"
        ),
        Option("key", "--key", "the public key that signs images: GPG, or sigstore (PEM)", "", "FILE", kind="file"),
        Option("scope", "--scope", "the names it counts for (default: the image's repository)", "", "NAME"),
        Option("lookaside", "--lookaside", "where GPG signatures are kept, if not in the registry", "", "URL"),
        Option("remove", "--remove", "take back what `image trust` wrote"),
        Option("locked", "--locked", "build of exactly the package versions that this aibox lists"),
        Option("sbom", "--sbom", "the image's packages as an SBOM (SPDX 2.3, JSON)"),
        Option("time", "--time", "seconds for processes to end before they are killed", "-t", "SECONDS"),
    )
}

VERBS: tuple[Verb, ...] = (
    Verb(
        "setup",
        "setup",
        "make this host ready: engine, gVisor, profiles, image, proof",
        ("yes", "runsc", "bundle", "prepare_for", "dry_run"),
        settings=True,
        example="aibox setup",
    ),
    Verb(
        "update",
        "update",
        "bring image, gVisor and profiles, or aibox itself, up to date",
        ("look", "rollback", "recreate", "program", "downgrade", "yes", "dry_run"),
        settings=True,
        example="aibox update --check",
    ),
    Verb(
        "doctor",
        "doctor",
        "check everything that boxes need, and say what mends it",
        ("check", "fix", "yes", "dry_run"),
        settings=True,
        example="aibox doctor",
        lenient=True,
    ),
    Verb(
        "start",
        "start",
        "start a box for a workspace",
        ("workspace", "recreate", "dry_run"),
        settings=True,
        example="aibox start --workspace ~/project",
    ),
    Verb(
        "stop",
        "stop",
        "stop the box; home and caches stay",
        ("workspace", "all", "time", "dry_run"),
        example="aibox stop",
    ),
    Verb(
        "restart",
        "restart",
        "stop the box and start it anew",
        ("workspace", "time", "dry_run"),
        settings=True,
        example="aibox restart",
    ),
    Verb(
        "shell",
        "shell",
        "open a shell in the box",
        ("workspace", "workdir", "env", "dry_run"),
        session=True,
        example="aibox shell",
    ),
    Verb(
        "exec",
        "exec",
        "run a command in the running box",
        ("workspace", "workdir", "env", "dry_run"),
        "command",
        session=True,
        example="aibox exec -- make test",
    ),
    Verb(
        "run",
        "run",
        "start the box if needed, then run a command in it",
        ("workspace", "workdir", "env", "rm", "dry_run"),
        "command",
        settings=True,
        session=True,
        example="aibox run -- npm test",
    ),
    Verb("status", "status", "what the box of this workspace is and does", ("workspace",), example="aibox status"),
    Verb(
        "verify",
        "verify",
        "check every control of the running box, from the host's side",
        ("workspace",),
        example="aibox verify",
    ),
    Verb("list", "list", "all your boxes", ("all",), example="aibox list"),
    Verb(
        "logs",
        "logs",
        "what the box and aibox printed about it",
        ("workspace", "follow", "tail"),
        example="aibox logs --tail 20",
    ),
    Verb(
        "destroy",
        "destroy",
        "remove the box; home and caches stay unless --volumes",
        ("workspace", "all", "volumes", "yes", "dry_run"),
        example="aibox destroy",
    ),
    Verb(
        "volume",
        "volume",
        "homes, toolpacks and caches: list, back up, restore, remove unused",
        ("output", "homes", "yes", "dry_run"),
        example="aibox volume backup home -o home.tar",
        operand="list|backup NAME|restore NAME FILE|prune",
        operand_kind="volume",
        operand_files=(("restore", 2),),
    ),
    Verb(
        "repair",
        "repair",
        "make caches anew: empty, with the right owner; remove leftovers",
        ("yes", "dry_run"),
        example="aibox repair cache maven",
        operand="cache [NAME]|leftovers",
        operand_kind="cache",
    ),
    Verb("df", "df", "disk space of images, volumes, caches, boxes and aibox's own files", (), example="aibox df"),
    Verb(
        "image",
        "image",
        "images: list, look into, build, demand signatures",
        ("sbom", "locked", "key", "scope", "lookaside", "remove", "yes", "dry_run"),
        settings=True,
        example="aibox image list",
        operand="list|inspect [REFERENCE]|build|trust",
        operand_kind="image",
    ),
    Verb(
        "bundle",
        "bundle",
        "one file with all that a host without network needs",
        ("output", "sign_with", "yes", "dry_run"),
        settings=True,
        example="aibox bundle create --output aibox.bundle",
        operand="create|inspect FILE",
        operand_files=(("inspect", 1),),
        operand_kind="bundle",
    ),
    Verb(
        "config",
        "config",
        "settings, with where each comes from; their JSON Schema",
        (),
        settings=True,
        example="aibox config show",
        operand="show|validate|schema|policy-schema",
        operand_kind="part",
    ),
    Verb(
        "completion",
        "completion",
        "the script that lets a shell complete aibox's verbs and options",
        (),
        example="aibox completion bash",
        operand="bash|zsh|fish|powershell",
        operand_kind="shell",
        lenient=True,
    ),
    Verb(
        "help",
        "help",
        "a page of the manual, a verb, an error code or a check",
        (),
        example="aibox help troubleshooting",
        operand="TOPIC",
        operand_kind="topic",
        lenient=True,
    ),
    Verb("version", "version", "versions of aibox, the engine and gVisor", (), example="aibox version"),
)


def verb(name: str) -> Verb | None:
    """The row of a verb, or None."""
    return next((row for row in VERBS if row.name == name), None)
