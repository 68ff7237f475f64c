#!/bin/sh
# javac, jar and java, also with the other collectors that people choose
set -eu
javac -Xlint:all -d classes src/calc/*.java
jar --create --file calc.jar --main-class calc.Main -C classes .
for flags in -XX:+UseSerialGC -XX:+UseParallelGC -XX:+UseG1GC "-XX:+UseZGC -XX:+UseNUMA"; do
    # shellcheck disable=SC2086 # several words on purpose
    test "$(java -Xlog:disable -Xmx256m $flags -jar calc.jar)" = "7003000 4999950000"
done
