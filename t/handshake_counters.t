#!/usr/bin/perl

# Tests for the counters of handshakes: what asked, what it got; each handshake
# once; over reloads, new workers and another size of the zone.

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

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $good = $int->leaf('good.example', aia => $r->url(1));
$int->leaf('bad.example', aia => $r->url(2));
$int->leaf('strict.example', aia => $r->url(2));
$int->leaf('never.example');
$r->fault('http_500', on => 2);

sub configure {
	my ($size) = @_;
	$t->write_conf(workers => 2, http => [ 'ssl_protocols TLSv1.2 TLSv1.3;',
		'ssl_ecdh_curve X25519;', 'ocsp_plus on;',
		"ocsp_plus_zone ocsp_plus:$size;",
		[ 8443, $good, 'ssl_session_cache shared:one:1m;' ],
		[ 8443, 'bad.example' ],
		[ 8443, 'strict.example', 'ocsp_plus_require on;' ],
		[ 8443, 'never.example' ],
		[ 8080, undef, 'location / { ocsp_plus_status json; }' ] ]);
}

configure('8m');
$t->run();
is(wait_staple(8443, 'good', servername => 'good.example', seconds => 30)
	->{status}, 'good', 'the certificate is stapled');

###############################################################################

my $counters = Test::Nginx::Counters->new('/');

my @good = (8443, servername => 'good.example');
for my $tls ('1.2', '1.3') {
	staple(@good, tls => $tls);
	counted("TLS $tls: a stapled handshake is counted", stapled => 1);

	staple(@good, tls => $tls, status => 0);
	counted("TLS $tls: a handshake without the question is not counted");

	my $file = $t->testdir() . "/session-$tls";
	staple(@good, tls => $tls, sess_out => $file);
	counted("TLS $tls: the handshake that begins a session is counted", stapled => 1);
	is(staple(@good, tls => $tls, sess_in => $file)->{resumed}, 1,
		"TLS $tls: the session is resumed");
	counted("TLS $tls: a resumed session is not counted");

	staple(8443, tls => $tls, servername => 'bad.example');
	counted("TLS $tls: a handshake without a staple is counted", missing => 1);

	staple(8443, tls => $tls, servername => 'never.example');
	counted("TLS $tls: a certificate without a responder is counted apart",
		unsupported => 1);

	is(staple(8443, tls => $tls, servername => 'strict.example')->{alert},
		80,
		"TLS $tls: a required staple that is missing ends in an alert");
	counted("TLS $tls: a refused handshake is counted", refused => 1);
}

is(staple(@good, tls => '1.3', curves => 'P-521:X25519')->{status}, 'good',
	'a handshake with a repeated hello is stapled');
counted('a handshake with a repeated hello is counted once', stapled => 1);

# they survive what nginx survives

$t->reload(old_gone => 1);
counted('a reload keeps the counters');
staple(@good);
counted('a handshake after a reload is counted', stapled => 1);

my ($worker) = $t->workers();
$t->signal($worker, 'KILL');
wait_for(sub { !grep { $_ == $worker } $t->workers() }, 5, 'the end of the worker');
counted('a killed worker leaves the counters as they were');

my $fetches = document()->{fetches};
my $stapled = of_good();
configure('16m');
$t->reload(old_gone => 1);
ok($t->wait_log(qr/the zone's size was changed/, 5),
	'a zone of another size is logged');
cmp_ok(document()->{zone}{size}, '>', 9 << 20, 'the new zone is larger');
counted('the new zone keeps the counters');
is(of_good(), $stapled, 'the new zone keeps the counter of the certificate');
cmp_ok(document()->{fetches}{ok}, '>=', $fetches->{ok},
	'the new zone keeps the counter of fetches');
staple(@good);
counted('a handshake in the new zone is counted', stapled => 1);

$t->done_testing();

###############################################################################

sub document { return http_json('/') }

sub of_good {
	return (map { $_->{stapled} } grep { $_->{id} eq $good->id() }
		@{document()->{certificates}})[0];
}

sub counted {
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $counters->grew(@_);
}

###############################################################################
