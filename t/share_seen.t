#!/usr/bin/perl

# Tests for what is to be seen of a shared store: its state and counters in the
# status document and the metrics, while it is up, stopped, and back with
# another password; counters over a reload; and that no password shows up.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use JSON::PP;

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
my @leaves = $int->leaves(4, 'host%d.example', aia => $r->url(),
	not_before => -86400);
my $redis = start_redis('secret-of-the-url');
my $place = $redis->place();
my $fleet = Test::Nginx::Fleet->new($t, nodes => 2, leaves => \@leaves);
$fleet->write_file('redis.pass', "secret-of-the-file\n");
$fleet->configure('ocsp_plus_share redis://by_url:secret-of-the-url@'
	. $redis->address() . ';', [ 0 ]);
$fleet->configure("ocsp_plus_share $place user=by_file"
	. ' password_file=%%TESTDIR%%/redis.pass;', [ 1 ]);

###############################################################################

# up: the first node fetches and publishes, the second takes that

my $begun = time();
$fleet->start(0);
is($fleet->without(0), 0, 'the first node staples');
my @seen;
ok(wait_for(sub {
	$seen[0] = share(0);
	return $seen[0] && $seen[0]{state} eq 'up' && $seen[0]{published} == 4;
}, 20, 'publications'), 'the first node has published its responses');
$fleet->start(1);
is($fleet->without(1), 0, 'the second node staples');
ok(wait_for(sub {
	$seen[1] = share(1);
	return $seen[1] && $seen[1]{state} eq 'up' && $seen[1]{hits} == 4;
}, 20, 'hits'), 'the second node has taken the responses of the first');

# some wait for a lease, and are looked for again then
my %counts = map { my $i = $_;
	$i => { map { $_ => $seen[$i]{$_} } qw/ looks hits same refused
		published leases waits alone errors / } } 0, 1;
my $looks = delete $counts{0}{looks};
cmp_ok($looks, '>=', 4, 'up: the document counts looks');
is_deeply($counts{0}, { hits => 0, same => 0, refused => 0,
	published => 4, leases => 4, waits => 0, alone => 0, errors => 0 },
	'up: the document counts leases and publications');
is_deeply($counts{1}, { looks => 4, hits => 4, same => 0, refused => 0,
	published => 0, leases => 0, waits => 0, alone => 0, errors => 0 },
	'up: the document counts hits');
for my $i (0, 1) {
	is($seen[$i]{place}, $place, "up: node $i tells the place");
	cmp_ok(seconds_of($seen[$i]{since}), '>=', $begun - 1,
		"up: node $i tells since when");
	is($seen[$i]{last_error}, undef, "up: node $i has had no error");
	like($seen[$i]{latency_ms}, qr/^\d+$/,
		"up: node $i tells the time for an answer");
}

is(metric(0, 'share_up'), 1, 'up: share_up');
is(metric(0, 'share_leases_total'), 4, 'up: share_leases');
is(metric(0, 'share_published_total{result="stored"}'), 4,
	'up: share_published, stored');
is(metric(0, 'share_published_total{result="failed"}'), 0,
	'up: share_published, failed');
is(metric(0, 'share_looks_total{result="miss"}'), $looks,
	'up: share_looks, miss');
is(metric(1, 'share_looks_total{result="hit"}'), 4, 'up: share_looks, hit');
is(metric(1, "share_looks_total{result=\"$_\"}"), 0, "up: share_looks, $_")
	for qw/ same refused miss elsewhere error /;
cmp_ok(metric(0, 'share_bytes_total{direction="sent"}'), '>', 800,
	'up: share_bytes, sent');
cmp_ok(metric(1, 'share_bytes_total{direction="received"}'), '>', 800,
	'up: share_bytes, received');
cmp_ok(metric(0, 'share_latency_seconds_count'), '>=', 5,
	'up: share_latency, count');
like(metric(0, 'share_latency_seconds_sum'), qr/^\d+\.\d{3}$/,
	'up: share_latency, sum');

# counters go on after a reload

$t->reload();
ok(wait_for(sub { share(0)->{state} eq 'up' }, 20, 'a new connection'),
	'a reload: the store is up again');
cmp_ok(share(0)->{$_}, '>=', 4, "a reload: $_ counts on")
	for qw/ looks published leases /;

# gone

my $stopped = time();
$redis->stop();
for my $i (0, 1) {
	ok(wait_for(sub {
		$seen[$i] = share($i);
		return $seen[$i]{state} eq 'down';
	}, 20, 'down'), "stopped: node $i says that it is down");
	is($seen[$i]{last_error}{reason}, 'store_unreachable',
		"stopped: node $i tells the reason");
	like($seen[$i]{last_error}{detail}, qr/^\Q$place\E: /,
		"stopped: node $i tells the detail");
	cmp_ok(seconds_of($seen[$i]{since}), '>=', $stopped - 1,
		"stopped: node $i tells since when");
	is($seen[$i]{place}, $place, "stopped: node $i tells the place");
	is(metric($i, 'share_up'), 0, "stopped: share_up of node $i");
}
is(share(1)->{hits}, 4, 'stopped: counters stay');

# back, but one user has another password

my $back = time();
$redis = start_redis('another-secret');
ok(wait_for(sub { share(1)->{state} eq 'up' }, 60, 'up'),
	'back: the second node is connected');
cmp_ok(seconds_of(share(1)->{since}), '>=', $back - 1,
	'back: it tells since when');
is(share(1)->{last_error}{reason}, 'store_unreachable',
	'back: it tells why it was down');
is(metric(1, 'share_up'), 1, 'back: share_up');
ok(wait_for(sub { (share(0)->{last_error}{reason} // '') eq 'store_auth' },
	60, 'refused'), 'another password: the first node tells the reason');
is(share(0)->{state}, 'down', 'another password: it is down');
my @secret = secrets('secret-of-the-url', 'secret-of-the-file',
	'another-secret');
$redis->ask(qw/ ACL SETUSER by_url resetpass >secret-of-the-url /);
ok(wait_for(sub { share(0)->{state} eq 'up' }, 60, 'up'),
	'the first password: the first node is connected');

# nowhere a password

push @secret, secrets('secret-of-the-url', 'secret-of-the-file');
is(join("\n", @secret), '', 'no document and no log shows a password');

$t->done_testing();

###############################################################################

sub start_redis {
	my ($password) = @_;
	return Test::Nginx::Redis->start($t, port => 8379, conf => [
		"user by_url on >$password ~* +\@all",
		'user by_file on >secret-of-the-file ~* +@all' ]);
}

sub share { return $fleet->json($_[0])->{share} }

sub metric {
	my ($i, $name) = @_;
	my $text = http_get('/status?format=prometheus', port => 8500 + $i);
	return $text =~ /^ocsp_plus_\Q$name\E (\S+)$/m ? $1 : undef;
}

# where one of these is to be seen
sub secrets {
	my $any = join '|', map { quotemeta } @_;
	my @found;
	for my $i (0, 1) {
		my $node = $fleet->node($i);
		my %text = (log => $node->read_file('error.log'));
		$text{$_} = http_get("/status?format=$_", port => 8500 + $i)
			for qw/ json prometheus html ready /;
		$text{openmetrics} = http_get('/status', port => 8500 + $i,
			headers => [ 'Accept: application/openmetrics-text' ]);
		$text{processes} = join "\n", map {
			$node->read_file("/proc/$_/cmdline") }
			$node->master_pid(), $node->workers();
		for my $what (sort keys %text) {
			length $text{$what} or push @found, "node $i: no $what";
			push @found, "node $i: $what" if $text{$what} =~ $any;
		}
	}
	return @found;
}

###############################################################################
