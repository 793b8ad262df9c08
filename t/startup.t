#!/usr/bin/perl

# Tests for the start: no handshake comes before the responses that can be had
# in time, and nothing that cannot be had keeps the workers from beginning.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Path qw/ remove_tree /;
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
my @names = map { $_->name() } $int->leaves(3, 'host%d.example',
	aia => $r->url(1));
my $must = $int->leaf('must.example', aia => $r->url(2), must_staple => 1);
my $cache = $t->testdir() . '/cache';

my $waits = qr/waiting for responses before starting the workers/;
my $begin = qr/starting the workers: stapled=/;

# a configuration test leaves all alone, with the longest of waits

$r->fault('hang_after_connect');
configure('60s', @names, 'must.example');
ok($t->config_test(),
	'nginx -t with a long startup wait succeeds') or diag($t->output());
is($r->stats()->{all}{connections}, 0, 'nginx -t asks no responder');
ok(!-e $cache, 'nginx -t does not create the cache directory');
is(scalar(() = $t->log_lines(qr/ocsp_plus: /)), 0, 'nginx -t does not wait');

###############################################################################

# a slow responder: connections wait, none goes without

$r->fault('none');
$r->set(delay => 300);
configure('60s', @names);
my $watch = Test::Nginx::Watch->start($t, 8443, @names);
wait_for(sub { $watch->seen()->{unreachable} }, 10, 'a try before the start');
my $mark = $t->log_mark();
$t->run();
ok($watch->wait_for(200, 20),
	'slow responder: two hundred handshakes are made');
my $seen = $watch->end();
is("$seen->{missing} $seen->{failed}", '0 0',
	'slow responder: no handshake from the first on lacks a staple');
my ($line) = $t->log_lines($waits, $mark);
like($line // '', qr/\[notice\].*certificates=3 at_most=60000ms/,
	'slow responder: the begin of the wait is logged');
($line) = $t->log_lines($begin, $mark);
like($line // '', qr/\[notice\].*stapled=3 missing=0 waited=\d+ms/,
	'slow responder: the end of the wait is logged');
is(scalar(() = $t->log_lines(qr/: response published/, $mark)), 3,
	'slow responder: each response is published once');
ok(wait_for(sub { $t->kept() == 3 }, 10, 'files'),
	'slow responder: all responses are cached');
$t->stop();
is(scalar($t->kept()), 3, 'slow responder: the cached responses outlive nginx');
is(scalar(() = $r->requests()), 3,
	'slow responder: three certificates take three requests');

# what is kept is not waited for, though nobody answers

$r->fault('hang_after_connect');
$mark = $t->log_mark();
$watch = Test::Nginx::Watch->start($t, 8443, @names);
$t->run();
$watch->wait_for(50);
$seen = $watch->end();
is("$seen->{missing} $seen->{failed}", '0 0',
	'cached responses: no handshake after a restart lacks a staple');
is(scalar(() = $t->log_lines(qr/$waits|$begin/, $mark)), 0,
	'cached responses: the restart does not wait');
$t->stop();

###############################################################################

# nobody answers in time

remove_tree($cache);
configure('1s', @names);
$line = start_without(@names);
like($line, qr/\[warn\].*stapled=0 missing=3 waited=1\d\d\dms/,
	'hanging responder: the workers start after the limit');
$t->stop();

# all are refused: there is nothing to wait for, whoever was tried

$r->drop_connections();
$r->fault('refuse');
configure('60s', @names);
$line = start_without(@names);
like($line, qr/\[warn\].*stapled=0 missing=3 waited=\d{1,4}ms/,
	'refused connections: the start does not wait');
$r->fault('none');
is(wait_staple(8443, 'good', servername => $_, seconds => 20)->{status},
	'good',
	"refused connections: $_ is stapled once the responder answers") for @names;
$t->stop();

# a wrong answer is an answer

remove_tree($cache);
$r->fault('unauthorized');
$line = start_without(@names);
like($line, qr/stapled=0 missing=3 waited=\d{1,4}ms/,
	'error responses: the start does not wait');
$t->stop();

# one that answers and one that does not

$r->fault('none');
$r->fault('refuse', on => 2);
configure('2s', @names, 'must.example');
$line = start_without('must.example');
like($line, qr/\[warn\].*stapled=3 missing=1 waited=2\d\d\dms/,
	'Must-Staple with a failing responder: the start waits to its limit');
is(without(8443, @names), 0,
	'Must-Staple with a failing responder: other certificates are stapled');
$t->stop();

# which may be in time

remove_tree($cache);
$r->fault('http_503', on => 2, times => 2);
configure('60s', 'must.example');
$watch = Test::Nginx::Watch->start($t, 8443, 'must.example');
$mark = $t->log_mark();
$t->run();
$watch->wait_for(20);
$seen = $watch->end();
is("$seen->{missing} $seen->{failed}", '0 0',
	'Must-Staple: no handshake lacks a staple after two failures');
like(join("\n", $t->log_lines($begin, $mark)), qr/stapled=1 missing=0/,
	'Must-Staple: the start waits for the third attempt');
$t->stop();

# no wait

remove_tree($cache);
$r->fault('hang_after_connect');
configure('0', @names, 'must.example');
$mark = $t->log_mark();
$t->run();
is(without(8443, @names, 'must.example'), 4,
	'startup_wait 0: the workers start without staples');
is(scalar(() = $t->log_lines(qr/$waits|$begin/, $mark)), 0,
	'startup_wait 0: the start does not wait');
$r->fault('none');
$r->drop_connections();
is(wait_staple(8443, 'good', servername => $_, seconds => 20)->{status},
	'good',
	"startup_wait 0: $_ is stapled later") for @names, 'must.example';

$t->done_testing();

###############################################################################

# Starts nginx, in which these get no staple; what the log says when the
# workers begin.
sub start_without {
	my @missing = @_;
	my $mark = $t->log_mark();
	$t->run();
	is(without(8443, @missing), scalar @missing,
		"@missing: no staple at the start");
	my @lines = $t->log_lines($begin, $mark);
	is(scalar @lines, 1,
		"@missing: the start waits once") or diag(join "\n", @lines);
	return $lines[0] // '';
}

sub configure {
	my ($wait, @servers) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		"ocsp_plus_startup_wait $wait;", 'ocsp_plus_retry 1s 1s;',
		map { [ 8443, $_ ] } @servers ]);
}

###############################################################################
