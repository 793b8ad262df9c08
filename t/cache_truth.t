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
my $untrue = qr/cache directory holds a status that is not true any more/;

my $servers = $t->ssl_servers(8443, @leaves);
$t->write_http_conf(<<"CONF");
    ocsp_plus        on;
    ocsp_plus_cache  $dir;
    ocsp_plus_retry  1s 2s;

$servers

    server {
        listen  127.0.0.1:8080;

        location / {
            ocsp_plus_control;
            allow 127.0.0.1;
        }
    }
CONF

# on a disk that is fine: revoked, and good again (it was on hold)

$t->run();
kept('good', 'good');
my ($uid) = (stat $dir)[4];
becomes('revoked', 'revoked');
kept('revoked', 'revoked');
becomes('good', 'released');
kept('good', 'released');
becomes('good', 'released, asked again');
unanswered();
is(stapled(), join(' ', ('good') x 3), 'released: after a start');
answered();

###############################################################################

# the disk is full

fill();
my $mark = $t->log_mark();
becomes('revoked', 'full');
ok(wait_for(sub { says() !~ /good/ }, 10, 'the files to go'),
	'full: no file says good any more, and none waits for another');
is(scalar(() = $t->log_lines($fails, $mark)), 1, 'full: said once');
# those that went made room for others
unlike(says(), qr/^revoked revoked revoked$/, 'full: not all are kept');
my $full = says();
fill();
unanswered();
(my $expected = $full) =~ s/nothing/none/g;
is(stapled(), $expected, 'full: a start does not believe what was there');

# room again: saved half a minute later

answered();
is(wait_stapled('revoked'), 'revoked revoked revoked', 'full: asked again');
unlink "$disk/ballast";
is(says(), $full, 'room again: it is not tried all the time');
later(31);
kept('revoked', 'room again');
unanswered();
is(stapled(), 'revoked revoked revoked', 'room again: after a start');

# the other way round

answered();
fill();
becomes('good', 'full, released');
ok(wait_for(sub { says() !~ /revoked/ }, 10, 'the files to go'),
	'full, released: no file says revoked any more');
unlink "$disk/ballast";
later(31);
kept('good', 'full, released');

###############################################################################

# no file can be removed from the directory, but it can be emptied

SKIP: {
	skip 'the workers may write anywhere', 7 if $uid == 0;
	chmod 0500, $dir;
	becomes('revoked', 'rights');
	ok(wait_for(sub { !grep { -s "$dir/$_" } $t->kept($dir) }, 10,
		'the files to be emptied'), 'rights: the files are emptied');
	is(scalar(() = $t->kept($dir)), 3, 'rights: they cannot be removed');
	unanswered();
	is(stapled(), 'none none none', 'rights: a start does not believe it');
	chmod 0700, $dir;
	answered();
	becomes('good', 'rights again');
	kept('good', 'rights again');
}

###############################################################################

# nothing can be done

remount('ro');
$mark = $t->log_mark();
becomes('revoked', 'read-only');
ok(wait_for(sub { $t->log_lines($untrue, $mark) == 3 }, 10, 'lines'),
	'read-only: it is said of each');
like(($t->log_lines($untrue, $mark))[0] // '', qr/\[error\].*make\ the\ directory
	\ writable\ or\ remove\ the\ file:\ certificate="host\d\.example"
	.*\ directory="\Q$dir\E"$/x, 'read-only: with what to do');

# so a start believes it for five minutes only, however young it is

$t->restart();
is(stapled(), 'good good good', 'read-only: a start takes it from there');
$r->clear();
my $minutes = 0;
until (stapled() eq 'revoked revoked revoked' || $minutes == 5) {
	later(60);
	$minutes++;
	wait_for(sub { stapled() eq 'revoked revoked revoked' }, 3);
}
is(wait_stapled('revoked'), 'revoked revoked revoked',
	'read-only: within five minutes each was asked for');
is(scalar(() = $r->requests()), 3, 'read-only: once');

# and once it can be written to, the truth is kept

remount('rw');
later(31);
ok(wait_for(sub { $t->log_lines(qr/cache directory can be used again/, $mark) },
	15), 'writable again: it is said');
unanswered();
is(stapled(), 'revoked revoked revoked', 'writable again: after a start');

$t->done_testing();

###############################################################################

# Two tests: the responder says so of all, and is asked by an operator.
sub becomes {
	my ($status, $what) = @_;
	$r->status($_, $status) for @leaves;
	my @asked = grep { my $id = $_->id(); wait_for(sub {
		http_post("/?refresh=$id", '') =~ / 202 / }, 5) } @leaves;
	is(scalar @asked, 3, "$what: asked for again");
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
		"$what: $status is kept") or diag(says());
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
