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

like(configured('http', 'on', 'on'), $refused, 'http');
like(configured('stream', 'on', 'on'), $refused, 'stream');
like(configured($_, 'on', 'off'), qr/test is successful/, "$_, off beside on")
	for qw/ http stream /;
like(configured($_, 'off', 'on'), qr/test is successful/, "$_, on beside off")
	for qw/ http stream /;

$t->done_testing();

###############################################################################

sub configured {
	my ($block, $ours, $compression) = @_;

	my $globals = $block eq 'http' ? '%%TEST_GLOBALS_HTTP%%' : '';
	my $content = $block eq 'http' ? '' : 'return "";';

	$t->write_file_expand('nginx.conf', <<"EOC");
%%TEST_GLOBALS%%

events {
}

$block {
    $globals

    server {
        listen               127.0.0.1:8443 ssl;
        ssl_certificate      example.com.pem;
        ssl_certificate_key  example.com.key;

        ocsp_plus                    $ours;
        ssl_certificate_compression  $compression;
        $content
    }
}
EOC
	$t->config_test();
	return $t->output();
}

###############################################################################
