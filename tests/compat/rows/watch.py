"""inotify. `inside`: a process of the box makes the change; `host`: the host does; `poll`: the host does, and the time
stamp is read again and again, as watchers do when they are told to poll."""

import ctypes
import os
import select
import struct
import sys
import time

kind = sys.argv[1]
folder = f"watched-{kind}"
os.makedirs(folder, exist_ok=True)
watched = f"{folder}/file"
if not os.path.exists(watched):
    open(watched, "w").close()
libc = ctypes.CDLL(None, use_errno=True)
watcher = libc.inotify_init1(0)
MODIFY, CREATE = 0x2, 0x100
assert libc.inotify_add_watch(watcher, folder.encode(), MODIFY | CREATE) >= 0
before = os.stat(watched).st_mtime_ns
if kind == "inside":
    os.system(f"echo more >> {watched}; touch {folder}/new-{os.getpid()}")
else:
    # the runner on the host waits for this file
    open(f"{folder}/ready", "w").close()
    while select.select([watcher], [], [], 0.3)[0]:
        os.read(watcher, 4096)
end = time.monotonic() + 12
seen = False
while not seen and time.monotonic() < end:
    if kind == "poll":
        time.sleep(0.1)
        seen = os.stat(watched).st_mtime_ns != before
    elif select.select([watcher], [], [], 0.5)[0]:
        events = os.read(watcher, 4096)
        while events:
            _, _, _, length = struct.unpack("iIII", events[:16])
            seen = seen or events[16 : 16 + length].rstrip(b"\0") == b"file"
            events = events[16 + length :]
if kind != "inside" and not seen:
    with open(watched) as file:
        assert "host" in file.read(), "the host's change is not there"
if not seen:
    sys.exit("no event for a change by the host")
