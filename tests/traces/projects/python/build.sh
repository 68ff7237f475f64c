#!/bin/sh
# a C extension by setuptools, then tests that use it
set -eu
python3 setup.py --quiet build_ext --inplace
python3 -m compileall -q -j 2 test_fast.py
python3 -W ignore -m unittest -q test_fast
