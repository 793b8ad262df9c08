#!/usr/bin/perl

# Tests for floods of certificates that are loaded per connection: memory stays
# bounded, those not used for longest go first, configured ones are untouched.

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

my $COUNT = 1000;

my $t = Test::Nginx->new(timeout => 300)->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $configured = $int->leaf('configured.example', aia => $r->url());
my @flood = $int->leaves($COUNT, 'f%d.example', aia => $r->url(),
	key_of => $configured);
my $dear = $int->leaf('dear.example', aia => $r->url(), key_of => $configured);
my $dir = $t->testdir();
chmod 0644, $configured->key();

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_zone small:1536k;', 'ocsp_plus_trusted_certificate int.crt;',
	'ocsp_plus_retry 1s 2s;',
	[ '8443 ssl', undef, "ssl_certificate $dir/\$ssl_server_name.pem;",
		"ssl_certificate_key $dir/configured.example.key;" ],
	[ 8444, $configured ],
	[ 8080, undef, 'location /status { ocsp_plus_status; }' ] ]);

$t->run();

###############################################################################

is(wait_staple(8444, 'good')->{status}, 'good',
	'the configured certificate is stapled');
is(wait_staple(8443, 'good', servername => 'dear.example')->{status}, 'good',
	'the loaded certificate in use is stapled');

# all of them are met, some of them again and again

my $missing = 0;
for my $i (1 .. $COUNT) {
	staple_fast(8443, "f$i.example");
	next if $i % 20;
	$missing++ unless staple_fast(8444);
	staple_fast(8443, 'dear.example');
}
is($missing, 0, 'the configured certificate is stapled all through the flood');
# those at the end come in time, those at the beginning have gone

my $last;
ok(wait_for(sub {
	staple_fast(8443, 'dear.example');
	staple_fast(8443, "f$_.example") for $COUNT - 60 .. $COUNT - 1;
	return staple_fast(8443, "f$COUNT.example");
}, 60, 'the last one'), 'the last certificate of the flood is stapled');

# until the zone is full and old ones had to go

my $next = 0;
ok(wait_for(sub {
	staple_fast(8443, 'dear.example');
	for (1 .. 50) {
		$next = $next % $COUNT + 1;
		staple_fast(8443, "f$next.example");
	}
	return $t->log_lines(qr/the least recently used first/);
}, 120, 'evictions'), 'evictions begin and are logged');
like(($t->log_lines(qr/the least recently used first/))[0],
	qr/evicted=\d+/, 'the log has the number of evicted certificates');
is(scalar(() = $t->log_lines(qr/the least recently used first/)), 1,
	'evictions are logged once');
ok(staple_fast(8443, 'dear.example'),
	'the loaded certificate in use is not evicted');
is(without(8444, 'x'), 0, 'the configured certificate is not evicted');

my ($body) = http_get('/status') =~ /\r\n\r\n(.*)/s;
require JSON::PP;
my $zone = JSON::PP::decode_json($body)->{zone};
cmp_ok($zone->{used}, '<=', $zone->{size},
	'the zone is not filled beyond its size');
cmp_ok($zone->{entries}, '<', $COUNT,
	'the zone does not have all certificates of the flood');
# the queue may still bring some, and files go a moment later
ok(wait_for(sub {
	my $files = $t->kept();
	return $files <= Test::Nginx::http_json('/status')->{zone}{entries};
}, 10, 'files to go'), 'the cache directory has no evicted certificates');

$t->done_testing();
