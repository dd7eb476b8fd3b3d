#!/bin/sh
# Everything that must pass: style, types, tests.
set -eu
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
python -m pytest "$@"
