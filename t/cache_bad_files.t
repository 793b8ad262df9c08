#!/usr/bin/perl

# Tests for a cache directory that somebody has written to: whatever lies under
# the name of a certificate, nginx starts, says once what is wrong with it,
# staples only what is right, and fetches the rest anew.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use POSIX qw/ mkfifo /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $other = $root->intermediate('other', subject_of => $int);
my $r = Test::Nginx::Responder->start($t, ca => [ $int, $other ]);
my $dir = $t->testdir() . '/cache';

# what lies under the name, the reason that the log gives, its detail

my %bad = (
	truncated => [ 'malformed_response' ],
	garbage => [ 'malformed_response' ],
	flipped => [ 'bad_signature' ],
	swapped => [ 'other_serial' ],
	foreign => [ 'other_issuer' ],
	signer => [ 'bad_signature' ],
	expired => [ 'expired' ],
	future => [ 'this_update_in_future' ],
	unknown => [ 'unknown' ],
	trylater => [ 'try_later' ],
	empty => [ 'unreadable', qr/it is empty/ ],
	huge => [ 'unreadable', qr/70000 bytes are more than the 65536/ ],
	unreadable => [ 'unreadable', qr/Permission denied/ ],
	directory => [ 'unreadable', qr/not a regular file/ ],
	fifo => [ 'unreadable', qr/not a regular file/ ],
	symlink => [ 'unreadable', qr/symbolic link/ ],
	dangling => [ 'unreadable', qr/symbolic link/ ],
	hardlink => [ 'unreadable', qr/hard link/ ],
);
my @names = ('right', 'trailing', sort keys %bad);
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url()) } @names;
my $theirs = $other->leaf('theirs.example');

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_timeout 1s;',
	'ocsp_plus_retry 1s 1s;', map { [ 8443, "$_.example" ] } @names ]);

###############################################################################

$t->run();
ok(wait_for(sub { !without(8443, map { "$_.example" } @names) }, 20,
	'staples'), 'all certificates are stapled at first');
ok(wait_for(sub { !grep { !-e file($_) } @names }, 20, 'files'),
	'the cache has a file for each certificate');
$t->stop();
my ($uid, $gid) = (stat $dir)[4, 5];
my %right = map { $_ => $t->read_file(file($_)) } @names;

# files of other names, old ones too

my @strange = map { "$dir/$_" } 'README', uc($leaf{right}->id()) . '.der',
	$leaf{right}->id(), $leaf{right}->id() . '.pem', 'x.der', '.x.tmp';
for my $path (@strange) {
	$t->write_file($path, "$path is mine");
	utime 1, 1, $path;
}
# what nobody here wants may be another instance's, and is no matter for the
# first hour after a start (cache_sweep.t)
my @old = map { "$dir/$_" } 'a' x 64 . '.der', '.' . 'b' x 64 . '.1.2.tmp';
for my $path (@old) {
	$t->write_file($path, 'old');
	utime 1, 1, $path;
}

my %made = (
	truncated => substr($right{truncated}, 0, -20),
	trailing => $right{trailing} . "\0",
	garbage => "\0\xff" x 300,
	flipped => $right{flipped},
	swapped => $right{right},
	foreign => $r->response($theirs),
	empty => '',
	huge => $right{huge} . "\0" x (70000 - length $right{huge}),
	unreadable => $right{unreadable},
	trylater => "\x30\x03\x0a\x01\x03",
);
substr($made{flipped}, -5, 1) ^= "\x01";	# in the issuer's signature
my %fault = (signer => 'foreign_signer', expired => 'expired',
	future => 'future');
for my $name (keys %fault) {
	$r->fault($fault{$name});
	$made{$name} = $r->response($leaf{$name});
}
$r->fault('none');
$r->status($leaf{unknown}, 'unknown');
$made{unknown} = $r->response($leaf{unknown});
$r->status($leaf{unknown}, 'good');

for my $name (keys %made) {
	$t->write_file(file($name), $made{$name});
}
chmod 0, file('unreadable');
my $target = $t->write_file('target.der', $right{symlink});
my $linked = $t->write_file('cache/linked', $right{hardlink});
chown $uid, $gid, $linked;
unlink map { file($_) } qw/ directory fifo symlink dangling hardlink /;
mkdir file('directory');
$t->write_file(file('directory') . '/in', 'it');
mkfifo(file('fifo'), 0600) or die "mkfifo: $!\n";
chown $uid, $gid, file('fifo');
symlink $target, file('symlink');
symlink '/nowhere/x', file('dangling');
link $linked, file('hardlink');

###############################################################################

# with the responder down

$r->fault('refuse');
my $mark = $t->log_mark();
$t->run();
is(without(8443, 'right.example'), 0,
	'a certificate with a valid cache file is stapled');
is(unpack('H*', staple_fast(8443, 'right.example')),
	unpack('H*', $right{right}),
	'the staple is the valid cache file byte for byte');
is(unpack('H*', staple_fast(8443, 'trailing.example') // ''),
	unpack('H*', $right{trailing}),
	'bytes after a response in its cache file are not stapled');
ok(wait_for(sub { $t->read_file(file('trailing')) eq $right{trailing} }, 20,
	'the file'), 'bytes after a response are removed from its cache file');
for my $name (sort keys %bad) {
	is(without(8443, "$name.example"), 1,
		"$name: a bad cache file is not stapled");
	my ($reason, $detail) = @{$bad{$name}};
	my @lines = $t->log_lines(
		qr/cache\ directory\ ignored:\ certificate="$name\.example"/x, $mark);
	is(scalar @lines, 1, "$name: the bad cache file is logged once");
	my $level = $reason eq 'expired' ? 'info' : 'warn';
	like($lines[0] // '', qr/\[$level\].*reason=$reason\ detail="/x,
		"$name: the log line has the level and the reason");
	like($lines[0] // '', qr/detail=".*$detail/,
		"$name: the log line has the detail")
		if $detail;
}
is(scalar(() = $t->log_lines(qr/cache directory ignored/, $mark)),
	scalar(keys %bad), 'no other cache file is logged as ignored');
# the responder is back

$r->fault('none');
ok(wait_for(sub { !without(8443, map { "$_.example" } @names) }, 20,
	'staples'),
	'all certificates are stapled once the responder answers again');
my %new = map { $_ => staple_fast(8443, "$_.example") } @names;

# one that cannot be kept: said once, with what to do

ok($t->wait_log(qr/cache directory cannot be used.*remove the directory/, 10, $mark),
	'a cache file that cannot be replaced is logged with the remedy');
is(scalar(() = $t->log_lines(qr/cache directory cannot be used/, $mark)), 1,
	'a cache file that cannot be replaced is logged once');

# which is in nobody's way, at the latest when nginx ends

$t->stop();
my @kept = grep { $_ ne 'directory' } @names;
is(join(' ', grep { -l file($_) || !-f _ || (stat _)[3] > 1
	|| $t->read_file(file($_)) ne $new{$_} } @kept), '',
	'all replaceable cache files hold the new responses at the end');
is($t->read_file($target), $right{symlink},
	'the target of a symbolic link in the cache is not written to');
is($t->read_file($linked), $right{hardlink},
	'the other name of a hard link in the cache is not written to');
is(join(' ', grep { $t->read_file($_) ne "$_ is mine" } @strange), '',
	'files with other names in the cache directory are left alone');
is($t->read_file(file('directory') . '/in'), 'it',
	'a directory in the cache directory is left alone');
is(join(' ', grep { !-e } @old), '',
	'old files of other instances are left alone');

# and the next start needs nobody

$r->fault('refuse');
$mark = $t->log_mark();
$t->run();
is(without(8443, map { "$_.example" } @kept), 0,
	'the next start staples all replaced responses without a responder');
is(scalar(() = $t->log_lines(qr/cache directory ignored/, $mark)), 1,
	'the next start logs only the directory as ignored');

$t->done_testing();

###############################################################################

sub file { return "$dir/" . $leaf{$_[0]}->id() . '.der' }

###############################################################################
