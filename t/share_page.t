#!/usr/bin/perl

# Tests for the shared store on the page, in a real browser: up and down.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use JSON::PP;

use Test::Nginx;
use Test::Nginx::Browser;
use Test::Nginx::CA;
use Test::Nginx::Redis;
use Test::Nginx::Responder;

###############################################################################

plan(skip_all => 'neither redis-server nor valkey-server is installed')
	unless Test::Nginx::Redis->installed();

my $t = Test::Nginx->new(timeout => 180)->has(qw/ http_ssl /);
my $b = Test::Nginx::Browser->start($t);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(2, 'host%d.example', aia => $r->url());
my $redis = Test::Nginx::Redis->start($t, port => 8379);
my $place = $redis->place();

$t->write_conf(http => [ 'ocsp_plus on;',
	'ocsp_plus_share redis://:of-the-url@' . $redis->address() . ';',
	(map { [ 8443, $_ ] } @leaves),
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);
$redis->ask('CONFIG', 'SET', 'requirepass', 'of-the-url');

$t->run();
is(wait_staple(8443, 'good', servername => 'host1.example', seconds => 30)
	->{status}, 'good', 'a certificate is stapled');
ok(wait_for(sub {
	((http_json('/?format=json') // {})->{share}{published} // 0) == 2;
}, 20, 'publications'), 'the responses are published');

###############################################################################

$b->size(1280, 900);
$b->dark(0);
$b->open('http://127.0.0.1:' . port(8080) . '/');
my $text = $b->wait_script('return /connected/.test('
	. 'document.querySelector("#share").innerText) && '
	. 'document.querySelector("#share").innerText', 25);
like($text, qr/^Shared store \Q$place\E\s+connected for \d+ \w+/,
	'the page tells the place, the state and since when');
like($text, qr/\b0 % of 2 responses came from it/,
	'the page tells what came from the store');
like($text, qr/it answered within \d+ ms/,
	'the page tells the time for an answer');
unlike($text, qr/last error/, 'the page tells of no error');
unlike($b->script('return document.querySelector("#why").innerText'),
	qr/shared store/, 'the summary does not speak of the store');
$b->screenshot($t->testdir() . '/share-up.png');

$redis->stop();
$text = $b->wait_script('return /cannot be used/.test('
	. 'document.querySelector("#share").innerText) && '
	. 'document.querySelector("#share").innerText', 40);
like($text, qr/^Shared store \Q$place\E\s+cannot be used for \d+ \w+/,
	'the page tells that the store is down');
like($text, qr/last error: the shared store cannot be reached, or cannot serve now \x{2013} \Q$place\E: .* \(store_unreachable\)/,
	'the page tells why');
like($b->script('return document.querySelector("#why").innerText'),
	qr/The shared store cannot be used \(the shared store cannot be reached, or cannot serve now\): this node asks responders on its own: \Q$place\E/,
	'the summary tells what that means');

for my $width (1280, 390) {
	$b->size($width, 900);
	cmp_ok($b->script('return document.documentElement.scrollWidth'), '<=',
		$width, "$width: the page is not wider than the window");
}
$b->screenshot($t->testdir() . '/share-down.png');
is($b->script('return document.documentElement.innerHTML.includes('
	. '"of-the-url")'), JSON::PP::false, 'the page shows no password');
is(join("\n", map { $_->{message} } grep { $_->{level} eq 'SEVERE' }
	$b->log()), '', "the browser's console has no error");

$b->end();
$t->done_testing();

###############################################################################
