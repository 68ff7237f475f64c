#!/bin/sh
# Debian's bootstrapped Bazel: a server, and actions in its sandbox or what it falls back to
set -eu
bazel --output_user_root="$HOME/bazel" build --noshow_progress //...
grep -q 'HELLO BAZEL' bazel-bin/checked
bazel --output_user_root="$HOME/bazel" shutdown
