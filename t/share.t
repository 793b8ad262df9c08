#!/usr/bin/perl

# Tests for ocsp_plus_share: nodes that share responses through Redis ask the
# responder once for all of them, at a cold start and at each refresh; a new
# node staples from its first handshake on; what one node learns all staple.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Fleet;
use Test::Nginx::Redis;
use Test::Nginx::Responder;

###############################################################################

plan(skip_all => 'neither redis-server nor valkey-server is installed')
	unless Test::Nginx::Redis->installed();

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(12, 'host%d.example', aia => $r->url(),
	not_before => -86400);
my $redis = Test::Nginx::Redis->start($t);
my $fleet = Test::Nginx::Fleet->new($t, nodes => 6, leaves => \@leaves);
my @first = 0 .. 4;
$fleet->configure('ocsp_plus_retry 1s 5s;', 'ocsp_plus_cache off;',
	'ocsp_plus_share ' . $redis->place() . ' prefix=test;');

###############################################################################

# all at once, with an empty store

$r->validity(next_update => 40);
$r->set(delay => 300);

# a start waits a second for the store, and asks on its own then: a machine that
# is busy with other things gets three attempts

my ($without, $requests, %source, @connected);
for my $attempt (1 .. 3) {
	my @marks = map { $_->log_mark() } $fleet->nodes();
	$fleet->start(@first);
	$without = $fleet->without(@first);
	$requests = () = $r->requests();
	%source = ();
	$source{$_->{source}}++
		for map { @{$fleet->json($_)->{certificates}} } @first;
	@connected = map { $fleet->node($_)->wait_log(
		qr/\[notice\].*shared store connected: /, 10, $marks[$_]) } @first;
	last if !$without && $requests == @leaves;
	last if $attempt == 3;
	$fleet->node($_)->stop() for @first;
	$redis->ask('FLUSHALL');
	$r->clear();
}
is($without, 0, 'a cold start: each first handshake gets a staple');
is($requests, @leaves, 'a cold start: one request for each certificate');
is(scalar(grep { defined } @connected), @first,
	'each node says that it is connected');
like($connected[0], qr/ place="unix:/,
	'a node says to which place it is connected');
is_deeply(\%source, { network => 12, shared => 48 },
	'the status document says where responses are from');
$r->set(delay => 0);

# a response of 40 seconds is asked for again after 16 to 20

$r->clear();
my @held = map { $fleet->staple(0, $_) } @leaves;
my %old = map { $_ => 1 } @held;
ok($fleet->wait_staples(sub { defined $_[0] && !$old{$_[0]} }, 35, @first),
	'a refresh: each node gets new responses');
is(join(' ', map { my $name = $_->name();
	my @times = map { $_->{time} } $r->requests(leaf => $_);
	map { "$name after " . ($times[$_] - $times[$_ - 1]) }
		grep { $times[$_] - $times[$_ - 1] < 14 } 1 .. $#times } @leaves),
	'', 'a refresh: one request for each certificate');
is($fleet->without(@first), 0, 'a refresh: nothing is missing');

# what one node is told to ask for

$r->validity(next_update => 600);
$r->clear();
my ($leaf, @others) = @leaves;
$r->status($leaf, 'revoked');
my ($id) = map { $_->{id} } grep { $_->{subject} =~ /host1\.example/ }
	@{$fleet->json(2)->{certificates}};
like($fleet->control(2, "refresh=$id"), qr/host1\.example" will be fetched/,
	'an operator asks one node to refresh a certificate');
ok(wait_for(sub { 5 == grep { staple(8400 + $_,
	servername => 'host1.example')->{status} eq 'revoked' } @first }, 15,
	'revoked'), 'all nodes staple that it is revoked within 15 seconds');
is(scalar(() = $r->requests(leaf => $leaf)), 1, 'after one request');

# a node without a cache directory, and without a responder

ok($fleet->wait_staples(sub { 1 }, 5), 'handshakes');
ok(wait_for(sub { 11 == grep {
	seconds_of($_->{expires}) > time() + 100 } grep {
	$_->{cert_status} eq 'good' } @{$fleet->json(0)->{certificates}} }, 40,
	'long responses'), 'the store holds responses that last');
$r->stop();
$fleet->start(5);
is($fleet->without(5), 0,
	'a new node: each first handshake gets a staple, without a responder');

$t->done_testing();
