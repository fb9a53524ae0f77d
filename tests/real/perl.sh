#!/bin/bash
# perl: interpreter threads, each a whole interpreter of its own, with shared variables.
# PACKAGES: perl
. "$(dirname "$0")/common.sh"
need perl perl
"$perl" -Mthreads -e 1 2>/dev/null || skip "perl was built without threads"
cat >"$T/p.pl" <<'PL'
use strict;
use warnings;
use threads;
use threads::shared;
use Thread::Queue;
use Thread::Semaphore;
use POSIX ();

my $count : shared = 0;
my %seen : shared;
my $q = Thread::Queue->new;
my $r = Thread::Queue->new;
sub work {
	my $n = shift;
	my $s = 0;
	while (defined(my $i = $q->dequeue)) {
		$s += $i;
		{ lock($count); $count++; }
		{ lock(%seen); $seen{$i} = $n; }
	}
	return $s;
}
my @t = map { threads->create(\&work, $_) } 1 .. 6;
$q->enqueue($_) for 1 .. 1000;
$q->enqueue(undef) for @t;
my $sum = 0;
$sum += $_->join for @t;
print "sum $sum count $count seen ", scalar(keys %seen), "\n";

my $turn : shared = 0;
my @p = map { my $me = $_; threads->create(sub {
	for (1 .. 50) {
		lock($turn);
		cond_wait($turn) until $turn % 3 == $me;
		$turn++;
		cond_broadcast($turn);
	}
}) } 0 .. 2;
$_->join for @p;
print "turns $turn\n";
my $late = do { lock($turn); cond_timedwait($turn, time() + 1) };
print "timedwait ", ($late ? 1 : 0), "\n";

my $sem = Thread::Semaphore->new(0);
threads->create(sub { $sem->up(3) })->detach;
$sem->down(3);
print "semaphore\n";
my $bad = threads->create({context => 'list'}, sub { die "in a thread\n" });
{ local $SIG{__WARN__} = sub {}; $bad->join; }
print "error ", $bad->error;
my @c = map { my $n = $_; threads->create(sub { my $o = `echo out$n; exit $n`; ($? >> 8) . $o }) } 1 .. 4;
print map { $_->join } @c;
my $pid = fork;
if (!$pid) { my $v = threads->create(sub { 7 })->join; POSIX::_exit($v); }
waitpid $pid, 0;
print "fork ", $? >> 8, "\n";
my $k = threads->create(sub { local $SIG{KILL} = sub { threads->exit }; sleep 1 while 1 });
select undef, undef, undef, 0.1;
$k->kill('KILL')->join;
print "killed\n";
local $SIG{ALRM} = sub { print "alarm\n" };
alarm 1;
select undef, undef, undef, 5;
threads->create(sub { threads->exit(0) })->join;
exit 3;
PL
both "$perl" "$T/p.pl"
[ "$native_status" = 3 ] || fail "natively status $native_status"
[ "$(grep -c . "$T/grt.out")" -ge 12 ] || fail "hardly any output"
