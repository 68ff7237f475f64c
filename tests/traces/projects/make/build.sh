#!/bin/sh
# gcc, ar, ld, strip and a parallel make with its jobserver; the program itself does what C programs do
set -eu
make --jobs=2
make --jobs=2
touch src/stack.c
make --jobs=2 > log
grep -q 'all done' log
