#!/bin/sh
# through its daemon, which forks a JVM for the tests
set -eu
gradle --offline --daemon --quiet clean build
gradle --stop > /dev/null
test -s build/libs/demo.jar
