#!/usr/bin/perl

# Tests for signals while the start helper is waited for, at a first start and
# on a reload: those that end nginx end the wait at once, and no helper ever
# outlives its master.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use POSIX qw/ WNOHANG /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;
use Test::Nginx::Watch;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
$int->leaf('good.example', aia => $r->url(1));
# what clients refuse without a staple is waited for to the end
$int->leaf("hangs$_.example", aia => $r->url(2), must_staple => 1) for 1 .. 6;
$r->fault('hang_after_request', on => 2);

my $waits = qr/waiting for responses before starting the workers/;
my $begin = qr/starting the workers: stapled=/;

# a core dump, should one be left, belongs there
chdir $t->testdir();

###############################################################################

# a first start: nginx has no handlers yet, so signals kill as they do without

for my $daemon ('on', 'off') {
	for my $signal (qw/ TERM INT QUIT KILL /) {
		my $what = "$signal, daemon $daemon";
		configure($daemon, 'hangs1.example');
		my ($master, $helper) = begin();
		ok($helper, "$what: a start helper runs");
		kill $signal => $master;
		ok(wait_for(sub { waitpid($master, WNOHANG) == $master }, 10),
			"$what: nginx ends");
		ok(gone($helper), "$what: the start helper ends");
		is(handshake_fast(8443, 'hangs1.example')->{error} =~
			/^connect:/ ? 1 : 0, 1, "$what: nobody listens");
	}
}
is(scalar(() = $t->log_lines($begin)), 0,
	'no worker was started by the interrupted starts');
is($r->stats()->{all}{open}, 0, 'no connection to the responder is left open');

# the helper is killed: nginx starts, and the workers do its work

configure('on', 'good.example', 'hangs1.example');
my $mark = $t->log_mark();
my ($nginx, $helper) = begin();
# it is the designated worker until then, has connections and at times the
# zone's lock
kill KILL => $helper;
ok(wait_for(sub { waitpid($nginx, WNOHANG) == $nginx }, 10),
	'killed helper: the start goes on');
is($?, 0, 'killed helper: nginx starts successfully');
ok(wait_for(sub { $t->workers() == 2 }, 10), 'killed helper: two workers run');
$t->_remember();
ok(gone($helper), 'killed helper: the helper is reaped');
like($t->wait_log(qr/start helper exited/, 10, $mark) // '',
	qr/\[error\].*on signal 9, the zone may be incomplete/,
	'killed helper: an error is logged');
ok(wait_for(sub { staple_fast(8443, 'good.example') }, 15, 'a staple'),
	'killed helper: the certificate is stapled');
ok($t->wait_log(qr/the designated worker now/, 10, $mark),
	'killed helper: a worker becomes the designated worker');

###############################################################################

# on a reload the old workers go on

my @workers = sort $t->workers();
my $watch = Test::Nginx::Watch->start($t, 8443, 'good.example');
configure('on', qw/ good.example hangs2.example /);
($helper) = reload();
ok($helper, 'reload: a start helper runs');
is($t->read_file("/proc/$helper/status") =~ /^Uid:\s+(\d+)/m ? $1 : '',
	worker_uid(), 'reload: the start helper runs as the worker user');
my $before = $watch->seen()->{stapled};
ok($watch->wait_for($before + 50), 'reload: handshakes work during the wait');
is(join(' ', sort $t->workers()), "@workers",
	'reload: the old workers serve during the wait');

# the helper is killed

$mark = $t->log_mark();
kill KILL => $helper;
ok(wait_for(sub { !grep { my $old = $_; grep { $_ == $old } @workers }
	$t->workers() and $t->workers() == 2 }, 10),
	'reload with a killed helper: new workers run');
like($t->wait_log(qr/start helper exited/, 10, $mark) // '',
	qr/\[error\].*on signal 9/,
	'reload with a killed helper: an error is logged');
$t->_remember();
$before = $watch->seen()->{stapled};
ok($watch->wait_for($before + 50),
	'reload with a killed helper: handshakes work');

# a signal in the wait

my $n = 3;
for my $signal (qw/ QUIT TERM INT /) {
	$t->run() unless $t->master_pid();
	my $master = $t->master_pid();
	configure('on', 'good.example', "hangs$n.example");
	($helper) = reload();
	ok($helper, "reload, $signal during the wait: a start helper runs");
	if ($watch) {
		my $seen = $watch->end();
		is("$seen->{missing} $seen->{failed} $seen->{unreachable}",
			'0 0 0',
			'reload: no handshake lacks a staple or fails');
		undef $watch;
	}
	$mark = $t->log_mark();
	$t->_remember();
	kill $signal => $master;
	# far less than the wait
	ok(wait_for(sub { !$t->master_pid() }, 12),
		"reload, $signal during the wait: nginx ends");
	ok(gone($helper),
		"reload, $signal during the wait: the start helper ends");
	is(scalar(() = $t->log_lines($begin, $mark)), 0,
		"reload, $signal during the wait: nginx does not wait to the limit");
	configure('on', 'good.example');
	$n++;
}

# the master is killed in the wait: workers go on as always, the helper not

$t->run();
my $master = $t->master_pid();
configure('on', 'good.example', "hangs$n.example");
($helper) = reload();
ok($helper, 'reload, master killed: a start helper runs');
$t->signal($master, 'KILL');
ok(gone($helper), 'reload, master killed: the start helper ends');
ok(defined staple_fast(8443, 'good.example'),
	'reload, master killed: the old workers serve');
ok($t->stop('KILL'), 'reload, master killed: the old workers can be ended');

$t->done_testing();

###############################################################################

# Starts nginx and returns its process and the helper's, once it waits.
sub begin {
	my $mark = $t->log_mark();
	my $requests = () = $r->requests(on => 2);
	my $pid = $t->_exec_nginx();
	$t->wait_log($waits, 10, $mark);
	$r->wait_requests($requests + 1, 10, on => 2);
	return ($pid, Test::Nginx::children($pid));
}

# Tells nginx to reload and returns the helper, once it waits.
sub reload {
	my $mark = $t->log_mark();
	my %old = map { $_ => 1 } Test::Nginx::children($t->master_pid());
	kill HUP => $t->master_pid();
	$t->wait_log($waits, 10, $mark);
	return grep { !$old{$_} } Test::Nginx::children($t->master_pid());
}

sub gone {
	my ($pid) = @_;
	return $pid && wait_for(sub { !Test::Nginx::alive($pid) }, 5,
		'a process to end');
}

sub worker_uid {
	my ($worker) = $t->workers();
	return $t->read_file("/proc/$worker/status") =~ /^Uid:\s+(\d+)/m
		? $1 : undef;
}

sub configure {
	my ($daemon, @names) = @_;
	$t->write_conf(main => [ "daemon $daemon;" ], workers => 2, http => [
		'ocsp_plus on;', 'ocsp_plus_startup_wait 60s;',
		'ocsp_plus_timeout 60s;', map { [ 8443, $_ ] } @names ]);
}

###############################################################################
