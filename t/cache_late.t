#!/usr/bin/perl

# Tests for what a start did not find in the cache directory: the helper that
# reads it was killed, the clock was wrong, or the directory could not be used.
# It is looked for once that is over, with the responder down.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Clock;
use Test::Nginx::Responder;

###############################################################################

use constant YEAR => 365 * 86400;

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

# one nginx whose clock is set, and one for which time passes

my $set = Test::Nginx->new();
my $jumps = Test::Nginx::Clock->start($set, jumps => 1);
my $passing = Test::Nginx->new();
my $passes = Test::Nginx::Clock->start($passing);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
$t->write_file('int.der', $int->der());
$r->serve_file('int.der', $t->testdir() . '/int.der');
my @leaves = $int->leaves(3, 'host%d.example', aia => $r->url(),
	not_before => -86400);
# its issuer lies in the directory as well
push @leaves, $int->leaf('alone.example', aia => $r->url(), chain => 0,
	not_before => -86400, ca_issuers => $r->url(1, '/files/int.der'));
my @names = map { $_->name() } @leaves;
for my $nginx ($set, $passing) {
	for my $file (map { ("$_.pem", "$_.key") } @names) {
		$nginx->write_file($file, $t->read_file($file));
	}
}
my $ignored = qr/response from the cache directory ignored/;

# each has kept its own

$r->validity(this_update => -3600, next_update => 7 * 86400);
my %port = ($t => 8443, $set => 8444, $passing => 8445);
for my $nginx ($t, $set, $passing) {
	configure($nginx);
	$nginx->run();
	ok(wait_for(sub { $nginx->kept() == @leaves }, 15, 'files'),
		'each nginx has cached all responses');
	$nginx->stop();
}
$r->fault('refuse');

###############################################################################

# the helper was killed: the first worker reads the directory

SKIP: {
	skip 'no preload available', 5
		unless $t->feature('preload');
	$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libtest_preload.so'),
		OCSP_PLUS_KILL_HELPER => 1);
	configure($t);
	# a word of what is of no use comes from the worker then
	my $file = $t->testdir() . '/cache/' . $leaves[2]->id() . '.der';
	$t->write_file($file, 'of no use');
	my $mark = $t->log_mark();
	$t->run();
	ok($t->wait_log(qr/start helper exited on signal 9/, 10, $mark),
		'helper killed: nginx logs it');
	ok(wait_for(sub { without($port{$t}, @names) == 1 }, 15, 'staples'),
		'helper killed: the first worker reads the cache directory');
	is(join(' ', grep { without($port{$t}, $_) } @names), 'host3.example',
		'helper killed: only the invalid file is not stapled');
	like($t->wait_log($ignored, 10, $mark) // '',
		qr/\[warn\].*certificate="host3\.example".*reason=/,
		'helper killed: the invalid file is logged as ignored');
	is(scalar(() = $t->log_lines($ignored, $mark)), 1,
		'helper killed: one file is logged as ignored');
}

###############################################################################

# the clock was wrong at the start, and is set right

for my $case ([ 'in the past', -12 * YEAR ], [ 'far ahead', 2 * YEAR ]) {
	my ($what, $offset) = @$case;
	my $mark = $set->log_mark();
	$jumps->set($offset);
	$set->run();
	is(without($port{$set}, @names), @names,
		"a clock $what: no response is stapled");
	$jumps->set(0);
	ok($set->wait_log(qr/the wall clock jumped/, 10, $mark),
		"a clock $what: the correction is noticed");
	ok(wait_for(sub { !without($port{$set}, @names) }, 10, 'staples'),
		"a clock $what: cached responses are stapled after the correction");
	is(scalar(() = $set->kept()), @leaves,
		"a clock $what: no cached response is removed");
	$set->stop();
}

# and where it went wrong in between, long enough for the response to end

my $mark = $set->log_mark();
$set->run();
is(without($port{$set}, @names), 0, 'a right clock: all responses are stapled');
$jumps->set(YEAR);
ok($set->wait_log(qr/the wall clock jumped/, 10, $mark),
	'a clock set a year ahead: the jump is noticed');
is(without($port{$set}, @names), @names,
	'a clock set a year ahead: no expired response is stapled');
$jumps->set(0);
ok(wait_for(sub { !without($port{$set}, @names) }, 10, 'staples'),
	'a clock set back: all responses are stapled again');
$set->stop();

###############################################################################

# the directory could not be used, and can again: noticed half a minute later

my $dir = $passing->testdir() . '/cache';
rename $dir, "$dir.away" or die "rename: $!";
symlink "$dir.away", $dir or die "symlink: $!";
$mark = $passing->log_mark();
$passing->run();
ok($passing->wait_log(qr/cache directory cannot be used/, 10, $mark),
	'an unusable cache directory is logged');
is(without($port{$passing}, @names), @names,
	'no response of an unusable cache directory is stapled');
unlink $dir;
rename "$dir.away", $dir or die "rename: $!";
$passes->pass(31);
ok($passing->wait_log(qr/cache directory can be used again/, 10, $mark),
	'the log says when the cache directory can be used again');
ok(wait_for(sub { !without($port{$passing}, @names) }, 10, 'staples'),
	'responses are stapled once the cache directory can be used again');

$t->done_testing();

###############################################################################

sub configure {
	my ($nginx) = @_;
	# another worker would take over from one for which time has passed
	my $workers = $nginx == $passing ? 1 : 2;
	$nginx->write_conf(workers => $workers, http => [ 'ocsp_plus on;',
		'ocsp_plus_retry 1s 2s;', map { [ $port{$nginx}, $_ ] } @names ]);
}

###############################################################################
