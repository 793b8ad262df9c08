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
	->{status}, 'good', 'one is stapled');
my $answer = http_get('/');
like($answer, qr/ 503 /, 'not ready while the other was not tried');
like($answer, qr/not ready: the first round is not over, certificate "two\.example" has no staple yet and was not tried\n\z/,
	'and says why');
like(http_head('/'), qr/ 503 /, 'HEAD knows it, too');
like($answer, qr/^Content-Type: text\/plain/m, 'in plain text');

# an answer is enough, whatever it says

$r->reset();
$r->fault('http_500', on => 2);
$r->drop_connections();
ok(wait_for(sub { http_get('/') =~ / 200 / }, 20, 'ready'),
	'ready when the other was tried');
like(http_get('/'), qr/\r\n\r\nready\n\z/, 'and says so');
my $strict = http_get('/?strict=1');
like($strict, qr/ 503 /, 'strict: not yet');
like($strict, qr/not ready: certificate "two\.example" has no valid staple\n\z/,
	'and why');

# for good, also over a reload with new certificates

$int->leaf('three.example', aia => $r->url(2), file => 'none.example');
$t->reload(old_gone => 1);
like(http_get('/'), qr/ 200 /, 'a reload does not take it back');

$r->reset();
ok(wait_for(sub { http_get('/?strict=1') =~ / 200 / }, 30, 'all'),
	'strict: when all are stapled, which those without a responder need not');
$t->stop();

# a required one

$r->fault('http_500', on => 2);
configure('on');
$t->run();
is(wait_staple(8443, 'good', servername => 'one.example', seconds => 30)
	->{status}, 'good', 'one is stapled');
ok($t->wait_log(qr/reason=http_status/, 20), 'the other was tried');
$answer = http_get('/');
like($answer, qr/ 503 /, 'which is not enough where a server requires it');
like($answer, qr/"two\.example" is required to have a staple and has none/,
	'and says so');
$r->reset();
ok(wait_for(sub { http_get('/') =~ / 200 / }, 20, 'ready'),
	'ready when it is stapled');

$t->done_testing();

###############################################################################
