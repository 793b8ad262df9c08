#!/usr/bin/perl

# Tests for "ocsp_plus_certid": responders that know CertIDs by one hash only.

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

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ]);
$r->set(accept_hash => 'sha256', on => 1);
$r->set(accept_hash => 'sha1', on => 2);
$r->fault('unauthorized', on => 3);

my %leaf = (
	sha256 => $int->leaf('sha256.example', aia => $r->url(1)),
	again => $int->leaf('again.example', aia => $r->url(1)),
	sha1 => $int->leaf('sha1.example', aia => $r->url(2)),
	neither => $int->leaf('neither.example', aia => $r->url(3)),
);

###############################################################################

# by default only SHA-1 is asked for

configure('', qw/ sha256 sha1 /);
$t->run();
ok(wait_for(sub { staple_fast(8443, 'sha1.example') }, 15, 'a staple'),
	'sha1: a certificate whose responder knows SHA-1 is stapled');
like($t->wait_log(qr/no response.*"sha256\.example"/, 15) // '',
	qr/ reason=unauthorized /,
	'sha1: a responder that knows only SHA-256 refuses');
is(staple_fast(8443, 'sha256.example'), undef,
	'sha1: a refused certificate is not stapled');
is(hashes(1), 'sha1', 'sha1: no SHA-256 request is sent by default');

# auto

$t->stop();
$r->clear();
my $mark = $t->log_mark();
configure('ocsp_plus_certid auto;', qw/ sha256 sha1 neither /);
$t->run();
for my $name (qw/ sha256 sha1 /) {
	my $seen = wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name");
	ok($seen && index($seen, pack 'H*', $leaf{$name}->serial()) > 0,
		"auto: $name.example is stapled");
}
is(hashes(1), 'sha1 sha256', 'auto: SHA-256 is tried where SHA-1 was refused');
is(hashes(2), 'sha1', 'auto: SHA-256 is not tried where SHA-1 was answered');
like($t->wait_log(qr/no response.*"neither\.example"/, 15, $mark) // '',
	qr/ reason=unauthorized /,
	'auto: a certificate unknown by either hash is logged as unauthorized');
like(hashes(3), qr/^sha1 sha256\b/,
	'auto: an unknown certificate is asked for by both hashes');

# the host's answer is remembered: its next certificate is asked for by it

$t->stop();
$r->clear();
configure('ocsp_plus_certid auto;', qw/ sha256 again /);
$t->run();
for my $name (qw/ sha256 again /) {
	ok(wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name"),
		"auto: $name.example is stapled after a restart");
}
is(hashes(1), 'sha1 sha256 sha256',
	'auto: the hash that a host answers is used for its next certificate');

$t->done_testing();

###############################################################################

sub hashes {
	my ($on) = @_;
	return join ' ', map { $_->{hash} } $r->requests(on => $on);
}

sub configure {
	my ($line, @names) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_cache off;',
		'ocsp_plus_startup_wait 0;', 'ocsp_plus_retry 1m 1h;', $line,
		map { [ 8443, $_ ] } @leaf{@names} ]);
}

###############################################################################
