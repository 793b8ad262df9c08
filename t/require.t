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
write_conf('', @servers);
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
			"$what: TLS $tls") or diag($seen->{output});
		$seen = staple($port, tls => $tls, status => 0);
		is($seen->{handshake}, 1,
			"$what: TLS $tls by who does not ask");
	}
}

# one line a minute, with the number

handshake_fast(8444) for 1 .. 50;
my @lines = $t->log_lines(qr/handshake refused/);
is(scalar @lines, 1, 'one line for all of them');
like($lines[0] // '', qr/\[error\].*no\ valid\ response\ is\ held\ and
	\ "ocsp_plus_require"\ demands\ one:\ certificate="plain"
	\ refused=1$/x, 'it names certificate and number');

# recovery

$r->fault('none');
for my $server (@servers) {
	my ($port, $name, $lines) = @$server;
	my $seen = wait_staple($port, 'good', seconds => 20);
	is("$seen->{handshake} $seen->{status}", '1 good',
		"$name, " . ($lines || 'default') . ': after recovery');
}
is(scalar(grep { !handshake_fast(8448)->{ok} } 1 .. 20), 0,
	'no handshake is refused');
$t->stop();

###############################################################################

# a staple that says revoked counts, one that is held back does not; nor is
# unknown one

$r->status($leaf{revoked}, 'revoked');
$r->status($leaf{plain}, 'unknown');
write_conf("$require on;", [ 8441, 'revoked', '' ],
	[ 8442, 'revoked', 'ocsp_plus_revoked omit;' ], [ 8443, 'plain', '' ],
	[ 8444, 'plain', "$require off;" ]);
system('rm', '-rf', $t->testdir() . '/cache');
$t->run();
my $seen = staple(8441);
is("$seen->{handshake} $seen->{status}", '1 revoked',
	'revoked counts as sent');
$seen = staple(8442);
is("$seen->{handshake} " . ($seen->{alert} // ''), '0 80',
	'revoked that is held back does not');
is(staple(8442, status => 0)->{handshake}, 1, 'unless nobody asks');
is(staple(8443)->{alert}, 80, 'unknown is none');
is(staple(8444)->{status}, 'none', 'inherited, and taken back in a server');
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
	[ 'no responder', $silent, [ 8443, 'silent', "$require on;" ] ],
	[ 'no responder, Must-Staple', $silent,
		[ 8443, 'silent_must', "$require must_staple;" ] ],
	[ 'no issuer', $lone, [ 8443, 'alone', "$require on;" ] ],
	[ 'one server of two', $silent, [ 8442, 'silent', '' ],
		[ 8443, 'silent', "$require on;" ] ],
);
my @accepted = (
	[ 'not Must-Staple', [ 8443, 'silent', "$require must_staple;" ] ],
	[ 'Must-Staple, but off', [ 8443, 'silent_must', "$require off;" ] ],
	[ 'a responder', [ 8443, 'silent', "$require on; $responder" ] ],
	[ 'of a later server', [ 8442, 'silent', "$require on;" ],
		[ 8443, 'silent', $responder ] ],
	[ 'a file', [ 8443, 'silent', "$require on; ocsp_plus_file x.der;" ] ],
	[ 'of a later one', [ 8442, 'silent', "$require on;" ],
		[ 8443, 'silent', 'ocsp_plus_file x.der;' ] ],
	[ 'an issuer', [ 8443, 'alone', "$require on; $trusted" ] ],
	[ 'of a later server, too', [ 8442, 'alone', "$require on;" ],
		[ 8443, 'alone', $trusted ] ],
	[ 'not enabled', [ 8443, 'silent', "$require on; ocsp_plus off;" ] ],
);
for my $case (@refused) {
	my ($what, $why, @list) = @$case;
	write_conf('', @list);
	ok(!$t->config_test(), "$what: refused");
	my @said = $t->output() =~ /^(nginx: \[emerg\] .*)$/mg;
	is(scalar @said, 1, "$what: one message") or diag($t->output());
	like($said[0] // '', qr/$never "$list[-1][1]".*: $why in/,
		"$what: why");
	my ($line) = ($said[0] // '') =~ /nginx\.conf:(\d+)$/;
	my @text = split /\n/, $t->read_file('nginx.conf');
	my ($next) = grep { /require/ } @text[($line // 1) - 1 .. $#text];
	like($next // '', qr/(?:on|must_staple);/, "$what: where");
}
for my $case (@accepted) {
	my ($what, @list) = @$case;
	write_conf('', @list);
	ok($t->config_test(), "$what: accepted") or diag($t->output());
}

# a reload to one of them is refused, and changes nothing

write_conf('', [ 8444, 'must', "$require on;" ]);
$t->run();
is(wait_staple(8444, 'good', seconds => 20)->{status}, 'good', 'it runs');
write_conf('', [ 8444, 'must', "$require on;" ],
	[ 8443, 'silent', "$require on;" ]);
ok(!$t->reload(refused => 1), 'a reload to such a configuration is refused');
is(staple(8444)->{status}, 'good', 'the old one goes on');

$t->done_testing();

###############################################################################

sub write_conf {
	my ($lines, @list) = @_;
	my $off = grep { $_->[2] =~ /ocsp_plus off/ } @list;
	$t->write_conf(http => [ 'ssl_protocols TLSv1.2 TLSv1.3;',
		$off ? () : 'ocsp_plus on;', 'ocsp_plus_startup_wait 1s;',
		'ocsp_plus_retry 1s 1s;', $lines,
		map { [ @$_[0 .. 2] ] } @list ]);
}

###############################################################################
