#!/usr/bin/env bash
# Resolves requirements*.lock: every version pinned, every file's hash locked, no addresses inside.
set -euo pipefail
cd "$(dirname "$0")/.."
UV=$(command -v uv || echo .cache/uv/bin/uv)
options=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q)
"$UV" pip compile pyproject.toml --group build "${options[@]}" -o requirements.lock
"$UV" pip compile pyproject.toml --group build --group test --group lint "${options[@]}" \
    -c requirements.lock -o requirements-test.lock
"$UV" pip compile pyproject.toml --group build --group test --group lint --group peers "${options[@]}" \
    -c requirements-test.lock -o requirements-bench.lock
