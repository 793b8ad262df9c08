#!/usr/bin/perl

# Tests for whose the cache directory is: a root master hands it to the worker
# user, also when "user" changes, so that nothing kept is lost; it touches
# nothing inside, follows no link, and leaves alone what may be anything.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;
use Test::Nginx::Watch;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl root /);

my @users = grep { defined getpwnam $_ } qw/ daemon nobody /;
plan(skip_all => 'two users are needed') if @users < 2;
my %uid = map { $_ => scalar getpwnam $_ } @users;
my ($one, $two) = @users;

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my %leaf = map { $_ => $int->leaf($_, aia => $r->url()) }
	qw/ early.example late.example /;
my $dir = $t->testdir() . '/state';
my $outside = $t->testdir() . '/outside';

configure($one, 'early.example');
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'),
	'the response is cached');
is((stat $dir)[4], $uid{$one},
	'the cache directory belongs to the worker user');
is((stat file('early.example'))[2] & 07777, 0644,
	'the cache file is readable by all');
$t->stop();

# what somebody who may write there can plant

mkdir $outside, 0700;
$t->write_file("outside/$_", 'mine') for qw/ hard soft /;
chmod 0600, glob "$outside/*";
link "$outside/hard", "$dir/" . 'a' x 64 . '.der' or die "link: $!";
symlink "$outside/soft", "$dir/" . 'b' x 64 . '.der' or die "symlink: $!";
mkdir "$dir/" . 'c' x 64 . '.der', 0700;
chown $uid{$one}, 0, "$dir/" . 'c' x 64 . '.der';

###############################################################################

# another user at the next start, with the responder down

$r->fault('refuse');
configure($two, 'early.example');
my $mark = $t->log_mark();
my $watch = Test::Nginx::Watch->start($t, 8443, 'early.example');
$t->run();
$watch->wait_for(20);
my $seen = $watch->end();
cmp_ok($seen->{stapled}, '>=', 20,
	'another user: handshakes after the start have a staple');
is("$seen->{missing} $seen->{failed}", '0 0',
	'another user: no handshake from the first on lacks a staple');
is((stat $dir)[4], $uid{$two}, 'another user: the directory is handed over');
untouched('another user');
is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
	'another user: nothing is logged about the cache');

# and over a reload, after which it is written to

configure($one, 'early.example');
ok($t->reload(old_gone => 1), 'reload with another user: the reload succeeds');
is(without(8443, (undef) x 20), 0,
	'reload with another user: the certificate is stapled');
is((stat $dir)[4], $uid{$one},
	'reload with another user: the directory is handed over');
untouched('reload');
$t->restart();
is(without(8443, (undef) x 20), 0,
	'reload with another user: a restart staples from the cache');

$r->fault('none');
configure($one, 'early.example', 'late.example');
$t->reload();
ok(wait_for(sub { -e file('late.example') }, 15, 'a file'),
	'reload with another user: new responses are cached');
is((stat file('late.example'))[4], $uid{$one},
	'reload with another user: new files belong to the new user');
$t->stop();

###############################################################################

# a link in its place is not followed, with or without a slash at the end

rename $dir, "$outside/state";
chown 0, 0, "$outside/state";
$mark = $t->log_mark();
for my $slash ('', '/') {
	symlink "$outside/empty", $dir;
	mkdir "$outside/empty", 0700;
	configure($one, 'early.example', $slash);
	$t->run();
	ok($t->wait_log(qr/\[error\].*is a symbolic link/, 15, $mark),
		"a link \"state$slash\" in its place: an error is logged");
	$t->stop();
	is((stat "$outside/empty")[4], 0,
		"a link \"state$slash\" in its place: the owner of its target stays");
	unlink $dir;
}

# root's, and empty: a container's volume, or an administrator's mkdir

mkdir $dir;
chmod 0755, $dir;
configure($one, 'early.example');
$mark = $t->log_mark();
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'),
	"root's empty directory: it is used");
is(join(' ', (stat $dir)[4, 5]), "$uid{$one} 0",
	"root's empty directory: it is handed over with its group kept");
$t->stop();
is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
	"root's empty directory: nothing is logged");

# root's, and not empty

chown 0, 0, $dir;
$mark = $t->log_mark();
$t->run();
ok($t->wait_log(qr/\[error\].*cache\ directory\ cannot\ be\ used.*reason=unreadable.*
	\ belongs\ to\ uid\ 0,\ but\ uid\ $uid{$one}\ uses\ it;\ chown\ it/x,
	15, $mark), "root's directory with files: an error is logged");
is((stat $dir)[4], 0, "root's directory with files: its owner stays");
is(without(8443, 'early.example'), 0,
	"root's directory with files: the certificate is stapled");
$t->stop();
is(scalar(() = $t->log_lines(qr/\[(?:warn|error)\].*cache/, $mark)), 1,
	"root's directory with files: the error is logged once");
is(scalar(() = $t->log_lines(qr/\[notice\].*not\ prepared:.*left\ alone/x,
	$mark)), 1, "root's directory with files: the master logs a notice");

# Kubernetes' fsGroup

chown $uid{$one}, 12345, $dir;
chmod 02770, $dir;
unlink file('early.example');
$mark = $t->log_mark();
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'),
	'fsGroup: the directory is used');
is(sprintf('%d %04o', (stat $dir)[5], (stat $dir)[2] & 07777), '12345 2770',
	'fsGroup: group and mode of the directory stay');
is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
	'fsGroup: nothing is logged');
$t->stop();

$t->done_testing();

###############################################################################

sub file { return "$dir/" . $leaf{$_[0]}->id() . '.der' }

# What was planted is still root's, with its rights and what is in it.
sub untouched {
	my ($what) = @_;
	my @planted = map { "$dir/" . $_ x 64 . '.der' } qw/ a b /;
	is(join(' ', map { my @s = lstat $_; sprintf '%d:%d %04o', @s[4, 5],
		$s[2] & 07777 } "$outside/hard", "$outside/soft", @planted),
		'0:0 0600 0:0 0600 0:0 0600 0:0 0777',
		"$what: owner and mode of planted files stay");
	is(join(' ', map { $t->read_file("outside/$_") } qw/ hard soft /),
		'mine mine', "$what: the content of planted files stays");
	is((stat "$dir/" . 'c' x 64 . '.der')[4], $uid{$one},
		"$what: the owner of a planted directory stays");
}

sub configure {
	my ($user, @names) = @_;
	my $slash = @names && $names[-1] !~ /\w/ ? pop @names : '';
	my $group = getgrgid((getpwnam $user)[3]);
	$t->write_conf(main => [ "user $user $group;" ], workers => 2, http => [
		'ocsp_plus on;', "ocsp_plus_cache $dir$slash;",
		'ocsp_plus_retry 1s 2s;', map { [ 8443, $_ ] } @names ]);
}

###############################################################################
