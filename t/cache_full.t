#!/usr/bin/perl

# Tests for a cache folder on a disk that is full: nothing but the keeping is
# lost, it is said once, and what waits is kept when there is room again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

# A disk of our own: 64 kB in memory.

my $disk = $t->testdir() . '/disk';
mkdir $disk;
plan(skip_all => 'a small disk cannot be mounted here')
	if $> || system("mount -t tmpfs -o size=64k,mode=0755 tmpfs $disk 2>&1") != 0;
END { system('umount', $disk) if $disk && -d $disk && $> == 0 }

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my %leaf = map { $_ => $int->leaf($_, aia => $r->url(), not_before => -86400) }
	qw/ early.example late.example /;
$r->validity(this_update => -1000, next_update => 100);

my $cannot = qr/cache folder cannot be used, nothing outlives nginx/;
my $again = qr/cache folder can be used again/;

conf('early.example');
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'), 'kept at first');
my $whole = $t->read_file(file('early.example'));

# full

fill();
conf('early.example', 'late.example');
my $mark = $t->log_mark();
$t->reload();
ok(defined staple_fast(8443, 'late.example'), 'full: stapled all the same');
like($t->wait_log($cannot, 20, $mark) // '', qr/\[warn\].*No space left/i,
	'full: it is said');
ok(!-e file('late.example'), 'full: nothing is kept, not even a part');
ok(-s file('early.example') == length $whole
	&& $t->read_file(file('early.example')) ne '',
	'full: what was kept is whole');
is(scalar(() = grep { !/\.der$/ } glob "$disk/cache/* $disk/cache/.[!.]*"), 0,
	'full: nothing is left lying about');
my $held = staple_fast(8443, 'early.example');
ok(wait_for(sub { (staple_fast(8443, 'early.example') // $held) ne $held }, 60,
	'another response'), 'full: refreshing goes on');
is(scalar(() = $t->log_lines($cannot, $mark)), 1, 'full: said once');

# room again: what waits is kept, half a minute later at the most

unlink "$disk/ballast";
ok(wait_for(sub { -e file('late.example') }, 45, 'the file'),
	'room again: it is kept');
ok($t->wait_log($again, 10, $mark), 'room again: it is said');

$r->fault('refuse');
$t->restart();
ok(defined staple_fast(8443, $_), "$_: stapled after a restart")
	for sort keys %leaf;

$t->done_testing();

###############################################################################

sub file { return "$disk/cache/" . $leaf{$_[0]}->id() . '.der' }

sub fill {
	open my $fh, '>', "$disk/ballast" or die $!;
	binmode $fh;
	1 while syswrite $fh, "\0" x 4096;
	close $fh;
}

sub conf {
	my $servers = $t->ssl_servers(8443, @_);
	$t->write_file_expand('nginx.conf', <<"CONF");

%%TEST_GLOBALS%%

worker_processes  2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus        on;
    ocsp_plus_cache  $disk/cache;
    ocsp_plus_retry  1s 2s;

$servers
}

CONF
}

###############################################################################
