"""Files that people, administrators and the kernel write, and who reads them."""

import tempfile
from random import Random

import filecases
import yamlcases
from material import as_bytes, json_text, lines, text
from rows import Case, Reader, reading
from samples import workspace

from aibox import (
    apparmor,
    cli,
    daemonjson,
    doctorjudge,
    facts,
    fromwindows,
    hostview,
    imageref,
    imagetrust,
    mountinfo,
    plan,
    state,
    trustpolicy,
    volumenames,
    winpath,
    wsl,
    wslconfig,
)
from aibox import workspace as workspaces
from aibox.config import ConfigFile, config_rows, load_config, load_policy, policy_violations
from aibox.configkeys import KEYS, convert, from_text, show
from aibox.errors import AiboxError
from aibox.jsonview import Json
from aibox.model import Developer
from aibox.options import VERBS
from aibox.winpath import Windows

CONFIG = """engine: podman
image: harbor.internal/aibox/base:24.04
limits:
  memory: 8G
  cpus: 4
caches: [maven, pip]
start_timeout: 90
"""
POLICY = """allowed_images: ['harbor.internal/**', 'localhost/*']
allowed_registries: [harbor.internal]
fallback_runtime: false
max_memory: 16G
workspace_roots: [/home, /srv]
require_signature: true
"""
YAML = (": ", "\n  ", "- ", "[", "]", "{", "}", "'", '"', "#", "|", "&a", "*a", "!!x", "\t", ".inf", ".nan", "1e9",
        "-1", "0x1F", "yes", "~", "99999999999999999999", "²G", "8T", "*", "**", "?", "\0", "\ufeff")  # fmt: skip
WRONG = ("config-invalid", "config-unknown-key", "yaml-refused")
MOUNTINFO = (
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
    "40 22 0:35 / /mnt/c rw,noatime - 9p drvfs rw,dirsync,aname=drvfs;path=C:\\134;uid=1000\n"
    "41 22 0:36 /a\\040b /home/d\\011e rw - overlay overlay rw,lowerdir=/l\n"
)
DAEMON: Json = {"data-root": "/d", "runtimes": {"other": {"path": "/o"}}, "iptables": False}
SIGNED: Json = {"type": "signedBy", "keyType": "GPGKeys", "keyData": "eA=="}
TRUST: Json = {
    "default": [{"type": "insecureAcceptAnything"}],
    "transports": {"docker": {"harbor.internal": [SIGNED], "": [{"type": "reject"}]}, "docker-daemon": {"": []}},
}
WSLCONFIG = (
    "[wsl2]\r\nmemory=8GB # half\r\nprocessors=4\r\nswap = 0\r\nkernel=C:\\\\k\\\r\nx\r\n[experimental]\r\nx=true\r\n"
)
REFERENCES = ("harbor.internal/aibox/base:24.04", "localhost:5000/x/y@sha256:" + "a" * 64, "ubuntu", "docker://x")
PATHS = (
    "/home/dev1/project", "C:\\Users\\d e\\x", "\\\\wsl.localhost\\Debian\\home", "//wsl$/Debian/x", "~\\x", "..\\a",
    "\\\\?\\C:\\x", "\\\\?\\UNC\\server\\x", "d:", "/mnt/c/x", "/var/lib/docker/x",
)  # fmt: skip
SEPARATORS = ("\\", "/", ":", "~", ".", "..", "?", "$", "wsl", "UNC", "C", " ", "é", "\udc80", "\n", "\0", ",")
HERE = Windows("Debian", {"C": "/mnt/c"}, "C:\\x", "/home/dev1")
OWNER = Developer(1001, 1001, "dev1")
PLACES = workspaces.places({}, ("/home/dev1/.local/share/aibox",), "/home/dev1")
SUBUID = "dev1:100000:65536\n1001:200000:65536\n# note\nroot:1:²\n"


def _config(content: bytes) -> None:
    config = load_config([ConfigFile("user", "/c", content)], environ={})
    config_rows(config)


def _setting(rng: Random) -> Case:
    row, words = rng.choice(KEYS), text(rng)

    def read() -> bool:
        try:
            value = convert(row, from_text(row, words))
        except ValueError:
            return False
        assert convert(row, from_text(row, show(row, value))) == value, "not read back as it is shown"
        return True

    return Case(repr((row.name, words)), (read, lambda: load_config([], environ={row.env: words})))


def _policy(content: bytes) -> None:
    policy_violations(load_config([], environ={}), load_policy(content), "/home/dev1/project")


def _mounts(content: str) -> None:
    entries = mountinfo.parse(content)
    winpath.drives(entries)
    for path in ("/", "/mnt/c/x", "/home"):
        mountinfo.holding(entries, path)
        mountinfo.location(entries, path)


def _process_tables(content: str) -> None:
    hostview._interfaces(content)
    hostview._routes(content, content)


def _daemon(content: bytes) -> None:
    daemonjson.path_of(content)
    after = daemonjson.merged(content, "/p")
    assert daemonjson.path_of(after) == "/p"
    assert daemonjson.merged(after, "/p") == after, "the second time changes something"
    before, now = daemonjson.parse(content), daemonjson.parse(after)
    now_others, others = ({**one, "runtimes": None} for one in (now, before))
    assert repr(now_others) == repr(others), "something else was changed"


def _trust(content: bytes) -> None:
    policy = trustpolicy.parse(content, "/p")
    for reference in ("harbor.internal/aibox/base:24.04", "localhost/x"):
        asked = trustpolicy.demand(policy, "/p", reference)
        assert isinstance(asked.signed, bool)
    scope = "harbor.internal/aibox"
    changed = trustpolicy.with_entry(content, scope, [{"type": "reject"}])
    assert trustpolicy.demand(trustpolicy.parse(changed, "/p"), "/p", f"{scope}/base:1").rejected
    back = trustpolicy.parse(trustpolicy.without_entry(changed, scope), "/p")
    assert trustpolicy.demand(back, "/p", "harbor.internal/aibox/base:1").scope != scope
    doctorjudge.trust("/p", content, "")


def _wslconfig(content: bytes) -> None:
    document = wslconfig.parse(content)
    assert wslconfig.dump(document) == content, "other bytes come back"
    wslconfig.describe(wslconfig.proposal(document, 32 << 30, 16))
    changed = wslconfig.dump(wslconfig.set_values(document, {"memory": "9GB", "processors": "3"}))
    again = wslconfig.parse(changed)
    assert (wslconfig.get(again, "memory"), wslconfig.get(again, "processors")) == ("9GB", "3")


def _wsl_conf(content: bytes) -> None:
    wsl.systemd_wanted(content)
    fromwindows.automount_root(content)
    assert wsl.systemd_wanted(wsl.with_systemd(content)) is True


def _reference(content: str) -> bool:
    try:
        found = imageref.parse_image(content)
    except ValueError:
        return False
    # a name without a registry may read like a transport when a tag stands behind it
    assert not found.registry or imageref.parse_image(found.exact).exact == found.exact
    trustpolicy.scopes(content)
    imagetrust.only_here(content)
    return True


def _pattern(rng: Random) -> Case:
    """A pattern that the policy accepts, against a reference of the longest kind."""
    pattern = "".join(rng.choices(("**", "*", "?", "a", "a", "/", "b:", "harbor.internal"), k=rng.randint(1, 30)))
    reference = "".join(rng.choices(("a", "aa", "/", "b"), k=rng.randint(1, 255)))
    return Case(repr((pattern, reference)), (lambda: imageref.matches(pattern, reference),))


def _path(path: str) -> None:
    workspaces.check_name(path)
    plan.box_name(OWNER, path)
    workspaces.check_place(path, PLACES)


def _windows(path: str) -> None:
    winpath.looks_like_windows(path)
    winpath.to_windows(path, "Debian")
    fromwindows.translated(["--workspace", path, f"-w{path}", f"--workspace={path}"], {"--workspace", "-w"}, HERE)
    winpath.to_linux(path, HERE)


def _shim(content: str) -> None:
    fromwindows.decode(content)


def _line(rng: Random) -> Case:
    """A command line of a verb's own words and of odd ones."""
    row = rng.choice(VERBS)
    own = [word for option in cli.options_of(row) for word in (option.long, option.short) if word]
    words = [rng.choice(own) if rng.random() < 0.5 else text(rng) for _ in range(rng.randint(0, 6))]
    words = [word for word in words if word not in ("-h", "--help")]

    def read() -> None:
        options, _ = cli.split_words(row, words)
        try:
            cli.parser(row).parse_args(cli.operands_last(row, options), namespace=cli.Arguments())
        except SystemExit as ended:  # a word such as -x-h asks for help
            assert ended.code == 0

    return Case(repr((row.name, words)), (read,))


def _record(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        state.read_record(file.name)


def _ids(content: bytes) -> None:
    doctorjudge.granted(content, "dev1", 1001)
    facts.os_release(content)
    wsl.meminfo(content)
    facts.confinement(content.decode("utf-8", "replace"), policy=True)
    apparmor.enforced(content.decode("utf-8", "replace"))


def _volume(word: str) -> None:
    volumenames.parse(word)
    volumenames.choose(word, [], "dev1")


def _workspace_notice(kind: str) -> None:
    workspaces.filesystem_notice(workspace("/w", OWNER)._replace(filesystem=kind))
    try:
        workspaces.check_filesystem("/w", kind, home="/home/dev1", distribution="Debian")
    except AiboxError as error:
        assert error.code == "workspace-filesystem"


READERS = (
    Reader("YAML, beside PyYAML", ("yamlreader", "yamlscalars"), reading(yamlcases.case, yamlcases.judge), (), 40),
    Reader("config.yaml", ("config", "settingsfile", "configkeys", "configfiles"),
           reading(as_bytes(lines(CONFIG, fragments=YAML)), _config), WRONG),
    Reader("settings in flags and variables", ("config", "configkeys"), _setting, WRONG),
    Reader("policy.yaml", ("config", "settingsfile", "configfiles"),
           reading(as_bytes(lines(POLICY, fragments=YAML)), _policy), WRONG),
    Reader("patterns of policy.yaml", ("imageref",), _pattern),
    Reader("image references", ("imageref", "trustpolicy", "imagetrust"), reading(lines(*REFERENCES), _reference)),
    Reader("mountinfo", ("mountinfo", "winpath", "workspace", "idmapped"), reading(lines(MOUNTINFO), _mounts)),
    Reader("tables of /proc", ("hostview",), reading(lines("lo: 0 0\n eth0: 1\nIface\tDestination\neth0\t0\n"),
                                                    _process_tables)),
    Reader("files of the system", ("facts", "wsl", "doctorjudge", "apparmor"),
           reading(as_bytes(lines(SUBUID, "ID=debian\nVERSION_ID='12'\n", "MemTotal:  1 kB\nSwapTotal:\t2 kB\n",
                                  "aibox-runsc (enforce)\nx (complain)\n", "capability,landlock,apparmor")), _ids)),
    Reader("daemon.json", ("daemonjson", "dockersteps"), reading(as_bytes(json_text(DAEMON)), _daemon),
           ("setup-failed",)),
    Reader("containers' policy.json", ("trustpolicy", "trustfiles", "doctorengine", "doctorjudge"),
           reading(as_bytes(json_text(TRUST)), _trust), ("trust-failed",)),
    Reader("public keys", ("trustpolicy", "signing"),
           reading(as_bytes(lines("-----BEGIN PUBLIC KEY-----\nx", "-----BEGIN PGP PUBLIC KEY BLOCK-----")),
                   trustpolicy.requirement), ("trust-failed",)),
    Reader(".wslconfig", ("wslconfig", "wslsteps"), reading(as_bytes(lines(WSLCONFIG)), _wslconfig),
           ("config-unreadable",)),
    Reader("wsl.conf", ("wsl", "fromwindows", "wslsteps"),
           reading(as_bytes(lines("[boot]\nsystemd=false\n[automount]\nroot = /w/\n")), _wsl_conf),
           ("config-unreadable",)),
    Reader("workspace paths", ("workspace", "plan"), reading(lines(*PATHS, fragments=SEPARATORS), _path),
           ("workspace-name", "workspace-forbidden")),
    Reader("Windows paths", ("winpath", "fromwindows"), reading(lines(*PATHS, fragments=SEPARATORS), _windows),
           ("usage",)),
    Reader("filesystem names", ("workspace",), reading(lines("ext4", "9p", "fuseblk"), _workspace_notice)),
    Reader("the word of the Windows shim", ("fromwindows",), reading(filecases.shim_word, _shim), ("usage",)),
    Reader("command lines", ("cli", "options"), _line, ("usage",), 2),
    Reader("names of volumes", ("volumenames", "commands.repair"),
           reading(lines("aibox-dev1-home", "maven", "npm-cache"), _volume), ("usage",), 2),
    Reader("the manifest of a bundle", ("bundleformat",), reading(filecases.manifest, filecases.read_manifest),
           ("bundle-invalid",)),
    Reader("bundles", ("bundleread", "bundleformat"), reading(filecases.bundle, filecases.read_bundle),
           ("bundle-invalid", "bundle-tampered"), 4),
    Reader("backups of volumes", ("volumearchive",), reading(filecases.backup, filecases.read_backup),
           ("volume-archive",)),
    Reader("aibox's own records", ("state", "context", "audit"),
           reading(as_bytes(json_text({"runtime": {"path": "/p"}})), _record), (), 4),
)  # fmt: skip
