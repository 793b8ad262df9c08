#!/usr/bin/perl

# Tests for which staple a handshake gets: RSA and ECDSA certificates side by
# side, SNI, TLS 1.2 and 1.3, http2, unusual serial numbers and names, and
# servers that have it off.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl http_v2 /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $other = $root->intermediate('other');
my $r = Test::Nginx::Responder->start($t, ca => [ $int, $other ]);
my @aia = (aia => $r->url());

my $ecdsa = $int->leaf('both.example', file => 'ecdsa', @aia);
my $rsa = $other->leaf('both.example', file => 'rsa', key => 'rsa', @aia);
my $sni = $int->leaf('sni.example', @aia);
$int->leaf('off.example', @aia);

# the largest serial number that RFC 5280 allows, and one that begins with a
# byte of the high bit, which DER writes with a zero before it

my $long = $int->leaf('long.example', serial => '7f' . 'e1' x 19, @aia,
	names => [ 'long.example', map { "name$_.long.example" } 1 .. 400 ]);
my $high = $int->leaf('high.example', serial => 'ff' . '0a' x 18, @aia);

my $h2 = '8443 ssl http2';
$t->write_conf(http => [ 'ssl_protocols TLSv1.2 TLSv1.3;', 'ocsp_plus on;',
	[ $h2, [ $ecdsa, $rsa ], 'server_name both.example;' ],
	(map { [ $h2, $_ ] } $sni, $long, $high),
	[ $h2, 'off.example', 'ocsp_plus off;' ],
	# with a certificate that others staple
	[ 8444, $ecdsa, 'ocsp_plus off;' ] ]);

$t->run();

###############################################################################

my @wanted = (
	[ 'the default server', undef, $ecdsa ],
	[ 'an unknown name', 'nobody.example', $ecdsa ],
	[ 'a name of a server', 'sni.example', $sni ],
	[ 'a certificate with a serial of 20 bytes and 401 names', 'long.example', $long ],
	[ 'a certificate with the high bit set in its serial', 'high.example', $high ],
);

for my $wanted (@wanted) {
	my ($what, $name, $leaf) = @$wanted;
	my @name = defined $name ? (servername => $name) : ();
	wait_staple(8443, 'good', @name, seconds => 30);

	for my $tls ('1.2', '1.3') {
		my $seen = staple(8443, @name, tls => $tls,
			args => [ '-alpn', 'h2' ]);
		is("$seen->{status} " . ($seen->{serial} // ''),
			'good ' . $leaf->serial(),
			"$what: the right staple is sent over TLS $tls");
		like($seen->{output}, qr/^ALPN protocol: h2/m,
			"$what: HTTP/2 is negotiated over TLS $tls");
	}
}

# each of the two certificates of one server has its own

for my $tls ('1.2', '1.3') {
	for my $key ([ RSA => $rsa ], [ ECDSA => $ecdsa ]) {
		my ($sig, $leaf) = @$key;
		my $seen = wait_staple(8443, 'good', tls => $tls, sig => $sig,
			servername => 'both.example', seconds => 30);
		is("$seen->{status} " . ($seen->{serial} // ''),
			'good ' . $leaf->serial(),
			"a client that wants $sig over TLS $tls gets that "
			. "certificate's staple");
	}
}

# an independent opinion of the bytes

for my $key ([ RSA => $rsa ], [ ECDSA => $ecdsa ]) {
	my ($sig, $leaf) = @$key;
	my $der = staple_fast(8443, 'both.example', tls => '1.2', sig => $sig);
	is(opinion($der, $leaf), '1 good',
		"openssl verifies the staple of the $sig certificate");
}
for my $leaf ($sni, $long, $high) {
	my $der = staple_fast(8443, $leaf->name());
	is(opinion($der, $leaf), '1 good',
		'openssl verifies the staple of ' . $leaf->name());
}

is($r->stats()->{serials}{$rsa->serial()}, 1,
	'the RSA certificate is asked for once');
is($r->stats()->{serials}{$ecdsa->serial()}, 1,
	'the ECDSA certificate is asked for once');

# servers that do not use it

my $seen = staple(8443, servername => 'off.example');
is("$seen->{handshake} $seen->{status}", '1 none',
	'a server with ocsp_plus off sends no staple');
like($seen->{subject} // '', qr/off.example/,
	'a server with ocsp_plus off sends its own certificate');
is(staple(8444)->{status}, 'none',
	"a server with ocsp_plus off does not send another server's staple");

# newer nginx would have http2 on a line of its own
my $complaint = qr/\[(?:warn|error|crit)\](?!.*"listen \.\.\. http2")/;
is(join("\n", $t->log_lines($complaint)), '',
	'nothing is logged at warn or above');

$t->done_testing();

###############################################################################

sub opinion {
	my ($der, $leaf) = @_;
	return 'no staple' unless defined $der;
	my $seen = Test::Nginx::staple_verify($t, $der, $leaf);
	return "$seen->{ok} $seen->{status}";
}

###############################################################################
