#!/bin/sh
# Everything that must pass: style, types, tests (in two processes; a later -n takes the place of this one).
set -eu
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
python -m pytest -n 2 "$@"
