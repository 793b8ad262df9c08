#!/usr/bin/perl

# Tests for a shared store that three sentinels watch: nodes find the server
# through whichever of them answers, and follow a failover.  No staple is ever
# missing.

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
use Test::Nginx::Watch;

###############################################################################

plan(skip_all => 'neither redis-server nor valkey-server is installed')
	unless Test::Nginx::Redis->installed();

my $t = Test::Nginx->new(timeout => 400)->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(3, 'host%d.example', aia => $r->url(),
	not_before => -86400);

my $master = Test::Nginx::Redis->start($t, port => 8379);
my $replica = Test::Nginx::Redis->start($t, port => 8380, conf => [
	'replicaof 127.0.0.1 ' . $master->port() ]);
ok(wait_for(sub { $master->ask('INFO', 'replication') =~ /state=online/ }, 30,
	'a replica'), 'the server has a replica');
my @sentinels = map { Test::Nginx::Redis->start($t, port => 8381 + $_,
	sentinel => 1, conf => [
		'sentinel monitor mymaster 127.0.0.1 ' . $master->port() . ' 2',
		'sentinel down-after-milliseconds mymaster 3000',
		'sentinel failover-timeout mymaster 6000' ]) } 0 .. 2;
ok(wait_for(sub { 3 == grep { ok_quorum($_) } @sentinels }, 60,
	'three sentinels'), 'three sentinels know one another');

my $fleet = Test::Nginx::Fleet->new($t, nodes => 2, leaves => \@leaves);
$fleet->configure('ocsp_plus_retry 1s 2s;', 'ocsp_plus_share '
	. join(' ', map { $_->place() } @sentinels) . ' sentinel=mymaster;');

# asked for again after 5.6 to 7 seconds

my $validity = 14;
$r->validity(next_update => $validity);

# the first of the sentinels does not answer any more

$sentinels[0]->stop();
$fleet->start();
is($fleet->without(), 0, 'each first handshake gets a staple');
my @watches = map { Test::Nginx::Watch->start($fleet->node($_), 8400 + $_,
	map { $_->name() } @leaves) } 0, 1;
for my $node ($fleet->nodes()) {
	like($node->wait_log(qr/\[notice\].*shared store connected/, 10) // '',
		qr!place="redis://127\.0\.0\.1:@{[ $master->port() ]}"!,
		'a node finds the server through another sentinel');
}

# the server is killed: two sentinels agree, and promote the replica

my @marks = map { $_->log_mark() } $fleet->nodes();
$r->clear();
$master->signal('KILL');
for my $i (0, 1) {
	like($fleet->node($i)->wait_log(qr/the shared store can be used again/,
		90, $marks[$i]) // '',
		qr!place="redis://127\.0\.0\.1:@{[ $replica->port() ]}"!,
		'a node uses the server that was promoted');
}
ok(wait_for(sub { !grep { $fleet->staple(0, $_) ne $fleet->staple(1, $_) }
	@leaves }, 60, 'the same'), 'the nodes share again');
for my $watch (@watches) {
	my $seen = $watch->end();
	is("$seen->{missing} $seen->{failed}", '0 0', 'no staple was missing');
}

$t->done_testing();

###############################################################################

sub ok_quorum {
	my ($sentinel) = @_;
	return ($sentinel->try('SENTINEL', 'CKQUORUM', 'mymaster') // '')
		=~ /^OK 3 /;
}

###############################################################################
