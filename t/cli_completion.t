#!/usr/bin/perl

# Tests for the completion of ocsp-plus in bash, and that it and the manual
# page name what --help does.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $repo = "$FindBin::Bin/..";
my $tool = $t->build_dir() . '/ocsp-plus';

my $run = $t->command([ "$repo/scripts/check-man", $tool ], timeout => 30);
is($run->{status}, 0, 'scripts/check-man passes') or diag($run->{output});

# what Icinga gives it

my $icinga = $t->read_file("$repo/docs/monitoring/icinga.conf");
my $help = $t->command([ $tool, 'check', '--help' ])->{output};
my @given = $icinga =~ /^    "(-[^"]+)" = /mg;
cmp_ok(scalar(@given), '>', 5, 'docs/monitoring/icinga.conf gives options');
like($help, qr/^ +(?:-\w, *)?\Q$_\E\b/m, "\"check\" has Icinga's $_") for @given;

mkdir "$d/files";
mkdir "$d/files/directory";
$t->write_file('files/chain.pem', '');
$t->write_file('files/a name.pem', '');

# the words of the line, what is offered for the last

for my $case (
	[ [ '' ], qw/ check fetch plan share show verify --help --version -h / ],
	[ [ 'f' ], 'fetch' ],
	[ [ 'fetch', '--ca' ], '--cache' ],
	[ [ 'fetch', '--re' ], qw/ --resolver --responder / ],
	[ [ 'fetch', '--share-s' ], '--share-sentinel' ],
	[ [ 'share', '--password-file', "$d/files/ch" ], "$d/files/chain.pem" ],
	[ [ 'share', '--l' ], '--list' ],
	[ [ 'plan', '--p' ], '--prefix' ],
	[ [ 'plan', '-c', "$d/files/ch" ], "$d/files/chain.pem" ],
	[ [ 'plan', '-p', "$d/files/" ], "$d/files/directory" ],
	[ [ 'check', '--c' ], qw/ --cafile --chain --conf --critical / ],
	[ [ 'check', '--prefix', "$d/files/" ], "$d/files/directory" ],
	[ [ 'check', '-w', '2' ] ],
	[ [ 'verify', '--tr' ], '--trusted' ],
	[ [ 'show', '-' ], qw/ --cert --json --help -h / ],
	[ [ 'fetch', '--cert', "$d/files/ch" ], "$d/files/chain.pem" ],
	[ [ 'fetch', '--cert', "$d/files/a" ], "$d/files/a name.pem" ],
	[ [ 'fetch', '--cache', "$d/files/" ], "$d/files/directory" ],
	[ [ 'show', "$d/files/d" ], "$d/files/directory" ],
	[ [ 'fetch', '--timeout', '1' ] ],
	[ [ 'fetch', '--cert', 'x', '--json', '--ou' ], '--out' ],
	[ [ 'nonsense', '--ca' ] ])
{
	my ($words, @wanted) = @$case;
	is(join("\n", complete(@$words)), join("\n", sort @wanted),
		"completion of \"ocsp-plus @$words\" offers the right words");
}

$run = $t->command([ 'bash', '-c', '. "$0" && complete -p ocsp-plus',
	"$repo/docs/completion/ocsp-plus.bash" ]);
like($run->{output}, qr/-F _ocsp_plus ocsp-plus/,
	'the completion is registered for ocsp-plus');

$t->done_testing();

###############################################################################

sub complete {
	my (@words) = @_;
	my $said = $t->command([ 'bash', '-c', '. "$0"; COMP_WORDS=(ocsp-plus'
		. ' "$@") COMP_CWORD=$#; _ocsp_plus; ((${#COMPREPLY[@]} == 0))'
		. ' || printf "%s\n" "${COMPREPLY[@]}"',
		"$repo/docs/completion/ocsp-plus.bash", @words ]);
	return sort split /\n/, $said->{output};
}

###############################################################################
