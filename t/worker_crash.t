#!/usr/bin/perl

# Tests for the designated worker being killed or stopped: another one takes
# over, staples go on, and what was in flight is repeated at most once.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my @leaves = $int->leaves(20, 'host%d.example', aia => $r->url(1));
# refreshed every few seconds
my $brief = $int->leaf('brief.example', aia => $r->url(2));
$r->validity(next_update => 8, on => 2);

$t->write_conf(workers => 3, http => [ 'ocsp_plus on;',
	# the workers are watched, not what helps them to start
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
	'ocsp_plus_retry 1s 2s;', map { [ 8443, $_ ] } @leaves, $brief ]);

###############################################################################

# killed during the fetches, again and again

$r->set(delay => 300, on => 1);
$t->run();

my $mark = 0;
my $kills = 0;
my $newest = 0;			# thisUpdate of what watch() saw
my $older = 0;
for my $more (1 .. 4) {
	my $designated = designated($mark) or last;
	# some are answered and some are not
	my $seen = () = $r->requests(on => 1);
	$r->wait_requests($seen + 1, 5, on => 1) if $seen < @leaves;
	# at any moment
	staple_fast(8443, 'brief.example') for 1 .. rand 40;
	$mark = $t->log_mark();
	$t->signal($designated, 'KILL');
	$kills++;
	ok(wait_for(sub { $t->workers() == 3 }, 5, 'a new worker'),
		"kill $more: nginx has three workers again");
	my $next = designated($mark);
	ok($next && $next != $designated,
		"kill $more: another worker becomes the designated worker");
}
is($kills, 4, 'four designated workers were killed');
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_->name()) } @leaves },
	20, 'staples'), 'all certificates are stapled after four kills');
my $requests = () = $r->requests(on => 1);
cmp_ok($requests, '<=', @leaves + 8 * $kills,
	'only exchanges in flight are repeated after a kill');

###############################################################################

# killed when there is nothing to do: nothing is fetched again

$r->set(delay => 0, on => 1);
ok(wait_for(sub { staple_fast(8443, 'brief.example') }, 15, 'a staple'),
	'the short-lived certificate is stapled');
my ($designated) = latest();
my $before = () = $r->requests(on => 2);
my %held = map { $_->name() => staple_fast(8443, $_->name()) } @leaves;
$mark = $t->log_mark();
$t->signal($designated, 'KILL');

my ($missing, $handshakes) = (0, 0);
my $next;
my $asked = time();
my $taken;
wait_for(sub {
	for my $leaf (@leaves[0 .. 4], $brief) {
		my $shake = handshake_fast(8443, $leaf->name());
		# connections of the killed worker break
		next unless $shake->{ok};
		$handshakes++;
		$missing++ unless defined $shake->{der};
	}
	($next) = latest($mark);
	$taken ||= time() if $next;
	return $next && $r->requests(on => 2) >= $before + 2;
}, 25, 'a refresh by the next one');
ok($next && $next != $designated,
	'kill without work: another worker becomes the designated worker');
cmp_ok(($taken || time()) - $asked, '<', 5 * $Test::Nginx::SLOW,
	'kill without work: the other worker takes over at once');
cmp_ok(scalar(() = $r->requests(on => 2)), '>=', $before + 2,
	'kill without work: the short-lived response is refreshed');
cmp_ok($handshakes, '>', 20, 'kill without work: many handshakes are made');
is($missing, 0, 'kill without work: no handshake lacks a staple');
is(scalar(() = $r->requests(on => 1)), $requests,
	'kill without work: no response is fetched again');
is(scalar(grep { staple_fast(8443, $_->name()) ne $held{$_->name()} } @leaves),
	0, 'kill without work: the staples stay the same');

###############################################################################

# stopped: it is not dead, but its heartbeat gets old

$designated = $next;
$mark = $t->log_mark();
$r->set(delay => 1000, on => 2);
$before = () = $r->requests(on => 2);
$r->wait_requests($before + 1, 15, on => 2);
$t->signal($designated, 'STOP');	# in the middle of an exchange
ok(wait_for(sub { ($next) = latest($mark); $next }, 30, 'a new one'),
	'stopped worker: another worker takes over');
isnt($next, $designated,
	'stopped worker: the new designated worker is another process');
$r->set(delay => 0, on => 2);
$before = () = $r->requests(on => 2);
ok(watch(sub { $r->requests(on => 2) > $before }),
	'stopped worker: the other worker refreshes');

my $back = $t->log_mark();
$t->signal($designated, 'CONT');
my $line;
ok(watch(sub { ($line) = $t->log_lines(
	qr/\] $designated#.*another worker is now the designated worker/,
	$mark); $line }),
	'stopped worker: it notices the other one when it is continued');
$before = () = $r->requests(on => 2);
ok(watch(sub { $r->requests(on => 2) >= $before + 2 }),
	'stopped worker: refreshing goes on after it is continued');
is($older, 0, 'stopped worker: no older response replaces a newer one');
is(scalar($t->log_lines(qr/\] $designated#.*response published/, $mark)), 0,
	'stopped worker: it publishes no response');
is(scalar(() = latest($back)), 0,
	'stopped worker: it does not become the designated worker again');
is(scalar(() = $r->requests(on => 1)), $requests,
	'stopped worker: no response is fetched again');

$t->done_testing();

###############################################################################

# Pids of those that became the designated worker, the latest first.
sub latest {
	my ($since) = @_;
	return reverse map { /\] (\d+)#/ ? $1 : () } $t->log_lines(
		qr/this is the designated worker now/, $since);
}

# Waits for one.
sub designated {
	my ($since) = @_;
	my $pid;
	wait_for(sub { ($pid) = latest($since); $pid }, 5,
		'a designated worker');
	return $pid;
}

# Handshakes until something is so; notes responses older than an earlier one.
sub watch {
	my ($until) = @_;
	return wait_for(sub {
		my $der = staple_fast(8443, 'brief.example');
		if (defined $der) {
			my (undef, $this) = $der =~ /\x18\x0f(\d{14})Z/g;
			$older++ if $this < $newest;
			$newest = $this if $this > $newest;
		}
		return $until->();
	}, 20, 'what the test watches for');
}

###############################################################################
