#!/usr/bin/perl

# Tests for packaging/nginx.org and "scripts/package pkg-oss", which puts it into
# a tree of nginx.org's packaging.  That tree is not here: a stand-in of it has
# the folders, the variables that the recipe uses, and what is made of them.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd qw/ abs_path /;
use File::Copy qw/ copy /;
use File::Path qw/ make_path /;
use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $repo = abs_path("$FindBin::Bin/..");
my $package = "$repo/scripts/package";

plan(skip_all => 'not a clone')
	if $t->command([ 'git', '-c', "safe.directory=$repo", '-C', $repo,
		'rev-parse', '--git-dir' ])->{status};

# what it refuses

for my $case (
	[ [], 'pkg-oss is for a tree' ],
	[ [ $d ], "no tree of nginx.org's packaging (pkg-oss): $d" ],
	[ [ $d, $d ], 'pkg-oss is for one' ])
{
	my ($arguments, $says) = @$case;
	my $run = $t->command([ $package, '--dirty', 'pkg-oss', @$arguments ],
		timeout => 60);
	is($run->{status}, 1, 'pkg-oss with ' . @$arguments . ' arguments: refused');
	like($run->{output}, qr/^package: \Q$says\E/m,
		'pkg-oss with ' . @$arguments . ' arguments: the reason');
}

# the tree, and the recipe in it

make_path(map { "$d/$_" } qw! contrib/src/nginx contrib/tarballs debian docs !);
$t->write_file('contrib/src/nginx/version', "NGINX_VERSION := 1.99.1\n");
my $run = $t->command([ $package, '--dirty', 'pkg-oss', $d ], timeout => 60);
is($run->{status}, 0, 'pkg-oss succeeds') or diag($run->{output});

$t->write_file('debian/Makefile', <<'EOC');
CONTRIB = $(abspath ../contrib)
MODSRC_PREFIX = extra/
MODULE_TARGET_PREFIX = 1.99.1+
include Makefile.module-*
MODULE_SEEN = $(MODULES) $(MODULE_CONTRIB_DEPS_ocsp-plus)
show: ; @for name in POST PREBUILD ENV PREINSTALL ADD_CONTROL_TAGS; do \
	printf '== %s\n' $$name; eval "echo \"\$$MODULE_$${name}_ocsp_plus\""; done
	@printf '== %s\n%s\n' $(foreach name,SUMMARY VERSION SOURCES CONFARGS BUILD_DEPENDS,\
		$(name) '$(MODULE_$(name)_ocsp_plus)') NAMES '$(MODULE_SEEN)'
EOC
$run = $t->command([ 'make', '-s', '-C', "$d/debian", 'show' ]);
is($run->{status}, 0, 'the recipe is a Makefile') or diag($run->{output});
my %is = $run->{output} =~ /^== (\w+)\n(.*?)\n(?=== |\z)/msg;
is($is{NAMES}, 'ocsp-plus ocsp-plus',
	'the name of the package, and that of its source');

# the version is the core's, wherever pkg-oss looks for it

my ($version) = $t->read_file("$repo/lib/include/ocsp_plus/version.h")
	=~ /^#define OCSP_PLUS_VERSION "(.*)"/m;
like($is{VERSION}, qr/^\Q$version\E(?:~git[\w.]+)?(?:\+dirty)?$/,
	'the version is that of version.h');
is($is{SOURCES}, "ocsp-plus-$is{VERSION}.tar.xz", 'the source has it in its name');
like($t->read_file('docs/nginx-module-ocsp-plus.xml'),
	qr/ver="\Q$is{VERSION}\E" rev="1" basever="1\.99\.1"/,
	'the changelog has it, and nginx\'s');
ok(-s "$d/docs/nginx-module-ocsp-plus.copyright", 'the copyright is there');

# the source

$run = $t->command([ 'sh', '-c', 'cd "$1/contrib/tarballs" && '
	. 'sha512sum -c ../src/ocsp-plus/SHA512SUMS && tar -xf "$2"', 'sh', $d,
	$is{SOURCES} ]);
is($run->{status}, 0, 'the source fits its sum') or diag($run->{output});
my $source = "$d/contrib/tarballs/ocsp-plus-$is{VERSION}";
is($is{CONFARGS}, '--add-dynamic-module=extra/ocsp-plus',
	'nginx\'s configure is given the link that pkg-oss makes');
my $config = $t->read_file("$source/config");
for my $path ($is{PREBUILD} =~ /--target (.*)/ ? split ' ', $1 : 'no target') {
	like($t->read_file("$source/CMakeLists.txt"),
		qr/^\s*add_(?:library|executable)\(\Q$path\E /m, "CMake builds $path");
}

# what it builds is what it has nginx take

my ($to) = $is{PREBUILD} =~ / -B (\S+)/;
is($is{ENV}, "OCSP_PLUS_CORE_BUILD=$to", 'config takes the core that is built');
like($config, qr/\$OCSP_PLUS_CORE_BUILD\b/, 'config knows the variable');
like($is{PREINSTALL}, qr/DESTDIR=\$\(INSTALLDIR\) cmake --install \Q$to\E$/m,
	'the command line is installed from there');
is_deeply([ sort $is{POST} =~ m!^ +load_module modules/(\w+)\.so;$!mg ],
	[ grep { /^ngx_(?:http|stream)_/ } sort map { split }
		$config =~ /^\s*ngx_module_name="?([^"\n]*)"?$/mg ],
	'the package says how to load each module that config makes');

# what the build needs is what Debian's packages need

my ($needs) = $t->read_file("$repo/packaging/debian/control")
	=~ /^Build-Depends:(.*?)^\S/ms;
my @needs = grep { !/^(?:debhelper-compat|dh-sequence-nginx|catch2|nginx-dev)\b/
	# pkg-oss names it for every module
	&& !/^libssl-dev$/ } list($needs);
is_deeply([ list($is{BUILD_DEPENDS}) ], \@needs,
	'the package needs what packaging/debian/control does');

# All of it passes through sed, which pkg-oss writes with # between its parts;
# an & there is what was found.

unlike(join('', values %is), qr/[#&]/, 'sed lets all of it pass');

# changes that are not committed, and another working directory

make_path("$d/other/contrib/src/nginx", "$d/other/contrib/tarballs",
	"$d/other/docs");
$t->write_file('other/contrib/src/nginx/version', "NGINX_VERSION := 1.99.1\n");
$run = $t->command([ 'git', '-c', "safe.directory=$repo/.git", 'clone', '-q',
	$repo, "$d/clone" ], timeout => 60);
is($run->{status}, 0, 'a clone is made') or diag($run->{output});
copy($package, "$d/clone/scripts/package");
$t->write_file('clone/README.md', "changed\n");
my @there = ('sh', '-c', 'cd / && exec "$@"', 'sh', "$d/clone/scripts/package");
like($t->command([ @there, 'pkg-oss', "$d/other" ], timeout => 60)->{output},
	qr/^package: the tree has changes that are not committed/m,
	'changes are refused without --dirty');
$run = $t->command([ @there, '--dirty', 'pkg-oss', "$d/other" ],
	timeout => 60);
is($run->{status}, 0,
	'--dirty, from another directory') or diag($run->{output});
like($t->read_file('other/contrib/src/ocsp-plus/version'), qr/\+dirty$/,
	'the version says that the tree has changes');
$run = $t->command([ 'sh', '-c',
	'tar -xOf "$1"/other/contrib/tarballs/*.xz --wildcards "*/README.md"', 'sh',
	$d ]);
is($run->{output}, "changed\n", 'the source has them');

$t->done_testing();

###############################################################################

sub list {
	my ($packages) = @_;
	return sort grep { length } map { s/^\s+|\s+$//gr } split /,/, $packages;
}

###############################################################################
