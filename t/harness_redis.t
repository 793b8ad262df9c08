#!/usr/bin/perl

# Tests for the harness itself: the Redis or Valkey server and the sentinel that
# other tests start.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::Redis;

###############################################################################

plan(skip_all => 'neither redis-server nor valkey-server is installed')
	unless Test::Nginx::Redis->installed();

my $t = Test::Nginx->new(module => 0);
my $master = Test::Nginx::Redis->start($t, port => 8379);
my $replica = Test::Nginx::Redis->start($t, conf => [
	'replicaof 127.0.0.1 ' . $master->port() ]);

like($master->place(), qr!^redis://127\.0\.0\.1:\d+$!, 'a place with a port');
like($replica->place(), qr!^unix:/.*/socket$!, 'a place without one');
is($master->ask('PING'), 'PONG', 'a status');
is($master->ask('SET', 'key', "a\r\nb"), 'OK', 'a command with arguments');
is($master->ask('GET', 'key'), "a\r\nb", 'a string');
is($master->ask('STRLEN', 'key'), 4, 'a number');
is($master->ask('GET', 'none'), undef, 'nothing');
is_deeply($master->ask('LRANGE', 'list', 0, -1), [], 'an empty array');
is_deeply($master->ask('EVAL', 'return {1, {"a", "b"}, "c"}', 0),
	[ 1, [ 'a', 'b' ], 'c' ], 'arrays within arrays');
like($master->try('HGET', 'key', 'x'), qr/^-WRONGTYPE/, 'an error');
ok(!eval { $master->ask('NONSENSE'); 1 }, 'an error as such');
wait_for(sub { ($replica->ask('GET', 'key') // '') eq "a\r\nb" }, 20,
	'the replica follows');
like($replica->try('SET', 'key', 1), qr/^-READONLY/, 'a replica is read only');

my $sentinel = Test::Nginx::Redis->start($t, port => 8380, sentinel => 1,
	conf => [ 'sentinel monitor mymaster 127.0.0.1 ' . $master->port()
		. ' 1' ]);
is_deeply($sentinel->ask('SENTINEL', 'get-master-addr-by-name', 'mymaster'),
	[ '127.0.0.1', $master->port() ], 'a sentinel names the master');

$replica->signal('STOP');
$replica->signal('CONT');
is($replica->ask('PING'), 'PONG', 'stopped and continued');
$replica->stop();
ok(!eval { $replica->ask('PING'); 1 }, 'stopped for good');
like($master->log(), qr/\S/, 'the log');

done_testing();

###############################################################################
