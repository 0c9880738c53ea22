#!/usr/bin/env bash
# What the site carries from npm: onnxruntime-web, its WebAssembly build without GPU support, gzipped (14 MB → 3.7 MB; the page unpacks it).
# bash tools/vendor.sh          writes nbs/site/vendor/ort
# bash tools/vendor.sh axe DIR  puts axe.min.js into DIR, for tests/site.py
set -euo pipefail
cd "$(dirname "$0")/.."
ort=1.30.0 axe=4.14.1
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
get() { (cd "$tmp" && npm pack --silent "$1@$2" >/dev/null && tar xzf "$1-$2.tgz"); }
if [ "${1:-}" = axe ]; then get axe-core $axe; mkdir -p "$2"; cp "$tmp/package/axe.min.js" "$2"; exit; fi
get onnxruntime-web $ort
out=nbs/site/vendor/ort; mkdir -p $out; d=$tmp/package/dist
cp $d/ort.wasm.min.mjs $out/
cp $d/ort-wasm-simd-threaded.mjs $out/
gzip -9nc $d/ort-wasm-simd-threaded.wasm > $out/ort-wasm-simd-threaded.gz.wasm
sed -i '/sourceMappingURL/d' $out/*.mjs
cat > $out/LICENSE.txt <<E
onnxruntime-web, version $ort, from npm; laid here by tools/vendor.sh. ort-wasm-simd-threaded.gz.wasm is ort-wasm-simd-threaded.wasm, gzipped.

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS
FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
E
du -sh $out
