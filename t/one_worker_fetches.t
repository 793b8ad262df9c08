#!/usr/bin/perl

# Tests for several workers: one of them fetches, each response once, and all
# of them staple.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my @leaves = ($int->leaves(10, 'one%d.example', aia => $r->url(1)),
	$int->leaves(10, 'two%d.example', aia => $r->url(2)));

$t->write_conf(workers => 4, http => [ 'ocsp_plus on;',
	# the workers are watched, not what helps them to start
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
	map {
		my $name = $_->name();
		([ 8443, $_, 'listen 127.0.0.1:8444 ssl;',
			'location / { return 200 "$pid"; }' ],
		[ 8443, $_, "server_name also-$name;" ])
	} @leaves ]);

$r->set(delay => 50);
$t->run();

###############################################################################

my @published;
ok(wait_for(sub {
	@published = $t->log_lines(qr/ocsp_plus: response published/);
	@published >= @leaves;
}, 15, 'all to be fetched'), 'all responses are fetched');
is(scalar(() = $r->requests()), 20, 'twenty certificates take twenty requests');
is(join(' ', grep { $r->requests(leaf => $_) != 1 } @leaves), '',
	'each certificate is asked for once');
for my $i (1, 2) {
	cmp_ok($r->stats()->{ports}{$i}{working_peak}, '<=', 8,
		"host $i gets no more than half of the concurrency");
}

my @chosen = $t->log_lines(qr/this is the designated worker now/);
is(scalar @chosen, 1, 'one worker becomes the designated worker');
# the first one has a start of half a second, which is no promise
like($chosen[0] // '', qr/\[info\] (\d+)#.* slot=\d .* certificates=20$/,
	'the designated worker has all certificates');
my ($designated) = ($chosen[0] // '') =~ /\] (\d+)#/;
is(join(' ', grep { !/\] $designated#/ } @published), '',
	'the designated worker publishes all responses');

# every worker staples: the others are stopped meanwhile

my @workers = $t->workers();
is(scalar @workers, 4, 'four workers run');
for my $worker (@workers) {
	my @others = grep { $_ != $worker } @workers;
	$t->signal($_, 'STOP') for @others;
	wait_for(sub { !grep { !Test::Nginx::is_stopped($_) } @others }, 5, 'all to stop');
	my @without = grep {
		!defined staple_fast(8443, $_->name())
			|| !defined staple_fast(8443, 'also-' . $_->name())
	} @leaves;
	my $answer = http_get('/', port => 8443, ssl => 1,
		host => 'one1.example', servername => 'one1.example');
	$t->signal($_, 'CONT') for @others;
	is(scalar @without, 0, "worker $worker staples all certificates");
	like($answer // '', qr/\b$worker\z/, "worker $worker answered alone");
}

# many handshakes later there still is nothing more to fetch

my $missing = 0;
for (1 .. 100) {
	for my $port (8443, 8444) {
		my $leaf = $leaves[rand @leaves];
		$missing++ unless defined staple_fast($port, $leaf->name());
	}
}
is($missing, 0, 'two hundred handshakes have a staple');
is(scalar(() = $r->requests()), 20, 'no other request is sent');
is(scalar(() = $t->log_lines(qr/this is the designated worker now/)), 1,
	'the designated worker stays the same');

$t->done_testing();

###############################################################################
