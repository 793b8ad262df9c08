#!/usr/bin/perl

# Tests for OpenSSL's queue of errors: the status callback leaves it as it found
# it, empty or not, whatever it comes to.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl stream_ssl shared_openssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my %leaf = map { $_ => $int->leaf("$_.example", file => $_, aia => $r->url()) }
	qw/ good revoked stranger lonely /;
$leaf{must} = $int->leaf('must.example', file => 'must', aia => $r->url(),
	must_staple => 1);
$leaf{silent} = $int->leaf('silent.example', file => 'silent');
$leaf{odd} = $int->leaf('odd.example', file => 'odd', aia => $r->url(),
	raw_not_after => '290229000000Z');
chmod 0644, map { $_->key() } values %leaf;
$r->status($leaf{revoked}, 'revoked');
$r->fault('garbage', leaf => $leaf{must});

my $dir = $t->testdir();
my $require = 'ocsp_plus_require';

# port, certificate, more lines, what a handshake comes to
my @servers = (
	[ 8441, 'good', '', '1 good' ],
	[ 8442, 'revoked', '', '1 revoked' ],
	[ 8443, 'revoked', 'ocsp_plus_revoked omit;', '1 none' ],
	[ 8444, 'silent', '', '1 none' ],
	[ 8445, 'must', "$require must_staple;", '0 failed' ],
	[ 8446, 'odd', '', '1 none' ],
);
my @common = ('ocsp_plus on;', 'ocsp_plus_trusted_certificate int.crt;',
	'ssl_protocols TLSv1.2 TLSv1.3;');
my $any = "$dir/\$ssl_server_name";
$t->write_conf(
	stream => [ @common, [ 8450, "$dir/good", 'return ok;' ],
		[ 8451, $any, 'return ok;' ] ],
	http => [ @common, 'ocsp_plus_startup_wait 1s;', 'ocsp_plus_retry 1s 1s;',
		(map { [ $_->[0], "$dir/$_->[1]", $_->[2] ] } @servers),
		[ 8447, $any ], [ 8448, $any, "$require on;" ],
		[ 8449, $any, "$require must_staple;" ] ]);

my $log = $t->write_file('queue.log', '');
chmod 0666, $log;
$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libwrapped_openssl.so'),
	WRAPPED_OPENSSL_LOG => $log);
$t->run();

###############################################################################

my $calls = 0;
for my $server (@servers, [ 8450, 'good', '', '1 good' ]) {
	my ($port, $name, $lines, $outcome) = @$server;
	wait_staple($port, $1, seconds => 20) if $outcome =~ /^1 (good|revoked)/;
	for my $tls ('1.2', '1.3', '1.2') {
		my $seen = staple($port, tls => $tls);
		is("$seen->{handshake} $seen->{status}", $outcome,
			"$name on $port, TLS $tls: the handshake gives $outcome");
	}
	same("$name on $port", 3);
}

# loaded per connection: unknown, known, refused, not to be described

for my $case ([ 8447, 'stranger', qr/^good$/ ], [ 8447, 'odd', qr/^none$/ ],
	[ 8448, 'lonely', qr/^good$/ ], [ 8449, 'must', qr/^failed$/ ],
	[ 8449, 'silent', qr/^none$/ ], [ 8448, 'silent', qr/^failed$/ ],
	[ 8451, 'revoked', qr/^revoked$/ ])
{
	my ($port, $name, $status) = @$case;
	for my $tls ('1.2', '1.3', '1.2', '1.3') {
		staple($port, servername => $name, tls => $tls);
	}
	like(wait_staple($port, $status, servername => $name)->{status}, $status,
		"a certificate loaded per connection, $name on $port, gets its status");
	same("$name on $port", 5);
}

# a hello that is repeated calls it twice

staple(8441, curves => 'P-521:P-256') for 1, 2;
same('a handshake with a repeated hello', 2);

# staples of CA certificates: without memory for them, and with an OpenSSL that
# does not take them after all, the leaf's alone is sent

my $root = Test::Nginx::CA->new($t, 'chain-root');
my $outer = $root->intermediate('chain-outer', aia => $r->url());
my $chained = $outer->leaf('chained.example', aia => $r->url());
$r->add_ca($_) for $root, $outer;
$t->write_file('chained.pem', $t->read_file($chained->chain())
	. $t->read_file($root->cert()));
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_chain on;',
	'ocsp_plus_cache off;', 'ssl_protocols TLSv1.2 TLSv1.3;',
	[ '8441 ssl', undef, 'ssl_certificate chained.pem;',
		'ssl_certificate_key ' . $chained->key() . ';' ],
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);
for my $fails (qw/ stack response nothing /) {
	$t->stop();
	$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libwrapped_openssl.so'),
		WRAPPED_OPENSSL_LOG => $log, WRAPPED_OPENSSL_FAILS => $fails,
		WRAPPED_OPENSSL_VERSION => '0x30600010');
	$t->run();
	ok(wait_for(sub {
		return 2 == grep { $_->{state} eq 'valid' }
			@{http_json('/')->{certificates}};
	}, 20), "chain, $fails fails: both responses are there");
	my $most = $fails eq 'nothing' && $t->feature('openssl 3.6') ? 2 : 1;
	# on TLS 1.2 the first stack would be OpenSSL's own
	for my $tls (map { $fails eq 'stack' ? '1.3' : $_ }
		'1.2', '1.3', '1.2', '1.3', '1.3')
	{
		my $seen = staple(8441, tls => $tls);
		is(scalar(grep { $_ eq 'good' } @{$seen->{statuses}}),
			$tls eq '1.3' ? $most : 1,
			"chain, $fails fails, TLS $tls: the leaf's staple is sent");
	}
	same("a chain, $fails fails", 5);
	is(http_json('/')->{handshakes}{chain_stapled}, $most > 1 ? 3 : 0,
		"chain, $fails fails: and so it is counted");
}

$t->done_testing();

###############################################################################

# What the callbacks since the last time left behind, both where the queue was
# empty and where it was not.
sub same {
	my ($what, $least) = @_;
	my @lines = split /\n/, $t->read_file('queue.log');
	splice @lines, 0, $calls;
	$calls += @lines;
	cmp_ok(scalar(@lines), '>=', $least,
		"$what: the status callback was called");
	my %seen = map { $_ => 1 } @lines;
	is(join(', ', sort keys %seen), 'empty same, queued same',
		"$what: the status callback leaves the error queue unchanged");
}

###############################################################################
