#!/bin/sh
# a sampling profiler from outside the process: reads its memory with process_vm_readv
set -eu
rm -rf py-spy
python3 -m zipfile -e "$HOME"/wheels/py_spy*.whl py-spy
program=$(find py-spy -path '*/scripts/py-spy')
chmod +x "$program"
printf 'import time\ndef busy():\n    end = time.time() + 3\n    while time.time() < end: sum(range(1000))\nbusy()\n' > busy.py
"$program" record --nonblocking --duration 2 --format raw --output spied -- python3 busy.py
grep -q busy spied
