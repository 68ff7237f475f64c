#!/bin/sh
# a profiler that needs no ptrace: Java Flight Recorder samples inside the JVM
set -eu
mkdir -p jfr
javac -d jfr Threads.java
rm -f rec.jfr
java -Xmx256m -XX:StartFlightRecording=filename=rec.jfr,settings=profile -cp jfr Threads > told-jfr 2>&1
jfr summary rec.jfr | grep -q 'jdk.CPULoad'
jfr print --events jdk.ExecutionSample rec.jfr | grep -q 'Threads.hot'
