#!/usr/bin/perl

# Tests for ocsp_plus_revoked: what each server of a certificate sends once a
# verified response says that it is revoked.

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
my $leaf = $int->leaf('example.com', aia => $r->url());

# default, staple, omit; as inherited from http

configure('');
$r->validity(this_update => -1000, next_update => 40);
$t->run();

my %sends = (8443 => 'revoked', 8444 => 'revoked', 8445 => 'none');

is(staple($_)->{status}, 'good',
	"$_: the good certificate is stapled") for sort keys %sends;
is(scalar(() = $r->requests()), 1,
	'three servers of a certificate take one request');

$r->status($leaf, 'revoked');
for my $port (sort keys %sends) {
	is(wait_staple($port, $sends{$port}, seconds => 25)->{status},
		$sends{$port},
		"$port: status $sends{$port} once the certificate is revoked");
}
for my $port (sort keys %sends) {
	for my $tls ('1.2', '1.3') {
		my $seen = staple($port, tls => $tls);
		is("$seen->{handshake} $seen->{status}", "1 $sends{$port}",
			"$port: status $sends{$port} over TLS $tls");
	}
	is(staple($port, status => 0)->{handshake}, 1,
		"$port: a client that does not ask is served");
}
my @lines = $t->log_lines(qr/REVOKED/);
like($lines[0] // '', qr/\[crit\].*status=revoked/,
	'the revocation is logged as critical');

# the good one is gone for good, also where it is left out

my @good = grep { defined } map { staple_fast(8445) } 1 .. 50;
is(scalar @good, 0,
	'a good response is never sent again where revocations are omitted');
my ($status) = map { staple($_)->{status} } 8443;
is($status, 'revoked',
	'a good response is not sent again where revocations are stapled');

# over a reload that changes it

configure('ocsp_plus_revoked  omit;');
ok($t->reload(old_gone => 1), 'a reload with omit in http succeeds');
is(staple($_)->{status}, $_ == 8444 ? 'revoked' : 'none',
	"$_: a server's own ocsp_plus_revoked wins after the reload") for sort keys %sends;

# and a restart, from the cache directory

$r->fault('refuse');
$t->restart();
is(staple($_)->{status}, $_ == 8444 ? 'revoked' : 'none',
	"$_: the restart sends the same status from the cache") for sort keys %sends;

# taken back by what is newer alone

$r->fault('none');
$r->status($leaf, 'good');
$r->validity(this_update => -1, next_update => 40);
is(wait_staple($_, 'good', seconds => 25)->{status}, 'good',
	"$_: a newer good response is stapled") for sort keys %sends;

$t->done_testing();

###############################################################################

sub configure {
	my ($lines) = @_;
	$t->write_conf(workers => 2, http => [ 'ssl_protocols TLSv1.2 TLSv1.3;',
		'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;', $lines,
		[ 8443, $leaf ],
		[ 8444, $leaf, 'ocsp_plus_revoked staple;' ],
		[ 8445, $leaf, 'ocsp_plus_revoked omit;' ] ]);
}

###############################################################################
