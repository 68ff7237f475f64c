#!/bin/sh
# compiles, runs the tests in a JVM of its own, packs
set -eu
mvn -o -q -B package
test -s target/demo-1.jar
