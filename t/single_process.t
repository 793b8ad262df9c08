#!/usr/bin/perl

# Tests for master_process off: a start has its staples as any other, from the
# responder and from the cache directory, and signals end it at once.

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
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(3, 'host%d.example', aia => $r->url());
my @names = map { $_->name() } @leaves;
my $late = $int->leaf('late.example', aia => $r->url());
my $waits = qr/waiting for responses before starting the workers/;

chdir $t->testdir();	# should a signal leave a core dump

###############################################################################

for my $daemon (qw/ off on /) {
	my $what = "daemon $daemon";
	system('rm', '-rf', $t->testdir() . '/cache');

	# a slow responder

	$r->reset();
	$r->set(delay => 300);
	$r->clear();
	configure($daemon, @names);
	my $mark = $t->log_mark();
	my $watch = Test::Nginx::Watch->start($t, 8443, @names);
	$t->run();
	$watch->wait_for(50);
	my $seen = $watch->end();
	is("$seen->{missing} $seen->{failed}", '0 0',
		"$what: no handshake from the first on lacks a staple");
	is(scalar(() = $t->log_lines($waits, $mark)), 1,
		"$what: the start waits for responses");
	is(scalar(() = $r->requests()), 3,
		"$what: three certificates take three requests");
	ok($t->wait_log(qr/the designated worker now/, 10, $mark),
		"$what: the process becomes the designated worker");
	is(scalar(() = Test::Nginx::children($t->master_pid())), 0,
		"$what: the process has no children");
	ok(wait_for(sub { $t->kept() == 3 }, 10, 'files'),
		"$what: the responses are cached");
	my @stat = stat $t->testdir() . '/cache';
	is(sprintf('%d %04o', $stat[4], $stat[2] & 07777), "$> 0700",
		"$what: the cache directory belongs to the process");

	# from the cache directory

	for my $signal (qw/ QUIT TERM KILL /) {
		$t->stop($signal);
		$r->fault('hang_after_connect');
		$r->clear();
		$mark = $t->log_mark();
		$watch = Test::Nginx::Watch->start($t, 8443, @names);
		$t->run();
		$watch->wait_for(50);
		$seen = $watch->end();
		is("$seen->{missing} $seen->{failed}", '0 0',
			"$what, after $signal: no handshake lacks a staple");
		is($r->stats()->{all}{connections}, 0,
			"$what, after $signal: no responder is asked");
		is(scalar(() = $t->log_lines($waits, $mark)), 0,
			"$what, after $signal: the start does not wait");
	}
	$t->stop();

	# signals while it waits

	configure($daemon, 'late.example');
	for my $signal (qw/ QUIT TERM INT KILL /) {
		$mark = $t->log_mark();
		my $pid = $t->_exec_nginx();
		$t->wait_log($waits, 10, $mark);
		my ($helper) = Test::Nginx::children($pid);
		ok($helper,
			"$what, $signal during the wait: a start helper runs");
		kill $signal => $pid;
		ok(wait_for(sub { waitpid($pid, WNOHANG) == $pid }, 10),
			"$what, $signal during the wait: nginx ends");
		ok(wait_for(sub { !Test::Nginx::alive($helper) }, 5),
			"$what, $signal during the wait: the start helper ends");
	}

	# the helper is killed

	$r->reset();
	$r->drop_connections();
	$r->set(delay => 2000);
	$mark = $t->log_mark();
	my $killer = $t->run_daemon(sub {
		my $helper = $t->wait_log(qr/$waits/, 10, $mark);
		kill KILL => $1 if ($helper // '') =~ /\] (\d+)#/;
	});
	$t->run();
	like($t->wait_log(qr/start helper exited/, 10, $mark) // '',
		qr/on signal 9/, "$what: a killed start helper is logged");
	is(wait_staple(8443, 'good', seconds => 15)->{status}, 'good',
		"$what: the certificate is stapled after the start helper was killed");
	$t->stop_daemons($killer);
	$t->stop();
}

$t->done_testing();

###############################################################################

sub configure {
	my ($daemon, @servers) = @_;
	$t->write_conf(main => [ "daemon $daemon;", 'master_process off;' ],
		http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 60s;',
			'ocsp_plus_timeout 60s;', map { [ 8443, $_ ] } @servers ]);
}

###############################################################################
