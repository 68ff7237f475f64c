#!/bin/sh
# what libc, shells and run-times do without looking at the result, looked at: each call's effect, or the build fails
set -eu
gcc -Wall -Wextra -Werror -O1 -pthread -o check check.c
./check
