#!/usr/bin/perl

# Tests for responses that OpenSSL 3.6 and newer do not send: what is counted,
# required and logged is what clients get, with any version of OpenSSL.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Counters;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $selects = $t->feature('openssl 3.6');

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @names = qw/ plain mixed strict revoked spelling /;
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url(),
	$_ eq 'spelling' ? (issuer_printable => 1) : ()) } @names;
my %port = map { $names[$_] => 8443 + $_ } 0 .. $#names;
$r->set(fault => 'other_hash_first', leaf => $leaf{$_})
	for qw/ mixed strict revoked /;
$r->set(status => 'revoked', leaf => $leaf{revoked});

$t->write_conf(http => [ 'ocsp_plus on;', 'ssl_protocols TLSv1.2 TLSv1.3;',
	'log_format staple "$ssl_server_name $ocsp_plus_staple";',
	(map { [ $port{$_}, $leaf{$_}, "access_log $_.log staple;",
		$_ eq 'strict' ? 'ocsp_plus_require on;' : () ] } @names),
	[ 8080, undef, 'location / { ocsp_plus_status json; }' ] ]);
$t->run();
is(wait_staple($port{plain}, 'good', servername => 'plain.example')->{status},
	'good', 'a plain response is stapled');

###############################################################################

my $counters = Test::Nginx::Counters->new('/');
for my $tls ('1.2', '1.3') {
	for my $name (@names) {
		my $sent = !$selects || $name eq 'plain';
		my $seen = staple($port{$name}, servername => "$name.example",
			tls => $tls);
		my $status = !$sent ? $name eq 'strict' ? 'failed' : 'none'
			: $name eq 'revoked' ? 'revoked' : 'good';
		is($seen->{status} // 'none', $status, "TLS $tls, $name: "
			. ($sent ? 'a client gets it' : 'OpenSSL would not send it'));
		$counters->grew("TLS $tls, $name: and so it is counted",
			$sent ? 'stapled' : $name eq 'strict' ? 'refused'
				: 'missing', 1);
		$counters->look();
	}
}

my $says = qr/certificate="mixed\.example".*reason=not_sendable/;
is(scalar(() = $t->log_lines($says)) ? 1 : 0, $selects ? 1 : 0,
	'what OpenSSL would not send is logged as such');
is(scalar($t->log_lines(qr/\[notice\].*:\ 1\ of\ 5\ certificates
	\ write\ their\ issuer's\ name.*"spelling\.example"/x)), $selects ? 1 : 0,
	'one notice is of names in another spelling');
is(scalar($t->log_lines(
	qr/\[crit\].*CERTIFICATE IS REVOKED.*"revoked\.example"/)), 1,
	'a revocation is logged, sent or not');

# the command line judges by its own OpenSSL, or as newer ones would

my $file = $t->testdir() . '/mixed.der';
$t->write_file($file, $r->response($leaf{mixed}));
# nginx may have another OpenSSL linked into it
for my $option ('--sendable', $t->feature('shared_openssl') ? '' : ()) {
	my $run = $t->command([ $t->build_dir() . '/ocsp-plus', 'verify',
		'--cert', $leaf{mixed}->chain(), '--issuer', $int->cert(),
		'--response', $file, $option || () ]);
	my $refused = $option || $selects;
	is($run->{status}, $refused ? 1 : 0, 'ocsp-plus verify '
		. ($option || 'without --sendable') . ': the exit code');
	$refused ? like($run->{output}, qr/not_sendable/,
		'ocsp-plus verify says why')
		: unlike($run->{output}, qr/not_sendable/,
		'ocsp-plus verify does not mind');
}

$t->done_testing();
