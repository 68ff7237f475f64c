# Loads the seccomp filter, then becomes the session's program. Words: filter in hex, count, variables, program.
use strict;
my ($hex, $count, @words) = @ARGV;
my ($prctl, $seccomp) = (@PRCTL@, @SECCOMP@);
my $filter = pack 'H*', $hex;
my $program = pack 'S x6 P', length($filter) / 8, $filter;
my ($set_no_new_privs, $set_mode_filter) = (38, 1);
sub refuse { print STDERR "aibox: $_[0]: $!\n"; exit 126 }
syscall($prctl, $set_no_new_privs, 1, 0, 0, 0) == 0 or refuse 'no_new_privs';
syscall($seccomp, $set_mode_filter, 0, $program) == 0 or refuse 'the seccomp filter';
%ENV = ();
for (splice @words, 0, $count) { $ENV{$1} = $2 if /\A([^=]+)=(.*)\z/s }
{ no warnings; exec { $words[0] } @words }
my $missing = $! == 2;
print STDERR "aibox: cannot run $words[0]: $!\n";
exit($missing ? 127 : 126);
