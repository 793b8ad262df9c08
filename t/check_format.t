#!/usr/bin/perl

# Tests for scripts/check-format, also where git or the clang-format that judges
# is missing: it never says that something is right which it has not looked at.

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

# a tree as an archive has it: no checkout of git's

for my $dir ('tree', map({ "tree/$_" } qw{ scripts lib t .ci build }), 'bin') {
	mkdir "$d/$dir" or die "$dir: $!";
}
my $script = $t->read_file("$FindBin::Bin/../scripts/check-format");
$t->write_file('tree/scripts/check-format', $script);
$t->write_file('tree/.ci/run', "#!/usr/bin/env bash\n");
$t->write_file('tree/build/made.cc', "int  x ; \t\n");

# the only commands there are, so that what is installed does not count

for my $command (qw/ bash dirname find grep head /) {
	my ($path) = grep { -x } map { "$_/$command" } qw{ /bin /usr/bin };
	symlink $path, "$d/bin/$command" or die "$command: $!";
}

is(outcome(), "1: there is nothing to check here\n",
	'check-format fails without sources');

source("int x;\n");
is(outcome(), '0: format not checked, clang-format 14 is not here; '
	. "white space, names of tests and scripts are right\n",
	'check-format passes without clang-format and git');

clang_format('19.1.7', 1);
like(outcome(), qr/^0: format not checked/,
	'check-format does not use another version of clang-format');

clang_format('14.0.6', 1);
like(outcome(), qr/^1: (?!.*right)/s,
	'check-format fails where clang-format 14 objects');

clang_format('14.0.6', 0);
is(outcome(), "0: format is right\n",
	'check-format passes where clang-format 14 agrees');

source("int x; \n");
like(outcome(), qr!^1: lib/a\.cc:1:.*white space at the end!s,
	'check-format refuses white space at the end of a line');

source("int\tx;\n");
like(outcome(), qr!^1: lib/a\.cc:1:.*tabs in the lines!s,
	'check-format refuses a tab in C++');

source("int x;\n");
test_named(join ' ', qw/ so many /);
like(outcome(), qr!^1: t/a\.t:2:.*do not say what they are about!s,
	'check-format refuses a test whose name needs the one before it');
test_named('there are as many');
is(outcome(), "0: format is right\n",
	'check-format passes a test whose name stands alone');

$t->write_file('tree/scripts/broken', "#!/usr/bin/env bash\nif\n");
like(outcome(), qr/^1: .*syntax error/s,
	'check-format refuses a script that does not parse');

$t->done_testing();

###############################################################################

sub source {
	my ($text) = @_;
	$t->write_file('tree/lib/a.cc', $text);
}

sub test_named {
	my ($name) = @_;
	$t->write_file('tree/t/a.t', "is(1,\n\t1, '$name');\n");
}

sub clang_format {
	my ($version, $status) = @_;
	$t->write_file('bin/clang-format', <<"END");
#!$d/bin/bash
[ "\$1" = --version ] || exit $status
echo "Debian clang-format version $version"
END
	chmod 0755, "$d/bin/clang-format" or die "chmod: $!";
}

sub outcome {
	my $run = $t->command([ "$d/bin/bash", "$d/tree/scripts/check-format" ],
		env => { PATH => "$d/bin" });
	return "$run->{status}: $run->{output}";
}

###############################################################################
