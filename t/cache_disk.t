#!/usr/bin/perl

# Tests for a cache directory that cannot be used: it costs what is kept and
# nothing else, it is said once, and once more when it can be used again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Path qw/ remove_tree /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url());
# long-lived enough to outlive a restart, looked after every few seconds
$r->validity(this_update => -1000, next_update => 30);

my $dir = $t->testdir() . '/state';
my $cannot = qr/cache directory cannot be used, responses will not survive a restart/;
my $again = qr/cache directory can be used again/;

# A directory that is taken away while nginx runs, in a second nginx: it is tried
# again after half a minute, in which the first one shows the rest.

my $taken = Test::Nginx->new();
$taken->write_file("example.com.$_", $t->read_file("example.com.$_"))
	for qw/ pem key /;
configure($taken, 8444, $taken->testdir() . '/gone');
$taken->run();
my $gone = $taken->testdir() . '/gone';
my $file = "$gone/" . $leaf->id() . '.der';
ok(wait_for(sub { -e $file }, 15, 'a file'),
	'directory removed: the response is cached at first');
my ($uid, $gid) = (stat $gone)[4, 5];
remove_tree($gone);
my $said = $taken->wait_log($cannot, 20);
like($said // '', qr/\[error\].*reason=unreadable.*\Q$gone\E\ does\ not\ exist;
	\ create\ it\ as\ a\ directory\ of\ uid\ $uid\ with\ mode\ 0700.*
	retry_every=30s/x, 'directory removed: an error says what to do');
my $held = staple_fast(8444);
ok(defined $held, 'directory removed: the certificate is still stapled');
my $back = time();
mkdir $gone, 0700;
chown $uid, $gid, $gone;

###############################################################################

# the parent is missing

my $mark = $t->log_mark();
configure($t, 8443, "$dir/none/here");
$t->run();
is(without(8443, (undef) x 20), 0,
	'missing parent: the certificate is stapled from the first handshake on');
like(($t->log_lines(qr/cache directory was not prepared/, $mark))[0] // '',
	qr!\[notice\].*\Q$dir\E/none/here\ cannot\ be\ created:\ No\ such\ file.*;
	\ create\ \Q$dir\E/none\ first!x,
	'missing parent: the start logs a notice');
ok(refreshed(), 'missing parent: the response is refreshed');
is(scalar(() = $t->log_lines(qr/\[error\].*$cannot/, $mark)), 1,
	'missing parent: the error is logged once')
	or diag(join "\n", $t->log_lines(qr/cache directory/, $mark));
ok(!-e $dir, 'missing parent: the parent is not created');
$t->stop();

# a file in its place

$t->write_file($dir, 'mine');
unusable('a file in its place', qr/is not a directory; name one, or remove/);
is($t->read_file($dir), 'mine', 'a file in its place: the file is left alone');
unlink $dir;

# a symbolic link in its place

my $elsewhere = $t->testdir() . '/elsewhere';
mkdir $elsewhere, 0700;
chown $uid, $gid, $elsewhere;
symlink $elsewhere, $dir;
unusable('a link in its place', qr/is a symbolic link; name the directory itself/);
is(join(' ', glob "$elsewhere/*"), '',
	'a link in its place: nothing is written to its target');
unlink $dir;

# others may write to it

mkdir $dir;
chmod 0777, $dir;
chown $uid, $gid, $dir;
unusable('writable by all', qr/is writable by others \(mode 0777\); chmod 0700/);

# root's, and not empty: what lies there may be anything

SKIP: {
	skip 'needs root', 7 unless $> == 0;
	$t->write_file("$dir/something", '');
	chmod 0700, $dir;
	chown 0, 0, $dir;
	unusable("root's private directory", qr/cannot be opened by uid $uid/);
	chmod 0755, $dir;
	unusable("root's readable directory", qr/belongs to uid 0, but uid $uid uses it/);
	is((stat $dir)[4], 0, "root's directory: its owner is not changed");
	chown $uid, $gid, $dir;
	unlink "$dir/something";
}
chmod 0700, $dir;

# read-only: what is in it is used

SKIP: {
	skip 'the workers may write anywhere', 5 if $uid == 0;
	$mark = $t->log_mark();
	configure($t, 8443, $dir);
	$t->run();
	ok(wait_for(sub { -e "$dir/" . $leaf->id() . '.der' }, 15, 'a file'),
		'read-only: the response is cached while the directory is writable');
	$t->stop();
	is(scalar(() = $t->log_lines($cannot, $mark)), 0,
		'read-only: nothing is logged while the directory is writable');
	$mark = $t->log_mark();
	chmod 0500, $dir;
	$r->fault('refuse');
	$t->run();
	is(without(8443, (undef) x 20), 0,
		'read-only: the cached response is stapled without a responder');
	$r->fault('none');
	my $line = $t->wait_log($cannot, 20, $mark);
	like($line // '', qr/cannot be written:.*uid $uid must be able to write/,
		'read-only: an error says that nothing can be written');
	is(without(8443, (undef) x 20), 0,
		'read-only: the certificate is still stapled');
	chmod 0700, $dir;
	$t->stop();
}

# it is made anew before anybody notices: not a word

$mark = $t->log_mark();
$t->run();
remove_tree($dir);
mkdir $dir, 0700;
chown $uid, $gid, $dir;
ok(wait_for(sub { -e "$dir/" . $leaf->id() . '.der' }, 20, 'a file'),
	'directory replaced: the new directory gets the response');
is(scalar(() = $t->log_lines($cannot, $mark)), 0,
	'directory replaced: no error is logged');
$t->stop();

###############################################################################

# the directory that was taken away is there again

my $line = $taken->wait_log($again, 40);
like($line // '', qr/\[error\]/,
	'directory removed: an error line says that it can be used again');
ok(-e $file, 'directory removed: the response is written once it is back');
is(scalar(() = $taken->log_lines($cannot)), 1,
	'directory removed: the error is logged once');
is(scalar(() = $taken->log_lines($again)), 1,
	'directory removed: the recovery is logged once');
ok(defined staple_fast(8444),
	'directory removed: the certificate is stapled at the end');
ok($taken->stop(), 'directory removed: nginx ends');

$t->done_testing();

###############################################################################

sub configure {
	my ($nginx, $port, $cache) = @_;
	$nginx->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		"ocsp_plus_cache $cache;", 'ocsp_plus_retry 1s 1s;',
		[ $port, 'example.com' ] ]);
}

# Three tests: of a directory that cannot be used.
sub unusable {
	my ($what, $why) = @_;
	my $mark = $t->log_mark();
	configure($t, 8443, $dir);
	$t->run();
	is(without(8443, (undef) x 20), 0,
		"$what: the certificate is stapled from the first handshake on");
	like($t->wait_log($cannot, 10, $mark) // '', $why,
		"$what: the log says why the directory is not used");
	is(scalar(() = $t->log_lines(qr/cache directory cannot/, $mark)), 1,
		"$what: one line is logged about the cache")
		or diag(join "\n", $t->log_lines(qr/cache directory cannot/, $mark));
	$t->stop();
}

# True once another response is stapled.
sub refreshed {
	my $held = staple_fast(8443) // '';
	return wait_for(sub { (staple_fast(8443) // $held) ne $held }, 20,
		'another response');
}

###############################################################################
