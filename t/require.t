#!/usr/bin/perl

# Tests for ocsp_plus_require: what a handshake gets when its client asks for a
# status and there is none; and the configurations that could only refuse.

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
my %leaf = (plain => $int->leaf('plain', aia => $r->url()),
	must => $int->leaf('must', aia => $r->url(), must_staple => 1),
	silent => $int->leaf('silent'),
	silent_must => $int->leaf('silent_must', must_staple => 1),
	alone => $int->leaf('alone', aia => $r->url(), chain => 0),
	revoked => $int->leaf('revoked', aia => $r->url()));

# port, certificate, lines of the server, whether it refuses

my $require = 'ocsp_plus_require';
my @servers = (
	[ 8441, 'plain', '', 0 ],
	[ 8442, 'plain', "$require off;", 0 ],
	[ 8443, 'plain', "$require must_staple;", 0 ],
	[ 8444, 'plain', "$require on;", 1 ],
	[ 8445, 'must', '', 0 ],
	[ 8446, 'must', "$require off;", 0 ],
	[ 8447, 'must', "$require must_staple;", 1 ],
	[ 8448, 'must', "$require on;", 1 ],
);

$r->fault('unauthorized');
configure('', @servers);
$t->run();

###############################################################################

# no staple

for my $server (@servers) {
	my ($port, $name, $lines, $refuses) = @$server;
	my $what = "$name, " . ($lines || 'default');
	for my $tls ('1.2', '1.3') {
		my $seen = staple($port, tls => $tls);
		is("$seen->{handshake} $seen->{status} "
			. ($seen->{alert} // '-'),
			$refuses ? '0 failed 80' : '1 none -',
			"$what: a client that asks is "
			. ($refuses ? 'refused' : 'served') . " over TLS $tls") or diag($seen->{output});
		$seen = staple($port, tls => $tls, status => 0);
		is($seen->{handshake}, 1,
			"$what: a client that does not ask is served over TLS $tls");
	}
}

# one line a minute, with the number

handshake_fast(8444) for 1 .. 50;
my @lines = $t->log_lines(qr/handshake refused/);
is(scalar @lines, 1, 'fifty refused handshakes are logged as one line');
like($lines[0] // '', qr/\[error\].*there\ is\ no\ valid\ response\ and
	\ "ocsp_plus_require"\ demands\ one:\ certificate="plain"
	\ refused=1$/x,
	'the line about refused handshakes has certificate and number');

# recovery

$r->fault('none');
for my $server (@servers) {
	my ($port, $name, $lines) = @$server;
	my $seen = wait_staple($port, 'good', seconds => 20);
	is("$seen->{handshake} $seen->{status}", '1 good',
		"$name, "
		. ($lines || 'default') . ': a handshake is stapled once the responder answers');
}
is(scalar(grep { !handshake_fast(8448)->{ok} } 1 .. 20), 0,
	'no handshake is refused once the responder answers');
$t->stop();

###############################################################################

# a staple that says revoked counts, one that is held back does not; nor is
# unknown one

$r->status($leaf{revoked}, 'revoked');
$r->status($leaf{plain}, 'unknown');
configure("$require on;", [ 8441, 'revoked', '' ],
	[ 8442, 'revoked', 'ocsp_plus_revoked omit;' ], [ 8443, 'plain', '' ],
	[ 8444, 'plain', "$require off;" ]);
system('rm', '-rf', $t->testdir() . '/cache');
$t->run();
my $seen = staple(8441);
is("$seen->{handshake} $seen->{status}", '1 revoked',
	'a staple that says revoked satisfies ocsp_plus_require');
$seen = staple(8442);
is("$seen->{handshake} " . ($seen->{alert} // ''), '0 80',
	'ocsp_plus_revoked omit does not satisfy ocsp_plus_require');
is(staple(8442, status => 0)->{handshake}, 1,
	'a client that does not ask is served in spite of ocsp_plus_require');
is(staple(8443)->{alert}, 80,
	'an answer that says unknown does not satisfy ocsp_plus_require');
is(staple(8444)->{status}, 'none',
	'a server can switch off an inherited ocsp_plus_require');
$t->stop();

###############################################################################

# configurations that could only refuse

my $responder = 'ocsp_plus_responder ' . $r->url() . ';';
my $trusted = 'ocsp_plus_trusted_certificate int.crt;';
my $never = qr/"ocsp_plus_require"\ would\ refuse\ every\ handshake\ that\ asks
	\ for\ the\ status\ of\ certificate/x;
my $silent = qr/it names no OCSP responder, name one with "ocsp_plus_responder"/;
my $lone = qr/no\ issuer\ was\ found,\ append\ it\ to\ "ssl_certificate"\ or
	\ name\ it\ in\ "ocsp_plus_trusted_certificate"/x;
my @refused = (
	[ 'a certificate without responder',
		$silent, [ 8443, 'silent', "$require on;" ] ],
	[ 'a Must-Staple certificate without responder', $silent,
		[ 8443, 'silent_must', "$require must_staple;" ] ],
	[ 'a certificate without issuer',
		$lone, [ 8443, 'alone', "$require on;" ] ],
	[ 'one server of two without responder', $silent, [ 8442, 'silent', '' ],
		[ 8443, 'silent', "$require on;" ] ],
);
my @accepted = (
	[ 'must_staple without Must-Staple',
		[ 8443, 'silent', "$require must_staple;" ] ],
	[ 'require off with Must-Staple',
		[ 8443, 'silent_must', "$require off;" ] ],
	[ 'a configured responder', [ 8443, 'silent', "$require on; $responder" ] ],
	[ "a later server's responder", [ 8442, 'silent', "$require on;" ],
		[ 8443, 'silent', $responder ] ],
	[ 'a configured file',
		[ 8443, 'silent', "$require on; ocsp_plus_file x.der;" ] ],
	[ "a later server's file", [ 8442, 'silent', "$require on;" ],
		[ 8443, 'silent', 'ocsp_plus_file x.der;' ] ],
	[ 'a trusted issuer', [ 8443, 'alone', "$require on; $trusted" ] ],
	[ "a later server's issuer", [ 8442, 'alone', "$require on;" ],
		[ 8443, 'alone', $trusted ] ],
	[ 'ocsp_plus off', [ 8443, 'silent', "$require on; ocsp_plus off;" ] ],
);
for my $case (@refused) {
	my ($what, $why, @list) = @$case;
	configure('', @list);
	ok(!$t->config_test(), "$what: the configuration is refused");
	my @said = $t->output() =~ /^(nginx: \[emerg\] .*)$/mg;
	is(scalar @said, 1,
		"$what: one message is printed") or diag($t->output());
	like($said[0] // '', qr/$never "$list[-1][1]".*: $why in/,
		"$what: the message says why");
	my ($line) = ($said[0] // '') =~ /nginx\.conf:(\d+)$/;
	my @text = split /\n/, $t->read_file('nginx.conf');
	my ($next) = grep { /require/ } @text[($line // 1) - 1 .. $#text];
	like($next // '', qr/(?:on|must_staple);/,
		"$what: the message names the line of the server");
}
for my $case (@accepted) {
	my ($what, @list) = @$case;
	configure('', @list);
	ok($t->config_test(),
		"$what: the configuration is accepted") or diag($t->output());
}

# a reload to one of them is refused, and changes nothing

configure('', [ 8444, 'must', "$require on;" ]);
$t->run();
is(wait_staple(8444, 'good', seconds => 20)->{status}, 'good',
	'a required certificate is stapled');
configure('', [ 8444, 'must', "$require on;" ],
	[ 8443, 'silent', "$require on;" ]);
ok(!$t->reload(refused => 1),
	'a reload to a configuration that can only refuse is refused');
is(staple(8444)->{status}, 'good',
	'the old configuration serves after the refused reload');

$t->done_testing();

###############################################################################

sub configure {
	my ($lines, @list) = @_;
	my $off = grep { $_->[2] =~ /ocsp_plus off/ } @list;
	$t->write_conf(http => [ 'ssl_protocols TLSv1.2 TLSv1.3;',
		$off ? () : 'ocsp_plus on;', 'ocsp_plus_startup_wait 1s;',
		'ocsp_plus_retry 1s 1s;', $lines,
		map { [ @$_[0 .. 2] ] } @list ]);
}

###############################################################################
