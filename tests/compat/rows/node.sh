#!/bin/sh
# worker threads with a SharedArrayBuffer, child processes, a file watcher, source maps, the CPU profiler
set -eu
mkdir -p nodework
cat > nodework/worker.js <<'END'
const { Worker, isMainThread, workerData } = require("worker_threads");
if (isMainThread) {
  const shared = new SharedArrayBuffer(4), view = new Int32Array(shared);
  let left = 4;
  for (let n = 0; n < 4; n++)
    new Worker(__filename, { workerData: shared }).on("exit", () => {
      if (!--left) process.exit(view[0] === 4000 ? 0 : 1);
    });
} else {
  const view = new Int32Array(workerData);
  for (let n = 0; n < 1000; n++) Atomics.add(view, 0, 1);
}
END
node nodework/worker.js
cat > nodework/watch.js <<'END'
const fs = require("fs");
fs.writeFileSync("nodework/watched", "");
fs.watch("nodework/watched", () => process.exit(0));
setTimeout(() => fs.appendFileSync("nodework/watched", "x"), 500);
setTimeout(() => process.exit(9), 10000);
END
node nodework/watch.js
cat > nodework/map.js <<'END'
function f(){throw new Error("mapped")}
try{f()}catch(e){console.log(e.stack)}
//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbIm9yaWdpbmFsLnRzIl0sIm5hbWVzIjpbXSwibWFwcGluZ3MiOiJBQUFBIn0=
END
node --enable-source-maps nodework/map.js | grep -q original.ts
rm -rf prof
node --cpu-prof --cpu-prof-dir=prof -e 'function busy() { let n = 0; for (let i = 0; i < 3e8; i++) n ^= i; return n } busy()'
grep -q '"busy"' prof/*.cpuprofile
