#!/bin/sh
# Colour all films of a folder, whatever happens in the night: what is finished is kept, and a film that was
# interrupted goes on where it stopped. Ends when all are done, or when trying again would not help.
#
#     sh examples/overnight.sh FOLDER OUT
set -eu
folder=$1
out=$2
mkdir -p "$out"
while :; do
    set --
    for film in "$folder"/*; do
        name=${film##*/}
        if [ ! -f "$film" ] || [ -e "$out/$name" ]; then
            continue # no film, or there already: a name is given to finished films alone
        fi
        set -- "$@" "$film"
    done
    [ $# -gt 0 ] || exit 0
    code=0
    vidcolor "$@" "$out/" || code=$?
    case $code in
        0) exit 0 ;;
        # no room, or ended by a signal: try again in a while; Ctrl-C (130) is the owner's word to stop
        5 | 129 | 137 | 143) sleep "${PAUSE:-60}" ;;
        *) exit "$code" ;;
    esac
done
