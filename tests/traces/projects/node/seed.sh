#!/bin/sh
set -eu
npm install --no-audit --no-fund --silent
cp package-lock.json "$HOME/package-lock.json"
