#!/usr/bin/perl

# Tests for the files of the modules: what nginx says of one that does not fit,
# in the words of docs/operations.md, and how a new one is put in the place of
# one that runs.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Copy qw/ copy /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(module => 0)->has(qw/ http_ssl /);
plan(skip_all => 'ocsp_plus is a part of this nginx') if $t->is_static();

my $d = $t->testdir();
my $built = $t->build_dir() . '/ngx_http_ocsp_plus_module.so';
my $file = "$d/ngx_http_ocsp_plus_module.so";
my $page = $t->read_file("$FindBin::Bin/../docs/operations.md");

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ]);
$t->write_conf(main => [ "load_module $file;" ], http => [ 'ocsp_plus on;',
	"ocsp_plus_cache $d/cache;", [ 8443, $int->leaf('www.example',
		aia => $r->url()) ] ]);

# files that do not fit: one octet or number of the right one is changed

my $version = version($t->command([ $t->nginx(), '-v' ])->{output});
for my $case (
	[ 'not binary compatible', sub { s/(8,4,8,)([01]+)/$1 . $2 =~ tr!01!10!r/e },
		'is not binary compatible' ],
	[ 'of another version', sub {
			my ($is, $was) = map { pack 'Q<', $_ } $version, $version - 1;
			s/\Q$is\E/$was/g },
		'instead of' ],
	[ 'without c-ares', sub { s/libcares\.so\.2\0/libcarez.so.2\0/ },
		'cannot open shared object file' ])
{
	my ($what, $change, $phrase) = @$case;
	SKIP: {
	skip 'a server that counts its versions otherwise', 4
		if $what =~ /version/ && !$version;
	local $_ = $t->read_file($built);
	ok($change->(), "$what: the file could be changed");
	$t->write_file($file, $_);
	ok(!$t->config_test(), "$what: nginx refuses the module");
	my ($said) = grep { /emerg/ } split /\n/, $t->output();
	like($said, qr/\Q$file\E.*\Q$phrase\E/, "$what: nginx says so");
	like($page, qr/^\| `[^|]*\Q$phrase\E[^|]*` \|/m,
		"$what: docs/operations.md has a row for it");
	}
}
like($t->output(), qr/dlopen.*libcarez/, 'without c-ares: the library is named');
like($page, qr/dlopen\(\).*libcares\.so\.2/,
	'without c-ares: docs/operations.md has the whole line');

# the right one; and another in its place while nginx runs, as the page says

unlink $file;
copy($built, $file) or die "$file: $!";
$t->run();
is(wait_staple(8443, 'good')->{status}, 'good', 'nginx runs with the module');
my @workers = $t->workers();
my $inode = (stat $file)[1];

my ($install) = $page =~ /`(install -m 644 [^`]*)`/;
ok($install, 'docs/operations.md has the command that installs a module');
local $_ = $t->read_file($built);
s/libcares\.so\.2\0/libcarez.so.2\0/;
$t->write_file('new.so', $_ . "\0" x 4096);
$install =~ s!build/ngx_\S+!$d/new.so!;
$install =~ s!/usr/lib/nginx/modules/\S*!$file!;
my $run = $t->command([ 'sh', '-ec', $install ]);
is($run->{status}, 0, 'the command succeeds') or diag($run->{output});
isnt((stat $file)[1], $inode, 'the new file is another one');
for (1 .. 20) {
	is(staple(8443)->{status}, 'good', 'nginx goes on to staple') or last;
}
is(join(' ', $t->workers()), join(' ', @workers), 'no worker has died');

# what the master says of it at each reload, and what ends it

my $runs = qr/notice.*the file of the module, "\Q$file\E", was replaced, nginx goes on with the code of version \d/;
my $mark = $t->log_mark();
unlink $file;
copy($built, $file) or die "$file: $!";
for (1 .. 2) {
	ok($t->reload(), 'a reload with another file in its place');
	is(staple(8443)->{status}, 'good', 'staples go on');
}
is(scalar(() = $t->log_lines($runs, $mark)), 2,
	'each reload says that the code is that of the file before');
like($page, qr/^\| `was replaced, nginx goes on with the code of version`/m,
	'docs/operations.md has a row for it');

rename $file, "$file.away" or die "$file: $!";
ok($t->reload(), 'a reload without a file');
is(scalar(() = $t->log_lines(
	qr/warn.*the file of the module, "\Q$file\E", cannot be found/, $mark)), 1,
	'a reload says that the file is missing');
like($page, qr/^\| `cannot be found: install it before nginx is restarted`/m,
	'docs/operations.md has a row for that');
rename "$file.away", $file or die "$file: $!";

$t->stop();
$mark = $t->log_mark();
$t->run();
ok($t->reload(), 'a reload after a restart');
is(scalar(() = $t->log_lines(qr/the file of the module/, $mark)), 0,
	'nginx has the new code after a restart');

$t->done_testing();

###############################################################################

# nginx/1.22.1 is 1022001; Angie has a number of its own.
sub version {
	my ($said) = @_;
	my @parts = $said =~ m!nginx/(\d+)\.(\d+)\.(\d+)! or return;
	return sprintf '%d%03d%03d', @parts;
}

###############################################################################
