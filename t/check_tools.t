#!/usr/bin/perl

# Tests for scripts/check-shell and scripts/check-tidy where the version that
# judges is missing, objects or does not: neither says that something is right
# which it has not looked at.

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

for my $dir (qw/ tree tree\/scripts tree\/.ci tree\/build tree\/lib tree\/lib\/base bin /) {
	mkdir "$d/$dir" or die "$dir: $!";
}
for my $script (qw/ check-shell check-tidy lib.sh /) {
	$t->write_file("tree/scripts/$script", $t->read_file("$FindBin::Bin/../scripts/$script"));
}
$t->write_file('tree/.ci/run', "#!/usr/bin/env bash\n");
$t->write_file('tree/lib/base/a.cc', "int x;\n");
$t->write_file('tree/build/compile_commands.json', "[]\n");

# the only commands there are, so that what is installed does not count

for my $command (qw/ basename bash dirname grep head mktemp nproc rm sed xargs /) {
	my ($path) = grep { -x } map { "$_/$command" } qw{ /bin /usr/bin };
	symlink $path, "$d/bin/$command" or die "$command: $!";
}

is(outcome('shell'), "0: scripts not checked, shellcheck 0.9 is not here\n", 'check-shell without shellcheck');
tool('shellcheck', '0.10.0', 1);
like(outcome('shell'), qr/^0: scripts not checked/, 'check-shell with another shellcheck');
tool('shellcheck', '0.9.0', 1);
like(outcome('shell'), qr{^1: judging .*/run(?!.*right)}s, 'check-shell where shellcheck 0.9 objects');
tool('shellcheck', '0.9.1', 0);
like(outcome('shell'), qr{^0: judging .*\bscripts/check-tidy\b.*\nscripts are right\n$}s,
	'check-shell where shellcheck 0.9 does not object');

is(outcome('tidy'), "0: not checked, clang-tidy 14 is not here\n", 'check-tidy without clang-tidy');
tool('clang-tidy', '19.1.7', 1);
like(outcome('tidy'), qr/^0: not checked/, 'check-tidy with another clang-tidy');
tool('clang-tidy', '14.0.6', 1);
like(outcome('tidy'), qr{^1: judging .*lib/base/a\.cc(?!.*finds nothing)}s, 'check-tidy where clang-tidy 14 objects');
tool('clang-tidy', '14.0.0', 0);
like(outcome('tidy'), qr{^0: judging .*lib/base/a\.cc\nclang-tidy finds nothing\n$}s,
	'check-tidy where clang-tidy 14 does not object');

unlink "$d/tree/build/compile_commands.json" or die $!;
like(outcome('tidy'), qr/^[^0]\d*: (?!.*finds nothing)/s, 'check-tidy without a build');

$t->done_testing();

###############################################################################

# A tool that tells its version as the real one does, and judges with this status.
sub tool {
	my ($name, $version, $status) = @_;
	my $told = $name eq 'shellcheck' ? "version: $version" : "Debian LLVM version $version";
	$t->write_file("bin/$name", <<"END");
#!$d/bin/bash
[ "\$1" != --version ] || { echo "$told"; exit; }
echo "judging \$*"
exit $status
END
	chmod 0755, "$d/bin/$name" or die "chmod: $!";
}

sub outcome {
	my ($check) = @_;
	my @files = $check eq 'tidy' ? 'lib/base/a.cc' : ();
	my $run = $t->command([ "$d/bin/bash", "$d/tree/scripts/check-$check", @files ],
		env => { PATH => "$d/bin" });
	return "$run->{status}: $run->{output}";
}

###############################################################################
