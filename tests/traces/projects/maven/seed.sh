#!/bin/sh
set -eu
mvn -q -B package
