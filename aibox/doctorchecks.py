"""Doctor's checks as a table. The verb, completion, the manual's page and the tests are made from these rows."""

from aibox import doctorboxes, doctorengine, doctorhost
from aibox.doctor import Check
from aibox.facts import PTRACE_REMEDY

_INFO = ("engine-answers",)

CHECKS: tuple[Check, ...] = (
    Check(
        "config", "configuration", "a wrong setting stops every verb", "correct the file or variable that is named",
        doctorhost.configuration,
    ),
    Check(
        "policy", "host policy", "a policy that others could write is no policy", "chown root and chmod go-w the file",
        doctorhost.policy, control=True,
    ),
    Check(
        "environment", "redirecting variables",
        "aibox ignores variables that point an engine elsewhere; commands typed by hand follow them",
        "unset the variable", doctorhost.environment,
    ),
    Check(
        "wsl", "WSL", "in WSL2 some of a Linux host's services have to be switched on",
        "add systemd=true below [boot] in /etc/wsl.conf, then in Windows: wsl --shutdown",
        doctorhost.windows,
    ),
    Check(
        "user-namespaces", "user namespaces", "gVisor and rootless Podman confine processes in them",
        "sudo sysctl -w user.max_user_namespaces=65536", doctorhost.user_namespaces,
    ),
    Check(
        "kernel-seccomp", "seccomp in the kernel", "the system calls of a box are filtered",
        "use a kernel with CONFIG_SECCOMP_FILTER", doctorhost.kernel_seccomp, control=True,
    ),
    Check(
        "ptrace-scope", "Yama", "gVisor's systrap attaches to its own children with ptrace",
        PTRACE_REMEDY, doctorhost.ptrace_scope,
    ),
    Check(
        "runtime-dir", "XDG_RUNTIME_DIR", "rootless Podman keeps the state of running boxes there",
        "log in with ssh or machinectl shell, not with su", doctorhost.runtime_folder,
    ),
    Check(
        "mapping-tools", "newuidmap and newgidmap", "they write the id maps of rootless boxes",
        "sudo apt-get install uidmap", doctorhost.mapping_tools,
    ),
    Check(
        "id-ranges", "subuid and subgid", "rootless Podman maps a box's users to ids of your own",
        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER", doctorhost.id_ranges,
    ),
    Check(
        "cgroups", "cgroups", "they hold memory, CPU and process limits",
        "boot with systemd.unified_cgroup_hierarchy=1", doctorhost.cgroups,
    ),
    Check(
        "linger", "lingering", "without it systemd ends your boxes at logout", "loginctl enable-linger",
        doctorhost.linger,
    ),
    Check(
        "confinement", "AppArmor or SELinux", "a second wall around gVisor's own processes",
        "boot with apparmor=1 security=apparmor, where the kernel has it", doctorhost.confinement,
    ),
    Check(
        "memory", "memory", "a box that runs out of memory is ended by the kernel", "end other programs, or add memory",
        doctorhost.memory,
    ),
    Check(
        "own-folder", "aibox's folder", "who can write it could change what boxes run under",
        "make it yours alone, and executable", doctorhost.own_folder,
        mend=doctorhost.close_own_folder, mend_text="take the others' right to write from aibox's folder",
    ),
    Check(
        "data-space", "room for aibox", "records are written before and after each start",
        "free some space there", doctorhost.data_space,
    ),
    Check(
        "locks", "locks", "a command that hangs keeps others waiting", "wait, or end the process that holds it",
        doctorhost.locks,
    ),
    Check("engine", "container engine", "it makes and runs the boxes", "aibox setup", doctorengine.engine, 25.0),
    Check(
        "storage-choice",
        "storage driver is chosen",
        "a fresh Podman may choose vfs for good at its first call",
        "aibox setup",
        doctorengine.only_podman(doctorengine.storage_choice),
        needs=("engine",),
    ),
    Check(
        "engine-answers", "the engine answers", "an engine that hangs or fails starts no box",
        "podman info; for a damaged store: podman system migrate", doctorengine.answers, 30.0,
        ("storage-choice", "runtime-dir", "mapping-tools", "id-ranges", "user-namespaces"),
    ),
    Check(
        "storage-driver", "storage driver", "with overlay a box starts without copying its image",
        "aibox destroy --all && podman system reset && rm ~/.config/containers/storage.conf; aibox setup "
        "(this removes every image and container of your Podman)",
        doctorengine.storage_driver, needs=_INFO,
    ),
    Check(
        "storage-space", "room for images and boxes", "volumes and images grow",
        "podman image prune, or free some space there", doctorhost.storage_space, needs=_INFO,
    ),
    Check(
        "trust-policy", "policy.json", "Podman reads it before it takes in any image", "reinstall containers-common",
        doctorengine.only_podman(doctorengine.trust),
    ),
    Check(
        "hooks", "engine hooks", "a hook that the engine adds to every container is refused by the controls",
        "remove the hook", doctorengine.only_podman(doctorengine.hooks),
    ),
    Check(
        "added-mounts", "mounts.conf", "a folder that the engine adds to every container is refused by the controls",
        "empty /etc/containers/mounts.conf", doctorengine.only_podman(doctorengine.added_mounts),
    ),
    Check(
        "setup", "setup", "everything below rests on what setup chose and proved", "aibox setup", doctorengine.set_up,
        needs=("own-folder",),
    ),
    Check("runsc", "the runtime's program", "gVisor is the kernel of a box", "aibox setup", doctorengine.program,
          needs=("setup",)),
    Check(
        "runsc-flags", "runsc is new enough", "before August 2023 it has no systrap and no filter for its boxes",
        "aibox setup --runsc FILE, with a runsc of release 20230801 or newer", doctorengine.new_enough, 45.0,
        ("runsc",),
    ),
    Check(
        "runsc-unchanged", "runsc is the proved one", "another program was never shown to hold the controls",
        "aibox setup, if an update exchanged it; else find out who did", doctorengine.program_unchanged, 30.0,
        ("runsc-flags",), control=True,
    ),
    Check(
        "wrapper", "the wrapper is whole", "it gives runsc its flags and sessions their filter",
        "aibox setup, after finding out who changed it", doctorengine.wrapper, needs=("setup",), control=True,
    ),
    Check(
        "seccomp-profile", "seccomp profile", "it names the system calls that programs in a box may use",
        "aibox doctor --fix", doctorengine.seccomp_profile, needs=("setup",), control=True,
        mend=doctorengine.write_seccomp, mend_text="write the shipped seccomp profile anew",
    ),
    Check(
        "wrapper-current", "the wrapper is of today", "another kernel, aibox or setting asks for a new proof",
        "aibox setup", doctorengine.wrapper_current, 30.0, ("wrapper", "runsc-unchanged", "seccomp-profile", "engine"),
    ),
    Check(
        "conmon", "conmon and terminals", "older ones make a session with a terminal fail",
        "aibox setup, or install conmon 2.1.11 or newer", doctorengine.only_podman(doctorengine.monitor),
        needs=("engine-answers", "wrapper"),
    ),
    Check(
        "registration", "registration with the engine", "so that a later `podman` command finds the wrapper",
        "aibox doctor --fix", doctorengine.registration, 60.0, ("engine-answers", "wrapper", "runsc-flags"),
        mend=doctorengine.register,
        mend_text="register the wrapper with the engine anew (containers.conf, or Docker's daemon.json)",
    ),
    Check(
        "outer-layer", "the layer around runsc", "it holds if gVisor itself is broken out of", "aibox setup",
        doctorengine.outer_layer, 25.0, ("wrapper", "kernel-seccomp"), control=True,
    ),
    Check(
        "landlock", "Landlock", "it keeps runsc from TCP, foreign sockets and foreign signals",
        "boot a kernel of 6.12 or newer with Landlock in its lsm= list", doctorengine.landlock,
        needs=("outer-layer",),
    ),
    Check(
        "image", "image", "a box's root filesystem", "aibox setup", doctorengine.image, 35.0,
        ("setup", "engine-answers", "trust-policy"),
    ),
    Check(
        "image-signature", "the image's signature", "only a checked signature says who made the image",
        "use a signed image, and have Podman check it (containers-policy.json)", doctorengine.signature,
        needs=("image",), control=True,
    ),
    Check(
        "box", "a box starts", "nothing about gVisor is concluded from versions: a throw-away box is started",
        "aibox setup", doctorengine.box, 180.0,
        ("image", "wrapper-current", "seccomp-profile", "own-folder", "data-space", "storage-space", "hooks",
         "added-mounts", "ptrace-scope", "outer-layer"),
    ),
    Check(
        "session-filter", "seccomp in sessions", "some runsc leave sessions without a filter; the wrapper mends that",
        "aibox setup", doctorengine.session, needs=("box",), control=True,
    ),
    Check("proof", "setup's proof", "it is repeated when a part changes", "aibox setup", doctorengine.proof, 30.0,
          ("box",)),
    Check(
        "workspace", "the current folder", "builds on Windows's filesystems are slow and lose modes",
        "copy it into the Linux filesystem", doctorhost.here, 10.0,
    ),
    Check(
        "box-notes", "notes of boxes", "a box that was removed outside aibox leaves its notes", "aibox doctor --fix",
        doctorboxes.notes, 35.0, _INFO, mend=doctorboxes.forget,
        mend_text="drop the notes of boxes that are gone (their volumes stay)",
    ),
    Check(
        "box-orphans", "unknown boxes", "a box without notes cannot be verified", "podman rm --force NAME",
        doctorboxes.orphans, 35.0, _INFO,
    ),
    Check(
        "box-leftovers", "leftovers", "a command that was killed leaves its throw-away box", "aibox doctor --fix",
        doctorboxes.left_over, 60.0, _INFO, mend=doctorboxes.sweep,
        mend_text="remove throw-away boxes, volumes and unfinished files of ended processes",
    ),
    Check(
        "box-workspaces", "the boxes' folders", "a box of a folder that is gone only takes room",
        "aibox destroy --workspace FOLDER", doctorboxes.workspaces, 10.0,
    ),
    Check(
        "box-drift", "running boxes", "a box has to be what it was made as, seen from the host",
        "aibox restart --workspace FOLDER", doctorboxes.drift, 120.0, _INFO, control=True,
    ),
    Check(
        "box-versions", "versions of boxes", "a newer aibox may know more controls",
        "aibox restart --workspace FOLDER", doctorboxes.versions, 35.0, _INFO,
    ),
)  # fmt: skip
IDS = tuple(check.id for check in CHECKS)
