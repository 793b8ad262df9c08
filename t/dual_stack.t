#!/usr/bin/perl

# Tests for responders with addresses of both families, one of which swallows
# everything.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Socket qw/ SOCK_STREAM pack_sockaddr_in6 inet_pton AF_INET6 /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl ipv6 /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	'both.test' => { a => '127.0.0.1', aaaa => '::1' },
	# RFC 6666: discarded, if there is a route at all
	'six.test' => { aaaa => '100::1' },
});

# a socket whose queue is full drops what comes

my $hole = IO::Socket::IP->new(LocalHost => '::1', LocalPort => port(8081),
	Type => SOCK_STREAM, Listen => 1, ReuseAddr => 1, V6Only => 1)
	or plan(skip_all => "no [::1]:" . port(8081));
listen $hole, 0;
my @fill;
for (1 .. 3) {
	my $socket = IO::Socket::IP->new(Family => AF_INET6,
		Type => SOCK_STREAM, Blocking => 0) or die "socket: $@";
	connect $socket, pack_sockaddr_in6(port(8081),
		inet_pton(AF_INET6, '::1'));
	push @fill, $socket;
}

my %leaf;
for my $name (qw/ both six /) {
	$leaf{$name} = $int->leaf("$name.example",
		aia => "http://$name.test:" . port(8081) . '/');
}
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 0;',
	'ocsp_plus_timeout 40s;', "ocsp_plus_resolver @{[ $dns->address() ]};",
	[ 8080, undef, 'location /metrics { ocsp_plus_status prometheus; }' ],
	map { [ 8443, $leaf{$_} ] } sort keys %leaf ]);
$t->run();

###############################################################################

# The time of the exchange is its own: half of it is what an address would get
# that takes connections and says nothing.

my $line = $t->wait_log(qr/response published: certificate="both\./, 30) // '';
my ($took) = $line =~ / took=(\d+)ms/;
ok(defined $took && $took >= 200 && $took < 20000,
	'a silent IPv6 address does not use up the time of the exchange') or diag($line);
ok(wait_for(sub { staple_fast(8443, 'both.example') }, 5),
	'a certificate is stapled by IPv4 where IPv6 is silent');
my $host = 'responder="both.test:' . port(8081) . '"';
my ($failing, $connected) = ('responder_family_failing_seconds',
	'responder_last_connection_age_seconds');
ok(wait_for(sub {
	http_get('/metrics') =~ /_$failing\{$host,family="ipv6"\} [1-9]/
}, 10, 'a second'), 'the family that is silent fails');
my $metrics = http_get('/metrics');
like($metrics, qr/_$failing\{$host,family="ipv4"\} 0$/m,
	'the family that connects does not fail');
like($metrics, qr/_$connected\{$host,family="ipv4"\} \d+$/m,
	'the last connection of that family has an age');
unlike($metrics, qr/_$connected\{$host,family="ipv6"\}/,
	'the family that is silent has had no connection');
my $is_six = IO::Socket::IP->new(Family => AF_INET6, Type => SOCK_STREAM,
	Blocking => 0);
my $routed = connect($is_six, pack_sockaddr_in6(80,
	inet_pton(AF_INET6, '100::1'))) || $!{EINPROGRESS};
# where there is no route, the host that has IPv6 only fails as well

ok(wait_for(sub {
	my $text = http_get('/metrics');
	return $text =~ /connections_total\{family="ipv4",result="ok"\} 1$/m
		&& $text =~ /connections_total\{family="ipv6",result="failed"\} (\d+)$/m
		&& $1 >= ($routed ? 1 : 2);
}, 5, 'counters'), 'connections are counted by family and result');

SKIP: {
	skip 'this machine has a route for IPv6', 1 if $routed;
	like($t->wait_log(qr/no response.*certificate="six\./, 30) // '',
		qr/ reason=connect_unreachable .*six\.test\ has\ IPv6\ addresses
		\ only/x,
		'an IPv6-only host without IPv6 route is logged as unreachable');
}

$t->done_testing();

###############################################################################
