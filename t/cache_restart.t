#!/usr/bin/perl

# Tests for a start from the cache directory: what the responder confirmed over
# an hour ago is asked for again within five minutes, one after the other; what
# it confirmed since is not, nor what was asked for by then.

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
my $clock = Test::Nginx::Clock->start($t);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my @old = $int->leaves(20, 'old%d.example', aia => $r->url(1),
	not_before => -86400);
my @young = $int->leaves(5, 'young%d.example', aia => $r->url(2),
	not_before => -86400);
$t->write_conf(workers => 2, http => [ 'server_names_hash_max_size 4096;',
	'ocsp_plus on;', (map { [ 8443, $_ ] } @old, @young),
	[ 8080, undef, 'location / { ocsp_plus_status json; }' ] ]);

$r->validity(this_update => -7200, next_update => 7 * 86400);
$t->run();
ok(wait_for(sub { $t->kept() == 25 }, 15, 'files'), 'all responses are cached');
$t->stop();

###############################################################################

# the old ones were confirmed over an hour ago, the young ones less

confirm(3700, @old);
confirm(2000, @young);
$r->clear();
$t->run();
is(missing(), 0, 'all certificates are stapled right after the start');
my $mark = $t->log_mark();
later(15);
cmp_ok(asked(1), '<=', 10,
	'responses confirmed an hour ago are not refreshed all at once');
later(285);
ok($r->wait_requests(20, 20, on => 1),
	'responses confirmed an hour ago are refreshed within five minutes');
is(join(' ', map { scalar(() = $r->requests(leaf => $_)) } @old),
	join(' ', (1) x 20),
	'each response confirmed an hour ago is fetched once');
is(asked(2), 0, 'responses confirmed later are not refreshed');
is(scalar(() = $t->log_lines(qr/the wall clock jumped/)), 0,
	'the passing of time is not taken for a clock jump');

# asked is asked: another start within the hour does not begin again

ok(wait_for(sub { !grep { modified($_) < $clock->now() - 400 } @old }, 10,
	'the files'), 'the confirmations are recorded in the cache files');
for my $time (1 .. 2) {
	$t->restart($time == 1 ? 'QUIT' : 'KILL');
	$r->clear();
	is(missing(), 0,
		"restart $time within the hour: all certificates are stapled");
	later(301);
	is(scalar(() = $r->requests()), 0,
		"restart $time within the hour: no responder is asked");
}

# half of them were asked for when nginx ended: only the others are left

confirm(3700, @old);
confirm(60, @old[0 .. 9]);
$t->restart();
$r->clear();
later(301);
ok($r->wait_requests(10, 20),
	'a restart in between: the remaining responses are refreshed');
is(join(' ', grep { scalar(() = $r->requests(leaf => $_)) } @old[0 .. 9]), '',
	'a restart in between: no response is refreshed twice');

# a responder that is down then: what is held goes on, and each is asked for
# as soon as it is back

confirm(3700, @old);
$t->stop();
$r->fault('refuse');
$t->run();
later(301);
ok($t->wait_log(qr/no new response, keeping the current one.*"old/, 15, $mark),
	'a failing responder: a refresh is tried after the start');
is(missing(), 0, 'a failing responder: the cached responses are stapled');
$r->fault('none');
$r->clear();
for (1 .. 10) {
	last if all_asked();
	later(60);
}
ok(all_asked(), 'a recovered responder: each old response is refreshed');
is(asked(2), 0, 'a recovered responder: no other response is refreshed');

$t->done_testing();

###############################################################################

sub file { return $t->testdir() . '/cache/' . $_[0]->id() . '.der' }

sub modified { return (stat file($_[0]))[9] }

# Confirmed so many seconds ago.
sub confirm {
	my ($ago, @leaves) = @_;
	utime 1, $clock->now() - $ago, map { file($_) } @leaves;
}

# So much later, once nginx has begun what is due by then.  The world's time
# passes as well.
sub later {
	my ($seconds) = @_;
	$clock->pass($seconds);
	$r->set(clock => $clock->{offset});
	my $since = $clock->now();
	wait_for(sub { heartbeat() > $since + 1 }, 20, 'beats');
}

sub heartbeat { return seconds_of(http_json('/')->{worker}{heartbeat}) }

sub missing { return without(8443, map { $_->name() } @old, @young) }

# How many requests a port has seen.
sub asked { return scalar(() = $r->requests(on => $_[0])) }

sub all_asked { return !grep { !$r->requests(leaf => $_) } @old }

###############################################################################
