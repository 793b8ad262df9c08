#!/usr/bin/perl

# Tests for a cache directory on a disk that is full, and one that is read-only:
# nothing but the keeping is lost, it is said once at error and shown by the
# status and the metrics, and what waits is kept when the disk is mended.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Time::Local qw/ timegm /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);

# A disk of our own: 64 kB in memory.

my $disk = $t->testdir() . '/disk';
mkdir $disk;
plan(skip_all => 'a small disk cannot be mounted here')
	if $> || system("mount -t tmpfs -o size=64k,mode=0755 tmpfs $disk 2>&1") != 0;
END { system('umount', '-l', $disk) if $disk && -d $disk && $> == 0 }

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my %leaf = map { $_ => $int->leaf($_, aia => $r->url(), not_before => -86400) }
	qw/ early.example late.example last.example /;
$r->validity(this_update => -1000, next_update => 100);

my $cannot = qr/cache directory cannot be used, responses will not survive a restart/;
my $again = qr/cache directory can be used again/;

configure('early.example');
$t->run();
ok(wait_for(sub { -e file('early.example') }, 15, 'a file'),
	'the response is cached while the disk has room');
my $whole = $t->read_file(file('early.example'));
my $works = { path => "$disk/cache", state => 'works', reason => undef,
	since => undef };
is_deeply(shown(), $works, 'the status document says that the cache works');
is(usable(), 1, 'the metric says that the cache is usable');

# full

fill();
configure('early.example', 'late.example');
my $mark = $t->log_mark();
$t->reload();
ok(defined staple_fast(8443, 'late.example'),
	'full disk: a new certificate is stapled all the same');
my $now = time();
like($t->wait_log($cannot, 20, $mark) // '', qr/\[error\].*reason=disk_full
	.*No\ space\ left\ on\ device;\ make\ room\ on\ this\ disk/x,
	'full disk: an error says what to do');
failing('full disk', 'disk_full', $now);
ok(!-e file('late.example'),
	'full disk: no part of the new response is written');
ok(-s file('early.example') == length $whole
	&& $t->read_file(file('early.example')) ne '',
	'full disk: the response cached before is whole');
is(scalar(() = grep { !/\.der$/ } glob "$disk/cache/* $disk/cache/.[!.]*"), 0,
	'full disk: no temporary file is left');
my $held = staple_fast(8443, 'early.example');
ok(wait_for(sub { (staple_fast(8443, 'early.example') // $held) ne $held }, 60,
	'another response'), 'full disk: a response is still refreshed');
is(scalar(() = $t->log_lines($cannot, $mark)), 1,
	'full disk: the error is logged once');

# room again: what waits is kept, half a minute later at the most

unlink "$disk/ballast";
ok(wait_for(sub { -e file('late.example') }, 45, 'the file'),
	'full disk: the waiting response is written once there is room');
ok($t->wait_log($again, 10, $mark), 'full disk: the recovery is logged');
is_deeply(shown(), $works,
	'full disk: the status document says that the cache works again');
is(usable(), 1, 'full disk: the metric says that the cache is usable again');

# read-only, as a disk becomes after an error

remount('ro');
configure(sort keys %leaf);
$mark = $t->log_mark();
$now = time();
$t->reload();
ok(defined staple_fast(8443, 'last.example'),
	'read-only disk: a new certificate is stapled all the same');
like($t->wait_log($cannot, 20, $mark) // '', qr/\[error\].*reason=unwritable
	.*Read-only\ file\ system;\ mount\ it\ writable/x,
	'read-only disk: an error says what to do');
failing('read-only disk', 'unwritable', $now);
ok(!-e file('last.example'), 'read-only disk: the new response is not written');
remount('rw');
ok(wait_for(sub { -e file('last.example') }, 45, 'the file'),
	'read-only disk: the response is written once the disk is writable');
ok($t->wait_log($again, 10, $mark), 'read-only disk: the recovery is logged');
is_deeply(shown(), $works,
	'read-only disk: the status document says that the cache works again');
is(scalar(() = $t->log_lines($cannot, $mark)), 1,
	'read-only disk: the error is logged once');

$r->fault('refuse');
$t->restart();
ok(defined staple_fast(8443, $_),
	"$_: a restart without a responder staples it")
	for sort keys %leaf;

# off

configure('off');
$t->reload();
is_deeply(shown(), { path => undef, state => 'off', reason => undef,
	since => undef }, 'cache off: the status document says so');
is(usable(), undef, 'cache off: there is no metric');

$t->done_testing();

###############################################################################

sub file { return "$disk/cache/" . $leaf{$_[0]}->id() . '.der' }

sub shown {
	my ($json) = http_get('/json') =~ /\r\n\r\n(.*)/s;
	return decode_json($json)->{cache};
}

sub usable {
	return http_get('/metrics') =~ /^ocsp_plus_cache_usable (\d)$/m
		? $1 : undef;
}

# Four tests: since not long after `time`.
sub failing {
	my ($what, $reason, $time) = @_;
	my $cache = shown();
	is("$cache->{path} $cache->{state} $cache->{reason}",
		"$disk/cache failing $reason",
		"$what: the status document has state and reason");
	my ($y, $mon, $d, $h, $m, $s) = $cache->{since} =~
		/^(\d+)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/;
	my $since = timegm($s, $m, $h, $d, $mon - 1, $y);
	cmp_ok($since, '>=', $time - 5,
		"$what: \"since\" is not before the failure");
	cmp_ok($since, '<=', time() + 5,
		"$what: \"since\" is not in the future");
	is(usable(), 0, "$what: the metric says that the cache is not usable");
}

sub remount {
	my ($how) = @_;
	system('mount', '-o', "remount,$how", $disk) == 0 or die 'remount failed';
}

sub fill {
	open my $fh, '>', "$disk/ballast" or die $!;
	binmode $fh;
	1 while syswrite $fh, "\0" x 4096;
	close $fh;
}

sub configure {
	my @names = @_;
	my $cache = "$disk/cache";
	if ($names[0] eq 'off') {
		$cache = 'off';
		@names = sort keys %leaf;
	}
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		"ocsp_plus_cache $cache;", 'ocsp_plus_retry 1s 2s;',
		(map { [ 8443, $_ ] } @names),
		[ 8080, undef, 'location /json { ocsp_plus_status json; }',
			'location /metrics { ocsp_plus_status prometheus; }' ] ]);
}

###############################################################################
