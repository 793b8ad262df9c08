#!/usr/bin/perl

# Tests for readiness: not before the first round is over, then for good; with
# strict=1 only while all that can be stapled is.

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
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
$int->leaf('one.example', aia => $r->url(1));
$int->leaf('two.example', aia => $r->url(2));
$int->leaf('none.example');

sub configure {
	my ($require) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus_startup_wait 0;',
		'ocsp_plus_cache off;', 'ocsp_plus_timeout 60s;',
		'ocsp_plus_retry 1s 1s;', 'ocsp_plus on;',
		[ 8443, 'one.example' ],
		[ 8443, 'two.example', "ocsp_plus_require $require;" ],
		[ 8443, 'none.example' ],
		[ 8080, undef, 'location / { ocsp_plus_status ready; }' ] ]);
}

###############################################################################

# a responder that hangs

$r->fault('hang_after_connect', on => 2);
configure('off');
$t->run();

is(wait_staple(8443, 'good', servername => 'one.example', seconds => 30)
	->{status}, 'good', 'one certificate is stapled');
my $answer = http_get('/');
like($answer, qr/ 503 /, 'readiness is 503 while a certificate was not tried');
like($answer, qr/not ready: the first round is not over, certificate "two\.example" has no staple yet and was not tried\n\z/,
	'readiness names the certificate that was not tried');
like(http_head('/'), qr/ 503 /, 'HEAD gives 503 as well');
like($answer, qr/^Content-Type: text\/plain/m, 'readiness is plain text');

# an answer is enough, whatever it says

$r->reset();
$r->fault('http_500', on => 2);
$r->drop_connections();
ok(wait_for(sub { http_get('/') =~ / 200 / }, 20, 'ready'),
	'readiness is 200 once all certificates were tried');
like(http_get('/'), qr/\r\n\r\nready\n\z/, 'readiness says "ready"');
my $strict = http_get('/?strict=1');
like($strict, qr/ 503 /,
	'strict readiness is 503 while a certificate has no staple');
like($strict, qr/not ready: certificate "two\.example" has no valid staple\n\z/,
	'strict readiness names the certificate without a staple');

# for good, also over a reload with new certificates

$int->leaf('three.example', aia => $r->url(2), file => 'none.example');
$t->reload(old_gone => 1);
like(http_get('/'), qr/ 200 /,
	'readiness stays 200 over a reload with a new certificate');

$r->reset();
ok(wait_for(sub { http_get('/?strict=1') =~ / 200 / }, 30, 'all'),
	'strict readiness is 200 once all certificates with a responder are stapled');
$t->stop();

# a required one

$r->fault('http_500', on => 2);
configure('on');
$t->run();
is(wait_staple(8443, 'good', servername => 'one.example', seconds => 30)
	->{status}, 'good', 'one certificate is stapled beside a required one');
ok($t->wait_log(qr/reason=http_status/, 20),
	'the required certificate was tried');
$answer = http_get('/');
like($answer, qr/ 503 /, 'readiness is 503 while a required staple is missing');
like($answer, qr/"two\.example" is required to have a staple and has none/,
	'readiness names the certificate whose required staple is missing');
$r->reset();
ok(wait_for(sub { http_get('/') =~ / 200 / }, 20, 'ready'),
	'readiness is 200 once the required staple is there');

$t->done_testing();

###############################################################################
