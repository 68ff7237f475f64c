#!/bin/sh
# a repository of 20,000 files: clone, status, grep, a work tree, a submodule
set -eu
export GIT_AUTHOR_NAME=dev GIT_AUTHOR_EMAIL=dev@example.org GIT_COMMITTER_NAME=dev GIT_COMMITTER_EMAIL=dev@example.org
rm -rf large clone tree super library
git init -q -b main large
cd large
perl -e 'for my $d (0 .. 199) { mkdir "d$d"; for my $f (0 .. 99) { open my $o, ">", "d$d/f$f" or die; print $o "file $d $f\n" x 20; close $o } }'
git add .
git commit -qm all
cd ..
git clone -q --no-local large clone
cd clone
test "$(git ls-files | wc -l)" = 20000
test -z "$(git status --porcelain)"
git grep -q 'file 199 99'
git worktree add -q ../tree
test "$(find ../tree -type f -name 'f*' | wc -l)" = 20000
git worktree remove ../tree
cd ..
git init -q -b main library
git -C library commit -q --allow-empty -m first
git init -q -b main super
git -C super -c protocol.file.allow=always submodule --quiet add "$PWD/library" library
git -C super commit -qm submodule
git -C super submodule status | grep -q library
rm -rf large clone super library
