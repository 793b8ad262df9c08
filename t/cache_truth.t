#!/usr/bin/perl

# Tests for a status that changes while it cannot be kept: what the cache
# directory says is true or gone before the next start, and where neither can
# be, it is said, and a start believes the directory for five minutes at most.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl root /);
my $clock = Test::Nginx::Clock->start($t);

# A disk of our own: 64 kB in memory.

my $disk = $t->testdir() . '/disk';
mkdir $disk;
plan(skip_all => 'a small disk cannot be mounted here')
	if system("mount -t tmpfs -o size=64k,mode=0755 tmpfs $disk 2>&1") != 0;
END { system('umount', '-l', $disk) if $disk && -d $disk && $> == 0 }

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(3, 'host%d.example', aia => $r->url(),
	not_before => -86400);
my @names = map { $_->name() } @leaves;
my $dir = "$disk/cache";
my $fails = qr/cache directory cannot be used/;
my $untrue = qr/cache directory holds an outdated status/;

$t->write_conf(http => [ 'ocsp_plus on;', "ocsp_plus_cache $dir;",
	'ocsp_plus_retry 1s 2s;', (map { [ 8443, $_ ] } @leaves),
	[ 8080, undef, 'location / { ocsp_plus_control; allow 127.0.0.1; }' ] ]);

# on a disk that is fine: revoked, and good again (it was on hold)

$t->run();
kept('good', 'at first');
my ($uid) = (stat $dir)[4];
becomes('revoked', 'after a revocation');
kept('revoked', 'after a revocation');
becomes('good', 'released');
kept('good', 'released');
becomes('good', 'released, asked again');
unanswered();
is(stapled(), join(' ', ('good') x 3),
	'released: a restart without a responder staples good responses');
answered();

###############################################################################

# the disk is full

fill();
my $mark = $t->log_mark();
becomes('revoked', 'full disk');
ok(wait_for(sub { says() !~ /good/ }, 10, 'the files to go'),
	'full disk: no cache file says "good" after the revocation');
is(scalar(() = $t->log_lines($fails, $mark)), 1,
	'full disk: the error is logged once');
# those that went made room for others
unlike(says(), qr/^revoked revoked revoked$/,
	'full disk: not every revocation finds room');
my $full = says();
fill();
unanswered();
(my $expected = $full) =~ s/nothing/none/g;
is(stapled(), $expected,
	'full disk: a restart does not staple outdated responses');

# room again: saved half a minute later

answered();
is(wait_stapled('revoked'), 'revoked revoked revoked',
	'full disk: the revocations are fetched again after a restart');
unlink "$disk/ballast";
is(says(), $full,
	'full disk: writing is not retried at once when there is room');
later(31);
kept('revoked', 'full disk with room again');
unanswered();
is(stapled(), 'revoked revoked revoked',
	'full disk: a restart staples the revocations written later');

# the other way round

answered();
fill();
becomes('good', 'full disk, released');
ok(wait_for(sub { says() !~ /revoked/ }, 10, 'the files to go'),
	'full disk, released: no cache file says "revoked" any more');
unlink "$disk/ballast";
later(31);
kept('good', 'full disk, released');

###############################################################################

# no file can be removed from the directory, but it can be emptied

SKIP: {
	skip 'the workers may write anywhere', 7 if $uid == 0;
	chmod 0500, $dir;
	becomes('revoked', 'read-only directory');
	ok(wait_for(sub { !grep { -s "$dir/$_" } $t->kept($dir) }, 10,
		'the files to be emptied'),
		'read-only directory: outdated cache files are emptied');
	is(scalar(() = $t->kept($dir)), 3,
		'read-only directory: emptied cache files remain');
	unanswered();
	is(stapled(), 'none none none',
		'read-only directory: a restart staples none of the emptied files');
	chmod 0700, $dir;
	answered();
	becomes('good', 'writable directory');
	kept('good', 'writable directory');
}

###############################################################################

# nothing can be done

remount('ro');
$mark = $t->log_mark();
becomes('revoked', 'read-only disk');
ok(wait_for(sub { $t->log_lines($untrue, $mark) == 3 }, 10, 'lines'),
	'read-only disk: each outdated cache file is logged');
like(($t->log_lines($untrue, $mark))[0] // '', qr/\[error\].*make\ the\ directory
	\ writable\ or\ remove\ the\ file:\ certificate="host\d\.example"
	.*\ directory="\Q$dir\E"$/x,
	'read-only disk: the log line says what to do');

# so a start believes it for five minutes only, however young it is

$t->restart();
is(stapled(), 'good good good',
	'read-only disk: a restart staples the cached responses');
$r->clear();
my $minutes = 0;
until (stapled() eq 'revoked revoked revoked' || $minutes == 5) {
	later(60);
	$minutes++;
	wait_for(sub { stapled() eq 'revoked revoked revoked' }, 3);
}
is(wait_stapled('revoked'), 'revoked revoked revoked',
	'read-only disk: each revocation is stapled within five minutes');
is(scalar(() = $r->requests()), 3,
	'read-only disk: each certificate is asked for once');

# and once it can be written to, the truth is kept

remount('rw');
later(31);
ok(wait_for(sub { $t->log_lines(qr/cache directory can be used again/, $mark) },
	15), 'writable again: the recovery is logged');
unanswered();
is(stapled(), 'revoked revoked revoked',
	'writable again: a restart staples the revocations');

$t->done_testing();

###############################################################################

# Two tests: the responder says so of all, and is asked by an operator.
sub becomes {
	my ($status, $what) = @_;
	$r->status($_, $status) for @leaves;
	my @asked = grep { my $id = $_->id(); wait_for(sub {
		http_post("/?refresh=$id", '') =~ / 202 / }, 5) } @leaves;
	is(scalar @asked, 3,
		"$what: a refresh of each certificate is accepted");
	is(wait_stapled($status), "$status $status $status",
		"$what: $status is stapled");
}

# What the files say, in the order of @leaves.
sub says {
	return join ' ', map {
		my $file = "$dir/" . $_->id() . '.der';
		-s $file && $t->command([ Test::Nginx::Config::build_dir()
			. '/ocsp-plus', 'show', $file ])->{output} =~
			/^cert status: (\w+)/m ? $1 : 'nothing';
	} @leaves;
}

sub kept {
	my ($status, $what) = @_;
	my $all = join ' ', ($status) x 3;
	ok(wait_for(sub { says() eq $all }, 15, 'files'),
		"$what: $status is in the cache files") or diag(says());
}

sub stapled {
	return join ' ', map { staple(8443, servername => $_)->{status} } @names;
}

sub wait_stapled {
	my ($status) = @_;
	my $all = join ' ', ($status) x 3;
	wait_for(sub { stapled() eq $all }, 15, "three times $status");
	return stapled();
}

# A start without a responder.
sub unanswered {
	$r->fault('refuse');
	$t->restart();
}

sub answered { $r->fault('none') }

# The world's time passes as well.
sub later {
	my ($seconds) = @_;
	$clock->pass($seconds);
	$r->set(clock => $clock->now() - time());
}

sub remount {
	my ($how) = @_;
	system('mount', '-o', "remount,$how", $disk) == 0 or die 'remount failed';
}

sub fill {
	open my $fh, '>>', "$disk/ballast" or die $!;
	binmode $fh;
	1 while syswrite $fh, "\0" x 4096;
	close $fh;
}

###############################################################################
