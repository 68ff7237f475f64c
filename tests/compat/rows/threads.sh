#!/bin/sh
# threads, locks, atomics, a fork-join pool, and the JIT: the hot method is compiled by C2
set -eu
mkdir -p classes
javac -d classes Threads.java
java -Xmx256m -XX:+PrintCompilation -cp classes Threads > told
grep -q 'sum 4950000' told
grep -Eq ' 4 +Threads::hot' told
