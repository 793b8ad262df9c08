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

write_conf($_, 'all.example', $own[$_]) for 0 .. $#nginx;
$_->run() for @nginx;
ok(wait_for(sub { $t->kept($dir) == 4 }, 15, 'four files'),
	'a file for each certificate');
ok(wait_for(sub { !grep { !defined staple_fast(port_of($_), 'all.example') }
	0 .. $#nginx }, 15, 'staples'), 'all have the one in common');

###############################################################################

# one of them asks, each time

$r->clear();
my @marks = map { $_->log_mark() } @nginx;
my $rounds = 4;
ok(wait_for(sub { !grep { got($_) < $rounds } 0 .. $#nginx }, 100,
	'four responses for each'), 'each gets a new response again and again');
# in one second by two of them, now and then
my $asked = () = $r->requests(leaf => $leaf{'all.example'});
cmp_ok($asked, '<', 2 * $rounds,
	'the responder is asked by one of the three')
	or diag(map { $_->log_lines($all) } @nginx);
my @lines = map { $nginx[$_]->log_lines(qr/$taken.*$all/, $marks[$_]) }
	0 .. $#nginx;
cmp_ok(scalar @lines, '>=', $rounds, 'the others take what it got');
my $time = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/;
like($lines[0] // '', qr/\[info\].*\ status=good\ expires=$time
	\ confirmed=$time\ next_attempt=$time$/x, 'which is said');
is(scalar(() = grep { /own/ } map { $_->log_lines($taken) } @nginx), 0,
	'what only one of them has it asks for itself');

# an operator wants the responder to be asked, whatever lies there

my $before = () = $r->requests(leaf => $leaf{'all.example'});
ok(wait_for(sub { http_post('/?refresh=' . $leaf{'all.example'}->id(), '',
	port => 8090) =~ / 202 / }, 10), 'an operator wants a refresh');
ok($r->wait_requests($before + 1, 10, leaf => $leaf{'all.example'}),
	'the responder is asked');

# a revocation is everybody's with the next response

@marks = map { $_->log_mark() } @nginx;
$r->status($leaf{'all.example'}, 'revoked');
for my $i (0 .. $#nginx) {
	is(wait_staple(port_of($i), 'revoked', servername => 'all.example',
		seconds => 30)->{status}, 'revoked', "revoked: nginx $i");
	my $re = qr/CERTIFICATE IS REVOKED, replace it; response .*$all/;
	like($nginx[$i]->wait_log($re, 10, $marks[$i]) // '', qr/\[crit\]/,
		"revoked: nginx $i says so");
}
# on hold, and released
$r->status($leaf{'all.example'}, 'good');
is(wait_staple(port_of($_), 'good', servername => 'all.example',
	seconds => 40)->{status}, 'good', "released: nginx $_") for 0 .. $#nginx;

is(scalar(() = $_->log_lines(qr/cache directory (?:cannot|ignored)|is ignored/)), 0, 'no trouble')
	for @nginx;
is(scalar($t->kept($dir)), 4,
	'one file for each certificate, whoever wrote it');
is(scalar(() = grep { !/\.der$/ } glob "$dir/*"), 0, 'nothing else is left');

###############################################################################

# each starts from what another has kept

$_->stop() for @nginx;
unlink glob "$dir/*.der";
$r->validity(next_update => 86400);
$_->run() for @nginx;
ok(wait_for(sub { $t->kept($dir) == 4 }, 15, 'four files'),
	'all are kept again');
$_->stop() for @nginx;
$r->fault('refuse');
for my $i (0 .. $#nginx) {
	my $name = $own[$i - 1];
	write_conf($i, 'all.example', $name);
	$nginx[$i]->run();
	ok(defined staple_fast(port_of($i), $_),
		"nginx $i: $_ is stapled from the directory")
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

sub write_conf {
	my ($i, @names) = @_;
	my $nginx = $nginx[$i];
	my $servers = $nginx->ssl_servers(port_of($i), @names);
	my $control = 8090 + $i;
	$nginx->write_http_conf(<<"CONF");
    ocsp_plus        on;
    ocsp_plus_cache  $dir;
    ocsp_plus_retry  1s 2s;

$servers

    server {
        listen  127.0.0.1:$control;

        location / {
            ocsp_plus_control;
            allow 127.0.0.1;
        }
    }
CONF
}

###############################################################################
