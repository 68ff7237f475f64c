#!/bin/sh
# the kernel's sampling profiler
set -eu
syscall=$(python3 -c 'import platform; print({"x86_64": 298, "aarch64": 241}[platform.machine()])')
python3 - "$syscall" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
attributes = bytearray(128)
attributes[4] = 128
attributes[0] = 1
buffer = (ctypes.c_char * 128).from_buffer(attributes)
if libc.syscall(int(sys.argv[1]), buffer, 0, -1, -1, 0) < 0:
    sys.exit(f"perf_event_open: {os.strerror(ctypes.get_errno())}")
END
