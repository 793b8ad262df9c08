#!/usr/bin/perl

# Tests for certificates whose answers never come, or come a byte at a time:
# they hold up neither the others of their host nor the start, and the next
# process does not begin with them.

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

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @aia = (aia => $r->url(1));
my $hangs = $int->leaf('hangs.example', @aia);
my $drips = $int->leaf('drips.example', @aia);
my $right = $int->leaf('right.example', @aia);
my $must = $int->leaf('must.example', @aia, must_staple => 1);
my @slow = $int->leaves(5, 'slow%d.example', @aia);

$r->fault('hang_after_request', serial => $_->serial())
	for $hangs, $must, @slow;
$r->fault('slow_drip', arg => 1, serial => $drips->serial());

# in whatever order they are asked, the third one is stapled from the first
# handshake on, and the start does not wait for the others

my $begin = qr/starting the workers: (stapled=\d+ missing=\d+) waited=(\d+)ms/;

for my $order ([ $hangs, $drips, $right ], [ $drips, $hangs, $right ],
	[ $right, $hangs, $drips ])
{
	my $name = join ' ', map { $_->name() =~ /^(\w+)/ } @$order;
	my $mark = $t->log_mark();
	configure('60s', map { $_->name() } @$order);
	$t->run();
	ok(defined staple_fast(8443, 'right.example'),
		"$name: the first handshake of the answered certificate is stapled");
	my ($line) = $t->log_lines($begin, $mark);
	my ($count, $waited) = ($line // '') =~ $begin;
	is($count, 'stapled=1 missing=2',
		"$name: the start ends with the slow certificates missing");
	note("$name: waited ${waited}ms");
	cmp_ok($r->stats()->{all}{working_peak}, '<=', 4,
		"$name: four connections at a time at most");
	ok(handshake_fast(8443, 'hangs.example')->{ok},
		"$name: a slow certificate has handshakes without a staple");
	$t->stop();
	$r->clear();
}

# one that clients refuse without a staple is waited for to the end

my $mark = $t->log_mark();
configure('3s', 'right.example', 'must.example');
$t->run();
my ($line) = $t->log_lines($begin, $mark);
like($line, qr/stapled=1 missing=1 waited=(?![12]\d{3}ms)\d{4,}ms/,
	'Must-Staple: the start waits to its limit');
$t->stop();

# four that hang have it all, and the start is over; the worker begins with
# those that were not asked for

$r->clear();
$mark = $t->log_mark();
configure('60s', (map { $_->name() } @slow), 'right.example');
$t->run();
ok($t->log_lines(qr/stapled=0 missing=6/, $mark),
	'hanging requests: the start ends without a staple');
is(wait_staple(8443, 'good', servername => 'right.example', seconds => 8)
	->{status}, 'good',
	'hanging requests: the worker asks for the other certificates first');
is(scalar(() = $t->log_lines(qr/reason=timeout/, $mark)), 0,
	'hanging requests: the worker does not wait for a timeout');

$t->done_testing();

###############################################################################

sub configure {
	my ($wait, @servers) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_cache off;',
		"ocsp_plus_startup_wait $wait;", 'ocsp_plus_timeout 20s;',
		map { [ 8443, $_ ] } @servers ]);
}

###############################################################################
