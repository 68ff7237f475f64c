#!/bin/bash
# what scripts and people at a shell use every day: files, archives, sorting, jobs, limits, timers, terminals
set -eu -o pipefail
mkdir -p tree/{a,b,c}
seq 1 50000 > tree/a/numbers
ln -s numbers tree/a/link
ln tree/a/numbers tree/b/hard
cp -a tree copy
cp --reflink=auto tree/a/numbers plain
diff -r tree copy
cmp plain tree/a/numbers
tar --create --gzip --file tree.tgz --xattrs tree
mkdir out
tar --extract --gzip --file tree.tgz --directory out
dd if=plain of=block bs=4k conv=fsync status=none
truncate --size=1M block
sync block
sync --file-system .
sort --parallel=2 --random-sort plain | sort --numeric-sort --parallel=2 > sorted
cmp sorted plain
split --lines=1000 plain part-
cat part-* | sha256sum | cut -c1-8 > sum
find . -name 'part-*' -newer tree.tgz -exec touch {} +
find . -name 'part-*' -print0 | xargs --null --max-procs=2 -n5 rm
sed --in-place 's/1/one/' plain
awk '{ n += length($0) } END { print n }' plain > length
test "$(grep -c one plain)" -gt 100
mkfifo fifo
echo through > fifo &
read -r line < fifo
test "$line" = through
wait
timeout 5 sleep 0.1
nice -n 5 true
setsid --wait true
nohup true > /dev/null 2>&1
taskset 1 true
test "$(nproc)" -ge 1
chrt --other 0 true
# gVisor leaves I/O priorities to root
ionice -c 3 true || true
# gVisor knows no personality but its own
linux32 uname -m > machine || true
setpriv --dump > privileges
(ulimit -n 256; test "$(ulimit -n)" = 256)
# shellcheck disable=SC2016 # the words are for the inner shell
bash -c 'trap "echo caught; exit 0" USR1; kill -USR1 $$; sleep 1' | grep -q caught
script --quiet --command 'stty size' /dev/null < /dev/null > terminal
flock lock true
install -m 600 plain installed
chmod -R u+w,go-rwx tree
mv -T tree moved
date > stamp
touch --date=2020-01-01 stamp
test "$(stat --format=%Y stamp)" -lt 1600000000
df . > free
du --summarize . > used
tail --follow stamp > followed &
follower=$!
sleep 0.3
kill $follower
wait $follower || true
test -s followed
for program in ps free uptime id hostname env; do
    $program > facts
done
perl -e 'open(my $f, ">", "perl") or die; flock($f, 2) or die; print $f "x"; close $f or die; unlink "perl" or die'
perl -e 'alarm 20; $SIG{ALRM} = sub { exit 0 }; alarm 1; select undef, undef, undef, 5; exit 1'
rm -r moved copy out
