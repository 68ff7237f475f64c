#!/bin/sh
# a debugger that needs no ptrace: jdb speaks with its JVM over the loopback interface
set -eu
mkdir -p jdb
javac -g -d jdb Threads.java
(sleep 4; echo 'stop in Threads.main'; echo run; sleep 6; echo where; sleep 1; echo 'clear Threads.main'; echo cont; sleep 6; echo quit) \
    | jdb -classpath jdb Threads > told-jdb 2>&1 || true
grep -q 'Breakpoint hit' told-jdb
grep -q 'Threads.main (Threads.java' told-jdb
