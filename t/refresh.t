#!/usr/bin/perl

# Tests for ocsp_plus_refresh: the responder is asked again within the time,
# however long its responses are valid; a revocation is stapled by every worker
# soon after it is known; and old copies of HTTP caches are passed.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
$t->log_level('info');

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 .. 8084 ]);
my $often = $int->leaf('often.example', aia => $r->url(1));
my $seldom = $int->leaf('seldom.example', aia => $r->url(2));
my $cached = $int->leaf('cached.example', aia => $r->url(3));
my $loaded = $int->leaf('loaded.example', aia => $r->url(2));
my $preloaded = $int->leaf('preloaded.example', aia => $r->url(2));
chmod 0644, $loaded->key();
my $unbound = $int->leaf('unbound.example', aia => $r->url(4));

$r->validity(next_update => 7 * 86400);
$r->set(header => 'ETag: "a-validator"', on => 1);
$r->set(max_age => 86400, on => 1);
$r->set(header => 'Age: 3600', date_offset => -3600, on => 3);
$r->set(cache => 3600, on => 3);

# of several servers the shortest time holds, whatever http says

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_cache off;', 'ocsp_plus_refresh 1h;',
	'ocsp_plus_trusted_certificate int.crt;',
	'ocsp_plus_preload preloaded.example.pem;',
	[ 8443, $often ],
	[ 8444, $often, 'ocsp_plus_refresh 5s;' ],
	[ 8445, $seldom, 'ocsp_plus_refresh 1h;' ],
	[ 8446, $cached, 'ocsp_plus_refresh 5s;' ],
	[ 8447, $unbound, 'ocsp_plus_refresh auto;' ],
	[ 8448, $t->testdir() . '/$ssl_server_name', 'ocsp_plus_refresh 30m;' ],
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);

$t->run();

###############################################################################

is(staple($_)->{status}, 'good', "$_: the good certificate is stapled")
	for 8443 .. 8447;

is(wait_staple(8448, 'good', servername => 'loaded.example')->{status},
	'good', '8448: a certificate loaded per connection is stapled');

# asked again and again, with the validator

$r->wait_requests(4, 60, on => 1);
my @times = asked_at();
cmp_ok(scalar @times, '>=', 4, 'a response of a week is asked for again');
cmp_ok($times[-1] - $times[0], '>', 5 * $#times - 2,
	'at most one request in five seconds');
is(scalar(() = $r->requests(on => 2, leaf => $seldom)), 1,
	'a longer time is not cut by the shorter one of another certificate');
ok((grep { $_->{conditional} } $r->requests(on => 1)) >= 2,
	'the current response is asked for with its validator');
is(scalar(() = $r->requests(on => 4)), 1,
	'auto in a server ends what http says');

is_deeply({ map { $_->{names}[0] => $_->{refresh} }
	map { @{http_json($_)->{certificates}} } '/', '/?loaded=1' },
	{ 'often.example' => 5, 'seldom.example' => 3600,
		'cached.example' => 5, 'unbound.example' => undef,
		'loaded.example' => 1800, 'preloaded.example' => 3600 },
	'the status document has the time of each');

# revoked at the responder, and stapled by every worker

$r->status($often, 'revoked');
my $revoked = time();
ok(wait_for(sub {
	my %seen = map { $_ => 1 } map { my $p = $_;
		map { staple($p)->{status} } 1 .. 4 } 8443, 8444;
	return join(' ', keys %seen) eq 'revoked';
}, 30, 'a revocation in every worker'),
	'a revocation is stapled by every worker');
my $noticed = time() - $revoked;
note("a revocation was stapled everywhere after $noticed s, handshakes included");

@times = asked_at();
cmp_ok(scalar @times, '<=', ($times[-1] - $times[0] + 1) / 5 + 1,
	'at most one request for the certificate in five seconds, all in all');

# an answer that a cache has held for longer is asked for past it

ok(wait_for(sub { grep { $_->{no_cache} } $r->requests(on => 3) }, 30,
	'a request past the cache'), 'an old copy is asked for past the cache');
is(scalar(grep { $_->{no_cache} } map { $r->requests(on => $_) } 1, 2, 4), 0,
	'an answer that is fresh is not');

$t->done_testing();

###############################################################################

sub asked_at {
	return sort { $a <=> $b } map { $_->{time} } $r->requests(on => 1);
}

###############################################################################
