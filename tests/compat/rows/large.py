"""Large files in the workspace: sparse beyond 4 GiB, allocated ahead, mapped at a far offset."""

import mmap
import os

FAR = (5 << 30) + 12288
with open("large", "w+b") as file:
    os.posix_fallocate(file.fileno(), 0, 64 << 20)
    assert os.fstat(file.fileno()).st_size == 64 << 20
    file.seek(FAR)
    file.write(b"far away")
    file.flush()
    assert os.fstat(file.fileno()).st_size == FAR + 8
    # how many blocks are used is not looked at: in a box of gVisor st_blocks counts the holes too
    with mmap.mmap(file.fileno(), 4104, offset=FAR - 4096) as mapped:
        assert mapped[4096:4104] == b"far away"
        mapped[4096:4100] = b"near"
        mapped.flush()
    file.seek(FAR)
    assert file.read() == b"nearaway"
    os.truncate(file.fileno(), (9 << 30) + 1)
    assert os.path.getsize("large") == (9 << 30) + 1
os.unlink("large")
