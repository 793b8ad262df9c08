#!/usr/bin/perl

# Tests for when the responder last confirmed a response: the modification time
# of its file, shown as the age of the status. A new response, 304 and the same
# bytes confirm it; reading it, or an answer of no use, does not.

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

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url(), not_before => -86400);
my $file = $t->testdir() . '/cache/' . $leaf->id() . '.der';

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
	# validators are kept by the process they came to
	'ocsp_plus_startup_wait 0;',
	[ 8443, $leaf ],
	[ 8080, undef, 'location / { ocsp_plus_status; }',
		'location /control { ocsp_plus_control; allow 127.0.0.1; }' ] ]);

$r->set(header => 'ETag: "a-validator"');
$r->validity(this_update => -3600, next_update => 86400);

###############################################################################

# a new response

my $now = time();
$t->run();
ok(wait_for(sub { -e $file }, 15, 'a file'), 'the response is cached');
my $first = $t->read_file($file);
confirmed('a new response', $now);

# what confirms it, and what does not

is(confirm_by('http_304'), $first,
	'HTTP 304 leaves the bytes of the cache file');
is(confirm_by('old_same'), $first,
	'the same response again leaves the bytes of the cache file');
$r->fault('none');
$r->set(header => 'default');
isnt(confirm_by('none'), $first,
	'a new response changes the bytes of the cache file');

my $before = modified();
for my $fault (qw/ try_later older unknown broken_signature /) {
	my $mark = $t->log_mark();
	$r->status($leaf, 'unknown') if $fault eq 'unknown';
	$r->fault($fault) if $fault ne 'unknown';
	ask();
	ok($t->wait_log(qr/no new response|not newer than the current one/, 10,
		$mark), "$fault: the attempt is logged");
	is(modified(), $before, "$fault: the time of the cache file stays");
	$r->status($leaf, 'good');
	$r->fault('none');
}

# what a cache has kept: its Date less its Age, but never before thisUpdate

for my $case ([ 'Age', 600, header => 'Age: 600' ],
	[ 'an old Date', 1000, date_offset => -1000 ],
	[ 'a Date that is a little behind', 0, date_offset => -100 ])
{
	my ($what, $age, @set) = @$case;
	$r->set(@set);
	my $bytes = $t->read_file($file);
	$now = time();
	ask();
	ok(wait_for(sub { $t->read_file($file) ne $bytes }, 10, 'a new one'),
		"$what: a new response is written");
	confirmed($what, $now - $age, $age);
	$r->set(header => 'default', date_offset => 'default');
}
$r->set(header => 'Age: 7200');
my $bytes = $t->read_file($file);
ask();
ok(wait_for(sub { $t->read_file($file) ne $bytes }, 10, 'a new one'),
	'an Age reaching before thisUpdate: a new response is written');
is(modified(), shown('this_update'),
	'an Age reaching before thisUpdate: the file has the time of thisUpdate');
is(shown('confirmed_at'), shown('this_update'),
	'an Age reaching before thisUpdate: confirmed_at is thisUpdate');
$r->set(header => 'default');

###############################################################################

# a start reads it and changes nothing

$t->stop();
$r->fault('refuse');
my ($from, $until) = (shown_by_file(qr/this update: (\S+)/), time());
for my $case ([ 'a while ago', $until - 600, $until - 600 ],
	[ 'in the future', $until + 7200, $from ],
	[ 'before thisUpdate', $from - 3600, $from ])
{
	my ($what, $time, $expected) = @$case;
	utime 1, $time, $file;
	my $mark = $t->log_mark();
	$t->run();
	is(shown('source', 1), 'cache',
		"$what: the start takes the response from the cache");
	is(shown('confirmed_at'), $expected,
		"$what: confirmed_at is right after the start");
	aged("$what: status_age is the time since then",
		$expected, sub { shown('status_age', 1) });
	next unless $what eq 'a while ago';
	# the worker has looked at what it holds and at the directory
	$t->wait_log(qr/the designated worker now/, 10, $mark);
	my $beat = heartbeat();
	wait_for(sub { heartbeat() > $beat + 1 }, 10, 'beats');
	is(modified(), $time,
		"$what: the start does not change the file's time");
} continue {
	$t->stop();
}

# the command line confirms it, too

utime 1, $from, $file;
$r->fault('old_same');
$now = time();
my $run = $t->command([ $t->build_dir() . '/ocsp-plus', 'fetch', '--cert',
	$leaf->chain(), '--cache', $t->testdir() . '/cache' ]);
is($run->{status}, 0,
	'ocsp-plus fetch succeeds with the same response') or diag($run->{output});
cmp_ok(modified(), '>=', $now,
	'ocsp-plus fetch updates the time of the cache file');

$t->done_testing();

###############################################################################

sub modified { return (stat $file)[9] }

# Asks for it again, as soon as that is allowed.
sub ask {
	wait_for(sub { http_post('/control?refresh=' . $leaf->id(), '')
		=~ / 202 / }, 5, 'a refresh') or die "no refresh\n";
}

# Of the certificate; times in seconds since 1970 unless $raw.
sub shown {
	my ($member, $raw) = @_;
	my $value = http_json('/')->{certificates}[0]{$member};
	return $raw ? $value : seconds_of($value);
}

sub heartbeat { return seconds_of(http_json('/')->{worker}{heartbeat}) }

sub shown_by_file {
	my ($re) = @_;
	my $output = $t->command([ $t->build_dir() . '/ocsp-plus', 'show',
		$file ])->{output};
	return seconds_of($output =~ $re ? $1 : undef);
}

# Four tests: confirmed about `time`, which is so many seconds ago.
sub confirmed {
	my ($what, $time, $age) = @_;
	$age //= 0;
	cmp_ok(modified(), '>=', $time,
		"$what: the file's time is not before the confirmation");
	cmp_ok(modified(), '<=', time() - $age,
		"$what: the file's time is not after the confirmation");
	is(shown('confirmed_at'), modified(),
		"$what: confirmed_at is the file's time");
	aged("$what: the metric is the time since then", modified(), sub {
		http_get('/?format=prometheus') =~
			/^ocsp_plus_status_age_seconds\{[^}]*\} (\d+)$/m
			? $1 : -1000;
	});
}

# So many seconds have passed since; nginx may be a second behind.
sub aged {
	my ($what, $since, $look) = @_;
	my $least = time() - $since - 1;
	my $age = $look->();
	my $most = time() - $since;
	ok($least <= $age && $age <= $most, $what)
		or diag("$age, not from $least to $most");
}

# Two tests; returns what the file holds after the responder has answered so.
sub confirm_by {
	my ($fault) = @_;
	my $before = modified();
	my $since = time();
	$r->fault($fault);
	ask();
	ok(wait_for(sub { modified() > $before }, 10, 'a later time'),
		"$fault: the time of the cache file grows");
	cmp_ok(modified(), '>=', $since,
		"$fault: the time of the cache file is now");
	return $t->read_file($file);
}

###############################################################################
