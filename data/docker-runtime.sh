#!/bin/sh
# Docker's runtime `aibox`: hands each command to the wrapper that its box was made with, so that every box keeps its own.
# `aibox setup` writes this file and names it in daemon.json; do not edit it.
set -eu
boxes=@BOXES@

log='' next=''
for argument do
    [ -z "$next" ] || log=$argument
    next=''
    [ "$argument" != --log ] || next=log
    case $argument in *[!0-9a-f]*) continue ;; esac
    if [ ${#argument} -eq 64 ] && [ -x "$boxes/$argument/wrapper" ]; then
        exec "$boxes/$argument/wrapper" "$@"
    fi
done
why='aibox: this is not a box that aibox made, or the host was restarted since; use: aibox start'
# Docker shows what stands in the log
[ -z "$log" ] || printf '{"level":"error","msg":"%s"}\n' "$why" >> "$log"
echo "$why" >&2
exit 1
