#!/usr/bin/env bash
# What the site carries from npm: onnxruntime-web, its WebAssembly build without GPU support, gzipped (14 MB → 3.7 MB; the page unpacks it).
# bash tools/vendor.sh          writes nbs/site/vendor/ort
# bash tools/vendor.sh font     writes nbs/site/math.css: of STIX Two Math what formulas here use, 400 KB → 50 KB (needs fonttools and brotli)
# bash tools/vendor.sh axe DIR  puts axe.min.js into DIR, for tests/site.py
set -euo pipefail
cd "$(dirname "$0")/.."
ort=1.30.0 axe=4.14.1 stix=5.3.0
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
get() { (cd "$tmp" && npm pack --silent "$1@$2" >/dev/null && tar xzf "$1-$2.tgz"); }
if [ "${1:-}" = axe ]; then get axe-core $axe; mkdir -p "$2"; cp "$tmp/package/axe.min.js" "$2"; exit; fi
if [ "${1:-}" = font ]; then
    # letters and signs of text; accents; Greek; letterlike; arrows; operators; fences; slanted, bold, script and double-struck letters
    chars=U+20-7E,U+A0,U+AC,U+B0,U+B1,U+B7,U+D7,U+F7,U+300-308,U+20D7,U+391-3A9,U+3B1-3C9,U+3D1,U+3D5,U+3F1,U+3F5
    chars+=,U+2016,U+2018,U+2019,U+201C,U+201D,U+2020,U+2026,U+2032,U+2033,U+203E,U+2044,U+2061-2064
    chars+=,U+2102,U+210B,U+210E,U+2112,U+2113,U+2115,U+211D,U+2124,U+2190-2194,U+21A6,U+21D2,U+21D4
    chars+=,U+2200,U+2202,U+2203,U+2205,U+2207-2209,U+220B,U+220F,U+2211-2213,U+2217,U+2218,U+221A,U+221D,U+221E,U+2223,U+2225
    chars+=,U+2227-222B,U+2234,U+223C,U+2243,U+2245,U+2248,U+2260,U+2261,U+2264,U+2265,U+226A,U+226B,U+2282-2287,U+2295-2297
    chars+=,U+22A4,U+22A5,U+22C5,U+22EE,U+22EF,U+22F1,U+2308-230B,U+23DE,U+23DF,U+27E8,U+27E9
    chars+=,U+1D400-1D467,U+1D49C-1D4CF,U+1D538-1D56B,U+1D6A8-1D71B
    (cd "$tmp" && npm pack --silent @fontsource/stix-two-math@$stix >/dev/null && tar xzf fontsource-stix-two-math-$stix.tgz)
    pyftsubset "$tmp/package/files/stix-two-math-latin-400-normal.woff2" --unicodes=$chars --layout-features=ssty --no-hinting \
        --name-IDs='*' --flavor=woff2 --output-file="$tmp/math.woff2"
    { echo "/* A part of STIX Two Math $stix (npm: @fontsource/stix-two-math), laid here by tools/vendor.sh; loaded by site.js where there are formulas."; echo
      sed 's,\*/,* /,' "$tmp/package/LICENSE"; echo '*/'
      echo "@font-face { font-family: 'STIX Two Math'; font-display: swap; src: url(data:font/woff2;base64,$(base64 -w0 "$tmp/math.woff2")) format('woff2'); }"
      echo "math { font-family: 'STIX Two Math', math; font-size: 1.08em; }"; } > nbs/site/math.css
    exit
fi
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
