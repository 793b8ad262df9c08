#!/usr/bin/perl

# Tests for responders that are reached through an HTTP proxy, with a real
# one: http and https, user and password, and whose fault it is.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl http_proxy /)
	->has_daemon('tinyproxy');
my $d = $t->testdir();

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $web = Test::Nginx::CA->new($t, 'web', cn => 'Web CA');
$web->leaf('front.test', file => 'front', names => [ '127.0.0.1' ]);

my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ], addresses => [ '127.0.0.1' ]);
$r->fault('http_500', on => 3);

my ($proxy, $front) = map { port($_) } 8120, 8444;
my $dead = port(8199);

# names are the proxy's to resolve: nobody here knows this one

my %leaf = (
	http => $int->leaf('http.example', aia => $r->url(1)),
	https => $int->leaf('https.example',
		aia => "https://127.0.0.1:$front/"),
	broken => $int->leaf('broken.example', aia => $r->url(3)),
	dead => $int->leaf('dead.example', aia => "http://127.0.0.1:$dead/"),
	forbidden => $int->leaf('forbidden.example',
		aia => 'https://127.0.0.1:' . port(8445) . '/'),
);

$t->write_file('tinyproxy.conf', <<"EOC");
Port $proxy
Listen 127.0.0.1
Timeout 10
MaxClients 20
Allow 127.0.0.1
BasicAuth proxyuser opensesame
ConnectPort $front
LogFile "$d/tinyproxy.log"
LogLevel Connect
PidFile "$d/tinyproxy.pid"
EOC
$t->run_daemon('tinyproxy', '-d', '-c', "$d/tinyproxy.conf");
ok($t->waitforsocket('127.0.0.1:8120'), 'tinyproxy runs');

my $good = "http://proxy%75ser:opensesame\@127.0.0.1:$proxy";
configure($good);
$t->run();

###############################################################################

for my $name (qw/ http https /) {
	my $seen = wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name");
	ok($seen && index($seen, pack 'H*', $leaf{$name}->serial()) > 0,
		"$name: the certificate is stapled through the proxy");
}

my $asked = $t->read_file('tinyproxy.log');
like($asked, qr!GET http://127\.0\.0\.1:@{[ port(8081) ]}/!,
	'an http responder is asked for with its whole URL');
like($asked, qr!CONNECT 127\.0\.0\.1:$front !,
	'an https responder is asked for by CONNECT');

# whose fault it is

like(failure('broken'), qr/ reason=http_status detail="HTTP 500 from /,
	'an error of the responder is not blamed on the proxy');
like(failure('dead'), qr/ reason=proxy_failed detail="HTTP 50\d from the proxy/,
	'a responder that the proxy cannot reach gives proxy_failed');
like(failure('forbidden'),
	qr/ reason=proxy_refused detail="HTTP 403 from the proxy .* tunnel/,
	'a tunnel that the proxy refuses gives proxy_refused');

# wrong words, and nobody there

my @wrong = (
	[ "http://proxyuser:wrong\@127.0.0.1:$proxy", 'proxy_auth' ],
	[ "http://127.0.0.1:$proxy", 'proxy_auth' ],
	[ "http://127.0.0.1:$dead", 'proxy_failed' ],
);
for my $case (@wrong) {
	my ($url, $reason) = @$case;
	my $since = $t->log_mark();
	configure($url);
	$t->stop();
	$t->run();
	for my $name (qw/ http https /) {
		like(failure($name, $since), qr/ reason=$reason /,
			"$url gives $reason for $name");
	}
}

# off is off

configure('off');
$t->stop();
my $before = $t->read_file('tinyproxy.log');
$t->run();
ok(wait_for(sub { staple_fast(8443, 'http.example') }, 15, 'a staple'),
	'proxy off: the certificate is stapled');
is($t->read_file('tinyproxy.log'), $before,
	'proxy off: the proxy is not asked');

# the command line

my $run = $t->command([ $t->build_dir() . '/ocsp-plus', 'fetch', '-v', '--cert',
	$leaf{http}->chain(), '--proxy', $good ]);
is($run->{status}, 0,
	'ocsp-plus fetch --proxy succeeds') or diag($run->{output});
like($run->{output}, qr/> Proxy-Authorization: \(not shown\)/,
	'ocsp-plus fetch --proxy -v does not print the password');
my $told = $run->{output};
$run = $t->command([ $t->build_dir() . '/ocsp-plus', 'fetch', '--cert',
	$leaf{http}->chain(), '--proxy', 'http://u:sesame@host:99999' ]);
is($run->{status}, 2, 'ocsp-plus fetch --proxy refuses a wrong URL');
$told .= $run->{output};

# the password is nowhere

for my $word ('opensesame', 'cHJveHl1c2Vy', 'sesame') {
	is(index($t->read_file('error.log') . $told, $word), -1,
		"neither the log nor ocsp-plus shows $word");
}

$t->done_testing();

###############################################################################

sub failure {
	my ($name, $since) = @_;
	return $t->wait_log(qr/no response,.*certificate="\Q$name\E\.example/, 20,
		$since) // '';
}

sub configure {
	my ($url) = @_;
	$t->write_conf(http => [ 'ocsp_plus_startup_wait 0;',
		'ocsp_plus_cache off;', 'ocsp_plus_timeout 5s;',
		'ocsp_plus_retry 1s 2s;', "ocsp_plus_proxy $url;",
		'ocsp_plus_responder_trusted_certificate web.crt;',
		[ 8444, 'front', 'location / { proxy_pass http://127.0.0.1:8082; }' ],
		map { [ 8443, $leaf{$_}, 'ocsp_plus on;' ] } sort keys %leaf ]);
}

###############################################################################
