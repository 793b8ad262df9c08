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
	seconds => 30)->{status}, 'good', 'the good certificate is stapled');

###############################################################################

my $seen;
ok(wait_for(sub {
	$seen = document('/');
	my %by = certificates($seen);
	return $by{$bad->id()}{failures} && $by{$odd->id()}{state} eq 'valid'
		&& $seen->{worker};
}, 20, 'all to be tried'), 'all certificates are tried');

like($seen->{version}, qr/^\d+\.\d+\.\d+$/, 'the document has the version');
my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
like($seen->{now}, $time, 'the document has the time');
is($seen->{zone}{name}, 'ocsp_plus', 'the document has the name of the zone');
is($seen->{zone}{entries}, 4, 'the document has the entries of the zone');
cmp_ok($seen->{zone}{size}, '>', 7 << 20,
	'the document has the size of the zone');
cmp_ok($seen->{zone}{used}, '>', 1000,
	'the document has the used octets of the zone');
cmp_ok($seen->{zone}{used}, '<', $seen->{zone}{size} / 16,
	'four certificates use little of the zone');
ok((grep { $_ == $seen->{worker}{pid} } $t->workers()),
	'the document has the pid of the designated worker');
like($seen->{worker}{heartbeat}, $time,
	'the document has the heartbeat of the designated worker');
cmp_ok($seen->{fetches}{ok}, '>=', 2, 'the document counts successful fetches');
cmp_ok($seen->{fetches}{failed}, '>=', 1, 'the document counts failed fetches');
cmp_ok($seen->{connections}{ipv4}{ok}, '>=', 2,
	'the document counts connections by IPv4');
is_deeply($seen->{connections}{ipv6}, { ok => 0, failed => 0 },
	'the document counts no connection by IPv6');
ok(defined $seen->{clock_skew} && abs($seen->{clock_skew}) < 5,
	'the document has a small clock skew');

ok(exists $seen->{share} && !defined $seen->{share},
	'the document has no shared store without the directive');

my %host = map { $_->{host} => $_ } @{$seen->{responders}};
is($host{'127.0.0.1:' . port(8081)}{state}, 'up',
	'a responder that answers is shown as up');
is($host{'127.0.0.1:' . port(8082)}{state}, 'failing',
	'a responder that fails is shown as failing');
like($host{'127.0.0.1:' . port(8082)}{next_attempt}, $time,
	'a failing responder has a next attempt');

my %by = certificates($seen);
is(scalar keys %by, 4, 'the document lists all certificates');

my $one = $by{$good->id()};
is_deeply([ @$one{qw/ state cert_status source failures required /} ],
	[ 'valid', 'good', 'network', 0, JSON::PP::false ],
	'a good certificate has its states');
ok($one->{must_staple}, 'a Must-Staple certificate is marked');
is_deeply($one->{names}, [ 'good.example', '*.good.example' ],
	'a certificate has its names');
is_deeply($one->{servers}, [ 'good.example', 'www.good.example' ],
	'a certificate has the names of its server');
is_deeply($one->{responders}, [ $r->url(1) ],
	'a certificate has its responders');
is($one->{serial}, $good->serial(), 'a certificate has its serial');
like($one->{subject}, qr/CN=good\.example/, 'a certificate has its subject');
like($one->{issuer}, qr/CN=int/, 'a certificate has its issuer');
like($one->{$_}, $time, "a certificate has its $_")
	for qw/ not_after this_update next_update expires next_attempt
		confirmed_at /;
cmp_ok($one->{status_age}, '>=', 0,
	"the age of a good certificate's status is not negative");
cmp_ok($one->{expires_in}, '>', 0,
	"a good certificate's response expires in the future");
is($one->{last_attempt}{result}, 'ok',
	"a good certificate's last attempt is ok");
is($one->{last_attempt}{responder}, $r->url(1),
	"a good certificate's last attempt names the responder");
cmp_ok($one->{stapled}, '>=', 1, "a good certificate's staples are counted");

$one = $by{$bad->id()};
is($one->{state}, 'pending', 'a certificate without response is pending');
is($one->{last_attempt}{result}, 'http_status',
	'a failed attempt has its reason');
like($one->{last_attempt}{detail}, qr/503/, 'a failed attempt has its detail');
is($one->{expires_in}, undef,
	'a certificate without response has no expires_in');
is($one->{$_}, undef,
	"a certificate without response has no $_") for qw/ confirmed_at status_age /;

is_deeply([ @{$by{$none->id()}}{qw/ state reason /} ],
	[ 'unsupported', 'no_responder' ],
	'a certificate without responder is unsupported, and why');
is($by{$good->id()}{reason}, undef, 'a certificate with a responder has no reason');
is_deeply($seen->{unreadable}, [], 'no certificate is unreadable');
is_deeply($by{$none->id()}{servers}, [ 'good.example', 'www.good.example' ],
	'the second certificate of a server has the names of the server');
like($by{$odd->id()}{subject}, qr/^CN=\\<b\\>.*\x{e9}\x{ff}/,
	'a subject with odd characters is shown');
like($by{$odd->id()}{servers}[0], qr/nginx\.conf:\d+$/,
	'a server without a name is shown by its line');

# filters

is(join(' ', map { $_->{id} } @{document('/?state=pending')->{certificates}}),
	$bad->id(), 'state= filters the certificates');
is(join(' ', map { $_->{id} } @{document('/?id=' . $none->id())
	->{certificates}}), $none->id(), 'id= filters the certificates');
is(scalar @{document('/?server=www.good.example')->{certificates}}, 2,
	'server= filters the certificates');
is(scalar @{document('/?server=www.good.example&state=valid')->{certificates}},
	1, 'server= and state= filter together');
my @met;
my $after = '';
for (1 .. 4) {
	my $page = document("/?limit=1$after");
	push @met, map { $_->{id} } @{$page->{certificates}};
	$after = '&after=' . ($page->{next} // last);
}
is(join(' ', @met), join(' ', sort keys %by),
	'limit= and after= give one page after the other');
my $wrong = http_get('/?state=gone');
like($wrong, qr/ 400 /, 'an unknown state is refused with 400');
like($wrong, qr/state="gone": it takes valid, pending, expired, revoked, unsupported or ended/,
	'a refused state is explained');

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
		qr/^Content-Type: \Q$accept{$accept}\E\r$/m,
		"Accept: $accept gets its format");
}
like(http_get('/'), qr/^Content-Type: application\/json\r$/m,
	'the default format is JSON');
like(http_get('/'), qr/^Vary: Accept\r$/m,
	'a negotiated format has Vary: Accept');
unlike(http_get('/?format=json'), qr/^Vary:/m, 'format= has no Vary: Accept');
like(http_get('/?format=html'), qr/^Content-Type: text\/html/m,
	'format= chooses the format');
like(http_get('/json?format=html', headers => [ 'Accept: text/html' ]),
	qr/^Content-Type: application\/json\r$/m,
	'a location with a format ignores format= and Accept');
like(http_get('/page?format=json'), qr/^Content-Type: application\/json\r$/m,
	"a page's location gives JSON for format=json");
like(http_get('/prometheus', headers => [ 'Accept: text/html' ]),
	qr/^Content-Type: text\/plain; version/m,
	'a Prometheus location ignores Accept');
like(http_get('/?format=xml'), qr/ 400 /,
	'an unknown format is refused with 400');

like(http_get('/'), qr/^Cache-Control: no-store\r$/m,
	'the document must not be stored');
like(http_get('/'), qr/^X-Content-Type-Options: nosniff\r$/m,
	"the document's type must not be guessed");
my $head = http_head('/');
like($head, qr/ 200 OK/, 'HEAD is answered with 200');
unlike($head, qr/certificates/, 'HEAD is answered without a body');
like(http_post('/', 'x=1'), qr/ 405 /, 'POST is refused with 405');

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
	is(scalar @{$answer->{certificates}}, 4,
		"worker $worker lists all certificates");
	like($pid, qr/\b$worker\z/, "worker $worker answered alone");
}

# through http/2

my $curl = $t->command([ 'curl', '-sk', '--http2', '-w', ' %{http_version}',
	'https://127.0.0.1:' . port(8444) . '/' ])->{output};
like($curl, qr/ 2$/, 'the document is sent by HTTP/2');
$curl =~ s/ 2$//;
is(scalar @{decode_json($curl)->{certificates}}, 4,
	'the document by HTTP/2 lists all certificates');

# the file that is there is not sent instead; a keep-alive connection lives on

my $socket = IO::Socket::INET->new('127.0.0.1:' . port(8080));
my $request = "GET /?id=" . $good->id() . " HTTP/1.1\r\nHost: a\r\n";
print $socket "$request\r\n", "${request}Connection: close\r\n\r\n";
my $both = do { local $/; <$socket> };
is(scalar(() = $both =~ /^HTTP\/1\.1 200/mg), 2,
	'a keep-alive connection gets two documents');

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
