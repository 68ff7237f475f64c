#!/bin/sh
# Go's own profiler: signals and timers inside the process
set -eu
export GOFLAGS=-mod=mod GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local GOTMPDIR="$PWD/gotmp"
mkdir -p gotmp gopprof
cat > gopprof/main.go <<'END'
package main

import (
	"os"
	"runtime/pprof"
	"time"
)

func busy() (n int) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		for i := 0; i < 1000; i++ {
			n ^= i
		}
	}
	return
}

func main() {
	file, _ := os.Create("cpu.prof")
	pprof.StartCPUProfile(file)
	busy()
	pprof.StopCPUProfile()
}
END
printf 'module gopprof\n' > gopprof/go.mod
cd gopprof
go build -o prog .
./prog
go tool pprof -top prog cpu.prof > top
grep -q 'main.busy' top
