#!/usr/bin/perl

# Tests for a wall clock that jumps by hours: what is not valid by the new
# time is not stapled from that moment on, and all is planned anew.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Clock;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $clock = Test::Nginx::Clock->start($t, jumps => 1);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
$int->leaf('example.com', aia => $r->url(), not_before => -30 * 86400);

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
	[ 8443, 'example.com' ] ]);
$r->validity(this_update => -3600, next_update => 3600);
$t->run();
is(staple(8443)->{status}, 'good', 'the certificate is stapled');

# The world goes on with the right time or with ours, as each case says; the
# responder is silent until what is held has been looked at.

jump('a jump ahead, beyond the end', 7200, 'none', 7200);
jump('the jump back', 0, 'none', 0);
jump('a jump back, before the beginning', -10800, 'none', -10800);
jump('the jump ahead again', 0, 'none', 0);
jump('a jump ahead within the validity', 1800, 'good', 1800);
jump('a jump back by less than clocks may differ', -1900, 'good', -1900);

# nobody has the time that our clock shows: nothing can be had

jump('a wrong clock of nginx alone', 86400, 'none', undef);
jump('the corrected clock of nginx', -1900, 'good', -1900);

$t->done_testing();

###############################################################################

sub jump {
	my ($what, $offset, $at_once, $theirs) = @_;
	my $mark = $t->log_mark();
	$r->fault('close');
	$clock->set($offset);
	my %seen;
	$seen{defined staple_fast(8443) ? 'good' : 'none'}++ for 1 .. 20;
	is_deeply(\%seen, { $at_once => 20 },
		"$what: $at_once at once in twenty handshakes");
	ok($t->wait_log(qr/the wall clock jumped/, 10, $mark),
		"$what: the jump is noticed");
	if (defined $theirs) {
		$r->set(clock => $theirs);
		$r->fault('none');
		is(wait_staple(8443, 'good', seconds => 15)->{status}, 'good',
			"$what: a response valid by the new time is stapled");
	} else {
		$r->fault('none');
		ok($t->wait_log(qr/reason=expired/, 15, $mark),
			"$what: a new response is fetched and refused as expired");
		ok(!defined staple_fast(8443), "$what: nothing is stapled");
	}
}

###############################################################################
