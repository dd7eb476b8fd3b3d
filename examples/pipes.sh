#!/bin/sh
# Colour a film between two pipes; the film is all that standard output carries.
#
#     sh examples/pipes.sh IN.mkv OUT.mkv
set -eu
cat "$1" | vidcolor --quiet - - >"$2"
