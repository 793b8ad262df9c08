#!/usr/bin/perl

# Tests for the times of log lines after a start that waited: what the master
# says then, and its workers, is not dated back to before the wait.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaf = map { $int->leaf("$_.example", aia => $r->url(),
	must_staple => 1) } qw/ one two /;
$r->fault('hang_after_request', on => 1);

sub configure {
	my (@leaves) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 2s;',
		map { [ 8443, $_ ] } @leaves ]);
}

###############################################################################

# the helper, which has a clock of its own, ends its wait with a line

configure($leaf[0]);
$t->run();
in_order('a start', 0);

configure(@leaf);
my $mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'the reload succeeds');
in_order('a reload', $mark);

$t->done_testing();

###############################################################################

sub in_order {
	my ($name, $mark) = @_;
	ok($t->wait_log(qr/start worker process \d/, 20, $mark),
		"$name: a worker process is started");
	my @lines = $t->log_lines(qr/^\d{4}\/\d\d\/\d\d /, $mark);
	my ($waits) = grep { /waiting for responses before starting the workers/ } @lines;
	my ($begin) = grep { /ocsp_plus: starting the workers: / } @lines;
	ok($waits && $begin && of($waits) lt of($begin),
		"$name: the wait ends in a later second than it began")
		or diag(join "\n", @lines);
	my $master = $t->master_pid();
	my @late = grep { / $master#/ }
		splice @lines, (grep { $lines[$_] eq $begin } 0 .. $#lines)[0];
	ok(scalar(grep { /start worker process/ } @late),
		"$name: workers are started after the wait");
	is(join("\n", grep { of($_) lt of($begin) } @late), '',
		"$name: no line after the wait is dated before its end");
}

# The time of a line.
sub of { return substr $_[0], 0, 19 }

###############################################################################
