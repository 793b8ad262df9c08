#!/usr/bin/perl

# Tests for scripts/bench: each part runs, finds what it looks for, and the
# figures go to a file.  Whether they are good is not asked with numbers as
# small as these.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new(timeout => 600)->has(qw/ http_ssl /)
	->has_daemon('valgrind');
plan(skip_all => 'not with the sanitizers') if $ENV{OCSP_PLUS_SANITIZE};

my $bench = "$FindBin::Bin/../scripts/bench";
my $json = $t->testdir() . '/figures.json';

my $run = $t->command([ $bench, '--help' ]);
is($run->{status}, 0, 'scripts/bench --help succeeds');
$run = $t->command([ $bench, 'z' ]);
isnt($run->{status}, 0, 'scripts/bench refuses an unknown part');
like($run->{output}, qr/there is no part "z"/,
	'scripts/bench names the unknown part');

$run = $t->command([ $bench, '--tiny', '--json', $json ], timeout => 480);
is($run->{status}, 0,
	'scripts/bench --tiny runs all parts') or diag($run->{output});
my $told = decode_json($t->read_file($json));
like($told->{$_}, qr/^\d+\.\d+\.\d+/, "the JSON figures name the version of $_")
	for qw/ nginx openssl /;
like($run->{output}, qr/^== nginx \Q$told->{nginx}, OpenSSL $told->{openssl}\E$/m,
	'the output begins with the versions of nginx and OpenSSL');
my $figures = $told->{figures};
my %seen;
for my $figure (@$figures) {
	my ($part) = $figure->{name} =~ /^(\w):/;
	$seen{$part}++;
	next unless defined $figure->{target};
	my $fine = $figure->{bound} eq 'at most'
		? $figure->{value} <= $figure->{target}
		: $figure->{value} >= $figure->{target};
	is(!! $figure->{ok}, !! $fine,
		"$figure->{name}: \"ok\" follows from value and target");
}
is(join('', sort keys %seen), 'abcdefghij',
	'the figures cover all parts of the benchmark');

# the program in the text for OpenSSL's tracker

my ($program) = $t->read_file("$FindBin::Bin/../docs/openssl-status-cost.md")
	=~ /^```c\n(.*?)^```$/ms;
my $source = $t->write_file('status_cost.c', $program);
$run = $t->command([ qw/ cc -O2 -o /, $t->testdir() . '/status_cost', $source,
	qw/ -lssl -lcrypto / ]);
is($run->{output}, '', 'the program of docs/openssl-status-cost.md compiles');
$run = $t->command([ $t->testdir() . '/status_cost', 2 ]);
is(scalar(() = $run->{output} =~ /^TLS 1\.[23], .* us +\d+\.\d\d$/mg), 6,
	'the program of docs/openssl-status-cost.md prints six '
	. 'measurements') or diag($run->{output});

$t->done_testing();

###############################################################################
