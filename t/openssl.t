#!/usr/bin/perl

# Two OpenSSLs in one process: refused at configuration, with one line that
# names both.  OpenSSL 3.6.0: nothing is stapled, said in one line.

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

my $root = Test::Nginx::CA->new($t);
my $leaf = $root->leaf('example.com');
my $second = Test::Nginx::Config::tool('libsecond_openssl.so');

$t->write_conf(http => [ 'ocsp_plus on;', [ 8443, $leaf ] ]);

###############################################################################

ok($t->config_test(), 'one OpenSSL in the process is accepted');
unlike($t->output(), qr/OpenSSL/,
	'one OpenSSL in the process is not mentioned');

$t->env(LD_PRELOAD => $second);
ok(!$t->config_test(), 'two OpenSSLs in the process are refused');
# standard error and the error log that nginx was built with may be the same
my @lines = grep { /OpenSSLs/ && /^nginx: / } split /\n/, $t->output();
is(@lines, 1, 'two OpenSSLs give one message');
like($lines[0] // '', qr/\[emerg\].*two\ OpenSSLs\ are\ in\ this\ process:\ .*
	libcrypto\.so/x,
	'the message says that two OpenSSLs are in the process');
like($lines[0] // '', qr/\Q$second\E/, 'the message names the second OpenSSL');

# --- 3.6.0 --------------------------------------------------------------------

my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $plain = $int->leaf('plain.example', file => 'plain', aia => $r->url());
$int->leaf('must.example', file => 'must', aia => $r->url(), must_staple => 1);
$t->write_file('plain.der', $r->response($plain));
$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libwrapped_openssl.so'),
	WRAPPED_OPENSSL_VERSION => '0x30600000');
my $told = qr/ocsp_plus:\ nothing\ is\ stapled\ at\ all:.*
	OpenSSL\ 3\.6\.0.*upgrade\ OpenSSL\ to\ 3\.6\.1\ or\ newer/x;
my @servers = ([ 8441, 'plain', '' ],
	[ 8442, 'plain', "ssl_stapling on; ssl_stapling_file plain.der;" ],
	[ 8443, 'must', 'ocsp_plus_require must_staple;' ]);

configure(\@servers, [ [ 8450, 'plain', 'return ok;' ] ]);
ok($t->config_test(), 'OpenSSL 3.6.0 is accepted') or diag($t->output());
is(scalar(() = $t->output() =~ /^nginx: \[error\] .*?$told/mg), 1,
	'OpenSSL 3.6.0 gives one error line for http and stream') or diag($t->output());
$t->run();
for my $tls ('1.2', '1.3') {
	for my $port (8441, 8442, 8443, 8450) {
		my $seen = staple($port, tls => $tls);
		is("$seen->{handshake} $seen->{status}", '1 none',
			"OpenSSL 3.6.0: no staple on $port, TLS $tls");
	}
}
ok($t->reload(), 'OpenSSL 3.6.0: a reload succeeds');
is(staple(8441)->{status}, 'none', 'OpenSSL 3.6.0: no staple after a reload');
$t->stop();

my $on = 'ocsp_plus_require on;';
for my $case ([ 'http', [ [ 8441, 'plain', $on ] ], [] ],
	[ 'stream', [], [ [ 8450, 'plain', "$on return ok;" ] ] ])
{
	my ($block, $http, $stream) = @$case;
	configure($http, $stream);
	ok(!$t->config_test(),
		"OpenSSL 3.6.0: ocsp_plus_require on is refused in $block");
	@lines = $t->output() =~ /^nginx: (\[emerg\] .*)$/mg;
	is(@lines, 1,
		"OpenSSL 3.6.0: one message about ocsp_plus_require in $block");
	like($lines[0] // '', qr/"ocsp_plus_require\ on"\ would\ refuse\ every
		\ handshake\ .*OpenSSL\ 3\.6\.0.*\ in\ .*nginx\.conf:\d+$/x,
		"OpenSSL 3.6.0: the message has cause and line in $block");
}

# the next one is stapled with

$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libwrapped_openssl.so'),
	WRAPPED_OPENSSL_VERSION => '0x30600010');
configure(\@servers, [ [ 8450, 'plain', 'return ok;' ] ]);
ok($t->config_test(), 'OpenSSL 3.6.1 is accepted') or diag($t->output());
unlike($t->output(), qr/OpenSSL/, 'OpenSSL 3.6.1 is not mentioned');
$t->run();
is(wait_staple($_, 'good')->{status}, 'good',
	"OpenSSL 3.6.1: the certificate is stapled on $_")
	for 8441, 8442, 8443, 8450;

$t->done_testing();

###############################################################################

sub configure {
	my ($http, $stream) = @_;
	my @both = ('ocsp_plus on;', 'ssl_protocols TLSv1.2 TLSv1.3;');
	$t->write_conf(http => [ @both, @$http ], stream => [ @both, @$stream ]);
}

###############################################################################
