#!/usr/bin/perl

# Tests with squid as the proxy: a cache on the way and its Age, an ended
# response out of it, tunnels, user and password, and its own error pages told
# apart from the responder's.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl http_proxy /)
	->has_daemon('squid');
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $web = Test::Nginx::CA->new($t, 'web', cn => 'Web CA');
$web->leaf('front.test', file => 'front', names => [ '127.0.0.1' ]);

# the second fails in ways of its own; the third stands behind https

my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ], addresses => [ '127.0.0.1' ]);

my ($proxy, $open, $front) = map { port($_) } 8121, 8122, 8444;
my $dead = port(8199);

my %leaf = (
	http => $int->leaf('http.example', aia => $r->url(1)),
	old => $int->leaf('old.example', aia => $r->url(1)),
	https => $int->leaf('https.example',
		aia => "https://127.0.0.1:$front/"),
	broken => $int->leaf('broken.example', aia => $r->url(2)),
	dead => $int->leaf('dead.example', aia => "http://127.0.0.1:$dead/"),
	'dead-tls' => $int->leaf('dead-tls.example',
		aia => "https://127.0.0.1:$dead/"),
	denied => $int->leaf('denied.example',
		aia => $r->url(1, '/denied/')),
	'denied-tls' => $int->leaf('denied-tls.example',
		aia => 'https://127.0.0.1:' . port(8445) . '/'),
);

# as root, squid becomes another user, who has to get here

chmod 0711, $d;
mkdir "$d/squid" or die "mkdir: $!";
chmod 0777, "$d/squid";
my $hash = `openssl passwd -apr1 open:sesame`;
$t->write_file('squid/users', "proxyuser:$hash");
my ($ncsa) = grep { -x } '/usr/lib/squid/basic_ncsa_auth',
	'/usr/lib64/squid/basic_ncsa_auth';
plan(skip_all => 'no basic_ncsa_auth') unless $ncsa;
$t->write_file('squid/squid.conf', <<"EOC");
http_port 127.0.0.1:$proxy
http_port 127.0.0.1:$open
auth_param basic program $ncsa $d/squid/users
auth_param basic children 1 startup=1
auth_param basic realm test
acl with_password localport $proxy
acl users proxy_auth REQUIRED
acl tunnels method CONNECT
acl front port $front $dead
acl denied urlpath_regex ^/denied/
http_access deny denied
http_access deny tunnels !front
http_access deny with_password !users
http_access allow all
visible_hostname squid.test
access_log stdio:$d/squid/access.log squid
cache_log $d/squid/cache.log
pid_filename $d/squid/squid.pid
coredump_dir $d/squid
cache_mem 4 MB
shutdown_lifetime 0 seconds
read_timeout 1 second
pinger_enable off
icp_port 0
via on
EOC
$t->run_daemon('squid', '-N', '-f', "$d/squid/squid.conf");
ok($t->waitforsocket('127.0.0.1:8121', 30), 'squid runs')
	or diag(-e "$d/squid/cache.log" ? $t->read_file('squid/cache.log') : '');

my $good = "http://proxyuser:open%3asesame\@127.0.0.1:$proxy";
my $free = "http://127.0.0.1:$open";

###############################################################################

# through nginx: http by the whole URL, https by a tunnel, with a password

$t->write_conf(http => [ 'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
	'ocsp_plus_retry 1s 2s;', "ocsp_plus_proxy $good;",
	'ocsp_plus_responder_trusted_certificate web.crt;',
	[ 8444, 'front', 'location / { proxy_pass http://127.0.0.1:8083; }' ],
	map { [ 8443, "$_.example", 'ocsp_plus on;' ] } qw/ http https / ]);
$t->run();
for my $name (qw/ http https /) {
	my $seen = wait_for(sub { staple_fast(8443, "$name.example") }, 20,
		"a staple for $name");
	ok($seen && index($seen, pack 'H*', $leaf{$name}->serial()) > 0,
		"$name: the certificate is stapled through squid");
}
ok(squid_said(qr!/200 \d+ GET http://127\.0\.0\.1:@{[ port(8081) ]}/!),
	'an http responder is asked for with its whole URL');
ok(squid_said(qr! CONNECT 127\.0\.0\.1:$front proxyuser !),
	'an https responder is asked for by CONNECT with the user');

# whose fault it is

is(reason(fetch('dead', $free)), 'proxy_failed',
	'an unreachable http responder gives proxy_failed');
like(fetch('dead', $free)->{detail}, qr/^HTTP 503 from the proxy /,
	"an unreachable http responder is reported with squid's 503");
is(reason(fetch('dead-tls', $free)), 'proxy_failed',
	'an unreachable https responder gives proxy_failed');
is(reason(fetch('denied', $free)), 'proxy_refused',
	'a denied http request gives proxy_refused');
is(reason(fetch('denied-tls', $free)), 'proxy_refused',
	'a denied tunnel gives proxy_refused');
for my $case ([ http_500 => 'http_status', 'squid forwards the 500' ],
	[ http_503 => 'http_status', 'squid forwards the 503' ],
	[ http_404 => 'http_status', 'squid forwards the 404' ],
	[ close => 'proxy_failed', 'squid answers with 502' ],
	[ hang_after_request => 'proxy_failed', 'squid answers with 504' ])
{
	my ($fault, $reason, $what) = @$case;
	$r->fault($fault, on => 2);
	my $seen = fetch('broken', $free);
	is(reason($seen), $reason,
		"a responder with $fault gives $reason: $what") or diag($seen->{detail});
}
$r->fault('none', on => 2);
is(reason(fetch('broken', $free)), 'ok',
	'a responder that works again gives ok');

for my $case ([ "http://127.0.0.1:$proxy", 'a missing password' ],
	[ "http://proxyuser:wrong\@127.0.0.1:$proxy", 'a wrong password' ])
{
	my ($url, $what) = @$case;
	is(reason(fetch('http', $url)), 'proxy_auth',
		"$what gives proxy_auth by http");
	is(reason(fetch('https', $url)), 'proxy_auth',
		"$what gives proxy_auth by https");
}

###############################################################################

# a copy out of the cache has an age, and counts as that old

$r->set(max_age => 3600, on => 1);
$r->clear();
is(reason(fetch('http', $free)), 'ok',
	"squid's cache: the first fetch succeeds");
my $told;
ok(wait_for(sub {
	$told = run('http', $free, '-v')->{output};
	return $told =~ /< Age: [1-9]\d*s/;
}, 10, 'an age'), "squid's cache: a later fetch has an age") or diag($told);
is(scalar(() = $r->requests(on => 1, leaf => $leaf{http})), 1,
	"squid's cache: the responder is asked once");
ok(squid_said(qr!TCP_(?:IN)?(?:MEM_)?HIT/200 !),
	"squid's cache: squid logs a hit");

# one that has ended is asked for again, past the cache

$r->set(next_update => 3, on => 1);
is(reason(fetch('old', $free)), 'ok',
	'an expired copy: the first fetch succeeds');
my $seen;
ok(wait_for(sub {
	$r->set(next_update => 3600, on => 1);
	$seen = run('old', $free, '-v');
	return $seen->{output} =~ /> Cache-Control: no-cache/;
}, 10, 'the copy to end'), 'an expired copy: fetch asks again with no-cache');
is($seen->{status}, 0, 'an expired copy: the second answer is accepted')
	or diag($seen->{output});
like($seen->{output}, qr/: expired.*no-cache.*: ok/s,
	'an expired copy: no-cache is sent after the expired answer');
is(scalar(() = $r->requests(on => 1, leaf => $leaf{old})), 2,
	'an expired copy: the responder is asked twice');

$t->done_testing();

###############################################################################

sub run {
	my ($name, $url, @more) = @_;
	return $t->command([ $tool, 'fetch', '--cert', $leaf{$name}->chain(),
		'--proxy', $url, '--timeout', '5s', @more ]);
}

sub fetch {
	my ($name, $url) = @_;
	my ($json) = run($name, $url, '--json')->{output} =~ /^(\{.*?^\})/ms;
	return $json ? decode_json($json) : {};
}

sub reason { return $_[0]{reason} // 'nothing' }

sub squid_said {
	my ($what) = @_;
	return wait_for(sub { $t->read_file('squid/access.log') =~ $what }, 5,
		"squid's log to say $what");
}

###############################################################################
