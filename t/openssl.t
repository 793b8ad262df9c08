#!/usr/bin/perl

# Two OpenSSLs in one process: refused at configuration, with one line that
# names both.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
plan(skip_all => 'AddressSanitizer wants to be the first of all libraries')
	if $ENV{OCSP_PLUS_SANITIZE};

my $root = Test::Nginx::CA->new($t);
my $leaf = $root->leaf('example.com');
my $second = Test::Nginx::Config::tool('libsecond_openssl.so');

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus on;

    server {
        listen               127.0.0.1:8443 ssl;
        ssl_certificate      example.com.pem;
        ssl_certificate_key  example.com.key;
    }
}

EOF

###############################################################################

ok($t->config_test(), 'one OpenSSL');
unlike($t->output(), qr/OpenSSL/, 'and not a word of it');

$t->env(LD_PRELOAD => $second);
ok(!$t->config_test(), 'two OpenSSLs are refused');
# standard error and the error log that nginx was built with may be the same
my @lines = grep { /OpenSSLs/ && /^nginx: / } split /\n/, $t->output();
is(@lines, 1, 'with one line');
like($lines[0] // '', qr/\[emerg\].*two\ OpenSSLs\ are\ in\ this\ process:\ .*
	libcrypto\.so/x, 'which says so');
like($lines[0] // '', qr/\Q$second\E/, 'and names the second one');

$t->done_testing();

###############################################################################
