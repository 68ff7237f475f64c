#!/bin/sh
# npm ci from the cache, then esbuild: a bundle with a source map that leads back to the sources
set -eu
rm -rf bundler
mkdir -p bundler/src
cd bundler
cp "$HOME/bundler/package.json" "$HOME/bundler/package-lock.json" .
npm ci --offline --no-audit --no-fund --silent
printf 'export const fail = (): never => { throw new Error("here") }\n' > src/fail.ts
printf 'import { fail } from "./fail"\ntry { fail() } catch (e) { console.log((e as Error).stack) }\n' > src/main.ts
node_modules/.bin/esbuild src/main.ts --bundle --minify --sourcemap --platform=node --outfile=out.js --log-level=error
node --enable-source-maps out.js | grep -q 'src/fail.ts:1'
