#!/usr/bin/perl

# Tests for HTTP/3: the handshake inside of QUIC carries the staple, and its
# variables tell of it.  For nginx built with it; Debian's is not.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl http_v3 /)
	->has_daemon('gtlsclient');

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
$int->leaf('good.example', aia => $r->url(1));
$int->leaf('none.example', aia => $r->url(2));
$r->fault('http_500', on => 2);

$t->write_conf(http => [ 'log_format staple '
	. q{'$server_protocol $ssl_server_name $ocsp_plus_staple';},
	'access_log %%TESTDIR%%/staple.log staple;', 'ocsp_plus on;',
	map { [ '8443 quic', "$_.example" ] } qw/ good none / ]);

$t->run();

###############################################################################

my ($port) = $t->read_file('nginx.conf') =~ /127\.0\.0\.1:(\d+) quic/;

like(quic('good.example'), qr/Found OCSP response on cert 0/,
	'HTTP/3: a client gets the staple');
unlike(quic('none.example'), qr/Found OCSP response/,
	'HTTP/3: a client gets no staple where none is held');

is($t->read_file('staple.log'),
	"HTTP/3.0 good.example sent\nHTTP/3.0 none.example none\n",
	'HTTP/3: the variables tell whether a staple was sent');

$t->done_testing();

###############################################################################

# what GnuTLS says of the handshake

sub quic {
	my ($name) = @_;
	local $ENV{GNUTLS_DEBUG_LEVEL} = 4;
	return $t->command([ 'gtlsclient', '--exit-on-all-streams-close',
		'--no-quic-dump', '--timeout=20s', "--sni=$name", '127.0.0.1', $port,
		"https://$name:$port/" ])->{output};
}

###############################################################################
