#!/bin/sh
# a repository's life: commits, branches, merges, rebases, packing, cloning, archives, work trees, bisecting
set -eu
export GIT_AUTHOR_NAME=dev GIT_AUTHOR_EMAIL=dev@example.org GIT_COMMITTER_NAME=dev GIT_COMMITTER_EMAIL=dev@example.org
export GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat GIT_EDITOR=true
git init -q -b main project
cd project
for n in 1 2 3 4 5 6 7 8 9; do
    echo "line $n" >> file
    mkdir -p "folder$n"
    seq 1 2000 > "folder$n/numbers"
    git add .
    git commit -qm "commit $n"
done
git checkout -qb topic HEAD~2
echo topic > topic
git add topic
git commit -qm topic
git rebase -q main
git checkout -q main
git merge -q --no-ff -m merge topic
git tag -a v1 -m v1
git gc -q --aggressive
git repack -q -adf --window=5 --threads=2
git fsck --full > /dev/null
git status --short
git log --graph --oneline | grep -q merge
git diff HEAD~3 --stat | grep -q changed
git grep -q 'line 5'
git stash -q -u 2> /dev/null || true
git worktree add -q ../tree topic
git archive --format=tar HEAD | tar -tf - > /dev/null
git clone -q --no-local . ../clone
git clone -q --bare . ../bare.git
cd ../clone
echo more >> file
git commit -qam more
git push -q ../bare.git main
git fetch -q ../bare.git main
git bisect start HEAD HEAD~5 > /dev/null 2>&1
# shellcheck disable=SC2016 # the words are for the inner shell
git bisect run sh -c 'test "$(wc -l < file)" -lt 8' > /dev/null 2>&1
git bisect reset > /dev/null 2>&1
git blame file > /dev/null
