#!/usr/bin/perl

# Tests for "ocsp-plus fetch --share", which takes a response from the store of
# a fleet or publishes one there, and for "ocsp-plus share", which tells whether
# nodes can use a store.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
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
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my $leaf = $int->leaf('example.com', aia => $r->url(1));
my @cert = ('--cert', $leaf->chain());
my $redis = Test::Nginx::Redis->start($t);
my @share = ('--share', $redis->place());
my $key = '{ocsp_plus}:1:c:' . $leaf->id();

###############################################################################

# a deploy hook: the response is in the store before any node has the
# certificate

my ($run, $json) = fetch(@cert, @share);
is($run->{status}, 0, 'fetch --share alone succeeds');
is($run->{errors}, '', 'fetch --share says nothing on standard error');
is("$json->{source} $json->{published}", 'network 1',
	'the JSON says that the response was asked for and published');
is($json->{file}, undef, 'the JSON says that no file was written');
is(scalar $r->requests(), 1, 'the responder was asked once');
my $published = unpack 'H*', $redis->ask('HGET', $key, 'r');
ok(length $published, 'the store has a response');
is(scalar @{$redis->ask('XRANGE', '{ocsp_plus}:1:n', '-', '+')}, 1,
	'nodes that run are told');
is_deeply([ grep { $_ ne 'r' } @{$redis->ask('HKEYS', $key)} ], [],
	'no lease is left');

($run, $json) = fetch(@cert, @share, '--out', "$d/out.der");
is("$run->{status} $json->{source} $json->{published}", '0 shared 1',
	'the next fetch takes the response from the store');
is(scalar $r->requests(), 1,
	'fetch --share: a response in the store costs no request');
is(unpack('H*', $t->read_file('out.der')), $published,
	'fetch --share --out: the response of the store, byte for byte');
is($json->{responder}, undef, 'no responder is named');
$run = run(@cert, @share);
like($run->{output}, qr/^store: +unix:\S+ \(the response is from there\)$/m,
	'the text names the store');
is(scalar $r->requests(), 1,
	'fetch --share, as text: a response in the store costs no request');

# several certificates, one of which has to wait

my @two = map { $int->leaf("two$_.example", aia => $r->url(1)) } 1, 2;
my @wait = ((map { ('--cert', $_->chain()) } @two), @share, '--share-prefix',
	'waiting', '--wait', '2m');
$r->fault('try_later', leaf => $two[0], times => 1);
for my $wanted ('2 network 1 1 network 1', '1 shared 1 1 shared 1') {
	($run, $json) = fetch(@wait);
	is($run->{status}, 0, 'fetch --share --wait of two certificates succeeds');
	is(join(' ', map { "$_->{attempts} $_->{source} $_->{published}" }
		@{$json->{certificates}}), $wanted,
		"attempts, source and whether it is published: $wanted");
}
$redis->ask('DEL', @{$redis->ask('KEYS', '{waiting}*')});

mkdir "$d/kept", 0700;
($run, $json) = fetch(@cert, @share, '--cache', "$d/kept");
is("$run->{status} $json->{written}", '0 1',
	'fetch --share --cache keeps it in the directory');
is(unpack('H*', $t->read_file($json->{file} =~ s!^\Q$d\E/!!r)), $published,
	'fetch --share --cache: the response of the store, byte for byte');

# a node starts from it

$r->fault('refuse');
my $fleet = Test::Nginx::Fleet->new($t, nodes => 1, leaves => [ $leaf ]);
$fleet->configure('ocsp_plus_share ' . $redis->place() . ';',
	'ocsp_plus_cache off;');
$fleet->start();
is(unpack('H*', $fleet->staple(0, $leaf) // ''), $published,
	'a node staples it in its first handshake, without a responder');
$r->reset();

###############################################################################

# what is in the store is judged like any answer

for my $case (
	[ 'garbage', sub { "no response" } ],
	[ "another certificate's response", sub {
		$r->response($int->leaf('other.example', aia => $r->url(1))) } ],
	[ 'a response that has ended', sub {
		$r->validity(this_update => -1000, next_update => -400);
		my $old = $r->response($leaf);
		$r->reset();
		return $old } ])
{
	my ($what, $make) = @$case;
	my $bytes = $make->();
	$redis->ask('HSET', $key, 'r', $bytes);
	$r->clear();
	($run, $json) = fetch(@cert, @share);
	is("$run->{status} $json->{source} $json->{published}", '0 network 1',
		"$what: a response is fetched and published");
	is(scalar $r->requests(), 1, "$what: by one request");
	isnt(unpack('H*', $redis->ask('HGET', $key, 'r')), unpack('H*', $bytes),
		"$what: it is replaced in the store");
}

# one that nodes may ask again for by now is not enough, but better than none

my $old = put(this_update => -500, next_update => 500);
$r->clear();
($run, $json) = fetch(@cert, @share);
is("$run->{status} $json->{source} $json->{published}", '0 network 1',
	'where it is time for another response, one is fetched and published');
isnt(unpack('H*', $redis->ask('HGET', $key, 'r')), $old,
	'where it is time for another response, the store gets it');

$old = put(this_update => -500, next_update => 500);
$r->fault('http_500');
($run, $json) = fetch(@cert, @share, '--out', "$d/out.der");
is("$run->{status} $json->{source}", '0 shared',
	'a responder that fails: the response of the store is good still');
like($run->{errors}, qr/\Aocsp-plus: warning: .* it is time for another\n\z/,
	'a responder that fails: a warning says that it is time for another');
is(unpack('H*', $t->read_file('out.der')), $old,
	'a responder that fails: the response of the store is written');
$r->reset();

# a responder that has an older one

$old = put(this_update => -500, next_update => 500);
$r->validity(this_update => -600, next_update => 500);
($run, $json) = fetch(@cert, @share);
is("$run->{status} $json->{source}", '0 shared',
	'a responder with an older response: the newer one counts');
is(unpack('H*', $redis->ask('HGET', $key, 'r')), $old,
	'a responder with an older response: the newer one stays in the store');
$r->reset();

# revoked

$r->status($leaf, 'revoked', revoked_at => time() - 60);
put(this_update => -500, next_update => 500, status => 'good');
($run, $json) = fetch(@cert, @share);
is("$run->{status} $json->{cert_status} $json->{published}", '1 revoked 1',
	'a revocation is published, with exit code 1');
($run, $json) = fetch(@cert, @share);
is("$run->{status} $json->{cert_status} $json->{source}", '1 revoked shared',
	'a revocation is taken from the store');
$r->reset();

# another node asks: who has waited for a second or more may get one of other
# leases

$redis->ask('DEL', $key);
my ($s) = @{$redis->ask('TIME')};
$redis->ask('HSET', $key, 'l', ($s * 1000 + 60000) . ' other');
$r->clear();
($run, $json) = fetch(@cert, @share, '-v');
is("$run->{status} $json->{source}", '0 network',
	"another node's lease is waited for, for a while");
like($run->{errors}, qr/another node asks the responder/,
	'-v says that another node asks');

# a fetch that fails gives its lease back

$redis->ask('DEL', $key);
$r->fault('http_500');
is(fetch(@cert, @share)->{status}, 1, 'a responder that fails: exit code 1');
is_deeply([ @{$redis->ask('HKEYS', $key)} ], [], 'no lease is left then');
$r->reset();

###############################################################################

# a store that is of no use costs a warning, and not the fetch

my $bad = Test::Nginx::Redis->start($t, conf => [
	'user node on >right ~* +@all',
	'user reader on >right ~* -@all +evalsha +eval +time +hstrlen +hget'
	. ' +hmget +ping +select +xread +xrevrange',
	'user dumb on >right ~* -@all +ping' ]);
my @bad = ('--share', $bad->place());
$t->write_file('right', "right\n");
$t->write_file('wrong', "SECRET\n");
$t->write_file('empty', "\nright\n");
my $replica = Test::Nginx::Redis->start($t, conf => [
	'replicaof 127.0.0.1 ' . port(8389) ]);
my $dead = Test::Nginx::Redis->start($t);
my $hung = Test::Nginx::Redis->start($t);
my @dead = ('--share', $dead->place());
$dead->stop();
$hung->signal('STOP');

for my $case (
	[ 'a store that is down', qr/store_unreachable|cannot be reached|No such|refused/, @dead ],
	[ 'a store that hangs', qr/no answer within 1000 ms/, '--share',
		$hung->place() ],
	[ 'a wrong password', qr/WRONGPASS/, @bad, '--share-user', 'node',
		'--share-password-file', "$d/wrong" ],
	[ 'a replica', qr/READONLY/, '--share', $replica->place() ],
	[ 'an ACL that permits no writes', qr/./, @bad, '--share-user', 'reader',
		'--share-password-file', "$d/right" ],
	[ 'an ACL that permits nothing', qr/NOPERM/, @bad, '--share-user', 'dumb',
		'--share-password-file', "$d/right" ])
{
	my ($what, $says, @options) = @$case;
	unlink "$d/out.der";
	($run, $json) = fetch(@cert, @options, '--out', "$d/out.der");
	is("$run->{status} $json->{source} $json->{published}", '0 network 0',
		"$what: the response is fetched");
	ok(-s "$d/out.der", "$what: and written");
	like($run->{errors}, qr/\Aocsp-plus:\ warning:\ the\ shared\ store
		\ cannot\ be\ used:\ [^\n]+;
		\ look\ with\ "ocsp-plus\ share\ [^\n]+"\n\z/x,
		"$what: one warning says so");
	like($run->{errors}, $says, "$what: and why");
	unlike($run->{errors} . $run->{output}, qr/SECRET/,
		"$what: no secret is shown");
	is(fetch(@cert, @options)->{status}, 2,
		"$what: without a file nothing was done, exit code 2");
}
$run = run(@cert, @bad, '--share-user', 'node', '--share-password-file',
	"$d/right");
is("$run->{status} $run->{errors}", '0 ', 'the right password succeeds');

for my $case (
	[ 'a password in the place', qr/--share-user and --share-password-file/,
		'--share', 'redis://u:SECRET@127.0.0.1' ],
	[ 'no place', qr/--share: the place has none of the schemes/, '--share',
		'SECRET' ],
	[ 'an option without a place', qr/--share-prefix requires --share/,
		'--share-prefix', 'x' ],
	[ 'a certificate without its key',
		qr/--share-certificate requires --share-key/, @share,
		'--share-certificate', $leaf->cert() ],
	[ "another certificate's key", qr/the key is not that of/, @share,
		'--share-certificate', $int->cert(), '--share-key', $leaf->key() ],
	[ 'a sentinel on a socket', qr/unix socket, which sentinels/, @share,
		'--share-sentinel', 'x' ],
	[ 'a prefix with braces', qr/--share-prefix: a prefix has letters/, @share,
		'--share-prefix', '{x}' ],
	[ 'a password file that is missing', qr/cannot open ".*none"/, @share,
		'--share-password-file', "$d/none" ],
	[ 'a password file without a password', qr/first line .* is empty/, @share,
		'--share-password-file', "$d/empty" ])
{
	my ($what, $says, @options) = @$case;
	$run = run(@cert, @options);
	is($run->{status}, 2, "$what: exit code 2");
	like($run->{errors}, qr/\Aocsp-plus: [^\n]+\n\z/, "$what: one line");
	like($run->{errors}, $says, "$what: the line says why");
	unlike($run->{errors}, qr/SECRET/, "$what: no secret is shown");
}

###############################################################################

# ocsp-plus share

$run = share($redis->place());
is($run->{status}, 0, 'share: exit code 0') or diag($run->{output});
like($run->{output}, qr/\ASHARE OK - unix:\S+: nodes can use it\n/,
	'share: the first line is for the monitoring system');
for my $fact (qr/address: +unix:\S+/, qr/tls: +none/,
	qr/user: +the default user/, qr/latency: +(?:less than 1|\d+) ms/,
	qr/role: +master, 0 replicas/, qr/eviction: +none \(noeviction\).*/,
	(map { qr/$_: +ok/ } qw/ look lease settle publish news /),
	qr/acl: +permits all that nodes do/)
{
	like($run->{output}, qr/^$fact$/m, "share: a line matches $fact");
}
is_deeply([ grep { !/:n$/ && $_ ne $key } @{$redis->ask('KEYS', '*')} ], [],
	'share: nothing of it is left in the store but news');

fetch(@cert, @share);
$run = share($redis->place(), '--list');
like($run->{output}, qr/^responses:\ +1\n
	\Q@{[ $leaf->id() ]}\E\ +\d+\ bytes,\ for\ \d/mx, 'share --list: the certificate that has a response');
$json = JSON::PP::decode_json(share($redis->place(), '--list',
	'--json')->{output});
is("$json->{status} $json->{facts}{role}", 'OK master, 0 replicas',
	'share --json: status and facts');
is($json->{responses}[0]{certificate_id}, $leaf->id(),
	'share --json: the certificates');

my @node = ('--user', 'node', '--password-file', "$d/right");
my $acl = 'user small on >right resetchannels ~{ocsp_plus}:1:* -@all +evalsha'
	. ' +eval +time +hstrlen +hget +hmget +hset +hdel +del +pttl +pexpire'
	. ' +zcount +zadd +zrem +zremrangebyscore +xadd +xread +xrevrange +ping'
	. ' +select +role +client|setname';
my @acl = split / /, $acl =~ s/^user //r;
$bad->ask('ACL', 'SETUSER', @acl);
$run = share($bad->place(), '--user', 'small', '--password-file', "$d/right",
	'--list');
is($run->{status}, 0, 'share: the documented ACL is enough')
	or diag($run->{output});
like($run->{output}, qr/^eviction: +not permitted to tell$/m,
	'share: what the user may not ask is no error');
like($run->{output}, qr/^responses: +not permitted to tell: SCAN$/m,
	'share --list: neither is SCAN');

$bad->ask('ACL', 'SETUSER', 'a|bar', 'on', '>right', '~*', '+@all');
unlike(share($bad->place(), '--user', 'a|bar', '--password-file',
	"$d/right")->{output}, qr/\|/, 'share: no line has performance data');

$bad->ask('ACL', 'SETUSER', 'small', '-xadd', '-zrem');
$run = share($bad->place(), '--user', 'small', '--password-file', "$d/right");
is($run->{status}, 1, 'share: an ACL that lacks something is a warning');
like($run->{output}, qr/^acl: +lacks \+zrem \+xadd$/m,
	'share: and names what it lacks');
like($run->{output}, qr/^news: +of no effect$/m,
	'share: and what comes of it');

for my $case (
	[ 'a user that may only read', 1, qr/WARNING .*acl lacks .*\+hset/i,
		$bad->place(), '--user', 'reader', '--password-file', "$d/right" ],
	[ 'a user that may do nothing', 2, qr/CRITICAL .*NOPERM/, $bad->place(),
		'--user', 'dumb', '--password-file', "$d/right" ],
	[ 'a wrong password', 2, qr/CRITICAL .*WRONGPASS/, $bad->place(), '--user',
		'node', '--password-file', "$d/wrong" ],
	[ 'a replica', 1, qr/WARNING .*READONLY/, $replica->place() ],
	[ 'a store that is down', 2, qr/CRITICAL/, $dead->place() ],
	[ 'a store that hangs', 2, qr/CRITICAL .*no answer within 1000 ms/,
		$hung->place() ],
	[ 'a store that hangs before one that does not', 1,
		qr/WARNING - \Q@{[ $redis->place() ]}\E: .*no answer/, $hung->place(),
		$redis->place() ],
	[ 'a password in the place', 3, qr/\ASHARE UNKNOWN - [^\n|]+\n\z/, 'redis://u:SECRET@127.0.0.1' ],
	[ 'no place', 3, qr/\ASHARE UNKNOWN - [^\n|]+\n\z/ ],
	[ 'a key without its certificate', 3, qr/\ASHARE UNKNOWN - [^\n|]+\n\z/, $redis->place(), '--key',
		$leaf->key() ])
{
	my ($what, $code, $says, @options) = @$case;
	$run = share(@options);
	is($run->{status}, $code, "share: $what: exit code $code")
		or diag($run->{output} . $run->{errors});
	like($run->{output}, $says, "share: $what: the first line says why");
	is($run->{errors}, '', "share: $what: nothing on standard error");
	unlike($run->{errors} . $run->{output}, qr/SECRET/,
		"share: $what: no secret is shown");
}
$run = share($replica->place());
like($run->{output}, qr/^role: +replica of 127\.0\.0\.1:\d+ \(\w+\)$/m,
	'share: a replica is one');

# what is visible of it while it waits

$t->write_file('secret', "SECRET\n");
my $seen = $t->command([ 'sh', '-c', '"$@" & pid=$!; while ! tr "\0" " "'
	. ' </proc/$pid/cmdline | grep -q ocsp-plus; do :; done;'
	. ' tr "\0" " " </proc/$pid/cmdline; tr "\0" " " </proc/$pid/environ;'
	. ' wait $pid', 'sh', $tool, 'share', $hung->place(), '--password-file',
	"$d/secret" ], timeout => 30);
like($seen->{output}, qr/--password-file/,
	'the arguments of ocsp-plus share are visible');
unlike($seen->{output}, qr/SECRET/, 'the password is in neither arguments,'
	. ' environment nor output');

$hung->signal('CONT');

###############################################################################

# TLS with certificates on both sides

my $host = $int->leaf('cache.example', names => [ '127.0.0.1' ]);
my $node = $int->leaf('node.example');
my $port = port(8390);
my $with_tls = Test::Nginx::Redis->start($t, conf => [ "tls-port $port",
	'tls-cert-file ' . $host->chain(), 'tls-key-file ' . $host->key(),
	'tls-ca-cert-file ' . $root->cert(), 'tls-auth-clients yes' ]);
my $place = "rediss://127.0.0.1:$port";
my @tls = ('trusted-certificate', $root->cert(), 'certificate',
	$node->chain(), 'key', $node->key());
$run = share($place, map { $tls[$_] =~ /^\// ? $tls[$_] : "--$tls[$_]" }
	0 .. $#tls);
is($run->{status}, 0, 'share: TLS with a certificate of the client')
	or diag($run->{output} . $run->{errors});
like($run->{output}, qr/^tls: +TLSv1\.[23], \S+$/m, 'share: the version');
like($run->{output}, qr/^certificate: +for 127\.0\.0\.1, until \d{4}-\S+Z$/m,
	'share: whom its certificate is for');
($run, $json) = fetch(@cert, '--share', $place,
	map { $tls[$_] =~ /^\// ? $tls[$_] : "--share-$tls[$_]" } 0 .. $#tls);
is("$run->{status} $json->{published}", '0 1',
	'fetch --share publishes over TLS');
ok($with_tls->ask('HEXISTS', $key, 'r'),
	'fetch --share over TLS: the store has the response');
is(share($place, '--trusted-certificate', $root->cert())->{status}, 2,
	'share: without a certificate of the client');
$run = share($place, @node);
is($run->{status}, 2, "share: a server that the system's store does not trust");
like($run->{output}, qr/tls_certificate/, 'share: and why');

$t->done_testing();

###############################################################################

# Puts a response of such times into the store.
sub put {
	my (%times) = @_;
	my $status = delete $times{status};
	$r->status($leaf, $status) if $status;
	$r->validity(%times);
	my $der = $r->response($leaf);
	$r->validity(map { $_ => 'default' } keys %times);
	if ($status) {
		$r->status($leaf, 'revoked', revoked_at => time() - 60);
	}
	$redis->ask('DEL', $key);
	$redis->ask('HSET', $key, 'r', $der);
	return unpack 'H*', $der;
}

sub ocsp_plus {
	return $t->command([ $tool, @_ ], timeout => 40, apart => 1);
}

sub run { return ocsp_plus('fetch', @_) }
sub share { return ocsp_plus('share', @_) }

sub fetch {
	my $run = run(@_, '--json');
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	return wantarray ? ($run, $json) : $run;
}

###############################################################################
