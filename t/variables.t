#!/usr/bin/perl

# Tests for the variables: what became of the handshake, in headers and in the
# log; full and resumed, http/2, plain.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl http_v2 /)->has_daemon('curl');

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $rsa = $int->leaf('rsa', names => [ 'localhost' ], aia => $r->url(1),
	key => 'rsa');
my $ec = $int->leaf('ec', names => [ 'localhost' ], aia => $r->url(1));
my $bad = $int->leaf('bad.example', aia => $r->url(2));
my $revoked = $int->leaf('revoked.example', aia => $r->url(1));
my $off = $int->leaf('off.example', aia => $r->url(1));
$r->fault('http_500', on => 2);
$r->status($revoked, 'revoked');

my @variables = map { "\$ocsp_plus_$_" }
	qw/ staple cert_status expires_in cert_id /;
my $h2 = '8443 ssl http2';
$t->write_conf(workers => 2, http => [
	"log_format staple '\$ssl_server_name @variables';",
	'access_log %%TESTDIR%%/staple.log staple;',
	'add_header X-Staple "' . join(',', @variables) . '" always;',
	'ssl_protocols TLSv1.2 TLSv1.3;', 'ocsp_plus on;',
	'ocsp_plus_retry 1s 1s;',
	[ $h2, [ $ec, $rsa ], 'listen 127.0.0.1:8080;', 'server_name localhost;',
		'ssl_session_cache shared:one:1m;', 'ssl_ecdh_curve X25519;' ],
	[ $h2, $bad ], [ $h2, $revoked ], [ $h2, $off, 'ocsp_plus off;' ] ]);

$t->write_file('index.html', 'served');
$t->run();

for my $key ('RSA', 'ECDSA') {
	is(wait_staple(8443, 'good', sig => $key, servername => 'localhost',
		seconds => 30)->{status}, 'good',
		"the certificate with the key $key is stapled");
}
is(wait_staple(8443, 'revoked', servername => 'revoked.example',
	seconds => 30)->{status}, 'revoked',
	'the revoked certificate is stapled as revoked');

###############################################################################

for my $tls ('1.2', '1.3') {
	for my $leaf ($ec, $rsa) {
		my $key = $leaf == $rsa ? 'RSA' : 'ECDSA';
		my @key = (tls => $tls, sig => $key);
		like(seen(@key), qr/^sent,good,\d+,@{[ $leaf->id() ]}$/,
			"TLS $tls, $key: the variables say \"sent\"");
		like(seen(@key, status => 0),
			qr/^not_requested,,,@{[ $leaf->id() ]}$/,
			"TLS $tls, $key: the variables say \"not_requested\"");
	}

	my $file = $t->testdir() . "/session-$tls";
	seen(tls => $tls, sig => 'ecdsa', sess_out => $file);
	is(seen(tls => $tls, sig => 'ecdsa', sess_in => $file), 'resumed,,,',
		"TLS $tls: the variables say \"resumed\"");
	is(seen(tls => $tls, sig => 'ecdsa', sess_in => $file, status => 0),
		'resumed,,,',
		"TLS $tls: the variables say \"resumed\" though the client does not ask");

	is(seen(tls => $tls, servername => 'bad.example'),
		'none,,,' . $bad->id(), "TLS $tls: the variables say \"none\"");
	like(seen(tls => $tls, servername => 'revoked.example'),
		qr/^sent,revoked,\d+,@{[ $revoked->id() ]}$/,
		"TLS $tls: the variables say \"revoked\"");
	is(seen(tls => $tls, servername => 'off.example'), 'off,,,',
		"TLS $tls: the variables say \"off\"");
}

like(seen(tls => '1.3', sig => 'ecdsa', curves => 'P-521:X25519'),
	qr/^sent,good,\d+,@{[ $ec->id() ]}$/,
	'the variables say "sent" after a repeated hello');

my ($left) = seen(sig => 'ecdsa') =~ /good,(\d+)/;
my $ends = staple(8443, sig => 'ecdsa', servername => 'localhost')
	->{next_update};
cmp_ok(abs($left + time() - $ends), '<', 20,
	'$ocsp_plus_expires_in is the time left of the staple')
	if ok($ends, 'the staple has a nextUpdate');

like(http_get('/'), qr/^X-Staple: ,,,\r$/m,
	'the variables are empty without TLS');

# http/2: the connection of a stream is not the client's

my @curl = ('curl', '-s', '--http2', '--cacert', $root->cert(), '-D', '-',
	'-o', '/dev/null', '--resolve', 'localhost:' . port(8443)
	. ':127.0.0.1', '--ciphers', 'ECDHE-ECDSA-AES128-GCM-SHA256',
	'--tls-max', '1.2');
my $url = 'https://localhost:' . port(8443) . '/';
like($t->command([ @curl, '--cert-status', $url ])->{output},
	qr/^HTTP\/2 200.*^x-staple: sent,good,\d+,@{[ $ec->id() ]}\r$/ms,
	'the variables say "sent" by HTTP/2');
like($t->command([ @curl, $url ])->{output},
	qr/^HTTP\/2 200.*^x-staple: not_requested,,,@{[ $ec->id() ]}\r$/ms,
	'the variables say "not_requested" by HTTP/2');

# the log

my $log = $t->read_file('staple.log');
like($log, qr/^localhost sent good \d+ [0-9a-f]{64}$/m,
	'the access log says "sent"');
like($log, qr/^localhost resumed - - -$/m, 'the access log says "resumed"');
like($log, qr/^bad\.example none - - [0-9a-f]{64}$/m,
	'the access log says "none"');
like($log, qr/^off\.example off - - -$/m, 'the access log says "off"');
like($log, qr/^- - - - -$/m, 'the access log has no values without TLS');

$t->done_testing();

###############################################################################

# a request through openssl s_client: what the header says
sub seen {
	my (%opt) = @_;
	my $name = $opt{servername} //= 'localhost';
	my $got = staple(8443, %opt,
		request => "GET / HTTP/1.1\r\nHost: $name\r\n"
			. "Connection: close\r\n\r\n");
	return $got->{output} =~ /^X-Staple: ([^\r\n]*)/m ? $1 : $got->{output};
}

###############################################################################
