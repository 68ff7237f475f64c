#!/bin/sh
# a trace of one program
set -eu
strace -o trace true
grep -q execve trace
