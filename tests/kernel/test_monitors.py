"""Who is taken for an engine's monitor: by what the kernel says of a process, not by its words."""

import os
import subprocess
import sys
from pathlib import Path

from aibox import monitors
from aibox.state import Paths


def test_a_process_in_a_container_that_poses_as_a_monitor(tmp_path: Path) -> None:
    """Its words are its own, and an absolute link below its root leads to the host's files; it is believed nothing."""
    paths = Paths(str(tmp_path / "data"), "", "", "")
    os.mkdir(paths.data)
    cage = tmp_path / "cage"
    link = Path(f"{cage}{paths.data}")
    link.parent.mkdir(parents=True)
    link.symlink_to(paths.data)
    code = f"import os, sys, time; os.chroot({str(cage)!r}); print('in', flush=True); time.sleep(60)"
    words = ["conmon", "-c", code, "-n", "aibox-x", "-r", f"{paths.data}/runtimes/0/evil", "-b", "/gone"]
    for caged in (False, True):
        argv = words if caged else [word.replace(f"os.chroot({str(cage)!r}); ", "") for word in words]
        with subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"in\n"
            # the control: without the chroot it is the caller's own, and by the folder alone it would be in both cases
            seen = [one.pid for one in monitors.orphans(paths)]
            by_folder = os.path.samestat(os.stat(f"/proc/{child.pid}/root{paths.data}"), os.stat(paths.data))
            child.kill()
        assert by_folder
        assert seen == ([] if caged else [child.pid])
