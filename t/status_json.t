#!/usr/bin/perl

# Tests for ocsp_plus_status: the document, formats, filters, methods; from any
# worker, over http and https, to clients that take their time.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use IO::Socket::INET;
use JSON::PP;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl http_v2 /)->has_daemon('curl');

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $good = $int->leaf('good.example', aia => $r->url(1),
	names => [ 'good.example', '*.good.example' ], must_staple => 1);
my $bad = $int->leaf('bad.example', aia => $r->url(2));
my $none = $int->leaf('none.example', key => 'rsa');
# what a T61String may hold, and what a page or a log must not swallow
my $odd = $int->leaf('odd', aia => $r->url(1), names => [],
	cn_bytes => "<b>\"\xe9\xff\\");

$r->fault('http_503', on => 2);

$t->write_conf(workers => 3, http => [ 'ocsp_plus_startup_wait 2s;',
	[ 8443, [ $good, $none ], 'server_name good.example www.good.example;',
		'ocsp_plus on;' ],
	[ 8443, $bad, 'ocsp_plus on;' ],
	# a server without a name
	[ '8444 ssl http2', undef, 'ssl_certificate odd.pem;',
		'ssl_certificate_key odd.key;', 'ocsp_plus on;',
		'location / { ocsp_plus_status; }' ],
	[ 8080, undef, 'location / { ocsp_plus_status; }',
		'location /json { ocsp_plus_status json; }',
		'location /prometheus { ocsp_plus_status prometheus; }',
		'location /page { ocsp_plus_status html; }',
		'location /pid { return 200 $pid; }' ] ]);

$t->run();
is(wait_staple(8443, 'good', servername => 'good.example', sig => 'ecdsa',
	seconds => 30)->{status}, 'good', 'a staple');

###############################################################################

my $seen;
ok(wait_for(sub {
	$seen = document('/');
	my %by = certificates($seen);
	return $by{$bad->id()}{failures} && $by{$odd->id()}{state} eq 'valid'
		&& $seen->{worker};
}, 20, 'all to be tried'), 'all are tried');

like($seen->{version}, qr/^\d+\.\d+\.\d+$/, 'version');
my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
like($seen->{now}, $time, 'now');
is($seen->{zone}{name}, 'ocsp_plus', 'zone, name');
is($seen->{zone}{entries}, 4, 'zone, entries');
cmp_ok($seen->{zone}{size}, '>', 7 << 20, 'zone, size');
cmp_ok($seen->{zone}{used}, '>', 1000, 'zone, used');
cmp_ok($seen->{zone}{used}, '<', $seen->{zone}{size} / 16,
	'zone, used, little');
ok((grep { $_ == $seen->{worker}{pid} } $t->workers()), 'worker, pid');
like($seen->{worker}{heartbeat}, $time, 'worker, heartbeat');
cmp_ok($seen->{fetches}{ok}, '>=', 2, 'fetches, ok');
cmp_ok($seen->{fetches}{failed}, '>=', 1, 'fetches, failed');
cmp_ok($seen->{connections}{ipv4}{ok}, '>=', 2, 'connections, IPv4');
is_deeply($seen->{connections}{ipv6}, { ok => 0, failed => 0 },
	'connections, IPv6');
ok(defined $seen->{clock_skew} && abs($seen->{clock_skew}) < 5, 'clock skew');

my %host = map { $_->{host} => $_ } @{$seen->{responders}};
is($host{'127.0.0.1:' . port(8081)}{state}, 'up', 'a responder that answers');
is($host{'127.0.0.1:' . port(8082)}{state}, 'failing', 'one that does not');
like($host{'127.0.0.1:' . port(8082)}{next_attempt}, $time,
	'when it is probed next');

my %by = certificates($seen);
is(scalar keys %by, 4, 'all certificates');

my $one = $by{$good->id()};
is_deeply([ @$one{qw/ state cert_status source failures required /} ],
	[ 'valid', 'good', 'network', 0, JSON::PP::false ], 'a good one');
ok($one->{must_staple}, 'its feature extension');
is_deeply($one->{names}, [ 'good.example', '*.good.example' ], 'its names');
is_deeply($one->{servers}, [ 'good.example', 'www.good.example' ],
	'the names of its server');
is_deeply($one->{responders}, [ $r->url(1) ], 'its responders');
is($one->{serial}, $good->serial(), 'its serial');
like($one->{subject}, qr/CN=good\.example/, 'its subject');
like($one->{issuer}, qr/CN=int/, 'its issuer');
like($one->{$_}, $time, "its $_")
	for qw/ not_after this_update next_update expires next_attempt
		confirmed_at /;
cmp_ok($one->{status_age}, '>=', 0, 'its status was confirmed before now');
cmp_ok($one->{expires_in}, '>', 0, 'it has not ended');
is($one->{last_attempt}{result}, 'ok', 'its last attempt');
is($one->{last_attempt}{responder}, $r->url(1), 'and who answered');
cmp_ok($one->{stapled}, '>=', 1, 'it was stapled');

$one = $by{$bad->id()};
is($one->{state}, 'pending', 'one that never got a response');
is($one->{last_attempt}{result}, 'http_status', 'why');
like($one->{last_attempt}{detail}, qr/503/, 'in detail');
is($one->{expires_in}, undef, 'no end');
is($one->{$_}, undef, "no $_") for qw/ confirmed_at status_age /;

is($by{$none->id()}{state}, 'unsupported', 'nobody to ask');
is_deeply($by{$none->id()}{servers}, [ 'good.example', 'www.good.example' ],
	'second certificate of a server');
like($by{$odd->id()}{subject}, qr/^CN=\\<b\\>.*\x{e9}\x{ff}/, 'any subject');
like($by{$odd->id()}{servers}[0], qr/nginx\.conf:\d+$/,
	'a server without a name is called by its place');

# filters

is(join(' ', map { $_->{id} } @{document('/?state=pending')->{certificates}}),
	$bad->id(), 'by state');
is(join(' ', map { $_->{id} } @{document('/?id=' . $none->id())
	->{certificates}}), $none->id(), 'by id');
is(scalar @{document('/?server=www.good.example')->{certificates}}, 2,
	'by server');
is(scalar @{document('/?server=www.good.example&state=valid')->{certificates}},
	1, 'by both');
my @met;
my $after = '';
for (1 .. 4) {
	my $page = document("/?limit=1$after");
	push @met, map { $_->{id} } @{$page->{certificates}};
	$after = '&after=' . ($page->{next} // last);
}
is(join(' ', @met), join(' ', sort keys %by), 'page by page');
my $wrong = http_get('/?state=gone');
like($wrong, qr/ 400 /, 'a filter that makes no sense');
like($wrong, qr/state="gone": it takes valid, pending, expired, revoked, unsupported or ended/, 'says so');

# formats

my %accept = (
	'*/*' => 'application/json',
	'text/html' => 'text/html; charset=utf-8',
	'text/plain' => 'text/plain; version=0.0.4; charset=utf-8',
	'application/openmetrics-text; version=1.0.0' =>
		'application/openmetrics-text; version=1.0.0; charset=utf-8',
);
for my $accept (sort keys %accept) {
	like(http_get('/', headers => [ "Accept: $accept" ]),
		qr/^Content-Type: \Q$accept{$accept}\E\r$/m, "accept $accept");
}
like(http_get('/'), qr/^Content-Type: application\/json\r$/m, 'JSON otherwise');
like(http_get('/'), qr/^Vary: Accept\r$/m, 'which may vary');
unlike(http_get('/?format=json'), qr/^Vary:/m, 'or not');
like(http_get('/?format=html'), qr/^Content-Type: text\/html/m, 'argument');
like(http_get('/json?format=html', headers => [ 'Accept: text/html' ]),
	qr/^Content-Type: application\/json\r$/m, 'the location decides');
like(http_get('/page?format=json'), qr/^Content-Type: application\/json\r$/m,
	'the page gets its JSON where it is');
like(http_get('/prometheus', headers => [ 'Accept: text/html' ]),
	qr/^Content-Type: text\/plain; version/m, 'metrics');
like(http_get('/?format=xml'), qr/ 400 /, 'no such format');

like(http_get('/'), qr/^Cache-Control: no-store\r$/m, 'not to be kept');
like(http_get('/'), qr/^X-Content-Type-Options: nosniff\r$/m, 'nor guessed at');
my $head = http_head('/');
like($head, qr/ 200 OK/, 'HEAD');
unlike($head, qr/certificates/, 'has no body');
like(http_post('/', 'x=1'), qr/ 405 /, 'POST is not allowed');

# any worker answers

my @workers = $t->workers();
for my $worker (@workers) {
	my @others = grep { $_ != $worker } @workers;
	$t->signal($_, 'STOP') for @others;
	wait_for(sub {
		!grep { $t->read_file("/proc/$_/stat") !~ /\) T / } @others;
	}, 5, 'all to stop');
	my $answer = document('/');
	my $pid = http_get('/pid');
	$t->signal($_, 'CONT') for @others;
	is(scalar @{$answer->{certificates}}, 4, 'a worker answers');
	like($pid, qr/\b$worker\z/, 'it was that one');
}

# through http/2

my $curl = $t->command([ 'curl', '-sk', '--http2', '-w', ' %{http_version}',
	'https://127.0.0.1:' . port(8444) . '/' ])->{output};
like($curl, qr/ 2$/, 'http/2');
$curl =~ s/ 2$//;
is(scalar @{decode_json($curl)->{certificates}}, 4, 'carries all');

# the file that is there is not sent instead; a keep-alive connection lives on

my $socket = IO::Socket::INET->new('127.0.0.1:' . port(8080));
my $request = "GET /?id=" . $good->id() . " HTTP/1.1\r\nHost: a\r\n";
print $socket "$request\r\n", "${request}Connection: close\r\n\r\n";
my $both = do { local $/; <$socket> };
is(scalar(() = $both =~ /^HTTP\/1\.1 200/mg), 2, 'two on a connection');

$t->done_testing();

###############################################################################

sub document {
	my ($path) = @_;
	my $answer = http_get($path);
	my ($head, $body) = split /\r\n\r\n/, $answer, 2;
	die "no 200: $head" unless $head =~ / 200 /;
	return decode_json($body);
}

sub certificates {
	my ($document) = @_;
	return map { $_->{id} => $_ } @{$document->{certificates}};
}

###############################################################################
