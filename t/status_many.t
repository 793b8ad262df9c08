#!/usr/bin/perl

# Tests for the status of ten thousand certificates: complete, in bounded
# memory, to clients that take their time, and nobody else waits meanwhile.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw/ time /;

use Test::Nginx;
use Test::Nginx::CA;

###############################################################################

my $count = $ENV{OCSP_PLUS_SANITIZE} ? 2000 : 10000;

my $t = Test::Nginx->new(timeout => 600)->has(qw/ http_ssl http_v2
	http_gzip /)->has_daemon('curl');

# nobody answers: what matters is how many there are
my $int = Test::Nginx::CA->new($t)->intermediate('int');
my @aia = (aia => 'http://127.0.0.1:1/');
my @leaves = map {
	my $first = $int->leaf("$_.example", @aia, key => $_);
	$first, $int->leaves($count / 2 - 1, "h%d.$_.example", @aia,
		key_of => $first);
} qw/ ec ed25519 /;

my $status = 'location / { ocsp_plus_status; }';
my $zipped = 'location /zipped { ocsp_plus_status; gzip on; '
	. 'gzip_types application/json; }';
$t->write_conf(workers => 1, http => [ 'server_names_hash_max_size 262144;',
	'ocsp_plus on;', 'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
	'log_format sent "$http_x_who $bytes_sent";',
	# two a server, for servers cost nginx much more than certificates
	(map { [ 8443, [ @leaves[$_, $_ + $count / 2] ] ] } 0 .. $count / 2 - 1),
	[ '8444 ssl http2', $leaves[0], $status, $zipped ],
	[ 8080, undef, 'access_log %%TESTDIR%%/sent.log sent;', $status, $zipped,
		'location /limited { ocsp_plus_status; limit_rate 50m; }',
		'location /ping { return 200 pong; }' ] ]);

$t->run(timeout => 120);

###############################################################################

my ($worker) = $t->workers();
my $memory = memory();

my $answer = http_get('/', timeout => 60);
my ($body) = $answer =~ /\r\n\r\n(.*)/s;
my $document = decode_json($body);
is(scalar @{$document->{certificates}}, $count,
	"the document has $count certificates");
my %seen = map { $_->{id} => 1 } @{$document->{certificates}};
is(scalar(grep { !$seen{$_->id()} } @leaves), 0,
	'the document has each certificate');

my $metrics = http_get('/?format=prometheus', timeout => 60);
is(scalar(() = $metrics =~ /^ocsp_plus_staple_valid\{/mg), $count,
	"the metrics have $count certificates");
like(http_get('/?format=ready&strict=1', timeout => 60), qr/ 503 /,
	'strict readiness is 503 without staples');

# whatever stands between us and the client

for my $path ('http://127.0.0.1:' . port(8080) . '/limited',
	'http://127.0.0.1:' . port(8080) . '/zipped',
	(map { 'https://127.0.0.1:' . port(8444) . $_ } '/', '/zipped'))
{
	for my $http ('--http1.1', '--http2') {
		my $file = $t->testdir() . '/got';
		my $status = $t->command([ 'curl', '-sk', '--compressed',
			$http, '-o', $file, $path ], timeout => 60)->{status};
		my $got = -s $file ? $t->read_file('got') : '';
		is("$status " . (() = $got =~ /^\{"id":"/mg), "0 $count",
			"$http $path: curl gets $count certificates");
		like($got, qr/"next":null\n\}\n\z/,
			"$http $path: the document comes to its end");
		unlink $file;
	}
}

# page by page

my ($met, $pages, $after) = (0, 0, '');
while ($pages++ < 30) {
	my ($text) = http_get("/?limit=1000$after",
		timeout => 60) =~ /\r\n\r\n(.*)/s;
	my $page = decode_json($text);
	$met += @{$page->{certificates}};
	$after = '&after=' . ($page->{next} // last);
}
is($met, $count, "pages of a thousand have $count certificates");

# a client that takes nothing keeps the rest of the document from being
# written; others are answered while one is

my @slow = map { my $socket = IO::Socket::INET->new(
	PeerAddr => '127.0.0.1:' . port(8080));
	print $socket "GET / HTTP/1.0\r\n\r\n";
	$socket } 1 .. 20;
sysread $_, my $first, 1000 for @slow;
like(http_get('/ping'), qr/pong/,
	'a request is answered beside twenty slow clients');
my $grown = memory() - $memory;
# whole documents would take this for each of them
my $whole = length($body) / 1024;
SKIP: {
	skip 'AddressSanitizer keeps freed memory back', 1
		if $ENV{OCSP_PLUS_SANITIZE};
	cmp_ok($grown, '<', 5 * $whole, "twenty slow clients take $grown kB, "
		. 'much less than twenty documents');
}

# and they get all of it in the end

my $text = '';
while (sysread $slow[0], $text, 65536, length $text) { }
like($text, qr/"next":null\n\}\n\z/, 'a slow client gets the whole document');
close $_ for @slow;

# among a document's pieces other requests have their turn

my $reader = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080));
print $reader "GET / HTTP/1.0\r\n\r\n";
my ($pongs, $got) = (0, 0);
while (my $n = sysread $reader, my $piece, 65536) {
	$got += $n;
	$pongs++ if $pongs < 10 && http_get('/ping') =~ /pong/;
}
cmp_ok($pongs, '>', 3,
	"$pongs of 10 requests were answered while a document was written");

# so many that read nothing: there is no room for all, probes need none, and
# whoever reads gets what one of those has kept for a moment

$t->stop();
$t->run(timeout => 120);
my @unread = map { my $socket = IO::Socket::INET->new(
	PeerAddr => '127.0.0.1:' . port(8080));
	print $socket "GET / HTTP/1.0\r\nX-Who: unread\r\n\r\n";
	$socket } 1 .. 64;
my @heads = map { sysread $_, my $head, 300; $head // '' } @unread;
my @refused = grep { m!^HTTP/1\.1 503 ! } @heads;
cmp_ok(scalar @refused, '>', 0,
	'clients that do not read: some are refused with 503');
is(scalar(grep { !/^Retry-After: 1\r$/m } @refused), 0,
	'clients that do not read: the refused get Retry-After');
cmp_ok(scalar(grep { m!^HTTP/1\.1 200 ! } @heads), '>=', 32,
	'clients that do not read: half of them are answered');
like(http_get('/?format=ready'), qr/\r\n\r\n(?:not )?ready\b/,
	'clients that do not read: readiness is answered');
my $scraped = '';
ok(wait_for(sub { ($scraped = http_get('/?format=prometheus', timeout => 60))
	=~ /staple_valid/ }, 20, 'a scrape'),
	'clients that do not read: the metrics are answered');
is(scalar(() = $scraped =~ /^ocsp_plus_staple_valid\{/mg), $count,
	'clients that do not read: the metrics are complete');
my ($whole_ones, $ended) = (0, 0);
for my $socket (grep { $heads[$_] =~ /^HTTP\S+ 200 / && ($_ = $unread[$_]) }
	0 .. $#unread)
{
	last if $ended;
	my $last = '';
	while (sysread $socket, my $piece, 65536) { $last = $piece }
	$last =~ /"next":null\n\}\n\z/ ? $whole_ones++ : $ended++;
}
is($ended, 1,
	'clients that do not read: one document is ended for another client');
my $said = qr/\[warn\] .*32 status documents are being written by this worker/;
is(scalar(() = $t->log_lines($said)), 1,
	'clients that do not read: the limit is logged once');
close $_ for @unread;

# what was written for those that were not read at last is little

ok(wait_for(sub { 64 == (() = $t->read_file('sent.log') =~ /^unread /mg) }, 20,
	'their log lines'),
	'clients that do not read: all requests are logged as ended');
my $most = (sort { $b <=> $a } $t->read_file('sent.log')
	=~ /^unread (\d+)$/mg)[$whole_ones + $ended];
cmp_ok($most, '<', 400_000,
	"clients that do not read: $most octets of "
	. length($body) . ' are written for each');

$t->done_testing();

###############################################################################

sub memory {
	return $t->read_file("/proc/$worker/status") =~ /^VmRSS:\s+(\d+) kB/m
		? $1 : 0;
}

###############################################################################
