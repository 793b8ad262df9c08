#!/usr/bin/perl

# Tests for ssl_certificate_compression, which newer nginx has: certificates
# that are compressed beforehand carry no staple, so the pair is refused, as
# nginx refuses it with its own stapling.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;

###############################################################################

my $t = Test::Nginx->new()
	->has('http_ssl', 'stream_ssl', 'directive ssl_certificate_compression');

Test::Nginx::CA->new($t)->leaf('example.com', aia => 'http://127.0.0.1:1/');

my $refused = qr/\[emerg\].*"ocsp_plus"\ is\ incompatible\ with\s
	"ssl_certificate_compression",.*nginx\.conf:\d+/x;

like(configured('http', 'on', 'on'), $refused,
	'ssl_certificate_compression in http is refused beside ocsp_plus');
like(configured('stream', 'on', 'on'), $refused,
	'ssl_certificate_compression in stream is refused beside ocsp_plus');
like(configured($_, 'on', 'off'), qr/test is successful/,
	"$_: ocsp_plus on without compression is accepted")
	for qw/ http stream /;
like(configured($_, 'off', 'on'), qr/test is successful/,
	"$_: compression without ocsp_plus is accepted")
	for qw/ http stream /;

$t->done_testing();

###############################################################################

sub configured {
	my ($block, $ours, $compression) = @_;

	$t->write_conf($block => [ [ 8443, 'example.com', "ocsp_plus $ours;",
		"ssl_certificate_compression $compression;",
		$block eq 'stream' ? 'return "";' : () ] ]);
	$t->config_test();
	return $t->output();
}

###############################################################################
