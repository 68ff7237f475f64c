import assert from "node:assert";
import { execFileSync, spawn } from "node:child_process";
import { createHash, pbkdf2Sync } from "node:crypto";
import * as fs from "node:fs";
import * as http from "node:http";
import * as os from "node:os";
import * as path from "node:path";
import test from "node:test";
import { Worker } from "node:worker_threads";
import { gzipSync } from "node:zlib";

const isNumber: (value: unknown) => boolean = require("is-number");

test("dependency", () => assert.ok(isNumber(5)));

test("http over loopback", async () => {
  const server = http.createServer((_request, response) => response.end("hello"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const text = await new Promise<string>((resolve, reject) =>
    http.get({ port, host: "127.0.0.1", agent: false }, (r) => { let all = ""; r.on("data", (d) => (all += d)); r.on("end", () => resolve(all)); }).on("error", reject));
  server.close();
  assert.strictEqual(text, "hello");
});

test("workers", async () => {
  const worker = new Worker("require('worker_threads').parentPort.postMessage(6 * 7)", { eval: true });
  const answer = await new Promise((resolve) => worker.once("message", resolve));
  assert.strictEqual(answer, 42);
});

test("children", async () => {
  assert.strictEqual(execFileSync("echo", ["x"]).toString(), "x\n");
  const child = spawn("cat", { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end("y");
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.strictEqual(code, 0);
});

test("files", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "x-"));
  const watcher = fs.watch(folder);
  const changed = new Promise((resolve) => watcher.once("change", resolve));
  await fs.promises.writeFile(path.join(folder, "a"), gzipSync("x".repeat(100000)));
  await changed;
  watcher.close();
  await fs.promises.copyFile(path.join(folder, "a"), path.join(folder, "b"));
  fs.symlinkSync("a", path.join(folder, "c"));
  fs.utimesSync(path.join(folder, "a"), 1, 1);
  fs.chmodSync(path.join(folder, "a"), 0o600);
  assert.strictEqual(fs.readdirSync(folder).length, 3);
  assert.ok(fs.statSync(folder, { bigint: true }).isDirectory());
  fs.rmSync(folder, { recursive: true });
  assert.ok(pbkdf2Sync("a", "b", 1000, 16, "sha256").length && createHash("sha1").update("x").digest("hex"));
  assert.ok(os.cpus().length > 0 && os.totalmem() > 0 && os.userInfo().uid >= 0);
});
