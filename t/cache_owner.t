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

write_conf($one, 'early.example');
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'), 'kept');
is((stat $dir)[4], $uid{$one}, 'the directory is the worker user\'s');
is((stat file('early.example'))[2] & 07777, 0644, 'all may read the file');
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
write_conf($two, 'early.example');
my $mark = $t->log_mark();
my $watch = Test::Nginx::Watch->start($t, 8443, 'early.example');
$t->run();
$watch->wait_for(20);
my $seen = $watch->end();
cmp_ok($seen->{stapled}, '>=', 20, 'another user: handshakes with a staple');
is("$seen->{missing} $seen->{failed}", '0 0',
	'another user: none without from the first on');
is((stat $dir)[4], $uid{$two}, 'another user: the directory is handed over');
untouched('another user');
is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
	'another user: not a word');

# and over a reload, after which it is written to

write_conf($one, 'early.example');
ok($t->reload(old_gone => 1), 'reload: done');
is(without(8443, (undef) x 20), 0, 'reload: stapled');
is((stat $dir)[4], $uid{$one}, 'reload: the directory is handed over');
untouched('reload');
$t->restart();
is(without(8443, (undef) x 20), 0, 'reload: stapled after a restart');

$r->fault('none');
write_conf($one, 'early.example', 'late.example');
$t->reload();
ok(wait_for(sub { -e file('late.example') }, 15, 'a file'),
	'reload: the new user keeps what is fetched');
is((stat file('late.example'))[4], $uid{$one}, 'reload: as its own');
$t->stop();

###############################################################################

# a link in its place is not followed, with or without a slash at the end

rename $dir, "$outside/state";
chown 0, 0, "$outside/state";
$mark = $t->log_mark();
for my $slash ('', '/') {
	symlink "$outside/empty", $dir;
	mkdir "$outside/empty", 0700;
	write_conf($one, 'early.example', $slash);
	$t->run();
	ok($t->wait_log(qr/\[error\].*is a symbolic link/, 15, $mark),
		"a link$slash: said");
	$t->stop();
	is((stat "$outside/empty")[4], 0, "a link$slash: not followed");
	unlink $dir;
}

# root's, and empty: a container's volume, or an administrator's mkdir

mkdir $dir;
chmod 0755, $dir;
write_conf($one, 'early.example');
$mark = $t->log_mark();
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'),
	'root\'s and empty: used');
is(join(' ', (stat $dir)[4, 5]), "$uid{$one} 0",
	'root\'s and empty: handed over, its group kept');
$t->stop();
is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
	'root\'s and empty: not a word');

# root's, and not empty

chown 0, 0, $dir;
$mark = $t->log_mark();
$t->run();
ok($t->wait_log(qr/\[error\].*cache\ directory\ cannot\ be\ used.*reason=unreadable.*
	\ belongs\ to\ uid\ 0,\ but\ uid\ $uid{$one}\ uses\ it;\ chown\ it/x,
	15, $mark), 'root\'s and not empty: said');
is((stat $dir)[4], 0, 'root\'s and not empty: left alone');
is(without(8443, 'early.example'), 0, 'root\'s and not empty: stapled');
$t->stop();
is(scalar(() = $t->log_lines(qr/\[(?:warn|error)\].*cache/, $mark)), 1,
	'root\'s and not empty: said once');
is(scalar(() = $t->log_lines(qr/\[notice\].*not\ prepared:.*left\ alone/x,
	$mark)), 1, 'root\'s and not empty: by the master as a notice');

# Kubernetes' fsGroup

chown $uid{$one}, 12345, $dir;
chmod 02770, $dir;
unlink file('early.example');
$mark = $t->log_mark();
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'),
	'fsGroup: used');
is(sprintf('%d %04o', (stat $dir)[5], (stat $dir)[2] & 07777), '12345 2770',
	'fsGroup: as it was');
is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
	'fsGroup: not a word');
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
		"$what: what was planted is still root's");
	is(join(' ', map { $t->read_file("outside/$_") } qw/ hard soft /),
		'mine mine', "$what: and as it was");
	is((stat "$dir/" . 'c' x 64 . '.der')[4], $uid{$one},
		"$what: nor has a directory another owner");
}

sub write_conf {
	my ($user, @names) = @_;
	my $slash = @names && $names[-1] !~ /\w/ ? pop @names : '';
	my $group = getgrgid((getpwnam $user)[3]);
	my $servers = $t->ssl_servers(8443, @names);
	$t->write_file_expand('nginx.conf', <<"CONF");

%%TEST_GLOBALS%%

user  $user $group;

worker_processes  2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus        on;
    ocsp_plus_cache  $dir$slash;
    ocsp_plus_retry  1s 2s;

$servers
}

CONF
}

###############################################################################
