#!/bin/sh
# a debugger and a profiler that need no ptrace: pdb and cProfile
set -eu
printf 'def f(n):\n    return n + 1\n\nfor i in range(1000):\n    f(i)\n' > debugged.py
printf 'break 2\ncontinue\np n\nclear 1\ncontinue\nquit\n' | python3 -m pdb debugged.py > told-pdb
grep -q 'debugged.py(2)f()' told-pdb
python3 -m cProfile -s calls debugged.py | grep -q '1000 .*(f)'
