#!/usr/bin/perl

# Tests for a master that is not made deaf while it waits for the start helper:
# one that is stopped, a worker that dies meanwhile, and a helper that cannot
# even be killed.  What clients refuse without a staple would be waited for
# for minutes here.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use POSIX qw/ WNOHANG /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Memory;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
$int->leaf($_, aia => $r->url(1)) for qw/ good.example late.example /;
$int->leaf("hangs$_.example", aia => $r->url(2), must_staple => 1) for 1 .. 5;
$r->fault('hang_after_request', on => 2);

my $waits = qr/: waiting for responses before starting the workers/;
my $size = 1 << 20;

###############################################################################

# a first start: nobody tells the master that the helper was stopped

configure(qw/ good.example hangs1.example /);
my $mark = $t->log_mark();
my $requests = () = $r->requests(on => 2);
my $nginx = $t->_exec_nginx();
$t->wait_log($waits, 10, $mark);
$r->wait_requests($requests + 1, 10, on => 2);
my ($helper) = Test::Nginx::children($nginx);
ok($helper, 'start: a start helper runs');
kill STOP => $helper;
ok(wait_for(sub { waitpid($nginx, WNOHANG) == $nginx }, 15),
	'start with a stopped helper: the master goes on');
is($?, 0, 'start with a stopped helper: nginx starts successfully');
ok(wait_for(sub { $t->workers() == 1 }, 10),
	'start with a stopped helper: a worker runs');
$t->_remember();
ok(gone($helper),
	'start with a stopped helper: the helper is ended and reaped');
like(($t->log_lines(qr/start helper/, $mark))[0] // '',
	qr/\[error\].*hung for 2000 ms, the zone may be incomplete/,
	'start with a stopped helper: an error is logged');
ok(wait_for(sub { staple_fast(8443, 'good.example') }, 15, 'a staple'),
	'start with a stopped helper: the certificate is stapled');

###############################################################################

# on a reload the master has workers to look after

configure(qw/ good.example hangs2.example /);
$helper = reload();
ok($helper, 'reload: a start helper runs');
$mark = $t->log_mark();
my ($old) = $t->workers();
kill STOP => $helper;
ok(wait_for(sub { other_worker($old) }, 15),
	'reload with a stopped helper: a new worker runs');
$t->_remember();
ok(gone($helper),
	'reload with a stopped helper: the helper is ended and reaped');
like(($t->log_lines(qr/start helper/, $mark))[0] // '',
	qr/\[error\].*helper was stopped, the zone may be incomplete/,
	'reload with a stopped helper: an error is logged');

# the only worker is killed, and the helper is fine

configure(qw/ good.example hangs3.example /);
$helper = reload();
ok($helper, 'reload with a killed worker: a start helper runs');
$mark = $t->log_mark();
($old) = $t->workers();
$t->signal($old, 'KILL');
ok(wait_for(sub { other_worker($old) }, 15),
	'reload with a killed worker: another worker runs');
$t->_remember();
ok(gone($helper),
	'reload with a killed worker: the helper is ended and reaped');
like(($t->log_lines(qr/start helper/, $mark))[0] // '',
	qr/\[warn\].*an nginx process has ended .* not waiting for the start helper/,
	'reload with a killed worker: a warning is logged');
ok(wait_for(sub { staple_fast(8443, 'good.example') }, 15, 'a staple'),
	'reload with a killed worker: the certificate is stapled');

# an old worker leaves: that is no reason to do without staples

my $busy = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	PeerPort => port(8080)) or die "connect: $!";
print $busy "GET / HTTP/1.0\r\n";
ok(staple_fast(8443, 'good.example'),
	'reload beside an old worker: the worker has a client');
configure('good.example');
$t->reload();
($old) = $t->old_workers();
ok($old, 'reload beside an old worker: the worker stays for its client');
configure(qw/ good.example hangs4.example /);
$mark = $t->log_mark();
$helper = reload();
ok($helper, 'reload beside an old worker: a start helper runs');
close $busy;
ok(wait_for(sub { !Test::Nginx::alive($old) }, 10),
	'reload beside an old worker: the worker leaves');
staple_fast(8443, 'good.example') for 1 .. 50;
ok(Test::Nginx::alive($helper),
	'reload beside an old worker: the helper continues without it');
$r->fault('none', on => 2);
$r->drop_connections();
like($t->wait_log(qr/starting the workers: stapled=/, 20, $mark) // '',
	qr/: stapled=1 missing=0/,
	'reload beside an old worker: the helper waits to its end');
$t->_remember();
ok($t->stop(), 'nginx ends as usual after the reloads');
$r->fault('hang_after_request', on => 2);

###############################################################################

# a helper that hangs in the kernel with the zone's lock in its hand

SKIP: {
skip 'no preloading, or not root', 1
	unless $t->feature('preload') && $t->feature('root');

$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libtest_preload.so'),
	OCSP_PLUS_NO_KILL => 1);
configure('good.example');
$t->run();
($old) = $t->workers();
my $zone = Test::Nginx::Memory->of($old, $size);
skip 'no way to write into another process', 1 unless $zone;

configure(qw/ good.example late.example hangs5.example /);
$r->fault('hang_after_request', on => 1);
$helper = reload();
ok($helper, 'helper stuck in the kernel: it runs');
$t->todo_alerts(qr/ \Q$helper\E exited on signal 9/,
	qr/zone "staples" was locked by \Q$helper\E/);
$mark = $t->log_mark();
kill STOP => $helper;
$zone->write($zone->lock(), pack 'Q<', $helper);
ok(wait_for(sub { other_worker($old) }, 15),
	'helper stuck in the kernel: a new worker runs');
$zone = Test::Nginx::Memory->of((other_worker($old))[0], $size);
$t->_remember();
like($t->wait_log(qr/was killed but has not exited/, 10, $mark) // '',
	qr/\[warn\].*the start helper $helper was killed but has not exited/,
	'helper stuck in the kernel: a warning is logged');
ok(Test::Nginx::alive($helper),
	'helper stuck in the kernel: it is still there');
is($zone->word($zone->lock()), $helper,
	'helper stuck in the kernel: it keeps the lock of the zone');
$r->fault('none', on => 1);

# it comes back from the kernel, and is killed then

kill KILL => $helper;
ok(gone($helper), 'helper stuck in the kernel: nginx reaps it once it ends');
ok($t->wait_log(qr/ $helper exited on signal 9/, 10, $mark),
	'helper stuck in the kernel: its end is logged');
ok(wait_for(sub { $zone->word(0) != $helper }, 10),
	'helper stuck in the kernel: its lock is taken over');
ok(wait_for(sub { staple_fast(8443, 'late.example') }, 25, 'a staple'),
	'helper stuck in the kernel: the worker fetches afterwards');
}

$t->done_testing();

###############################################################################

# Tells nginx to reload and returns the helper, once it waits for the responder.
sub reload {
	my $mark = $t->log_mark();
	my $requests = () = $r->requests(on => 2);
	my %old = map { $_ => 1 } Test::Nginx::children($t->master_pid());
	kill HUP => $t->master_pid();
	$t->wait_log($waits, 10, $mark);
	$r->wait_requests($requests + 1, 10, on => 2);
	return (grep { !$old{$_} } Test::Nginx::children($t->master_pid()))[0];
}

sub other_worker {
	my ($old) = @_;
	return grep { $_ != $old } $t->workers();
}

# Reaped as well.
sub gone {
	my ($pid) = @_;
	return $pid && wait_for(sub { !-e "/proc/$pid" }, 10,
		'a process to end');
}

sub configure {
	$t->write_conf(http => [ 'ocsp_plus on;', "ocsp_plus_zone staples:$size;",
		'ocsp_plus_startup_wait 60s;', 'ocsp_plus_timeout 60s;',
		'ocsp_plus_retry 1s 2s;', [ 8080, undef ],
		map { [ 8443, $_ ] } @_ ]);
}

###############################################################################
