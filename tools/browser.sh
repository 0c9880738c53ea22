#!/usr/bin/env bash
# Prints the path of a Chromium or Chrome for tests/site.py and tests/test_widgets.py; takes apt's where there is none.
set -euo pipefail
find_one() { command -v chromium || command -v google-chrome; }
if ! find_one; then
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    { $as_root apt-get update -q && $as_root apt-get install -y -q chromium; } >&2
    find_one
fi
