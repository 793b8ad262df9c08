#!/usr/bin/perl

# Tests for hosts that are dead or hang: a good one beside them is not affected,
# a dead one with many certificates sees probes only, and all of those are
# stapled soon after it recovers.

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

# 1 to 8 hang, 9 is good, 10 is dead

my ($good, $dead) = (9, 10);
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8100 + $_ } 1 .. $dead ]);

my @hanging = map { $int->leaves(3, "hangs$_-%d.example",
	aia => $r->url($_)) } 1 .. 8;
my $leaf = $int->leaf('good.example', aia => $r->url($good));
my @many = $int->leaves(60, 'many%d.example', aia => $r->url($dead));

$t->write_conf(http => [ 'server_names_hash_max_size 4096;', 'ocsp_plus on;',
	# the workers are watched, not what helps them to start
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
	'ocsp_plus_timeout 5s;', 'ocsp_plus_retry 1s 2s;',
	map { [ 8443, $_ ] } @hanging, $leaf, @many ]);

$r->fault($_ % 2 ? 'hang_after_connect' : 'hang_after_request', on => $_)
	for 1 .. 8;
$r->fault('close', on => $dead);
$r->validity(next_update => 8, on => $good);
my $began = time();
$t->run();

###############################################################################

ok(wait_for(sub { staple_fast(8443, 'good.example') }, 4, 'a staple'),
	'a certificate is stapled while eight other hosts hang');
is(scalar(() = $t->log_lines(qr/hangs.* reason=timeout/)), 0,
	'a certificate is stapled before any hanging host times out');

# it is refreshed on time, and never missing

my $missing = 0;
my $handshakes = 0;
wait_for(sub {
	$handshakes++;
	my $shake = handshake_fast(8443, 'good.example');
	$missing++ unless $shake->{ok} && defined $shake->{der};
	return $r->requests(on => $good) >= 4;
}, 25, 'refreshes');
cmp_ok($handshakes, '>', 20, 'many handshakes are made while other hosts hang');
is($missing, 0, 'no handshake lacks a staple while other hosts hang');
cmp_ok(scalar(() = $r->requests(on => $good)), '>=', 4,
	'a response is refreshed on time while other hosts hang');

# each of the hanging ones is asked for all of its three at first, which is
# less than four, and by one at a time from then on

for my $i (1 .. 8) {
	cmp_ok($r->stats()->{ports}{$i}{working_peak}, '<=', 3,
		"hanging host $i: three connections at a time at most");
}
ok(wait_for(sub { $t->log_lines(qr/hangs.* reason=timeout/) >= 8 }, 20),
	'the timeouts of hanging hosts are logged');
for my $i (1 .. 8) {
	cmp_ok($r->stats()->{ports}{$i}{connections}, '<=',
		4 + (time() - $began) / 2,
		"hanging host $i: it is probed by few connections");
}

# the dead one: a probe each second or two, whoever waits for it

my $stats = $r->stats()->{ports}{$dead};
my $seconds = time() - $began;
cmp_ok($stats->{connections}, '>=', 2, 'the dead host is probed');
cmp_ok($stats->{connections}, '<=', 2 * $seconds + 5,
	'the dead host is not tried for each certificate');
cmp_ok($stats->{working_peak}, '<=', 1,
	'the dead host is probed by one connection at a time');
is(staple_fast(8443, 'many7.example'), undef,
	'a certificate of the dead host has no staple');
is(handshake_fast(8443, 'many7.example')->{ok}, 1,
	'a handshake with a certificate of the dead host works');

# it recovers, and hands out its answers slowly

my $mark = $t->log_mark();
$r->clear();
$r->set(delay => 100, on => $dead);
$r->fault('none', on => $dead);
ok(wait_for(sub {
	$t->log_lines(qr/response published.*"many\d/, $mark) >= @many;
}, 20, 'all to be fetched'),
	'all certificates of a recovered host are fetched soon');
my @without = grep { !defined staple_fast(8443, $_->name()) } @many;
is(join(' ', map { $_->name() } @without), '',
	'all certificates of a recovered host are stapled');

$stats = $r->stats()->{ports}{$dead};
cmp_ok($stats->{total}, '<=', @many + 2,
	'a recovered host gets one request for each certificate');
cmp_ok($stats->{working_peak}, '>', 1,
	'a recovered host gets several requests at a time');
cmp_ok($stats->{working_peak}, '<=', 8,
	'a recovered host gets half of ocsp_plus_concurrency at most');

# and so do the hanging ones

$r->fault('none', on => $_) for 1 .. 8;
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_->name()) } @hanging },
	25, 'the hanging ones'),
	'the certificates of hanging hosts are stapled once those answer');

$t->done_testing();

###############################################################################
