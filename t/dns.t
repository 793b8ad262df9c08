#!/usr/bin/perl

# Tests for the resolver: names that cannot be found, servers that are dead,
# several addresses of both families, and how long answers are kept.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl ipv6 /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');

# an IPv4-only one, an IPv6-only one, and one on both and a second address

my $four = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my $six = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8082 ],
	addresses => [ '::1' ]);
my $second = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8083 ],
	addresses => [ '127.0.0.2' ]);

my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	'four.test' => { a => '127.0.0.1' },
	'six.test' => { aaaa => '::1' },
	'both-four.test' => { a => '127.0.0.1', aaaa => '::1' },
	'both-six.test' => { a => '127.0.0.1', aaaa => '::1' },
	'second.test' => { a => [ '127.0.0.1', '127.0.0.2' ] },
	'alias.test' => { cname => 'four.test' },
	'tcp.test' => { a => '127.0.0.1', tc => 1 },
	'slow.test' => { a => '127.0.0.1', delay => 300 },
	'lossy.test' => { a => '127.0.0.1', drop_first => 1 },
	'aaaa-lost.test' => { a => '127.0.0.1', 'aaaa.drop' => 1 },
	'servfail.test' => { rcode => 'SERVFAIL' },
	'denied.test' => { rcode => 'REFUSED' },
	'lost.test' => { drop => 1 },
	'garbage.test' => { a => '127.0.0.1', garbage => 1 },
	'empty.test' => { ttl => 60 },
	'nowhere.test' => { a => '127.0.0.9' },
});

# name, port of its responder
my @fine = map { [ $_, /six/ ? 8082 : /second/ ? 8083 : 8081 ] } qw/ four six
	both-four both-six second alias tcp slow lossy aaaa-lost /;
# name, reason token
my @wrong = (
	[ 'missing', 'dns_not_found' ],
	[ 'servfail', 'dns_failed' ],
	[ 'denied', 'dns_failed' ],
	[ 'lost', 'dns_timeout' ],
	[ 'garbage', qr/dns_failed|dns_timeout/ ],
	[ 'empty', 'dns_no_address' ],
	[ 'nowhere', 'connect_refused' ],
);

my %leaf;
my %port = map { $_->[0] => $_->[1] } @fine;
leaf_for($_) for sort keys %port, map { $_->[0] } @wrong;

###############################################################################

configure('127.0.0.1:8053 timeout=1s', map { $_->[0] } @fine, @wrong);
$t->run();

for my $case (@fine) {
	my ($name) = @$case;
	ok(stapled($name), "$name: the certificate is stapled");
}
cmp_ok(scalar(() = $dns->queries(name => 'lossy.test', type => 'a')), '>=', 2,
	'a DNS query without an answer is repeated');
cmp_ok(scalar(() = $dns->queries(name => 'tcp.test', proto => 'tcp')), '>=', 1,
	'a truncated DNS answer is fetched by TCP');

for my $case (@wrong) {
	my ($name, $reason) = @$case;
	my $line = $t->wait_log(qr/ocsp_plus: no .*certificate="\Q$name\E\./,
		20) // '';
	like($line, qr/\[error\].*no\ response,\ nothing\ is\ stapled:
		.*\ responder="http:\/\/\Q$name\E\.test:\d+\/"
		\ reason=$reason\ detail="[^"]*"
		.*\ next_attempt=\d{4}-\S+Z/x,
		"$name: the failure is logged with reason and next attempt");
	# the name, what is wrong with it, who says so and who named those
	like($line, qr/detail="\Q$name\E\.test:\ [^";]+;\ asked
		\ \Q${\$dns->address()}\E\ \(ocsp_plus_resolver\)"/x,
		"$name: the failure names the DNS server") if "$reason" =~ /dns/;
	my $seen = handshake_fast(8443, "$name.example");
	is("$seen->{ok} " . defined $seen->{der}, '1 ',
		"$name: the handshake works without a staple");
}

# the names become right

$dns->set("$_->[0].test", a => '127.0.0.1', ttl => 60) for @wrong;
for my $case (@wrong) {
	my ($name) = @$case;
	next if $name eq 'nowhere';	# its address is kept, see below
	ok(stapled($name),
		"$name: the certificate is stapled once the name resolves");
}

$t->stop();

###############################################################################

# the first server never answers; no AAAA; answers are kept

my $deaf = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1',
	LocalPort => port(8054)) or die "bind: $!\n";
$dns->zone({
	'patient.test' => { a => '127.0.0.1', aaaa => '::1' },
	'kept1.test' => { a => '127.0.0.1', ttl => 3600 },
	'brief.test' => { a => '127.0.0.1', ttl => 0 },
	'only-six.test' => { aaaa => '::1' },
	'moves.test' => { a => '127.0.0.9', ttl => 3600 },
});
$dns->clear();

my @kept = map { leaf_for("kept$_", 'kept1.test') } 1 .. 8;
leaf_for($_) for qw/ patient brief only-six moves /;
configure('127.0.0.1:8054 127.0.0.1:8053 timeout=1s valid=5s ipv6=off',
	qw/ patient brief only-six moves /, map { "kept$_" } 1 .. 8);
$four->validity(next_update => 10, leaf => leaf_of('brief'));
$t->run();

ok(stapled('patient'),
	'the second DNS server is asked where the first does not answer');
ok(stapled("kept$_"),
	"kept$_: a certificate of the shared host is stapled") for 1 .. 8;
cmp_ok(scalar(() = $dns->queries(name => 'kept1.test')), '<=', 3,
	'one DNS answer serves eight certificates');
ok(stapled('brief'), 'a certificate whose host has a TTL of 0 is stapled');

like($t->wait_log(qr/certificate="only-six\..* reason=/, 20) // '',
	qr/ reason=dns_no_address /,
	'ipv6=off: a host with IPv6 addresses only is logged as unusable');
is(scalar(() = $dns->queries(type => 'aaaa')), 0,
	'ipv6=off: no AAAA query is sent');

# never longer than "valid", whatever the TTL

ok($t->wait_log(qr/certificate="moves\..* reason=connect_refused/, 10),
	'a host that resolves to a wrong address is logged as refused');
$dns->set('moves.test', a => '127.0.0.1');
ok(stapled('moves'),
	'a new address is used after the time of "valid", whatever the TTL');

ok(wait_for(sub { $four->requests(leaf => leaf_of('brief')) >= 3 }, 20,
	'refreshes'), 'a response whose host has a TTL of 0 is refreshed');
cmp_ok(scalar(() = $dns->queries(name => 'brief.test')), '<=', 10,
	'a TTL of 0 does not cause a query for each connection');
$t->stop();
close $deaf;

###############################################################################

# nobody at the only resolver; then somebody is

leaf_for('later');
$dns->stop();
configure('127.0.0.1:8055 timeout=1s', 'later');
$t->run();

like($t->wait_log(qr/certificate="later\..* reason=/, 20) // '',
	qr/\[error\].* reason=dns_(?:failed|timeout) .* next_attempt=/,
	'an unreachable DNS server is logged as a failure');
my $nobody = '127.0.0.1:' . port(8055);
like($t->wait_log(qr/certificate="later\..* reason=/, 20) // '',
	qr/detail="later\.test: [^"]*; asked \Q$nobody\E \(/,
	'the failure names the unreachable DNS server');
is(handshake_fast(8443, 'later.example')->{ok}, 1,
	'a handshake works while the DNS server is unreachable');

Test::Nginx::DNS->start($t, port => 8055, zone => {
	'later.test' => { a => '127.0.0.1' } });
ok(stapled('later'), 'the certificate is stapled once the DNS server answers');

$t->done_testing();

###############################################################################

sub leaf_for {
	my ($name, $host) = @_;
	$host //= "$name.test";
	$leaf{$name} = $int->leaf("$name.example",
		aia => "http://$host:" . port($port{$name} || 8081) . '/');
	return $leaf{$name};
}

sub leaf_of {
	my ($name) = @_;
	return $leaf{$name};
}

sub stapled {
	my ($name) = @_;
	return wait_for(sub { staple_fast(8443, "$name.example") }, 20,
		"a staple for $name");
}

sub configure {
	my ($resolver, @names) = @_;

	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_timeout 6s;',
		'ocsp_plus_retry 1s 2s;', "ocsp_plus_resolver $resolver;",
		map { [ 8443, $_ ] } @leaf{@names} ]);
}

###############################################################################
