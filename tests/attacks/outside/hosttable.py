"""The table of attempts from the host's side: workspaces, images, the environment, other users, limits."""

from collections.abc import Callable
from typing import NamedTuple

import hostenvironment as environment
import hostimages as images
import hostothers as others
import hostworkspaces as workspaces
from scene import Scene

Act = Callable[[Scene], str]
BOTH = ("rootful", "rootless")
CHECKED = "the box has the folder that was checked"


class HostAttempt(NamedTuple):
    """One attempt. `act` makes it and `control` shows that it would otherwise work; both return what they got, or
    raise Refused. `refused` are the ways in which it may be refused (`denied`: any). `modes` are where it is refused;
    elsewhere it is known to succeed, and `note` says why.
    """

    id: str
    title: str
    controls: tuple[str, ...]
    act: Act
    control: Act
    control_title: str
    refused: tuple[str, ...]
    modes: tuple[str, ...] = BOTH
    note: str = ""


PLAIN = "plain Podman follows it"
OWNER, ROOT = "its owner can", "the host's root can"
UNENFORCED = "rootless gVisor cannot hold limits, and start and status say so"

HOST: tuple[HostAttempt, ...] = (
    HostAttempt("workspace-symlink", "a workspace that is a symlink to /etc", ("S9", "S10"), workspaces.symlink,
                workspaces.symlink_control, PLAIN, ("workspace-forbidden",)),
    HostAttempt("workspace-dots", "a workspace path that climbs out by dots", ("S9", "S10"), workspaces.dots,
                workspaces.dots_control, PLAIN, ("workspace-forbidden",)),
    HostAttempt("workspace-inner-symlink", "a folder that a box made a symlink, opened as a workspace", ("S9", "S10"),
                workspaces.inner_symlink, workspaces.inner_symlink_control, PLAIN, ("workspace-forbidden",)),
    HostAttempt("workspace-swapped", "a workspace exchanged after it was checked", ("S9", "S10"),
                workspaces.swapped_before_create, workspaces.swapped_control, PLAIN,
                ("workspace-forbidden", "control-failed", CHECKED)),
    HostAttempt("workspace-swapped-late", "a workspace exchanged after the box was made", ("S9", "S10"),
                workspaces.swapped_before_init, workspaces.swapped_control, PLAIN,
                ("workspace-forbidden", "control-failed", "engine-failed", CHECKED)),
    HostAttempt("cache-parent", "a folder above a cache made a symlink to a host folder", ("S9", "S10"),
                workspaces.cache_parent, workspaces.cache_parent_control, "a plain mkdir follows it",
                ("control-failed", "engine-failed", "nothing outside changed")),
    HostAttempt("pretending-files", "workspace files that pretend to be settings, modules or programs", ("S10",),
                workspaces.pretending_files, workspaces.pretending_files_control, "a plain Python runs one",
                ("not read",)),
    HostAttempt("image-user", "an image with USER root", ("S4",), images.user_root, images.user_root_control, PLAIN,
                ("user 1000",)),
    HostAttempt("image-preload", "an image with ENV LD_PRELOAD", ("S5", "S10"), images.preload, images.preload_control,
                PLAIN, ("image-unsuitable",)),
    HostAttempt("image-perl", "an image with ENV PERL5OPT", ("S5", "S10"), images.perl_options,
                images.perl_options_control, PLAIN, ("image-unsuitable",)),
    HostAttempt("image-aibox-variable", "an image with ENV AIBOX_...", ("S10",), images.aibox_variable,
                images.aibox_variable_control, PLAIN, ("image-unsuitable",)),
    HostAttempt("image-entrypoint", "an image with ENTRYPOINT and CMD", ("S10",), images.entrypoint,
                images.entrypoint_control, PLAIN, ("aibox's own first process",)),
    HostAttempt("image-volume", "an image with VOLUME", ("S9",), images.volume, images.volume_control, PLAIN,
                ("no such mount",)),
    HostAttempt("image-gvisor-label", "an image with a label dev.gvisor.flag...", ("S8",), images.gvisor_label,
                images.gvisor_label_control, PLAIN, ("image-unsuitable",)),
    HostAttempt("image-pod-label", "an image with a label io.kubernetes.cri...", ("S8",), images.pod_label,
                images.pod_label_control, PLAIN, ("image-unsuitable",)),
    HostAttempt("containers-conf", "CONTAINERS_CONF with a volume", ("S9", "S10"), environment.containers_conf,
                environment.containers_conf_control, PLAIN, ("not followed",)),
    HostAttempt("engine-settings", "the engine's own settings with a volume", ("S9", "S10"), environment.own_settings,
                environment.own_settings_control, PLAIN,
                # AppArmor, where it is, lets gVisor make no folder for such a mount
                ("control-failed", "engine-failed")),
    HostAttempt("engine-annotations", "the engine's own settings with annotations for gVisor", ("S8",),
                environment.annotations, environment.annotations_control, PLAIN, ("control-failed", "engine-failed")),
    HostAttempt("container-host", "CONTAINER_HOST and DOCKER_HOST", ("S8",), environment.container_host,
                environment.container_host_control, PLAIN, ("not followed",)),
    HostAttempt("path", "PATH with other programs first", ("S8", "S10"), environment.path, environment.path_control,
                "a plain shell follows it", ("not followed",)),
    HostAttempt("python-path", "PYTHONPATH, PYTHONSTARTUP, PYTHONINSPECT", ("S10",), environment.python_path,
                environment.python_path_control, "a plain Python follows it", ("not followed",)),
    HostAttempt("preload", "LD_PRELOAD for engine and runtime", ("S10",), environment.preload,
                environment.preload_control, PLAIN, ("not handed on",)),
    HostAttempt("session-preload", "LD_PRELOAD for a session, before its filter is on", ("S5",),
                environment.session_preload, environment.session_preload_control,
                "a session without the filter runs it", ("the filter was on",)),
    HostAttempt("session-module", "a Perl module of the workspace for the launcher", ("S5",),
                environment.session_module, environment.session_module_control, "a plain Perl follows it",
                ("not followed",)),
    HostAttempt("runtime-variable", "AIBOX_RUNTIME=runc", ("S8",), environment.runtime_variable,
                environment.runtime_variable_control, "plain Podman uses runc",
                ("policy-refused", "fallback-refused", "runtime-missing")),
    HostAttempt("unknown-variable", "a variable AIBOX_SECCOMP=unconfined", ("S5",), environment.unknown_variable,
                environment.runtime_variable_control, "plain Podman uses runc", ("config-unknown-key",)),
    HostAttempt("lying-engine", "an engine that uses runc and says otherwise", ("S8",), environment.lying_engine,
                environment.lying_engine_control, "through it a container runs under runc", ("control-failed",)),
    HostAttempt("forged-labels", "a container by hand with a box's name and labels", ("S8",), others.forged_labels,
                others.forged_labels_control, "plain Podman enters it", ("control-failed",)),
    HostAttempt("other-user-exec", "another user: a session by aibox", ("S10",), others.other_exec,
                others.other_exec_control, OWNER, ("denied",)),
    HostAttempt("other-user-engine", "another user: a session by the engine", ("S10",), others.other_engine,
                others.other_engine_control, OWNER, ("denied",)),
    HostAttempt("other-user-stop", "another user: stop the box", ("S10",), others.other_stop,
                others.other_exec_control, OWNER, ("denied",)),
    HostAttempt("other-user-kill", "another user: signal the Sentry", ("S10",), others.other_kill,
                others.owner_kill_control, ROOT, ("denied",)),
    HostAttempt("other-user-memory", "another user: look into the Sentry", ("S10",), others.other_memory,
                others.owner_memory_control, ROOT, ("denied",)),
    HostAttempt("other-user-workspace", "another user: the workspace past a closed folder", ("S10",),
                others.other_workspace, others.owner_workspace_control, ROOT, ("denied",)),
    HostAttempt("exec-root", "podman exec --user 0 by hand", ("S4",), others.exec_root, others.exec_root_control,
                "a container without the wrapper lets it in", ("denied",)),
    HostAttempt("exec-privileged", "podman exec --privileged by hand", ("S1",), others.exec_privileged,
                others.exec_privileged_control, "a container without the wrapper lets it in", ("denied",)),
    HostAttempt("other-box", "an abstract socket of another box", ("S7", "S10"), others.other_box,
                others.other_box_control, "inside one box it can be reached", ("ECONNREFUSED",)),
    HostAttempt("priority-on-host", "take processor time from others, seen on the host", ("S1", "S8"), others.priority,
                others.priority_control, ROOT, ("nothing changed on the host",)),
    HostAttempt("memory-hog", "more memory than the box has", ("limits",), others.memory, others.memory_control,
                "with 8 GiB it fits", ("ended by its limit", "ENOMEM"), ("rootful",), UNENFORCED),
    HostAttempt("fork-bomb", "more processes than the box has", ("limits",), others.fork_bomb, others.fork_bomb_control,
                "with 4096 they fit", ("ended by its limit", "EAGAIN"), ("rootful",), UNENFORCED),
)  # fmt: skip

OUTER = {
    "tcp_connect": "EACCES", "tcp_socket": "EPERM", "abstract_socket": "EPERM", "signal_host_process": "EPERM",
    "keyctl": "EPERM", "io_uring_setup": "EPERM",
}  # fmt: skip
