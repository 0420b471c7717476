#!/usr/bin/env bash
# Uses the page in headless Chromium. Usage: run.sh BOSWELL [FOLDER FOR SCREENSHOTS]
# Chromium is /usr/bin/chromium or what CHROMIUM says; what drives it is fetched into a temporary folder.
set -euo pipefail
boswell="$(realpath "$1")"
screenshots="${2:+$(realpath "$2")}"
here="$(cd "$(dirname "$0")" && pwd)"

folder="$(mktemp -d)"
"$boswell" serve --listen 127.0.0.1:0 --jobs-dir "$folder/jobs" 2>"$folder/server.log" &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
for _ in $(seq 300); do
    url="$(grep -om1 'http://[0-9.:]*' "$folder/server.log" || true)"
    [[ -n "$url" ]] && break
    sleep 0.1
done
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" 'playwright-core@^1.50'
node "$here/page.mjs" "$url/" "$here/../../../../samples/pi.flac" "$screenshots"
