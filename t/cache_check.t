#!/usr/bin/perl

# Tests for nginx -t and the cache directory: one warning where a start could
# not use it, none where it could; exit status 0, and nothing is changed.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Path qw/ remove_tree /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $leaf = Test::Nginx::CA->new($t)->leaf('example.com',
	aia => 'http://127.0.0.1:1/');

my $root = $> == 0;
my $base = $t->testdir() . '/base';
mkdir $base;
chmod 0755, $base;
my $dir = "$base/state";
my ($uid, $gid) = $root ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);
my $group = getgrgid $gid;
my $other = $uid + 1;
my @mounted;
END { system('umount', $_) for @mounted }

configure($dir);

# fine

check('a missing directory', undef);
check("the worker user's directory", undef, sub { make($uid, 0700) });
check('a directory of a group', undef, sub { make($uid, 02770) });
check('cache off', undef, sub { configure('off') });
check('ocsp_plus off', undef, sub {
	configure("$base/none/here", 'ocsp_plus off;') });
SKIP: {
	skip 'needs root', 9 unless $root;
	check("an earlier user's directory", undef, sub { make($other, 0700) });
	check("root's empty directory", undef, sub { make(0, 0755) });
	check('a small disk', undef, sub { disk('size=64k,mode=0755') });
}

# not fine

check('a missing parent',
	qr!\Q$base\E/none/here\ cannot\ be\ created:\ No\ such\ file
	\ or\ directory;\ create\ \Q$base\E/none\ first,\ or\ name\ another!x,
	sub { configure("$base/none/here") });
check('a file in its place',
	qr/is not a directory; name one, or remove what is in its/,
	sub { $t->write_file($dir, '') });
check('a link in its place', qr/is a symbolic link; name the directory itself/,
	sub { mkdir "$base/real", 0700; symlink 'real', $dir });
check('a link in its place, with a slash',
	qr/is a symbolic link; name the directory/,
	sub { symlink 'real', $dir; configure("$dir/") });
check('a directory writable by all',
	qr/is writable by others \(mode 0777\); chmod 0700 it/,
	sub { make($uid, 0777) });

SKIP: {
	skip 'needs root', 24 unless $root;
	check("root's directory with files", qr/belongs\ to\ uid\ 0,\ but\ uid\ $uid
		\ uses\ it;\ chown\ it\ to\ uid\ $uid/x,
		sub { make(0, 0755); $t->write_file("$dir/x", '') });
	check("another user's directory without a root master",
		qr/belongs to uid $other, /,
		sub { make($other, 0755); configure($dir, '', 'off') });
	check('a directory without write permission',
		qr/cannot\ be\ written:\ Permission\ denied;
		\ uid\ $uid\ must\ be\ able\ to\ write\ to\ this\ directory/x,
		sub { make($uid, 0500) });
	check('a parent that cannot be passed',
		qr/cannot\ be\ reached\ by\ uid\ $uid,\ which
		\ has\ no\ right\ to\ pass\ \Q$base\E;/x,
		sub { make($uid, 0700); chmod 0700, $base });
	chmod 0755, $base;
	check('a read-only disk',
		qr/cannot be written: Read-only file system; mount it/,
		sub { disk('size=64k,mode=0755', 'ro') });
	check('a full disk', qr/cannot\ be\ written:\ No\ space\ left\ on\ device;
		\ make\ room\ on\ this\ disk/x,
		sub { disk('size=64k,mode=0755'); fill() });
	check('a disk without inodes',
		qr/No\ space\ left\ on\ device,\ it\ has\ no\ inode
		\ left;\ remove\ files\ from\ this\ disk/x,
		sub { disk('nr_inodes=2,mode=0755') });
	check('a missing directory on a read-only disk',
		qr/cannot\ be\ created:\ Read-only
		\ file\ system;\ mount\ \Q$base\E\ writable/x, sub {
			mount($base, 'size=64k,mode=0755', 'ro') });
}

# on a network file system, there already or not yet

SKIP: {
	skip 'no preload available', 9
		unless $t->feature('preload');
	for ([ 'NFS', 0x6969 ], [ 'FUSE', 0x65735546 ], [ 'CIFS', 0xff534d42 ]) {
		my ($name, $type) = @$_;
		$t->env(LD_PRELOAD => Test::Nginx::Config::tool(
			'libtest_preload.so'), OCSP_PLUS_STATFS => $type);
		check("a directory on $name",
			qr/lies\ on\ a\ network\ file\ system,\ whose\ server
			\ can\ stall\ a\ worker;.*"ocsp_plus_cache":\ \Q$dir\E:\ $name$/x);
	}
	delete $t->{env}{$_} for qw/ LD_PRELOAD OCSP_PLUS_STATFS /;
}

# nginx -s looks at nothing

configure("$base/none/here");
my $sent = $t->command([ $t->{binary}, '-p', $t->testdir() . '/', '-c',
	$t->testdir() . '/nginx.conf', '-s', 'reopen' ],
	env => { $t->environment() });
like($sent->{output}, qr/nginx\.pid/, 'nginx -s reports that nothing runs')
	or diag($sent->{output});
unlike($sent->{output}, qr/cache directory/,
	'nginx -s does not check the cache directory');

$t->done_testing();

###############################################################################

# Three tests of what nginx -t says of the directory as `given` makes it.
sub check {
	my ($what, $warning, $given) = @_;
	$given->() if $given;
	my $before = state();
	ok($t->config_test(), "$what: the configuration is accepted")
		or diag($t->output());
	# standard error and the error log may be the same
	my @lines = grep { /^nginx: / && /cache director|responses will not/ }
		split /\n/, $t->output();
	is(scalar @lines, $warning ? 1 : 0,
		"$what: nginx -t "
		. ($warning ? 'prints one line about the cache' : 'says nothing about the cache')) or diag(join "\n", @lines);
	if ($warning) {
		like($lines[0] // '', qr/\[warn\] ocsp_plus: the cache directory /,
			"$what: the line about the cache directory is a "
			. "warning") or diag($t->output());
		like($lines[0] // '', $warning,
			"$what: the warning says why, and what to do");
	}
	is(state(), $before, "$what: nginx -t changes no file");
	system('umount', pop @mounted) while @mounted;
	-d $dir && !-l $dir ? remove_tree($dir) : unlink $dir;
	configure($dir);
}

# Names, owners and modes.
sub state {
	return join "\n", map {
		my @s = lstat $_;
		@s ? sprintf('%s %d:%d %o', $_, @s[4, 5, 2]) : "$_ -"
	} $base, glob("$base/*"), glob("$dir/*");
}

sub make {
	my ($owner, $mode) = @_;
	mkdir $dir;
	chmod $mode, $dir;
	chown $owner, -1, $dir if $root;
	chmod $mode, $dir;
}

sub mount {
	my ($at, $options, $ro) = @_;
	system('mount', '-t', 'tmpfs', '-o', $options, 'tmpfs', $at) == 0
		or die "mount failed\n";
	push @mounted, $at;
	if ($ro) {
		system('mount', '-o', 'remount,ro', $at) == 0
			or die "remount failed\n";
	}
}

# A disk of its own at the directory's place, which is the worker user's.
sub disk {
	my ($options, $ro) = @_;
	mkdir $dir;
	mount($dir, $options);
	chown $uid, $gid, $dir;
	chmod 0700, $dir;
	if ($ro) {
		system('mount', '-o', 'remount,ro', $dir) == 0
			or die "remount failed\n";
	} elsif ($options =~ /nr_inodes/) {
		open my $fh, '>', "$dir/last" or die "$dir/last: $!";
	}
}

sub fill {
	open my $fh, '>', "$dir/ballast" or die $!;
	binmode $fh;
	1 while syswrite $fh, "\0" x 4096;
	close $fh;
}

sub configure {
	my ($cache, $line, $master) = @_;
	$t->write_conf(main => [ $root ? "user nobody $group;" : (),
		'master_process ' . ($master // 'on') . ';' ],
		http => [ $line || 'ocsp_plus on;', "ocsp_plus_cache $cache;",
			[ 8443, $leaf ] ]);
}

###############################################################################
