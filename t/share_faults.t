#!/usr/bin/perl

# Tests for a shared store that fails in each way it can, in mid-traffic: no
# staple is ever missing, the nodes ask the responder no more than without a
# store, and they share again when it is well.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;

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
my @leaves = $int->leaves(4, 'host%d.example', aia => $r->url(),
	not_before => -86400);
my $nodes = 3;
my $fleet = Test::Nginx::Fleet->new($t, nodes => $nodes, leaves => \@leaves);

my $redis = Test::Nginx::Redis->start($t, port => 8379);
$redis->ask('ACL', 'SETUSER', 'node', 'on', '>secret', '~*', '+@all');
my $master = Test::Nginx::Redis->start($t);
configure($redis);

# asked for again after 5.6 to 7 seconds

my $validity = 14;
$r->validity(next_update => $validity);
$fleet->start();
is($fleet->without(), 0, 'each first handshake gets a staple');
is(scalar(() = $r->requests()), @leaves, 'one request for each certificate');
my $watch = Test::Nginx::Watch->start($fleet->node(1), 8401,
	map { $_->name() } @leaves);

###############################################################################

# what the store does, and how each node notices

my @slow;
my $down = qr/the shared store cannot be used/;
my $up = qr/the shared store can be used again/;
my @faults = (
	[ 'the store hangs' => qr/$down.*reason=store_timeout/,
		sub { $redis->signal('STOP') },
		sub { $redis->signal('CONT') } ],
	[ 'the store answers after two seconds' => undef,
		sub { push @slow, $t->run_daemon(sub {
			while () {
				$redis->ask('CLIENT', 'PAUSE', 2000, 'ALL');
				select undef, undef, undef, 1.9;
			} }) },
		sub {
			$t->stop_daemons(splice @slow);
			$redis->ask('CLIENT', 'UNPAUSE');
		} ],
	[ 'the store takes another password' => qr/$down.*reason=store_auth/,
		sub {
			$redis->ask('ACL', 'SETUSER', 'node', 'resetpass', '>other');
			$redis->ask('CLIENT', 'KILL', 'TYPE', 'normal',
				'SKIPME', 'yes');
		}, sub {
			$redis->ask('ACL', 'SETUSER', 'node', 'resetpass',
				'>secret');
		} ],
	[ 'the store is a replica' => qr/refuses writes.*reason=store_denied/,
		sub { $redis->ask('REPLICAOF', '127.0.0.1', $master->port() || 1) },
		sub { $redis->ask('REPLICAOF', 'NO', 'ONE') } ],
	[ 'the store is out of memory' => undef,
		sub { $redis->ask('CONFIG', 'SET', 'maxmemory', 1) },
		sub { $redis->ask('CONFIG', 'SET', 'maxmemory', 0) } ],
	[ 'the store denies the scripts' => undef,
		sub { $redis->ask('ACL', 'SETUSER', 'node', '-evalsha', '-eval') },
		sub { $redis->ask('ACL', 'SETUSER', 'node', '+evalsha', '+eval') } ],
	[ 'the store is flushed' => undef,
		sub { $redis->ask('FLUSHALL') }, sub {} ],
	[ 'the store is gone' => undef,
		sub { $redis->stop() },
		sub { $redis = Test::Nginx::Redis->start($t, port => 8379);
			$redis->ask('ACL', 'SETUSER', 'node', 'on', '>secret', '~*',
				'+@all') } ],
);
for my $fault (@faults) {
	my ($what, $says, $begin, $end) = @$fault;
	my @marks = map { $_->log_mark() } $fleet->nodes();
	$r->clear();
	my $began = time();
	$begin->();
	ok(renewed(), "$what: each node gets new responses");
	my $rounds = 1 + int((time() - $began) / (0.4 * $validity));
	cmp_ok(scalar(() = $r->requests()), '<=', $rounds * $nodes * @leaves,
		"$what: no more requests than without a store");
	if ($says) {
		is(scalar(grep { $fleet->node($_)->wait_log($says, 60, $marks[$_]) }
			0 .. $nodes - 1), $nodes, "$what: each node says so");
	}
	$end->();
	ok(wait_for(sub { shares() }, 60, 'sharing'),
		"$what: the nodes share again afterwards");
}
my $seen = $watch->end();
is("$seen->{missing} $seen->{failed}", '0 0', 'no staple is ever missing');
cmp_ok($seen->{stapled}, '>', 1000,
	'the nodes are watched for more than 1,000 handshakes');

# the next start of a node finds a store that hangs

$fleet->node(0)->stop();
$redis->signal('STOP');
my $began = time();
$fleet->start(0);
is($fleet->without(0), 0,
	'a start with a store that hangs: each first handshake gets a staple');
$redis->signal('CONT');

$t->done_testing();

###############################################################################

sub configure {
	my ($store) = @_;
	my $place = $store->place() =~ s!://!://node:secret\@!r;
	$fleet->configure('ocsp_plus_retry 1s 2s;', "ocsp_plus_share $place;");
}

# Until each node has a new response for each certificate.
sub renewed {
	my %old = map { my $i = $_;
		map { ($fleet->staple($i, $_) // '') => 1 } @leaves } 0 .. $nodes - 1;
	return $fleet->wait_staples(sub { defined $_[0] && !$old{$_[0]} },
		3 * $validity);
}

# Whether all nodes are connected, and have the same response for each
# certificate.
sub shares {
	for my $leaf (@leaves) {
		my %seen = map { ($fleet->staple($_, $leaf) // $_) => 1 }
			0 .. $nodes - 1;
		return 0 if keys %seen != 1;
	}
	return 1;
}

###############################################################################
