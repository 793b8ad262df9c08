#!/usr/bin/perl

# Tests for a new binary (USR2, WINCH, QUIT): both instances share the cache
# directory, the new one starts from it, and no handshake lacks its staple.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my @leaves = $int->leaves(5, 'host%d.example', aia => $r->url(1));
my @names = map { $_->name() } @leaves;
my $brief = $int->leaf('brief.example', aia => $r->url(2));
# valid for 20 seconds, so both instances have to refresh it
$r->validity(this_update => -1000, next_update => 20, on => 2);

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_retry 1s 1s;', map { [ 8443, $_ ] } @leaves, $brief ]);

my $waits = qr/waiting for responses before starting the workers/;
my $file = $t->testdir() . '/cache/' . $brief->id() . '.der';

$t->run();
is(without(8443, @names, 'brief.example'), 0,
	'all certificates are stapled by the old binary');
ok(wait_for(sub { $t->kept() == 6 }, 10, 'files'),
	'all responses are cached by the old binary');
my %held = map { $_ => staple_fast(8443, $_) } @names;

###############################################################################

# twice, so that the new one becomes the old one; nobody answers for the first
# five, and what is needed is in the cache directory

$r->fault('hang_after_connect', on => 1);
$r->clear();
my $watch = Test::Nginx::Watch->start($t, 8443, @names, 'brief.example');
$watch->wait_for(20);

for my $n (1, 2) {
	my $mark = $t->log_mark();
	my ($old, $new) = $t->upgrade();
	isnt($old, $new, "upgrade $n: the new master is another process");
	wait_for(sub { $t->workers($new) == 2 }, 10, 'workers');
	is(scalar($t->workers($old)), 2,
		"upgrade $n: the old workers run beside the new ones");
	is(scalar(() = $t->log_lines($waits, $mark)), 0,
		"upgrade $n: the new binary does not wait for responses");
	ok($t->wait_log(qr/the designated worker now/, 10, $mark),
		"upgrade $n: the new binary has its own designated worker");
	is(scalar(() = $t->log_lines(qr/cache directory/, $mark)), 0,
		"upgrade $n: the shared cache directory raises no error");

	# both refresh, into the same directory

	my $requests = () = $r->requests(on => 2);
	ok($r->wait_requests($requests + 2, 20, on => 2),
		"upgrade $n: both binaries refresh");

	$watch->wait_for(seen() + 20);
	kill WINCH => $old;
	ok(wait_for(sub { !below($old, $new) }, 10, 'workers to go'),
		"upgrade $n: the old workers leave");
	$watch->wait_for(seen() + 50);
	is(without(8443, @names, 'brief.example'), 0,
		"upgrade $n: the new workers staple all certificates");
	is(scalar(grep { (staple_fast(8443, $_) // '') ne $held{$_} } @names),
		0, "upgrade $n: the staples stay the same");
	kill QUIT => $old;
	ok(wait_for(sub { !Test::Nginx::alive($old) }, 10, 'the old one'),
		"upgrade $n: the old master ends");
	$watch->wait_for(seen() + 20);
	my $now = -e $file ? $t->read_file($file) : '';
	ok(wait_for(sub { $t->read_file($file) ne $now }, 20, 'a new file'),
		"upgrade $n: the new binary writes to the cache directory");
}

###############################################################################

# taken back: the old workers come again by HUP

my ($old, $new) = $t->upgrade();
kill WINCH => $old;
ok(wait_for(sub { !below($old, $new) }, 10, 'workers to go'),
	'upgrade taken back: the old workers have left');
kill HUP => $old;
ok(wait_for(sub { below($old, $new) == 2 }, 10, 'workers'),
	'upgrade taken back: the old master starts workers again');
$t->_remember();
kill QUIT => $new;
ok(wait_for(sub { !Test::Nginx::alive($new) }, 10, 'the new one to end'),
	'upgrade taken back: the new binary ends');
$watch->wait_for(seen() + 50);
is(without(8443, @names, 'brief.example'), 0,
	'upgrade taken back: the old workers staple all certificates');

my $seen = $watch->end();
cmp_ok($seen->{stapled}, '>', 300,
	'many handshakes are made over all upgrades');
is("$seen->{missing} $seen->{failed} $seen->{unreachable}", '0 0 0',
	'no handshake over all upgrades lacks a staple or fails');
is($r->stats()->{ports}{1}{connections} // 0, 0,
	'no certificate is asked for before it is due');

$t->done_testing();

###############################################################################

sub seen { return $watch->seen()->{stapled} }

# The old master's workers; the new master is its child as well.
sub below {
	my ($old, $new) = @_;
	my @workers = grep { $_ != $new } Test::Nginx::children($old);
	return @workers;
}

###############################################################################
