#!/bin/sh
# Everything that must pass: style, types, tests (with -n 2 in two processes, where pytest-xdist is).
set -eu
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
