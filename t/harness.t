#!/usr/bin/perl

# Tests for the harness itself: certificates, the responder and its faults,
# the DNS server, and the life of an nginx with its built-in stapling.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use MIME::Base64 qw/ encode_base64 /;
use Socket qw/ SOL_SOCKET SO_RCVTIMEO /;
use Test::More;
use Time::HiRes qw/ time /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(module => 0)->has(qw/ http_ssl /);
my $d = $t->testdir();

# certificates

my $began = spent();
my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $ecdsa = $int->leaf('a.example', file => 'ecdsa', aia => $r->url(1),
	must_staple => 1, serial => '1000');
my ($b, $c) = $int->leaves(2, 'host%d.example', aia => $r->url(2));
cmp_ok(spent() - $began, '<', 0.3 * $Test::Nginx::SLOW,
	'a CA is made with little processor time');

my $rsa = $int->leaf('a.example', file => 'rsa', key => 'rsa',
	aia => $r->url(1));
my $delegated = $int->responder_cert('delegated');
my $impostor = $int->responder_cert('impostor', ocsp_signing => 0);
$r->add_signer($_) for $delegated, $impostor;

my $text = $t->command([ qw/ openssl x509 -noout -text -in /,
	$ecdsa->cert() ])->{output};
like($text, qr/Serial Number: 4096 \(0x1000\)/,
	'a certificate has the given serial');
like($text, qr!OCSP - URI:\Q${\$r->url(1)}\E!,
	'a certificate names its OCSP responder');
like($text, qr/TLS Feature:\s+status_request/,
	'a certificate has the Must-Staple extension');
like($text, qr/DNS:a.example/, 'a certificate has its DNS name');
like($t->command([ 'openssl', 'verify', '-CAfile', $root->cert(), '-untrusted',
	$ecdsa->chain(), $ecdsa->cert() ])->{output}, qr/OK$/,
	'openssl verifies the chain of a certificate');
is(() = $t->read_file($ecdsa->chain()) =~ /BEGIN CERT/g, 2,
	'the chain file has leaf and intermediate without the root');
use Digest::SHA ();
is($ecdsa->id(), Digest::SHA::sha256_hex($ecdsa->der()),
	'the id of a certificate is the SHA-256 of its DER');
isnt($b->serial(), $c->serial(),
	'leaves made in one run have different serials');

###############################################################################

# the responder: what it says

my %requests;			# DER of requests, by leaf and hash

my $good = verdict($ecdsa);
is($good->{ok}, 1,
	'the response of the responder verifies') or diag($good->{output});
is($good->{status}, 'good', 'the responder says good by default');
is($good->{serial}, '1000', 'the response is for the serial asked for');
is($good->{next_update} - $good->{this_update}, 604800,
	'the response is valid for a week by default');

$r->status($ecdsa, 'revoked', reason => 'key_compromise',
	revoked_at => 1700000000);
my $revoked = verdict($ecdsa);
is("$revoked->{ok} $revoked->{status} $revoked->{revoked_at}",
	'1 revoked 1700000000',
	'the responder says revoked with the given time');
like($revoked->{output}, qr/Reason: keyCompromise/,
	'the responder gives the reason of a revocation');
is(verdict($b, on => 2)->{status}, 'good',
	'a revocation of one certificate leaves others good');
$r->status($ecdsa, 'unknown');
is(verdict($ecdsa)->{status}, 'unknown', 'the responder says unknown');
$r->status($ecdsa, 'good', on => 2);
is(verdict($ecdsa, on => 1)->{status} . verdict($ecdsa, on => 2)->{status},
	'unknowngood', 'a status can be set for one port');
$r->reset();

$r->signer('delegated');
$good = verdict($ecdsa);
is("$good->{ok} $good->{status}", '1 good',
	"a delegated signer's response verifies");
like($good->{output}, qr/Responder Id: CN ?= ?delegated/,
	'the responder id is a name by default');
$r->set(rid => 'key');
like(verdict($ecdsa)->{output}, qr/Responder Id: [0-9A-F]{40}/,
	'the responder id can be a key hash');
$r->fault('no_certs', times => 1);
is(verdict($ecdsa)->{ok}, 0,
	"fault no_certs leaves out the signer's certificate");
$r->signer('impostor');
is(verdict($ecdsa)->{ok}, 0,
	'a signer without OCSPSigning makes a response that does not verify');
$r->reset();

$r->validity(this_update => -100, next_update => 60);
$good = verdict($ecdsa);
is($good->{next_update} - $good->{this_update}, 160,
	'the validity of responses can be set');
$r->validity(next_update => 'none');
is(verdict($ecdsa)->{next_update}, undef, 'nextUpdate can be left out');
$r->set(clock => -7200);
cmp_ok(abs(verdict($ecdsa)->{produced_at} - time() + 7200), '<', 5,
	'the clock of the responder can be set');
$r->reset();

$r->set(hash => 'both');
is(@{verdict($ecdsa)->{statuses}}, 2, 'hash "both" gives two single responses');
like(verdict($ecdsa)->{output}, qr/Hash Algorithm: sha256/,
	'hash "both" gives one response by SHA-256');
is(verdict($ecdsa, hash => 'sha256')->{ok}, 1,
	'a request by SHA-256 gets a response that verifies');
$r->reset();
$r->set(accept_hash => 'sha256');
is(verdict($ecdsa)->{status}, 'unauthorized',
	'accept_hash refuses another hash');
is(verdict($ecdsa, hash => 'sha256')->{status}, 'good',
	'accept_hash accepts its own hash');
$r->reset();

# faults inside of the response

my @lies = (
	[ try_later => { status => 'trylater' } ],
	[ internal_error => { status => 'internalerror' } ],
	[ unauthorized => { status => 'unauthorized' } ],
	[ malformed_request => { status => 'malformedrequest' } ],
	[ sig_required => { status => 'sigrequired' } ],
	[ broken_signature => { status => 'good', ok => 0 } ],
	[ foreign_signer => { status => 'good', ok => 0 } ],
	[ other_serial => { status => 'good', serial => '1001', ok => 0 } ],
	[ other_issuer => { status => 'good', serial => '1000', ok => 0 } ],
	[ expired => { status => 'good', ok => 0 } ],
	[ future => { status => 'good', ok => 0 } ],
	[ not_basic => { ok => 0 } ],
	[ no_responses => { ok => 0 } ],
	[ two_responses_disagree => { status => 'revoked' } ],
	[ other_too => { ok => 1, serial => '1007' } ],
	[ trailing => { } ],
	[ trailing_inside => { } ],
	[ older => { status => 'good', ok => 1 } ],
);
for my $lie (@lies) {
	my ($name, $expected) = @$lie;
	$r->fault($name);
	my $seen = verdict($ecdsa);
	is_deeply({ map { $_ => $seen->{$_} } keys %$expected }, $expected,
		"fault $name changes the response") or diag($seen->{output});
	if ($name eq 'expired') {
		cmp_ok($seen->{next_update}, '<', time(),
			"fault $name: nextUpdate is in the past");
	} elsif ($name eq 'future') {
		cmp_ok($seen->{this_update}, '>', time() + 80000,
			"fault $name: thisUpdate is in the future");
	} elsif ($name eq 'older') {
		cmp_ok($seen->{this_update}, '<', time() - 3000,
			"fault $name: thisUpdate is an hour old");
	} elsif ($name eq 'two_responses_disagree') {
		is("@{$seen->{statuses}}", 'good revoked',
			"fault $name: the statuses are good and revoked");
	} elsif ($name eq 'not_basic') {
		like($seen->{output}, qr/Response Type: (?!Basic)/,
			"fault $name: the response type is another one");
	}
}
$r->fault('none');
is(verdict($ecdsa)->{status}, 'good',
	'fault none makes the responder say good again');

my $first = ask($ecdsa)->{body};
$r->fault('old_same');
is(ask($ecdsa)->{body}, $first, 'fault old_same repeats the former response');
$r->fault('none');
isnt(ask($ecdsa)->{body}, $first, 'a response is signed anew without old_same');
$r->set(cache => 60);
$first = ask($ecdsa)->{body};
is(ask($ecdsa)->{body}, $first, 'setting "cache" repeats the former response');
$r->status($ecdsa, 'revoked');
is(verdict($ecdsa)->{status}, 'revoked',
	'a changed setting ends the cached response');
$r->reset();

# HTTP

my $answer = ask($ecdsa);
like($answer->{head}, qr!^HTTP/1.1 200 OK\r.*Content-Type: application/ocsp!s,
	'the responder answers with HTTP 200 and its content type');
like($answer->{head}, qr/^Date: \w{3}, \d\d \w{3} 20/m,
	'the responder sends a date');
is(ask($ecdsa, post => 1)->{code}, 200, 'the responder accepts POST');
is(ask($ecdsa, prefix => '/ocsp/v1/')->{code}, 200,
	'the responder accepts a path before the request');
is(ask($ecdsa, raw => 1)->{code}, 200,
	'the responder accepts base64 that is not URL-encoded');
is(verdict($ecdsa, post => 1)->{status}, 'good',
	'a request by POST gets a good response');
is(ask($ecdsa, family => 6)->{code}, 200, 'the responder listens on IPv6')
	if eval { $t->feature('ipv6') };

$r->set(max_age => 77, expires => 3600, header => 'X-Some: thing',
	date_offset => 86400);
$answer = ask($ecdsa);
like($answer->{head}, qr/^Cache-Control: max-age=77/m,
	'max_age sends Cache-Control');
like($answer->{head}, qr/^Expires: .*GMT\r/m, 'expires sends Expires');
like($answer->{head}, qr/^X-Some: thing\r/m, 'header sends any header');
$r->reset();

is_deeply(outcome('truncate', 100), { body => 100, end => 'closed', code => 200 },
	'fault truncate ends the body early');
is_deeply(outcome('too_large', 200000), { body => 200000, end => 'complete',
	code => 200 }, 'fault too_large sends a large body');
is_deeply(outcome('garbage'), { body => 700, end => 'complete', code => 200 },
	'fault garbage sends 700 octets');
is_deeply(outcome('empty_body'), { body => 0, end => 'complete', code => 200 },
	'fault empty_body sends an empty body');
is(outcome('close')->{end}, 'nothing',
	'fault close ends the connection without an answer');
is(outcome('reset')->{end}, 'reset',
	'fault reset resets the connection after the request');
is(outcome('reset_on_connect')->{end}, 'reset',
	'fault reset_on_connect resets the connection at once');
is(outcome('hang_after_connect')->{end}, 'hangs',
	'fault hang_after_connect sends no answer');
is(outcome('hang_after_request')->{end}, 'hangs',
	'fault hang_after_request sends no answer');
is(outcome('hang_in_body', 50)->{body}, 50,
	'fault hang_in_body stops within the body');
my $drip = outcome('slow_drip', 100);
ok($drip->{end} eq 'hangs' && $drip->{size} > 0 && $drip->{size} < 100,
	'fault slow_drip sends octet by octet');
is(outcome('http_404')->{code}, 404, 'fault http_404 answers with 404');
is(outcome('http_500')->{code}, 500, 'fault http_500 answers with 500');
like(ask_with('http_503', 17)->{head}, qr/ 503 .*Retry-After: 17\r/s,
	'fault http_503 answers with 503 and Retry-After');
like(ask_with('http_429', '@60')->{head}, qr/Retry-After: \w+, .* GMT/,
	'fault http_429 sends Retry-After as a date');
like(ask_with('wrong_content_type')->{head}, qr!Content-Type: text/plain!,
	'fault wrong_content_type sends another content type');
like(ask_with('html_200')->{body}, qr/<html>/, 'fault html_200 sends a page');
like(ask_with('not_http')->{all}, qr/^220 mail/,
	'fault not_http sends another protocol');
like(ask_with('http10')->{head}, qr!^HTTP/1.0 200!,
	'fault http10 answers by HTTP/1.0');
like(ask_with('bare_status')->{all}, qr!^HTTP/1\.1 200\r\nDate: !,
	'fault bare_status sends a status line without a phrase');
like(ask_with('bare_lf')->{all}, qr!^HTTP/1\.1 200 OK\nDate: [^\r]+\n\n!,
	'fault bare_lf ends lines with a line feed alone');
$r->set(code => 401);
like(ask($ecdsa)->{all}, qr!^HTTP/1\.1 401 .*application/ocsp-response!s,
	'code sends any HTTP status with the response');
$r->reset();
like(ask_with('continue_100')->{all}, qr!^HTTP/1.1 100.*HTTP/1.1 200!s,
	'fault continue_100 sends 100 before 200');
like(ask_with('huge_header', 5000)->{head}, qr/X-Huge: x{5000}/,
	'fault huge_header sends a header of the given size');
$answer = ask_with('chunked', 64);
ok($answer->{head} =~ /Transfer-Encoding: chunked/
	&& $answer->{body} =~ /^40\r\n.*\r\n0\r\n\r\n\z/s,
	'fault chunked sends the body in chunks');
unlike(ask_with('chunked_truncated', 64)->{body}, qr/\r\n0\r\n\r\n\z/,
	'fault chunked_truncated leaves out the last chunk');
$answer = ask_with('until_close');
ok($answer->{head} !~ /Content-Length|chunked/ && length $answer->{body},
	'fault until_close sends a body without a length');

like(ask_with('redirect', 'ftp://x.example/')->{head},
	qr!302 .*Location: ftp://x.example/\r!s,
	'fault redirect sends the given location');
like(ask_with('redirect', '301 loop')->{head},
	qr!301 .*Location: http://127.0.0.1:\d+/M!s,
	'fault redirect "loop" leads to itself');
like(ask_with('redirect', 'hops:2')->{head}, qr!Location: http://\S+/hop1/M!,
	'fault redirect "hops:2" leads to the first hop');
$r->fault('redirect', arg => 'hops:2');
like(ask($ecdsa, prefix => '/hop1/')->{head}, qr!Location: \S+/hop2/M!,
	'the first hop leads to the second');
is(ask($ecdsa, prefix => '/hop2/')->{code}, 200, 'the last hop answers');

$r->fault('refuse', on => 1);
ok(!IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $r->port(1)),
	'fault refuse closes the port');
ok(IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $r->port(2)),
	'fault refuse leaves the other port open');
$r->fault('none', on => 1);
is(ask($ecdsa)->{code}, 200,
	'a port that was closed accepts connections again');
$r->reset();

$r->fault('http_500', times => 2);
is(join(' ', map { ask($ecdsa)->{code} } 1 .. 3), '500 500 200',
	'"times" limits a fault to the next requests');
$r->fault('http_500', leaf => $ecdsa);
is(ask($b)->{code} . ' ' . ask($ecdsa)->{code}, '200 500',
	'"leaf" limits a fault to one certificate');
$r->set(delay => 200);
$began = time();
ask($b);
cmp_ok(time() - $began, '>=', 0.2, 'delay postpones the answer');
$r->reset();
ok(!eval { $r->fault('nonsense'); 1 }, 'an unknown fault is refused');
ok(!eval { $r->set(statsu => 'good'); 1 }, 'an unknown setting is refused');

# counters

$r->clear();
ask($ecdsa);
ask($ecdsa, post => 1);
ask($b, on => 2);
my $stats = $r->stats();
is_deeply([ @{$stats->{all}}{qw/ total get post /} ], [ 3, 2, 1 ],
	'the responder counts requests by method');
is($stats->{ports}{2}{total}, 1, 'the responder counts requests by port');
is($stats->{serials}{$b->serial()}, 1,
	'the responder counts requests by serial');
is(scalar(my @all = $r->requests(leaf => $ecdsa)), 2,
	'requests() lists the requests for a certificate');
is(join(' ', map { "$_->{method} $_->{hash} $_->{serial}" } @all),
	'GET sha1 1000 POST sha1 1000',
	'requests() has method, hash and serial');
my @open = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	PeerPort => $r->port(1)) } 1 .. 5;
Test::Nginx::wait_for(sub { $r->stats()->{all}{peak} >= 5 }, 2, 'connections');
is($r->stats()->{ports}{1}{open}, 5, 'the responder counts open connections');
$r->drop_connections();
is($r->stats()->{all}{open}, 0, 'drop_connections() closes all connections');
undef @open;

$r->restart();
is(verdict($ecdsa)->{status}, 'good',
	'restart() keeps the port of the responder');
$r->serve_file('int.crt', $int->cert());
like(Test::Nginx::http_get('/files/int.crt', port => $r->port(1)),
	qr/200 OK.*BEGIN CERT/s, 'serve_file() serves a file');

###############################################################################

# DNS

my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	'ocsp.example' => { a => [ '127.0.0.1', '127.0.0.2' ], aaaa => '::1' },
	'alias.example' => { cname => 'ocsp.example' },
	'fail.example' => { rcode => 'SERVFAIL' },
	'drop.example' => { drop => 1 },
	'half.example' => { a => '127.0.0.1', 'aaaa.drop' => 1 },
	'first.example' => { a => '127.0.0.1', drop_first => 1 },
	'slow.example' => { a => '127.0.0.1', delay => 150 },
	'long.example' => { a => '127.0.0.1', tc => 1 },
});
is(dig('ocsp.example'), 'NOERROR 127.0.0.1 127.0.0.2',
	'the DNS server answers A');
is(dig('ocsp.example', 28), 'NOERROR 0:0:0:0:0:0:0:1',
	'the DNS server answers AAAA');
is(dig('alias.example'), 'NOERROR 127.0.0.1 127.0.0.2',
	'the DNS server answers with the addresses of a CNAME');
is(dig('half.example', 28, 'udp', 0.2), 'none',
	'the DNS server leaves one type without an answer');
is(dig('half.example'), 'NOERROR 127.0.0.1',
	'the DNS server answers the other type');
is(dig('long.example', 28), 'NOERROR truncated',
	'the DNS server truncates by UDP');
is(dig('long.example', 1, 'tcp'), 'NOERROR 127.0.0.1',
	'the DNS server answers by TCP');
is(dig('nowhere.example'), 'NXDOMAIN', 'the DNS server says NXDOMAIN');
is(dig('fail.example'), 'SERVFAIL', 'the DNS server says SERVFAIL');
is(dig('drop.example', 1, 'udp', 0.2), 'none', 'the DNS server drops a query');
is(dig('first.example', 1, 'udp', 0.2), 'none',
	'drop_first drops the first query');
is(dig('first.example'), 'NOERROR 127.0.0.1',
	'drop_first answers the second query');
$began = time();
is(dig('slow.example'), 'NOERROR 127.0.0.1',
	'the DNS server answers after a delay');
cmp_ok(time() - $began, '>=', 0.14, "the DNS server's delay is kept");
$dns->set('ocsp.example', a => '127.0.0.9');
is(dig('ocsp.example'), 'NOERROR 127.0.0.9',
	'set() changes a name of the zone');
is(dig('ocsp.example', 28), 'NOERROR',
	'the DNS server answers without data for a missing type');
$dns->zone({ '*' => { rcode => 'REFUSED' } });
is(dig('ocsp.example'), 'REFUSED', 'zone() with "*" answers for any name');
is(scalar(my @asked = $dns->queries(name => 'first.example')), 2,
	'queries() lists the queries for a name');

###############################################################################

# nginx

$t->write_conf(workers => 2, http => [ 'ssl_session_cache shared:SSL:1m;',
	'ssl_protocols TLSv1.2 TLSv1.3;',
	[ 8443, [ $ecdsa, $rsa ], 'server_name a.example;',
		'listen 127.0.0.1:8080;',
		'ssl_trusted_certificate %%TESTDIR%%/root.crt;',
		'ssl_stapling on;' ],
	[ 8444, 'host1.example', 'server_name b.example;' ] ]);

$t->write_file('index.html', 'HELLO');
ok($t->config_test(),
	'the configuration of write_conf() is accepted') or diag($t->output());
$t->run();
is(scalar(my @workers = $t->workers()), 2,
	'nginx has the configured number of workers');
like(Test::Nginx::http_get('/index.html'), qr/200 OK.*HELLO/s,
	'http_get() fetches a page by http');
like(http_get('/index.html', port => 8443, ssl => 1), qr/200 OK.*HELLO/s,
	'http_get() fetches a page by https');

my $seen = wait_staple(8443, 'good', sig => 'ECDSA', tls => '1.2');
is($seen->{status}, 'good',
	'wait_staple() sees the staple of the ECDSA certificate') or diag($seen->{output});
is($seen->{serial}, '1000', 'staple() tells the serial');
is("$seen->{handshake} $seen->{version}", '1 TLSv1.2',
	'staple() uses the given TLS version');
cmp_ok(abs($seen->{this_update} - time()), '<', 30,
	'staple() tells thisUpdate');
$seen = $t->wait_staple(8443, 'good', sig => 'RSA', tls => '1.3');
is("$seen->{status} $seen->{serial} $seen->{version}",
	'good ' . $rsa->serial() . ' TLSv1.3',
	'wait_staple() sees the staple of the RSA certificate by TLS 1.3');
is(staple(8444)->{status}, 'none', 'staple() tells that none is sent');
is(staple(8443, status => 0)->{status}, 'none',
	'staple() with status => 0 asks for none');
like(staple(8444)->{subject}, qr/host1/,
	'staple() tells the subject of the certificate');

for my $tls ('1.2', '1.3') {
	staple(8443, tls => $tls, sess_out => "$d/session");
	$seen = staple(8443, tls => $tls, sess_in => "$d/session");
	is("$seen->{handshake} $seen->{resumed} $seen->{version}",
		"1 1 TLSv$tls", "staple() resumes a session in TLS $tls");
}

my $der = staple_fast(8443, 'a.example', tls => '1.2', sig => 'ECDSA');
my $opinion = Test::Nginx::staple_verify($t, $der // '', $ecdsa);
is("$opinion->{ok} $opinion->{status}", '1 good',
	'staple_fast() returns a response that verifies')
	or diag($opinion->{output});
is(staple_fast(8444, 'b.example'), undef,
	'staple_fast() returns undef without a staple');
my $shake = handshake_fast(8443, 'a.example', keep_session => 1);
is(handshake_fast(8443, 'a.example', session => $shake->{session})->{resumed},
	1, 'handshake_fast() resumes a session');
for my $tls ('1.2', '1.3') {
	# each worker has a response of its own
	wait_for(sub {
		$shake = handshake_fast(8443, 'a.example', tls => $tls, wire => 1);
		defined $shake->{der};
	}, 10);
	is_deeply([ grep { defined } @{$shake->{staples}} ], [ $shake->{der} ],
		"handshake_fast() finds the staple in the messages of TLS $tls");
	is(scalar @{$shake->{staples}}, $tls eq '1.3' ? 2 : 1,
		"handshake_fast() looks for one of each certificate of TLS $tls");
	is($shake->{hellos}, 1, "handshake_fast() counts hellos of TLS $tls");
}
$began = time();
staple_fast(8443, 'a.example') for 1 .. 100;
cmp_ok(time() - $began, '<', 10 * $Test::Nginx::SLOW,
	'staple_fast() makes a hundred handshakes in time');
is(handshake_fast(8445)->{ok}, 0, 'handshake_fast() tells that nobody listens');
is(staple(8445)->{status}, 'refused', 'staple() tells that nobody listens');

# a reload has new workers, a refused one keeps the old

my %before = map { $_ => 1 } $t->workers();
ok($t->reload(old_gone => 1), 'reload() succeeds');
is(scalar(grep { $before{$_} } $t->workers()), 0,
	'reload() with old_gone leaves only new workers');

my $mark = $t->log_mark();
my $conf = $t->read_file('nginx.conf');
(my $broken = $conf) =~ s/ssl_stapling/ssl_staplink/;
$t->write_file('nginx.conf', $broken);
ok(!$t->config_test(), 'config_test() refuses a broken configuration');
like($t->output(), qr/unknown directive "ssl_staplink"/,
	'output() has the message of the refused configuration');
ok(!$t->reload(refused => 1), 'reload() tells that nginx refused');
ok($t->wait_log(qr/ssl_staplink/, 2, $mark),
	'wait_log() finds the message of the refused reload');
is(scalar($t->log_lines(qr/ssl_staplink/, $t->log_mark())), 0,
	'log_lines() finds nothing after the mark');
is(staple(8444)->{handshake}, 1,
	'nginx serves the old configuration after a refused reload');
$t->write_file('nginx.conf', $conf);

# a worker that is killed comes back

my ($victim) = $t->workers();
$t->signal($victim, 'KILL');
ok(wait_for(sub { $t->workers() == 2
	&& !grep { $_ == $victim } $t->workers() }, 5),
	'a killed worker is replaced');

my ($old, $new) = $t->upgrade();
isnt($old, $new, 'upgrade() returns two different masters');
ok($t->stop(), 'stop() ends both masters');
is($t->master_pid(), undef, 'master_pid() is undef once nginx has ended');
ok($t->run() && $t->stop('TERM'), 'nginx runs again and is ended by TERM');

$conf = "daemon off;\nmaster_process off;\n$conf";
$t->write_file_expand('nginx.conf', $conf);
$t->run();
is(join(' ', $t->workers()), $t->master_pid(),
	'a single process is its own worker');
like(http_get('/index.html'), qr/200 OK/, 'a single process serves requests');
$t->stop();

$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\nnonsense;\n");
ok(!$t->try_run(), 'try_run() returns false for a broken configuration');
like($t->output(), qr/nonsense/,
	'output() has the message of the refused start');

# what the harness asserts at the end

my $report = inner(<<'EOT');
$t->write_file('error.log', "[alert] 1#1: worker process 1 exited on signal 11\n"
	. "[alert] 1#1: worker process 2 exited on signal 9\n"
	. "[alert] 1#1: expected\n");
$t->write_file('sanitizer/asan.7', "==7==ERROR: AddressSanitizer: overflow\n");
$t->{killed}{2} = 1;
$t->todo_alerts(qr/expected/);
EOT
like($report, qr/^not ok 2 - no alerts$/m,
	'alerts in the error log fail the test');
like($report, qr/^# +got: '\[alert\] 1#1: worker process 1 exited on signal 11'/m,
	'todo_alerts() and killed workers are not reported');
like($report, qr/^not ok 3 - no sanitizer errors$/m,
	'sanitizer reports fail the test');
like($report, qr/^# files of this test: (\S+)$/m,
	'a failed test names its directory');
my ($kept) = $report =~ /^# files of this test: (\S+)$/m;
ok(-e "$kept/error.log", 'a failed test keeps its directory');
system('rm', '-r', $kept);

$report = inner('my $other = Test::Nginx->new(module => 0, timeout => 300); '
	. '$other->run_daemon(sub { select undef, undef, undef, 60 }); '
	. 'my $third = Test::Nginx->new(module => 0); '
	. 'diag("left: " . alarm(0)); die "in the middle\n";');
cmp_ok(($report =~ /^# left: (\d+)/m)[0] // 0, '>', 200,
	'an object does not shorten the time of another one');
like($report, qr/^# Looks like your test exited with/m,
	'a test that dies with several objects and a process ends');

$report = inner('$t->run_daemon(sub { select undef, undef, undef, 60 }); '
	. 'diag($t->testdir(), "\n", @{$t->{daemons}});');
like($report, qr/^ok 4 - no process left$/m,
	'a passing test leaves no process');
my ($gone, $pid) = $report =~ m!^# (/\S+)\n# (\d+)!m;
ok(!-e $gone, 'a passing test removes its directory');
ok(!kill(0, $pid), 'a passing test ends its daemons');

$report = inner('$t->run_daemon(sub { select undef, undef, undef, 60 }); '
	. 'diag($t->testdir(), "\n", @{$t->{daemons}}); kill KILL => $$;');
($gone, $pid) = $report =~ m!^# (/\S+)\n# (\d+)!m;
ok(wait_for(sub { !Test::Nginx::alive($pid) }, 5),
	'a killed test ends its daemons');
system('rm', '-r', $gone);

$t->done_testing();

###############################################################################

# An OCSP request by the openssl command, made once.
sub request {
	my ($leaf, $hash) = @_;
	return $requests{$leaf->name(), $hash} ||= do {
		my $file = "$d/request.der";
		$t->command([ 'openssl', 'ocsp', "-$hash", '-issuer',
			$leaf->issuer()->cert(), '-cert', $leaf->cert(),
			'-no_nonce', '-reqout', $file ]);
		$t->read_file($file);
	};
}

# One exchange; "end" tells how it ended.
sub ask {
	my ($leaf, %opt) = @_;

	my $der = request($leaf, $opt{hash} || 'sha1');
	my $port = $r->port($opt{on} || 1);
	my $request;
	if ($opt{post}) {
		$request = "POST / HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n"
			. "Content-Type: application/ocsp-request\r\n"
			. 'Content-Length: ' . length($der) . "\r\n\r\n$der";
	} else {
		my $path = encode_base64($der, '');
		$path =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge
			unless $opt{raw};
		$request = 'GET ' . ($opt{prefix} || '/') . $path
			. " HTTP/1.1\r\nHost: 127.0.0.1:$port\r\n\r\n";
	}
	my $socket;
	if (($opt{family} || 4) == 6) {
		require IO::Socket::IP;
		$socket = IO::Socket::IP->new(PeerHost => '::1',
			PeerPort => $port) or return { end => 'refused' };
	} else {
		$socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
			PeerPort => $port) or return { end => 'refused' };
	}
	my %answer = (all => '', end => 'hangs');
	return { %answer, end => 'reset' }
		unless defined syswrite $socket, $request;

	my $deadline = time() + ($opt{wait} || 3 * $Test::Nginx::SLOW);
	my $select = IO::Select->new($socket);
	while ((my $left = $deadline - time()) > 0) {
		next unless $select->can_read($left);
		my $got = sysread $socket, $answer{all}, 65536,
			length $answer{all};
		if (!$got) {
			$answer{end} = !defined $got ? 'reset'
				: length $answer{all} ? 'closed' : 'nothing';
			last;
		}
		my ($size, $body) = $answer{all} =~
			/^Content-Length: (\d+)(?=\r).*?\r\n\r\n(.*)\z/ms;
		if (defined $size && length $body == $size
			|| $answer{all} =~ /chunked.*\r\n0\r\n\r\n\z/s)
		{
			$answer{end} = 'complete';
			last;
		}
	}
	@answer{qw/ head body /} = split /\r\n\r\n/, $answer{all}, 2;
	($answer{code}) = $answer{all} =~ m!^HTTP/\S+ (\d+)!;
	$answer{$_} //= '' for qw/ head body code /;
	$answer{head} .= "\r\n";
	return \%answer;
}

sub ask_with {
	my ($fault, $arg) = @_;
	$r->fault($fault, defined $arg ? (arg => $arg) : ());
	my $answer = ask($ecdsa, $fault =~ /^(?:hang|slow)/ ? (wait => 0.4) : ());
	$r->fault('none');
	return $answer;
}

sub outcome {
	my $answer = ask_with(@_);
	return { code => $answer->{code}, end => $answer->{end},
		body => length $answer->{body}, size => length $answer->{all} }
		if $_[0] eq 'slow_drip';
	return { code => $answer->{code}, end => $answer->{end},
		body => length $answer->{body} };
}

# Runs a test within this test; what it printed.
sub inner {
	my ($code) = @_;
	my $file = $t->write_file('inner.t', join "\n",
		'use strict; use warnings; use Test::More; use Test::Nginx;',
		'my $t = Test::Nginx->new(module => 0)->plan(1);',
		'pass();', $code);
	return $t->command([ $^X, "-I$FindBin::Bin/lib", $file ])->{output};
}

# Processor time of this test and its children so far.
sub spent {
	my $sum = 0;
	$sum += $_ for times;
	return $sum;
}

# What openssl says about the response.
sub verdict {
	my ($leaf, %opt) = @_;
	return Test::Nginx::staple_verify($t, ask($leaf, %opt)->{body}, $leaf);
}

sub dig {
	my ($name, $type, $proto, $wait) = @_;
	$type ||= 1;
	$proto ||= 'udp';

	my $socket = IO::Socket::INET->new(Proto => $proto,
		PeerAddr => '127.0.0.1', PeerPort => $dns->port()) or return;
	my $query = pack('n6', 4711, 0x0100, 1, 0, 0, 0)
		. join('', map { pack 'C/a*', $_ } split /\./, $name)
		. "\0" . pack('n2', $type, 1);
	syswrite $socket, $proto eq 'tcp' ? pack('n/a*', $query) : $query;
	IO::Select->new($socket)->can_read($wait || 5)
		or return 'none';
	sysread $socket, my $answer, 4096;
	substr $answer, 0, 2, '' if $proto eq 'tcp';
	my ($id, $flags, undef, $count) = unpack 'n4', $answer;
	return 'another id' unless $id == 4711;
	my @codes = qw/ NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED /;
	my @words = $codes[$flags & 15];
	push @words, 'truncated' if $flags & 0x0200;
	my $at = length $query;
	for (1 .. $count) {
		# a pointer, or a name in full
		$at += (unpack 'C', substr $answer, $at, 1) >= 192
			? 2 : index($answer, "\0", $at) - $at + 1;
		my ($kind, $size) = unpack 'n x6 n', substr $answer, $at, 10;
		my $data = substr $answer, $at + 10, $size;
		push @words, join '.', unpack 'C*', $data if $kind == 1;
		push @words, join ':', map { sprintf '%x', $_ }
			unpack 'n*', $data if $kind == 28;
		$at += 10 + $size;
	}
	return "@words";
}

###############################################################################
