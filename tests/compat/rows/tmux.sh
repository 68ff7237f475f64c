#!/bin/sh
# a session with two panes that outlives its client
set -eu
unset TMUX
tmux -S "$PWD/tmux-socket" -f /dev/null new-session -d -x 100 -y 30 -s work
tmux -S "$PWD/tmux-socket" split-window -d
tmux -S "$PWD/tmux-socket" send-keys -t work 'echo one''two > from-tmux; tty' Enter
n=0
while [ ! -s from-tmux ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
grep -q onetwo from-tmux
test "$(tmux -S "$PWD/tmux-socket" list-panes | wc -l)" = 2
tmux -S "$PWD/tmux-socket" kill-server
rm from-tmux
