#!/usr/bin/env bash
# Installs what `make run` (run), `make test` (test) and `make bench` (bench) need. Safe to run again:
# what is there already costs nothing. After it has run once, kb works with the network unplugged.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}
mkdir -p .cache
export KB_CACHE=${KB_CACHE:-$PWD/.cache}

say() { printf '\033[1m%s\033[0m\n' "$*"; }

# --- system packages -------------------------------------------------------------------------
need=()
command -v java >/dev/null || need+=(openjdk-17-jre-headless)
[ -n "$(ls "$KB_CACHE"/tika/*.jar 2>/dev/null)" ] || command -v mvn >/dev/null || need+=(maven)
if [ "$what" != run ]; then
    command -v tesseract >/dev/null || need+=(tesseract-ocr tesseract-ocr-chi-sim)
    command -v chromium >/dev/null || need+=(chromium fonts-noto-cjk)
fi
if ! command -v uv >/dev/null && [ ! -x .cache/uv/bin/uv ]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || need+=(python3-venv)
fi
if [ ${#need[@]} -gt 0 ]; then
    apt="apt-get install -y --no-install-recommends ${need[*]}"
    root=
    [ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && root=sudo; }
    if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$root" ]; }; then
        say "Installing system packages: ${need[*]}"
        $root apt-get update -qq || true
        DEBIAN_FRONTEND=noninteractive $root $apt -qq >/dev/null ||
            say "Could not install ${need[*]}; going on without. To try by hand:  sudo $apt"
    else
        say "Missing system packages. Install them with:  sudo $apt"
        say "Going on without: no Java means text, Markdown, HTML, CSV and JSON only."
    fi
fi

# --- Python ------------------------------------------------------------------------------------
python=
for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$(command -v "$candidate"); break
    fi
done
[ -n "$python" ] || { say "kb needs Python 3.11 or newer:  sudo apt-get install python3"; exit 1; }

UV=$(command -v uv || true)
if [ -z "$UV" ]; then
    UV=$PWD/.cache/uv/bin/uv
    if [ ! -x "$UV" ]; then
        "$python" -m venv .cache/uv || { say "python3-venv is missing:  sudo apt-get install python3-venv"; exit 1; }
        .cache/uv/bin/pip install -q --disable-pip-version-check 'uv>=0.9' ||
            { say "Could not fetch uv. Is the package index reachable?"; exit 1; }
    fi
fi

lock=requirements.lock
[ "$what" = test ] && lock=requirements-test.lock
[ "$what" = bench ] && lock=requirements-bench.lock
stamp=.venv/.installed-$what
print=$(cat "$lock" pyproject.toml | sha256sum | cut -d' ' -f1)-${TORCH:-}
if [ "$(cat "$stamp" 2>/dev/null)" != "$print" ]; then
    say "Installing Python packages ($lock; torch is large, this takes a minute or two)"
    [ -x .venv/bin/python ] || "$UV" venv -q --python "$python" .venv
    install=("$UV" pip install -q --python .venv/bin/python --no-deps)
    if [ "${TORCH:-}" = cpu ]; then
        version=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$lock")
        if "${install[@]}" --torch-backend=cpu "torch==$version"; then
            # torch is there already: leave it and its CUDA companions out of the locked list
            awk '/^[a-z]/ {keep = !/^(torch|triton|nvidia-|cuda-)/} keep' "$lock" >.cache/without-torch.lock
            lock=.cache/without-torch.lock
        else
            say "The CPU-only torch cannot be reached from here; installing the standard one."
        fi
    fi
    "${install[@]}" --require-hashes -r "$lock" ||
        { say "Package installation failed. Check the network and free disk space (7 GB), then run make again."; exit 1; }
    "${install[@]}" --no-build-isolation -e .
    echo "$print" >"$stamp"
fi

# --- Tika and the encoder ------------------------------------------------------------------------
if command -v java >/dev/null; then
    .venv/bin/python -m ingest.setup_tika || say "Tika is not available; going on with the built-in text formats."
else
    say "No Java: text, Markdown, HTML, CSV and JSON only. For the rest:  sudo apt-get install openjdk-17-jre-headless maven"
fi
.venv/bin/python -m kb.index.setup_encoder
