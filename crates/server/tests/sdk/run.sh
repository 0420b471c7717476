#!/usr/bin/env bash
# Runs OpenAI's clients for Python and Node and Deepgram's for Python against a server. Usage: run.sh BOSWELL
# Fetches them from their registries into a temporary folder; a client whose language is not here is left out.
set -euo pipefail
boswell="$(realpath "$1")"
here="$(cd "$(dirname "$0")" && pwd)"
recording="$here/../../../../samples/pi.flac"
text="three one four one five nine two six"

folder="$(mktemp -d)"
"$boswell" serve --listen 127.0.0.1:0 --jobs-dir "$folder/jobs" 2>"$folder/server.log" &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
for _ in $(seq 300); do
    url="$(grep -om1 'http://[0-9.:]*/v1' "$folder/server.log" || true)"
    [[ -n "$url" ]] && break
    sleep 0.1
done
cd "$folder"

if command -v python3 >/dev/null; then
    python3 -m venv python
    python/bin/pip install -q 'openai>=2,<4' 'deepgram-sdk>=5,<8' soundfile
    python/bin/python "$here/conformance.py" "$url" "$recording" "$text"
    python/bin/python "$here/conformance_deepgram.py" "$url" "$recording" "$text"
else
    echo "python3 is missing: its client is left out" >&2
fi
if command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix "$folder" 'openai@>=5'
    node "$here/conformance.mjs" "$url" "$recording" "$text"
else
    echo "npm is missing: its client is left out" >&2
fi
