#!/bin/sh
# Everything that must pass: style, types, tests (in two processes; a later -n takes the place of this one).
set -eu
cd "$(dirname "$0")/.."
OMP_WAIT_POLICY=passive  # two processes whose threads wait at full speed for each other take half as long again
export OMP_WAIT_POLICY
ruff check .
ruff format --check .
mypy
python -m pytest -n 2 "$@"
