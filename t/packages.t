#!/usr/bin/perl

# Tests for what scripts/package, install and release say and refuse, for the
# script that finds uses of ocsp_plus in nginx's configuration, and for the SBOM.
# Packages themselves are tried by scripts/package try.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd qw/ abs_path /;
use File::Path qw/ make_path /;
use JSON::PP qw/ decode_json /;
use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new(timeout => 300);
my $d = $t->testdir();
my $repo = abs_path("$FindBin::Bin/..");
my $tree = "$d/tree";
make_path("$d/bin", "$tree/t");

# a clone of what packages are made of

copy_of(qw! scripts/package scripts/release scripts/install scripts/lib.sh
	scripts/roots.sh lib/include/ocsp_plus/version.h lib/store/layout.h
	CHANGELOG.md .gitignore CMakeLists.txt config ngx_ocsp_plus docs README.md SECURITY.md packaging !);
my ($version) = $t->read_file("$tree/lib/include/ocsp_plus/version.h")
	=~ /OCSP_PLUS_VERSION "(.*)"/;
git(qw/ init -q /);
git(qw/ add -A /);
git(qw/ commit -q -m one /);

# --- scripts/package ---------------------------------------------------------

like(script('package', '--help')->{output}, qr/Usage: scripts\/package.*--check/s,
	'package --help');
is(script('package')->{status}, 2, 'package without a command is wrong use');
for my $case (
	[ [ 'deb', 'potato' ], 'unknown release: potato; there are bookworm trixie sid' ],
	[ [ 'rpm' ], 'unknown argument: rpm' ],
	[ [ '--quick' ], 'unknown argument: --quick' ],
	[ [ 'deb', 'bookworm', 'trixie' ], 'deb is for one release' ],
	[ [ 'deb', 'source' ], 'deb or source, not both' ],
	[ [ 'try' ], 'try is for a release: bookworm trixie sid' ])
{
	my ($arguments, $says) = @$case;
	refused($says, 'package', @$arguments);
}
stand_in('id', 'echo 1000');
refused('needs root', 'package', 'deb', 'bookworm');
unlink "$d/bin/id";

SKIP: {
	skip 'no dpkg-dev', 3 unless $t->command([ 'dpkg-source', '--version' ])->{status} == 0;
	stand_in('dpkg-checkbuilddeps', 'echo "dpkg-checkbuilddeps: error: Unmet build'
		. ' dependencies: libexpected-dev catch2 (>= 3)" >&2; exit 1');
	refused('packages are missing, as root: apt-get install libexpected-dev catch2',
		'package', 'deb');
	unlink "$d/bin/dpkg-checkbuilddeps";
	my $run = script('package', 'source');
	is($run->{status}, 0, 'package source succeeds') or diag($run->{output});
	my $date = git(qw/ log -1 --format=%cd --date=format:%Y%m%d /);
	my $hash = git(qw/ rev-parse HEAD /);
	my $made = "$version~git$date." . substr $hash, 0, 7;
	ok(-s "$tree/build/package/source/ocsp-plus_$made.orig.tar.xz",
		'an ordinary commit is not a release');
}

# a tree with changes, a tree that is no clone

$t->write_file('tree/config', "\n");
refused('changes that are not committed', 'package', 'source');
SKIP: {
	skip 'no dpkg-dev', 4 unless $t->command([ 'dpkg-source', '--version' ])->{status} == 0;
	is(script('package', '--dirty', 'source')->{status}, 0, '--dirty takes it');
	my ($file) = glob "$tree/build/package/source/*+dirty.orig.tar.xz";
	ok($file, '--dirty names itself in the version');
	is($t->command([ 'tar', '-xOf', $file // 'none',
		($file // '') =~ m!_([^/]*)\.orig! ? "ocsp-plus-$1/config" : '-' ])->{output},
		"\n", 'the change is in it');
	git(qw/ checkout -q config /);
	rename "$tree/.git", "$d/git";
	my @sums;
	for my $touch (1, 2) {
		script('package', 'source');
		push @sums, $t->command([ 'sha256sum',
			"$tree/build/package/source/ocsp-plus_$version.orig.tar.xz" ])->{output};
		utime 1, 1, "$tree/README.md";
	}
	like($sums[0], qr/^[0-9a-f]{64} /, 'the source of a release makes packages');
	is($sums[0], $sums[1], 'the source of a release has the same bytes each time');
	rename "$d/git", "$tree/.git";
}
git(qw/ checkout -q config /);

# what --check finds

is(script('package', '--check')->{output}, "packages fit together\n",
	'package --check is content');
for my $case (
	[ 'CHANGELOG.md', sub { s/^## \S+/## 9.9.9,/m }, 'does not begin with version' ],
	[ 'CHANGELOG.md', sub { s/Zone layout: \d+/Zone layout/ }, 'lacks "Zone layout: ' ],
	[ 'config', sub { s/ngx_stream_ocsp_plus_module/ngx_stream_other/g },
		'config makes no usr/lib/nginx/modules/ngx_stream' ],
	[ 'CMakeLists.txt', sub { s!docs/man/ocsp-plus-deploy.1!! },
		'CMakeLists.txt does not install docs/man/ocsp-plus-deploy.1' ],
	[ 'packaging/debian/libnginx-mod-http-ocsp-plus.postinst', sub { s/#DEBHELPER#// },
		'no #DEBHELPER#' ],
	[ 'packaging/sbom', sub { $_ .= "# $version\n" }, 'has version' ])
{
	my ($file, $change, $says) = @$case;
	local $_ = $t->read_file("$tree/$file");
	$change->();
	$t->write_file("tree/$file", $_);
	refused($says, 'package', '--check');
	git('checkout', '-q', $file);
}

# --- scripts/release ---------------------------------------------------------

like(script('release', '--help')->{output}, qr/^Usage: scripts\/release/,
	'release --help');
refused('no version: 1.x', 'release', '1.x');
refused("version.h says $version: write 9.9.9 there", 'release', '9.9.9');
changelog('not released');
refused('CHANGELOG.md begins with', 'release', $version);
changelog('2026-12-01');
refused('changes that are not committed', 'release', $version);
git(qw/ commit -q -a -m two /);
my $run = script('release', $version);
like($run->{output}, qr/next: git tag -s .*tag\.txt v\Q$version\E/,
	'release prints the command that makes the tag');
my $text = $t->read_file("$tree/build/release/$version/tag.txt");
like($text, qr/\Aocsp_plus \Q$version\E\n\n- \S/,
	'the text of the tag is what the changelog says');
unlike($text, qr/^## /m, 'the text of the tag is of this version alone');
git('tag', '-a', '-F', "build/release/$version/tag.txt", "v$version");
$t->write_file('tree/new.txt', "\n");
git(qw/ add -A /);
git(qw/ commit -q -m three /);
refused("the tag v$version is at another commit", 'release', $version);
git('checkout', '-q', "v$version");
SKIP: {
	skip 'no dpkg-dev', 1 unless $t->command([ 'dpkg-source', '--version' ])->{status} == 0;
	script('package', 'source');
	ok(-s "$tree/build/package/source/ocsp-plus_$version.orig.tar.xz",
		'a tag makes a release');
}

# --- SBOM --------------------------------------------------------------------

SKIP: {
	skip 'no dpkg-deb', 5 unless $t->command([ 'dpkg-deb', '--version' ])->{status} == 0;
	make_path("$d/deb/DEBIAN");
	my $sbom = sub {
		my ($name, $boost) = @_;
		$t->write_file('deb/DEBIAN/control', "Package: $name\nVersion: 1.2.3-1\n"
			. "Architecture: all\nMaintainer: A <a\@example.org>\n"
			. "Depends: nginx-abi-1.22.1-7, libc-ares2 (>= 1.16.0)\nDescription: x\n");
		$t->command([ 'dpkg-deb', '-b', "$d/deb", "$d/x.deb" ]);
		$t->write_file('x.buildinfo', "Format: 1.0\nInstalled-Build-Depends:\n"
			. join(",\n", map { " $_ (= 1.0+$_)" } $boost, qw/ libboost-dev libcli11-dev
			libexpected-dev libfmt-dev libhiredis-dev nginx-dev nlohmann-json3-dev /) . "\n"
			. "Environment:\n LANG=\"C\"\n");
		return $t->command([ 'env', 'SOURCE_DATE_EPOCH=0', "$repo/packaging/sbom",
			"$d/x.buildinfo", "$d/x.deb" ]);
	};
	my $made = $sbom->('libnginx-mod-http-ocsp-plus', 'libboost1.74-dev');
	my $json = eval { decode_json($made->{output}) } // diag($made->{output}) // {};
	my %by = map { $_->{name} => $_ } @{$json->{packages}};
	is(join(' ', map { $by{$_}{licenseDeclared} // '' } qw/ libnginx-mod-http-ocsp-plus
		libboost1.74-dev libhiredis-dev libc-ares2 /),
		'BSD-2-Clause BSL-1.0 BSD-3-Clause NOASSERTION',
		'the SBOM has what is compiled in, with its license');
	is(join(' ', sort map { "$_->{relationshipType}=$_->{relatedSpdxElement}" }
		@{$json->{relationships}}), join(' ', (map { "CONTAINS=SPDXRef-$_" }
		qw/ libboost1.74-dev libexpected-dev libfmt-dev libhiredis-dev nginx-dev
		nlohmann-json3-dev /), (map { "DEPENDS_ON=SPDXRef-$_" }
		qw/ libc-ares2 nginx-abi-1.22.1-7 /),
		'DESCRIBES=SPDXRef-libnginx-mod-http-ocsp-plus'),
		'the SBOM says how each part belongs to the package');
	is("$json->{creationInfo}{created} " . ($by{'libfmt-dev'}{versionInfo} // ''),
		'1970-01-01T00:00:00Z 1.0+libfmt-dev',
			'the time of the SBOM is that of the source');
	like($sbom->('strange', 'libboost1.74-dev')->{output},
		qr/does not know what is compiled into strange/, 'a package it does not know');
	like($sbom->('ocsp-plus', 'boost')->{output}, qr/the \.buildinfo has no libboost/,
		'a header that was not there');
}

# --- scripts/install ---------------------------------------------------------

SKIP: {
	skip 'no modules', 9 if $t->is_static();
	skip 'another nginx', 9 unless -e '/usr/share/nginx/src/conf_flags';
	my $to = "$d/root";
	my $build = $t->build_dir();
	skip 'the build of scripts/build alone', 9 unless -e "$build/CMakeCache.txt";
	make_path("$d/build");
	symlink $_, "$d/build/" . s!.*/!!r for glob "$build/*";
	unlink map { "$d/build/$_" } qw/ installed install_manifest.txt install.log /;
	my @env = ('env', "OCSP_PLUS_BUILD=$d/build");
	my $install = "$repo/scripts/install";

	is($t->command([ @env, $install, '--uninstall', $to ])->{status}, 1,
		'nothing is removed that was not installed');
	my $run = $t->command([ @env, $install, $to ]);
	is($run->{status}, 0, 'install succeeds') or diag($run->{output});
	like($run->{output}, qr/by a line at the top of nginx.conf: load_module/,
		'install says what loads the module');
	my ($modules) = $run->{output} =~ m!load_module (\S+)/ngx!;
	my $before = inode("$to$modules/ngx_http_ocsp_plus_module.so");
	make_path("$to/etc/nginx/modules-enabled");
	$run = $t->command([ @env, $install, $to ]);
	isnt(inode("$to$modules/ngx_http_ocsp_plus_module.so"), $before,
		'a second time puts another file in the place of one that may run');
	is($t->read_file("$to/etc/nginx/modules-enabled/60-ocsp-plus.conf"),
		"load_module $modules/ngx_http_ocsp_plus_module.so;\n",
		'Debian\'s nginx loads it');
	my $listed = () = $t->read_file("$d/build/installed") =~ /\n/g;
	my $files = $t->command([ 'find', $to, '-type', 'f' ])->{output};
	is($listed, scalar(() = $files =~ /\n/g), 'each file is listed');
	like($files, qr!/usr/local/bin/ocsp-plus\n!, 'the command line is among them');
	$run = $t->command([ @env, $install, '--uninstall', $to ]);
	is($run->{status}, 0, 'uninstall succeeds') or diag($run->{output});
	is($t->command([ 'find', $to, '-type', 'f' ])->{output}, '',
		'uninstall leaves no file');
}

# --- packaging/uses-of-ocsp-plus ---------------------------------------------

$t->write_file('with spaces.conf', "map \$ocsp_plus_staple \$x { default 1; }\n");
$t->write_file('conf', <<"EOC");
load_module modules/ngx_http_ocsp_plus_module.so;
events {}
http {
    # ocsp_plus on;
    log_format a "#\$ocsp_plus_expires_in"; # ocsp_plus
    server { ocsp_plus off; }
    include "$d/with spaces.conf";
}
EOC
my $nginx = $t->nginx();
stand_in('nginx', <<"EOC");
[ ! -e $d/broken ] || exit 1
for file in "$d/conf" "$d/with spaces.conf"; do
    echo "# configuration file \$file:"; cat "\$file"; echo
done
EOC
my $uses = uses();
is($uses->{output}, qq{$d/conf:5: log_format a "#\$ocsp_plus_expires_in";\n}
	. "$d/conf:6: server { ocsp_plus off; }\n"
	. "$d/with spaces.conf:1: map \$ocsp_plus_staple \$x { default 1; }\n",
	'each use of ocsp_plus is named by file and line');
is($uses->{status}, 1, 'exit status 1 says that ocsp_plus is used');
$t->write_file('conf', "events {}\n# ocsp_plus\n");
$t->write_file('with spaces.conf', '');
$uses = uses();
is("$uses->{status} $uses->{output}", '0 ', 'a configuration that uses none');

# what the real nginx shows has the same form

SKIP: {
	skip 'ocsp_plus is a part of this nginx', 1 if $t->is_static();
	$t->write_conf(http => [ 'ocsp_plus off;' ]);
	$t->write_program('bin/nginx', "$nginx -p $d -c $d/nginx.conf");
	like(uses()->{output}, qr!^\Q$d\E/nginx\.conf:\d+: ocsp_plus off;$!m,
		'a use of ocsp_plus is named with the real nginx');
}

$t->done_testing();

###############################################################################

sub copy_of {
	for my $path (@_) {
		my ($directory) = $path =~ m!(.*)/! ? "$tree/$1" : $tree;
		make_path($directory);
		$t->command([ 'cp', '-r', "$repo/$path", "$directory/" ])->{status} == 0
			or die "$path cannot be copied";
	}
}

sub git {
	my $run = $t->command([ 'git', '-C', $tree, '-c', "safe.directory=$tree",
		'-c', 'user.name=A', '-c', 'user.email=a@example.org', @_ ]);
	$run->{status} == 0 or die "git @_: $run->{output}";
	return $run->{output} =~ s/\s+\z//r;
}

sub script {
	my ($name, @arguments) = @_;
	# as for somebody whom git does not know
	return $t->command([ 'env', "PATH=$d/bin:$ENV{PATH}", "OCSP_PLUS_ROOTS=$d/roots",
		'GIT_CONFIG_GLOBAL=/dev/null', 'GIT_CONFIG_SYSTEM=/dev/null',
		"$tree/scripts/$name", @arguments ], timeout => 60);
}

sub refused {
	my ($says, @command) = @_;
	my $run = script(@command);
	isnt($run->{status}, 0, "@command is refused");
	like($run->{output}, qr/\Q$says\E/, "@command: says why");
}

sub stand_in {
	my ($name, $text) = @_;
	$t->write_file("bin/$name", "#!/bin/sh\n$text\n");
	chmod 0755, "$d/bin/$name";
}

sub changelog {
	my ($when) = @_;
	local $_ = $t->read_file("$tree/CHANGELOG.md");
	s/^## \Q$version\E.*/## $version, $when/m;
	$t->write_file('tree/CHANGELOG.md', $_);
	git(qw/ commit -q --allow-empty -a -m changelog /) if $when =~ /not/;
}

sub uses {
	return $t->command([ 'env', "PATH=$d/bin:$ENV{PATH}",
		"$repo/packaging/uses-of-ocsp-plus" ]);
}

sub inode {
	my ($file) = @_;
	return (stat $file)[1] // 'none';
}
