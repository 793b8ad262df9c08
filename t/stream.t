#!/usr/bin/perl

# Tests for stream servers: the same directives and variables as in http, one
# engine and one zone for both, and no need of an http block.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl stream_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my %leaf = map { $_ => $int->leaf("$_.example", file => $_, aia => $r->url(),
	not_before => -86400) } qw/ both one two dead /;

# --- stream alone ------------------------------------------------------------

my $format = q{'$ocsp_plus_staple $ocsp_plus_cert_status $ocsp_plus_cert_id'};

$r->status($leaf{two}, 'revoked');
my @common = ('ocsp_plus on;', 'ssl_protocols TLSv1.2 TLSv1.3;');
my @stream = (@common, 'ocsp_plus_cache %%TESTDIR%%/kept;',
	'ocsp_plus_retry 1s 2s;');
my $hello = 'return "hello";';
$t->write_conf(workers => 2, stream => [ "log_format staple $format;",
	'access_log %%TESTDIR%%/stream.log staple;', @stream,
	[ 8443, 'one', $hello ],
	[ 8444, 'two', 'ocsp_plus_revoked omit;', $hello ],
	[ 8445, 'both', 'ocsp_plus off;', $hello ] ]);
$t->run();

for my $tls ('1.2', '1.3') {
	is(staple(8443, tls => $tls)->{status}, 'good',
		"TLS $tls: the certificate is stapled in stream");
	is(staple(8444, tls => $tls)->{status}, 'none',
		"TLS $tls: ocsp_plus_revoked omit sends no staple in stream");
	is(staple(8445, tls => $tls)->{status}, 'none',
		"TLS $tls: ocsp_plus off sends no staple in stream");
}
is(staple(8443, status => 0)->{handshake}, 1,
	'a client that does not ask is served in stream');
ok(wait_for(sub { -s $t->testdir() . '/stream.log' }, 5, 'the log'),
	'the stream access log is written');
ok(wait_for(sub { 7 <= (() = logged('.')) }, 5, 'all lines'),
	'the stream access log has all lines');
my $id = $leaf{one}->id();
is(scalar(() = logged("^sent good $id\$")), 2,
	'the stream variables say "sent"');
is(scalar(() = logged("^not_requested - $id\$")), 1,
	'the stream variables say "not_requested"');
is(scalar(() = logged('^none - ' . $leaf{two}->id() . '$')), 2,
	'the stream variables say "none"');
is(scalar(() = logged('^off - -$')), 2, 'the stream variables say "off"');
is(scalar(() = $r->requests()), 2,
	'responses are fetched for stapled certificates only');
ok(-e $t->testdir() . "/kept/$id.der", 'a response for stream is cached');

# a reload brings a new one; a dead responder with require on

my $dead = Test::Nginx::port(8999);
$t->write_conf(workers => 2, stream => [ @stream, [ 8443, 'one', $hello ],
	[ 8444, 'both', $hello ],
	[ 8445, 'dead', 'ocsp_plus_require on;',
		"ocsp_plus_responder http://127.0.0.1:$dead/;", $hello ] ]);
ok($t->reload(), 'a reload with other stream servers succeeds');
is(staple(8443)->{status}, 'good', 'a certificate is stapled after the reload');
is(staple(8444)->{status}, 'good',
	'a new certificate is stapled after the reload');
is(staple(8445)->{alert}, 80,
	'a required staple that is missing refuses the handshake in stream');
$t->stop();

# --- beside http: one engine, one zone ----------------------------------------

$r->status($leaf{two}, 'good');
$r->clear();
my $mark = $t->log_mark();
$t->write_conf(workers => 2,
	http => [ 'ocsp_plus on;', 'ocsp_plus_cache off;', [ 8446, 'both' ],
		[ 8447, 'one' ] ],
	stream => [ @common, [ 8443, 'both', $hello ], [ 8444, 'two', $hello ] ]);
$t->run();
is(staple($_)->{status}, 'good',
	"$_: the certificate is stapled beside the other block") for 8443, 8444, 8446, 8447;
is(scalar(() = $r->requests()), 3,
	'http and stream ask once for a shared certificate');
is(scalar(() = $t->log_lines(qr/designated worker now.*certificates=3/,
	$mark)), 1,
	'http and stream have one designated worker for all certificates');
$t->stop();

# --- what cannot be ----------------------------------------------------------

$t->write_conf(http => [ 'ocsp_plus_zone one:8m;' ],
	stream => [ 'ocsp_plus_zone two:8m;' ]);
ok(!$t->config_test(), 'a zone in http and another one in stream are refused');
like($t->output(), qr/"ocsp_plus_zone" directive is duplicate/,
	'two zones are refused as a duplicate');

SKIP: {
	skip 'the modules are a part of nginx', 2 if $t->is_static();
	my $dir = Test::Nginx::Config::build_dir();
	my $modules = $t->_modules_path();
	$t->write_file('nginx.conf', <<"CONF");
load_module $modules/ngx_stream_module.so;
load_module $dir/ngx_stream_ocsp_plus_module.so;
events {
}
CONF
	ok(!$t->config_test(),
		'the stream module without the http module is refused');
	like($t->output(), qr/undefined symbol: (?:op|ngx_ocsp_plus)_/,
		'the loader names a symbol of the missing module');
}

$t->done_testing();

###############################################################################

sub logged {
	my ($pattern) = @_;
	return grep { /$pattern/ } split /\n/, $t->read_file('stream.log');
}

###############################################################################
