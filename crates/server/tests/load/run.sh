#!/usr/bin/env bash
# Runs the programs of this folder. Usage: run.sh BOSWELL faults|storage|load|soak…; what they are stands in README.md
set -euo pipefail
boswell="$(realpath "$1")"
shift
here="$(cd "$(dirname "$0")" && pwd)"
recording="$here/../../../../samples/pi.flac"
text="three one four one five nine two six"

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
# What the programs write goes when they have ended.
export TMPDIR="$folder"
python=python3

# What speaks live needs a package, and a clip that Python can read.
prepare() {
    [[ -e "$folder/clip.wav" ]] && return
    python3 -m venv "$folder/python"
    python="$folder/python/bin/python"
    "$python" -m pip install -q 'websockets>=13' soundfile
    "$python" "$here/clip.py" "$recording" "$folder/clip.wav"
}

for what in "$@"; do
    case "$what" in
        faults) N_RANDOM="${N_RANDOM:-100000}" "$python" "$here/faults.py" "$boswell" "$recording" "$text" ;;
        storage) "$python" "$here/storage.py" "$boswell" "$recording" "$text" ;;
        load)
            prepare
            "$python" "$here/measure.py" "$boswell" "$folder/clip.wav" "$text" "${SECONDS_OF_LOAD:-300}"
            ;;
        soak)
            prepare
            "$python" "$here/soak.py" "$boswell" "$folder/clip.wav" "$text" "${MINUTES:-30}"
            ;;
        *)
            echo "there is no $what: see README.md" >&2
            exit 2
            ;;
    esac
done
