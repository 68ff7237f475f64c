#!/bin/sh
# editing without sshd: vi in batch mode and on a terminal of its own, ed-like edits by sed, a patch by git
set -eu
seq 1 100 > text
vim -es -u NONE -c '%s/50/fifty/' -c 'wq' text
grep -q '^fifty$' text
script --quiet --command "vim -u NONE -c '%s/60/sixty/' -c wq text" /dev/null < /dev/null > screen
grep -q '^sixty$' text
