#!/usr/bin/perl

# Tests for the end of workers: nothing of ocsp_plus holds a graceful shutdown
# or a reload, whatever is in flight; a single process; a new binary.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8080 + $_ } 1 .. 5 ]);
my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	'lost.test' => { drop => 1 } });

# hanging at every stage of an exchange

my %fault = (1 => 'hang_after_connect', 2 => 'hang_after_request',
	3 => 'hang_in_body', 4 => 'slow_drip');
my @hanging = map { $int->leaf("hangs$_.example", aia => $r->url($_)) } 1 .. 4;
my $lost = $int->leaf('lost.example',
	aia => 'http://lost.test:' . $r->port(5) . '/');
my $good = $int->leaf('good.example', aia => $r->url(5));
my @answered = (@hanging, $good);	# once they no longer hang
my @all = (@answered, $lost);

configure();
hang();

###############################################################################

my ($client, $mark);

# QUIT, TERM

for my $signal (qw/ QUIT TERM /) {
	$dns->clear();
	$t->run();
	ok(in_flight(), "$signal: exchanges are in flight");
	my $began = time();
	ok($t->stop($signal), "$signal: all processes end");
	cmp_ok(time() - $began, '<', 5 * $Test::Nginx::SLOW,
		"$signal: the end does not wait for the exchanges");
	ok(wait_for(sub { $r->stats()->{all}{open} == 0 }, 5),
		"$signal: no connection is left open");
}

# reload

$dns->clear();
$t->run();
ok(in_flight(), 'reload: exchanges are in flight');
my $began = time();
$dns->clear();
ok($t->reload(old_gone => 1), 'reload: the old workers leave');
cmp_ok(time() - $began, '<', 10 * $Test::Nginx::SLOW,
	'reload: the old workers do not wait for the exchanges');
is(scalar($t->old_workers()), 0, 'reload: no old worker is left');
ok(in_flight(), 'reload: the new workers ask again');
is(handshake_fast(8443, 'hangs1.example')->{ok}, 1,
	'reload: a handshake works');

# a status document that is asked for in a worker that leaves is written to its
# end, though nothing else keeps that worker

$client = begun('/status');
$mark = $t->log_mark();
ok($t->reload(), 'status request: the reload succeeds');
ok($t->wait_log(qr/gracefully shutting down/, 10, $mark),
	'status request: the worker with the request is to leave');
$client->print("\r\n");
like(join('', <$client>), qr/^HTTP\S+ 200 .*"next":null\n\}\n\z/s,
	'status request: the document is written to its end');
ok(wait_for(sub { !$t->old_workers() }, 10),
	'status request: the worker leaves afterwards');

# an old worker that goes on for a client does not refresh

ok(wait_for(sub { staple_fast(8443, 'good.example') }, 15, 'a staple'),
	'client connection: a good certificate is stapled');
$client = begun('/');
$mark = $t->log_mark();
ok($t->reload(), 'client connection: the reload succeeds');
ok(wait_for(sub { $t->old_workers() == 1 }, 5),
	'client connection: the old worker stays');
my $line = $t->wait_log(qr/this is the designated worker now/, 5, $mark);
ok($line, 'client connection: a new worker becomes the designated worker');
release();
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_->name()) } @answered },
	25, 'staples'),
	'client connection: the new worker fetches all responses');
is(scalar($t->old_workers()), 1,
	'client connection: the old worker stays meanwhile');
close $client;
ok(wait_for(sub { !$t->old_workers() }, 10),
	'client connection: the old worker leaves with its client');
ok($t->stop(), 'client connection: nginx ends');

###############################################################################

# a single process

hang();
for my $signal (qw/ QUIT TERM /) {
	configure('daemon off;', 'master_process off;');
	$t->run();
	ok(wait_for(sub { staple_fast(8443, 'good.example') }, 15, 'a staple'),
		"single process, $signal: the certificate is stapled");
	ok(in_flight(), "single process, $signal: exchanges are in flight");
	$began = time();
	ok($t->stop($signal), "single process, $signal: nginx ends");
	cmp_ok(time() - $began, '<', 5 * $Test::Nginx::SLOW,
		"single process, $signal: the end does not wait for the exchanges");
}

# in the foreground

configure('daemon off;');
$t->run();
ok(wait_for(sub { staple_fast(8443, 'good.example') }, 15, 'a staple'),
	'daemon off: the certificate is stapled');
ok($t->stop(), 'daemon off: nginx ends');

###############################################################################

# a new binary

configure();
release();
$t->run();
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_->name()) } @answered },
	25, 'staples'),
	'new binary: all certificates are stapled by the old one');
hang();
$mark = $t->log_mark();
my ($old, $new) = $t->upgrade();
isnt($old, $new, 'new binary: it has another master');
$line = $t->wait_log(qr/this is the designated worker now/, 10, $mark);
ok($line, 'new binary: it has its own designated worker');
kill QUIT => $old;
ok(wait_for(sub { !Test::Nginx::alive($old) }, 10, 'the old one to end'),
	'new binary: the old master ends');
release();
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_->name()) } @answered },
	25, 'staples'),
	'new binary: all certificates are stapled by the new one');
is(scalar(grep { !defined staple_fast(8443, 'good.example') } 1 .. 30), 0,
	'new binary: thirty handshakes are stapled');
ok($t->reload(old_gone => 1), 'new binary: a reload succeeds');
is(scalar(grep { !defined staple_fast(8443, $_->name()) } @answered), 0,
	'new binary: a reload keeps the staples');
ok($t->stop(), 'new binary: nginx ends');

$t->done_testing();

###############################################################################

sub configure {
	$t->write_conf(main => [ @_ ], workers => 2, http => [ 'ocsp_plus on;',
		# the workers are watched, not what helps them to start
		'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
		'ocsp_plus_timeout 50s;', 'ocsp_plus_retry 1s 2s;',
		'ocsp_plus_resolver 127.0.0.1:8053 timeout=40s;',
		[ 8080, undef, 'location /status { ocsp_plus_status json; }' ],
		map { [ 8443, $_ ] } @all ]);
}

# A request whose worker waits for its end.
sub begun {
	my ($path) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
		PeerPort => port(8080)) or die "connect: $!\n";
	$socket->print("GET $path HTTP/1.0\r\n");
	http_get('/');	# accepted later than that
	return $socket;
}

sub hang {
	$r->fault($fault{$_}, on => $_) for keys %fault;
}

sub release {
	$r->fault('none', on => $_) for keys %fault;
	$r->drop_connections();
}

# All that can hang does.
sub in_flight {
	return wait_for(sub {
		$r->stats()->{all}{open} >= 4
			&& $dns->queries(name => 'lost.test') > 0;
	}, 15, 'exchanges in flight');
}

###############################################################################
