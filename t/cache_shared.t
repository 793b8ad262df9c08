#!/usr/bin/perl

# Tests for a cache directory that several nginx share: whoever is due first
# asks, and the others take from the directory what it got; each starts from
# what another has kept, and none disturbs another.

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

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);
my @nginx = ($t, map { Test::Nginx->new() } 2 .. 3);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @own = map { "own$_.example" } 1 .. @nginx;
my %leaf = map { $_ => $int->leaf($_, aia => $r->url(),
	not_before => -86400) } 'all.example', @own;
for my $file (map { ("$_.pem", "$_.key") } keys %leaf) {
	$_->write_file($file, $t->read_file($file)) for @nginx;
}
my $dir = $t->testdir() . '/shared';
my $taken = qr/response taken from the cache directory, another instance/;
my $all = qr/certificate="all\.example"/;

# looked after every ten seconds

$r->validity(next_update => 24);

# each has one of its own, and all have one in common

configure($_, 'all.example', $own[$_]) for 0 .. $#nginx;
$_->run() for @nginx;
ok(wait_for(sub { $t->kept($dir) == 4 }, 15, 'four files'),
	'the shared directory has a file for each certificate');
ok(wait_for(sub { !grep { !defined staple_fast(port_of($_), 'all.example') }
	0 .. $#nginx }, 15, 'staples'),
	'all instances staple the certificate they have in common');

###############################################################################

# one of them asks, each time

$r->clear();
my @marks = map { $_->log_mark() } @nginx;
my $rounds = 4;
ok(wait_for(sub { !grep { got($_) < $rounds } 0 .. $#nginx }, 100,
	'four responses for each'),
	'each instance gets a new response again and again');
# in one second by two of them, now and then
my $asked = () = $r->requests(leaf => $leaf{'all.example'});
cmp_ok($asked, '<', 2 * $rounds,
	'the responder is asked by one of three instances')
	or diag(map { $_->log_lines($all) } @nginx);
my @lines = map { $nginx[$_]->log_lines(qr/$taken.*$all/, $marks[$_]) }
	0 .. $#nginx;
cmp_ok(scalar @lines, '>=', $rounds,
	'the other instances take the response from the directory');
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;
like($lines[0] // '', qr/\[info\].*\ status=good\ expires=$time
	\ confirmed=$time\ next_attempt=$time$/x,
	'taking a response from the directory is logged');
is(scalar(() = grep { /own/ } map { $_->log_lines($taken) } @nginx), 0,
	'a certificate of one instance is not taken from the directory');

# an operator wants the responder to be asked, whatever lies there

my $before = () = $r->requests(leaf => $leaf{'all.example'});
ok(wait_for(sub { http_post('/?refresh=' . $leaf{'all.example'}->id(), '',
	port => 8090) =~ / 202 / }, 10), "an operator's refresh is accepted");
ok($r->wait_requests($before + 1, 10, leaf => $leaf{'all.example'}),
	"an operator's refresh asks the responder in spite of a cached response");

# a revocation is everybody's with the next response

@marks = map { $_->log_mark() } @nginx;
$r->status($leaf{'all.example'}, 'revoked');
for my $i (0 .. $#nginx) {
	is(wait_staple(port_of($i), 'revoked', servername => 'all.example',
		seconds => 30)->{status}, 'revoked',
		"revoked: nginx $i staples the revocation");
	my $re = qr/CERTIFICATE IS REVOKED, replace it; response .*$all/;
	like($nginx[$i]->wait_log($re, 10, $marks[$i]) // '', qr/\[crit\]/,
		"revoked: nginx $i logs the revocation as critical");
}
# on hold, and released
$r->status($leaf{'all.example'}, 'good');
is(wait_staple(port_of($_), 'good', servername => 'all.example',
	seconds => 40)->{status}, 'good',
	"released from hold: nginx $_ staples the good response") for 0 .. $#nginx;

is(scalar(() = $_->log_lines(qr/cache directory (?:cannot|ignored)|is ignored/)), 0,
	'an instance that shares its cache logs no cache error')
	for @nginx;
is(scalar($t->kept($dir)), 4,
	'the shared directory still has one file for each certificate');
is(scalar(() = grep { !/\.der$/ } glob "$dir/*"), 0,
	'the shared directory has no temporary files');

###############################################################################

# each starts from what another has kept

$_->stop() for @nginx;
unlink glob "$dir/*.der";
$r->validity(next_update => 86400);
$_->run() for @nginx;
ok(wait_for(sub { $t->kept($dir) == 4 }, 15, 'four files'),
	'the emptied directory is filled again');
$_->stop() for @nginx;
$r->fault('refuse');
for my $i (0 .. $#nginx) {
	my $name = $own[$i - 1];
	configure($i, 'all.example', $name);
	$nginx[$i]->run();
	ok(defined staple_fast(port_of($i), $_),
		"nginx $i: $_ is stapled from the shared directory")
		for 'all.example', $name;
}

$t->done_testing();

###############################################################################

sub port_of { return 8440 + $_[0] }

# How many responses for the common certificate an nginx got.
sub got {
	my ($i) = @_;
	return scalar(() = $nginx[$i]->log_lines(
		qr/(?:$taken|response published).*$all/, $marks[$i]));
}

sub configure {
	my ($i, @names) = @_;
	my $control = 8090 + $i;
	$nginx[$i]->write_conf(http => [ 'ocsp_plus on;', "ocsp_plus_cache $dir;",
		'ocsp_plus_retry 1s 2s;', (map { [ port_of($i), $_ ] } @names),
		[ $control, undef,
			'location / { ocsp_plus_control; allow 127.0.0.1; }' ] ]);
}

###############################################################################
