#!/bin/sh
# a virtual environment, and pip without network: a C extension built from its source archive
set -eu
rm -rf venv
python3 -m venv venv
venv/bin/pip install --quiet --no-index --find-links "$HOME/wheels" setuptools wheel
venv/bin/pip install --quiet --no-index --no-build-isolation --find-links "$HOME/wheels" --no-binary markupsafe markupsafe
venv/bin/python -c 'import markupsafe._speedups; assert str(markupsafe.escape("<")) == "&lt;"'
