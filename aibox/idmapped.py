"""Id-mapped workspaces for rootful engines: files keep the developer's uid on the host, and are 1000 in the box.

A bind mount of the workspace is made under aibox's run folder with MOUNT_ATTR_IDMAP (mount_setattr(2), Linux 5.12);
the engine then mounts that. Rootless engines need none of it: their user namespace maps the developer already.
"""

import ctypes
import os

from aibox import mountinfo
from aibox.errors import AiboxError
from aibox.model import BOX_UID, Identity, LaunchPlan

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442  # equal on all architectures
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, 0o2000000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_IDMAP = 2, 4, 0x00100000
_CLONE_NEWUSER = 0x10000000
_MNT_DETACH = 2


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def ensure(plan: LaunchPlan, target: str) -> None:
    """Mount the plan's workspace at `target` with its ids mapped, anew if something is mounted there.

    Raises workspace-forbidden if the folder is no longer the one that was checked, workspace-filesystem if its
    filesystem cannot map ids.
    """
    if plan.id_map is None:
        return
    remove(target)
    gate = os.path.dirname(target)
    os.makedirs(target, mode=0o755, exist_ok=True)
    os.chmod(os.path.dirname(gate), 0o711)  # noqa: S103 - the box's runtime has to pass through, not list
    # the folders above the workspace may be closed to other users: nobody but the box's root may pass this way either
    os.chown(gate, 0, plan.id_map.base)
    os.chmod(gate, 0o710)  # noqa: S103
    box_user = plan.id_map.base + BOX_UID
    rest = plan.id_map.size - BOX_UID - 1
    # the box's other ids map to themselves: gVisor creates files as its root and hands them over at once
    base = plan.id_map.base
    others = f"{base} {base} {BOX_UID}\n{box_user + 1} {box_user + 1} {rest}\n"
    user_rows = f"{plan.id_map.owner_uid} {box_user} 1\n{others}"
    group_rows = f"{plan.id_map.owner_gid} {box_user} 1\n{others}"
    tree = -1
    namespace = _user_namespace(user_rows, group_rows)
    try:
        tree = _call(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(plan.workspace.path), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC)
        status = os.stat(f"/proc/self/fd/{tree}")
        if Identity(status.st_dev, status.st_ino) != plan.workspace.identity:
            raise AiboxError(
                "workspace-forbidden",
                f"{plan.workspace.path} was exchanged for another folder while the box was being made",
                why="somebody or something renamed it or put a link in its place",
                fix="look at the folder, then try again",
            )
        attributes = _MountAttr(_MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0, 0, namespace)
        size = ctypes.c_size_t(ctypes.sizeof(attributes))
        _call(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size)
        _call(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    except OSError as error:
        raise AiboxError(
            "workspace-filesystem",
            f"the ids of {plan.workspace.path} cannot be mapped for a rootful engine",
            why=f"{plan.workspace.filesystem} on this kernel: {error.strerror}",
            fix="use rootless Podman: run aibox as the developer, without sudo",
        ) from error
    finally:
        os.close(namespace)
        if tree >= 0:
            os.close(tree)


def remove(target: str) -> None:
    """Unmount and remove `target` and the folder that guards it, however often mounted; fine if they are not there."""
    libc = ctypes.CDLL(None, use_errno=True)
    for place in (target, os.path.dirname(target)):
        for _ in range(16):
            if not is_mounted(place) or libc.umount2(os.fsencode(place), _MNT_DETACH) != 0:
                break
        try:
            os.rmdir(place)
        except FileNotFoundError:
            pass
        except OSError as error:
            why = error.strerror or str(error)
            raise AiboxError("state-unwritable", f"{place} cannot be removed", why=why) from error


def is_mounted(target: str) -> bool:
    """Whether something is mounted exactly at `target`."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return any(entry.target == target for entry in mountinfo.parse(file.read()))


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _user_namespace(user_rows: str, group_rows: str) -> int:
    """A file descriptor of a fresh user namespace with these maps; a short-lived child makes it."""
    ready_read, ready_write = os.pipe()
    done_read, done_write = os.pipe()
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os.close(done_write)
        os.write(ready_write, b"y" if libc.unshare(_CLONE_NEWUSER) == 0 else b"n")
        os.read(done_read, 1)
        os._exit(0)
    try:
        os.close(ready_write)
        if os.read(ready_read, 1) != b"y":
            raise AiboxError("host-unsupported", "this kernel gives no user namespaces", fix="aibox doctor")
        for name, rows in (("uid_map", user_rows), ("gid_map", group_rows)):
            with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:
                file.write(rows)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (ready_read, done_read, done_write):
            os.close(descriptor)
        os.waitpid(child, 0)
