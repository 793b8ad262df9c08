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
	is(staple(8443, tls => $tls)->{status}, 'good', "TLS $tls: stapled");
	is(staple(8444, tls => $tls)->{status}, 'none',
		"TLS $tls: revoked and left out");
	is(staple(8445, tls => $tls)->{status}, 'none', "TLS $tls: off");
}
is(staple(8443, status => 0)->{handshake}, 1, 'nobody asks');
ok(wait_for(sub { -s $t->testdir() . '/stream.log' }, 5, 'the log'), 'a log');
ok(wait_for(sub { 7 <= (() = logged('.')) }, 5, 'all lines'), 'all lines');
my $id = $leaf{one}->id();
is(scalar(() = logged("^sent good $id\$")), 2, 'variables: sent');
is(scalar(() = logged("^not_requested - $id\$")), 1,
	'variables: not requested');
is(scalar(() = logged('^none - ' . $leaf{two}->id() . '$')), 2,
	'variables: none');
is(scalar(() = logged('^off - -$')), 2, 'variables: off');
is(scalar(() = $r->requests()), 2, 'asked for what is served alone');
ok(-e $t->testdir() . "/kept/$id.der", 'and kept');

# a reload brings a new one; a dead responder with require on

my $dead = Test::Nginx::port(8999);
$t->write_conf(workers => 2, stream => [ @stream, [ 8443, 'one', $hello ],
	[ 8444, 'both', $hello ],
	[ 8445, 'dead', 'ocsp_plus_require on;',
		"ocsp_plus_responder http://127.0.0.1:$dead/;", $hello ] ]);
ok($t->reload(), 'reload');
is(staple(8443)->{status}, 'good', 'stapled after it');
is(staple(8444)->{status}, 'good', 'the new one as well');
is(staple(8445)->{alert}, 80, 'required and missing: refused');
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
is(staple($_)->{status}, 'good', "$_: stapled") for 8443, 8444, 8446, 8447;
is(scalar(() = $r->requests()), 3, 'one request for each certificate');
is(scalar(() = $t->log_lines(qr/designated worker now.*certificates=3/,
	$mark)), 1,
	'one engine has them all');
$t->stop();

# --- what cannot be ----------------------------------------------------------

$t->write_conf(http => [ 'ocsp_plus_zone one:8m;' ],
	stream => [ 'ocsp_plus_zone two:8m;' ]);
ok(!$t->config_test(), 'one zone in all');
like($t->output(), qr/"ocsp_plus_zone" directive is duplicate/,
	'said like any other duplicate');

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
	ok(!$t->config_test(), 'the stream module without the other one');
	like($t->output(), qr/undefined symbol: (?:op|ngx_ocsp_plus)_/,
		'the loader names what is missing');
}

$t->done_testing();

###############################################################################

sub logged {
	my ($pattern) = @_;
	return grep { /$pattern/ } split /\n/, $t->read_file('stream.log');
}

###############################################################################
