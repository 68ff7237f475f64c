#!/bin/sh
# Bazel with its own sandbox asked for: linux-sandbox makes namespaces
set -eu
cd ../bazel
trap 'bazel --output_user_root="$HOME/bazel" shutdown' EXIT
bazel --output_user_root="$HOME/bazel" build --noshow_progress --spawn_strategy=linux-sandbox //...
