#!/bin/bash
# what scripts and people at a shell use every day: files, archives, sorting, jobs, limits, timers, terminals
set -eu -o pipefail
mkdir -p tree/{a,b,c} && seq 1 50000 > tree/a/numbers && ln -s numbers tree/a/link && ln tree/a/numbers tree/b/hard
cp -a tree copy && cp --reflink=auto tree/a/numbers plain && diff -r tree copy && cmp plain tree/a/numbers
tar --create --gzip --file tree.tgz --xattrs tree && mkdir out && tar --extract --gzip --file tree.tgz --directory out
dd if=plain of=block bs=4k conv=fsync status=none && truncate --size=1M block && sync block
sort --parallel=2 --random-sort plain | sort --numeric-sort --parallel=2 > sorted && cmp sorted plain
split --lines=1000 plain part- && cat part-* | sha256sum | cut -c1-8 > sum
find . -name 'part-*' -newer tree.tgz -exec touch {} + ; find . -name 'part-*' -print0 | xargs --null --max-procs=2 -n5 rm
sed --in-place 's/1/one/' plain && awk '{ n += length($0) } END { print n }' plain && grep -c one plain
mkfifo fifo && { echo through > fifo & } && read -r line < fifo && test "$line" = through && wait
timeout 5 sleep 0.1 && nice -n 5 true && setsid true && nohup true > /dev/null 2>&1
taskset 1 true && test "$(nproc)" -ge 1 && chrt --batch 0 true && ionice -c 3 true
test "$(linux32 uname -m)" = i686 && sync --file-system . && test "$(setpriv --dump | wc -l)" -gt 3
( ulimit -n 256; ulimit -n ) && ( trap 'echo caught' USR1; kill -USR1 $BASHPID ) | grep -q caught
script --quiet --command 'stty size; tty' /dev/null < /dev/null > terminal || true
flock lock true && install -m 600 plain installed && chmod -R u+w,go-rwx tree && mv -T tree moved
date > stamp && touch --date=2020-01-01 stamp && stat --format=%Y stamp && df . > /dev/null && du --summarize . > /dev/null
tail --follow --pid=$$ stamp > /dev/null & follower=$!; sleep 0.2; kill $follower; wait $follower || true
ps > /dev/null; free > /dev/null; uptime > /dev/null; id > /dev/null; hostname > /dev/null; env > /dev/null
perl -e 'open(my $f, ">", "perl") or die; flock($f, 2); print $f "x"; close $f; unlink "perl"; select undef, undef, undef, 0.01'
rm -r moved copy out
