# PID 1 of a box: reaps orphans; at TERM asks everything to end, waits for that, and ends. The engine kills at its limit.
use strict;
my ($mask, $wait) = (@SIGPROCMASK@, @SIGTIMEDWAIT@);
my ($hup, $int, $term, $chld) = (1, 2, 15, 17);
my $set = pack 'Q', 1 << ($hup - 1) | 1 << ($int - 1) | 1 << ($term - 1) | 1 << ($chld - 1);
my $null = (stat '/dev/null')[6];
my $stopping = 0;
$0 = '@TITLE@';
# blocked and waited for, so that no signal can slip in between a look and a sleep
syscall($mask, 0, $set, 0, 8);
for (;;) {
    1 while waitpid(-1, 1) > 0;
    last if $stopping && !grep { m{/(\d+)\z} && $1 != 1 } glob '/proc/[0-9]*';
    my $tick = pack 'q q', 0, 20_000_000;
    my $signal = $stopping ? syscall($wait, $set, 0, $tick, 8) : syscall($wait, $set, 0, 0, 8);
    if (!$stopping && ($signal == $term || $signal == $int)) {
        $stopping = 1;
        # what sits on a terminal (shells ignore TERM) hears that it is gone; the rest is asked to end
        for (glob '/proc/[0-9]*') {
            my ($process) = m{(\d+)\z};
            my @terminal = stat "$_/fd/0";
            kill 'HUP', $process if $process != 1 && -c _ && $terminal[6] != $null;
        }
        kill $_, -1 for 'TERM', 'CONT';
    }
}
