#!/bin/sh
set -eu
gradle --no-daemon --quiet build
