#!/usr/bin/perl

# Tests for nginx's built-in stapling next to ocsp_plus: it goes on where
# ocsp_plus is off, and gives way where both are on.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @aia = (aia => $r->url());

my $off = $int->leaf('off.example', @aia);
my $both = $int->leaf('both.example', @aia);
my $shared = $int->leaf('shared.example', @aia);

# responses of the day before, for stapling from a file

$r->validity(this_update => -86400);
for my $leaf ($off, $both) {
	$t->command([ 'openssl', 'ocsp', '-issuer', $int->cert(), '-cert',
		$leaf->cert(), '-url', $r->url(), '-no_nonce', '-noverify',
		'-respout', $t->testdir() . '/' . $leaf->name() . '.der' ]);
}
$r->reset();
$r->clear();

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus     on;
    ssl_stapling  on;

    # the built-in one alone

    server {
        listen               127.0.0.1:8443 ssl;
        ssl_certificate      off.example.pem;
        ssl_certificate_key  off.example.key;
        ssl_stapling_file    off.example.der;
        ocsp_plus            off;
    }

    server {
        listen               127.0.0.1:8444 ssl;
        ssl_certificate      off.example.pem;
        ssl_certificate_key  off.example.key;
        ocsp_plus            off;
    }

    # both

    server {
        listen               127.0.0.1:8445 ssl;
        ssl_certificate      both.example.pem;
        ssl_certificate_key  both.example.key;
        ssl_stapling_file    both.example.der;
    }

    server {
        listen                   127.0.0.1:8446 ssl;
        ssl_certificate          both.example.pem;
        ssl_certificate_key      both.example.key;
        ssl_stapling_verify      on;
        ssl_stapling_responder   http://127.0.0.1:8082/;
        ssl_trusted_certificate  root.crt;
    }

    # one certificate, in one server so and in the other so

    server {
        listen               127.0.0.1:8447 ssl;
        ssl_certificate      shared.example.pem;
        ssl_certificate_key  shared.example.key;
    }

    server {
        listen               127.0.0.1:8448 ssl;
        ssl_certificate      shared.example.pem;
        ssl_certificate_key  shared.example.key;
        ocsp_plus            off;
    }

    # neither

    server {
        listen               127.0.0.1:8449 ssl;
        ssl_certificate      shared.example.pem;
        ssl_certificate_key  shared.example.key;
        ocsp_plus            off;
        ssl_stapling         off;
    }
}

EOC

my $conf = $t->read_file('nginx.conf');
$t->run();

###############################################################################

my $yesterday = time() - 80000;

# where it is off

my $seen = staple(8443);
is(said($seen), 'good ' . $off->serial(), 'built-in stapling from a file');
cmp_ok($seen->{this_update}, '<', $yesterday, 'which is what it staples');
is($r->requests(leaf => $off), 0, 'nobody is asked for that');

is(said(wait_staple(8444, 'good', seconds => 30)), 'good ' . $off->serial(),
	'built-in stapling from a responder');
is($r->requests(leaf => $off), 1, 'asked by nginx itself');

is(staple(8449)->{status}, 'none', 'neither of them');

# where both are on

$seen = wait_staple(8445, 'good', seconds => 30);
is(said($seen), 'good ' . $both->serial(), 'both are on');
cmp_ok($seen->{this_update} // 0, '>', $yesterday, 'and it is not the file');
is(said(wait_staple(8446, 'good', seconds => 30)), 'good ' . $both->serial(),
	'both are on, with a responder');
is(staple(8446)->{status}, 'good', 'again');
is($r->requests(leaf => $both), 1, 'the built-in one asks nobody');

# the same certificate here and there

is(said(wait_staple(8447, 'good', seconds => 30)), 'good ' . $shared->serial(),
	'a certificate where it is on');
is(said(wait_staple(8448, 'good', seconds => 30)), 'good ' . $shared->serial(),
	'and where the built-in one staples it');
is($r->requests(leaf => $shared), 2, 'two requests, each made its own');

# what was said

my @lines = $t->log_lines(qr/\[warn\].*"ssl_stapling"/);
is(scalar @lines, 1, 'one warning for all servers');
like($lines[0] // '', qr/is ignored where "ocsp_plus" is on.*nginx\.conf:\d+/,
	'that says so and where');
my ($number) = ($lines[0] // '') =~ /nginx\.conf:(\d+)/;
like(join("\n", (split /\n/, $conf)[($number // 1) - 1 .. ($number // 1) + 1]),
	qr/server \{\s+listen.*\s+ssl_certificate +both/,
	'the first of those servers');

$conf =~ s/ssl_stapling  on;//;
$t->write_file('nginx.conf', $conf);
ok($t->config_test(), 'without ssl_stapling');
unlike($t->output(), qr/has taken over/, 'there is nothing to say');

$t->done_testing();

###############################################################################

sub said {
	my ($seen) = @_;
	return "$seen->{status} " . ($seen->{serial} // '');
}

###############################################################################
