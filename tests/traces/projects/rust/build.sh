#!/bin/sh
set -eu
cp "$HOME/Cargo.lock" .
cargo build --quiet --offline --locked --release
test "$(target/release/demo)" = 42
cargo test --quiet --offline --locked
