#!/usr/bin/perl

# Tests for the command line where its standard streams are closed or cannot be
# written to: it does what it is for, and its exit status is true.

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

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my $leaf = $int->leaf('good.example', aia => $r->url(1));
my @refused = ('127.0.0.1:' . $t->port(8089), '--timeout', '5s');

# a response is fetched, whatever becomes of the words about it

for my $streams ('2>/dev/full', '2>&-', '<&- 2>&-') {
	unlink "$d/out.der";
	$r->clear();
	is(run($streams, 'fetch', '--verbose', '--cert', $leaf->chain(), '--out',
		"$d/out.der"), 0, "fetch $streams: exit status 0");
	is(run('', 'verify', '--cert', $leaf->chain(), '--response',
		"$d/out.der"), 0, "fetch $streams: the response is there, and whole");
	is(scalar(my @requests = $r->requests()), 1,
		"fetch $streams: the responder gets the request and nothing else");
}

# the verdict cannot be told

for my $streams ('>/dev/full', '>&-', '<&- >&- 2>&-', '>/dev/full 2>/dev/full')
{
	is(run($streams, 'verify', '--cert', $leaf->chain(), '--response',
		"$d/out.der"), 2, "verify $streams: exit status 2");
	is(run($streams, 'check', @refused), 3, "check $streams: exit status 3");
}

# what is wrong cannot be told, and is wrong all the same

for my $streams ('2>/dev/full', '2>&-') {
	is(run($streams, 'show', "$d/none"), 2, "show $streams: exit status 2");
	is(run($streams, 'check', '--verbose', @refused), 3,
		"check $streams: exit status 3");
	is(run($streams, 'check', '--nonsense'), 3,
		"check $streams: wrong use has exit status 3");
	is(run($streams, 'nonsense'), 2,
		"no such command $streams: exit status 2");
}

$t->done_testing();

###############################################################################

# Its exit status, with its streams as a shell is told to have them.
sub run {
	my ($streams, @arguments) = @_;
	return $t->command([ 'sh', '-c', qq{"\$@" $streams}, 'sh', $tool,
		@arguments ])->{status};
}

###############################################################################
