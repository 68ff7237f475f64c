#!/bin/sh
# a breakpoint in a C program
set -eu
printf 'int f(int n) { return n + 1; }\nint main(void) { return f(41) - 42; }\n' > debug.c
gcc -g -o debug debug.c
gdb -batch -ex 'break f' -ex run -ex 'print n' ./debug > told-gdb 2>&1 || true
grep -q ' = 41$' told-gdb || { tail -3 told-gdb >&2; exit 1; }
