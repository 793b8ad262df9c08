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

conf(join('', map { server(@$_) } @servers), server(8450, 'plain', 'return ok;'));
ok($t->config_test(), '3.6.0: accepted') or diag($t->output());
is(scalar(() = $t->output() =~ /^nginx: \[error\] .*?$told/mg), 1,
	'3.6.0: one line of http and stream') or diag($t->output());
$t->run();
for my $tls ('1.2', '1.3') {
	for my $port (8441, 8442, 8443, 8450) {
		my $seen = staple($port, tls => $tls);
		is("$seen->{handshake} $seen->{status}", '1 none',
			"3.6.0: no staple on $port, TLS $tls");
	}
}
ok($t->reload(), '3.6.0: a reload');
is(staple(8441)->{status}, 'none', '3.6.0: no staple after it');
$t->stop();

my $on = 'ocsp_plus_require on;';
for my $case ([ 'http', server(8441, 'plain', $on), '' ],
	[ 'stream', '', server(8450, 'plain', "$on return ok;") ])
{
	my ($block, $http, $stream) = @$case;
	conf($http, $stream);
	ok(!$t->config_test(), "3.6.0: require on is refused in $block");
	@lines = $t->output() =~ /^nginx: (\[emerg\] .*)$/mg;
	is(@lines, 1, "3.6.0: one line in $block");
	like($lines[0] // '', qr/"ocsp_plus_require\ on"\ would\ refuse\ every
		\ handshake\ .*OpenSSL\ 3\.6\.0.*\ in\ .*nginx\.conf:\d+$/x,
		"3.6.0: which says why and where in $block");
}

# the next one is stapled with

$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libwrapped_openssl.so'),
	WRAPPED_OPENSSL_VERSION => '0x30600010');
conf(join('', map { server(@$_) } @servers), server(8450, 'plain', 'return ok;'));
ok($t->config_test(), '3.6.1: accepted') or diag($t->output());
unlike($t->output(), qr/OpenSSL/, '3.6.1: not a word of it');
$t->run();
is(wait_staple($_, 'good')->{status}, 'good', "3.6.1: stapled on $_")
	for 8441, 8442, 8443, 8450;

$t->done_testing();

###############################################################################

sub conf {
	my ($http, $stream) = @_;
	$t->write_file_expand('nginx.conf', <<"CONF");

%%TEST_GLOBALS%%

events {
}

stream {
    ocsp_plus  on;
$stream
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus  on;
$http
}

CONF
}

sub server {
	my ($port, $name, $more) = @_;
	return <<"CONF";
    server {
        listen               127.0.0.1:$port ssl;
        ssl_protocols        TLSv1.2 TLSv1.3;
        ssl_certificate      $name.pem;
        ssl_certificate_key  $name.key;
        $more
    }
CONF
}

###############################################################################
