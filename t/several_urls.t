#!/usr/bin/perl

# Tests for certificates with several responders: the next one is asked where
# one fails or has nothing to say, failing ones are left out for a while, and
# one deadline holds for all.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

# name of the server, what its first responder does

my @first = (
	[ 'refused', fault => 'refuse' ],
	[ 'reset', fault => 'reset' ],
	[ 'broken', fault => 'http_500' ],
	[ 'busy', fault => 'http_503', arg => 60 ],
	[ 'garbage', fault => 'garbage' ],
	[ 'short', fault => 'truncate' ],
	[ 'try-later', fault => 'try_later' ],
	[ 'unauthorized', fault => 'unauthorized' ],
	[ 'signature', fault => 'broken_signature' ],
	[ 'expired', fault => 'expired' ],
	[ 'unknown', status => 'unknown' ],
	[ 'loop', fault => 'redirect' ],
	[ 'fine' ],
);

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8100 + $_ } 1 .. 2 * @first + 8 ]);

my (%leaf, %on);
my $ports = 1;
for my $case (@first) {
	my ($name, @settings) = @$case;
	$on{$name} = $ports;
	$leaf{$name} = $int->leaf("$name.example",
		aia => [ $r->url($ports), $r->url($ports + 1) ]);
	$r->set(@settings, on => $ports) if @settings;
	$ports += 2;
}

# one deadline: the third would answer

my ($mute, $mute_too, $speaks) = $ports .. $ports + 2;
$leaf{hangs} = $int->leaf('hangs.example',
	aia => [ map { $r->url($_) } $mute, $mute_too, $speaks ]);
$r->fault('hang_after_request', on => $_) for $mute, $mute_too;

# many with the same two

my ($dead, $alive) = ($ports + 3, $ports + 4);
my @many = $int->leaves(12, 'many%d.example',
	aia => [ $r->url($dead), $r->url($alive) ]);
$r->fault('close', on => $dead);
$r->validity(next_update => 8, on => $_) for $dead, $alive;

# from the configuration, in its order

my ($named, $named_too) = ($ports + 5, $ports + 6);
$leaf{override} = $int->leaf('override.example',
	aia => $r->url($alive));
$r->fault('http_404', on => $named);

my $responders = join ' ', map { $r->url($_) } $named, $named_too;
$t->write_conf(http => [ 'ocsp_plus on;',
	# the workers are watched, not what helps them to start
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_cache off;',
	'ocsp_plus_timeout 2s;', 'ocsp_plus_retry 3s 6s;',
	(map { [ 8443, $leaf{$_}, $_ eq 'override'
		? "ocsp_plus_responder $responders;" : () ] } sort keys %leaf),
	map { [ 8443, $_ ] } @many ]);

my $began = time();
$t->run();

###############################################################################

for my $case (@first) {
	my ($name, @settings) = @$case;
	ok(wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name"), "$name: the certificate is stapled");

	my $answered = @settings ? $on{$name} + 1 : $on{$name};
	my @lines = $t->log_lines(qr/certificate="\Q$name\E\.example"/);
	is(scalar @lines, 1, "$name: one exchange is logged");
	like($lines[0] // '', qr/response\ published
		.*\ responder="\Q${\$r->url($answered)}\E"\ status=good/x,
		"$name: the log names the responder that answered");
	is(scalar(() = $r->requests(on => $on{$name} + 1)),
		@settings ? 1 : 0,
		"$name: the second responder is asked only if the first fails");
}

ok(wait_for(sub { staple_fast(8443, 'override.example') }, 15, 'a staple'),
	'ocsp_plus_responder: the certificate is stapled');
like(join("\n", $t->log_lines(qr/certificate="override\./)),
	qr/\A\S+ \S+ \[notice\].* responder="\Q${\$r->url($named_too)}\E"[^\n]*\z/,
	'ocsp_plus_responder: the second URL answers');
is(scalar(() = $r->requests(leaf => $leaf{override}, on => $named)), 2,
	'ocsp_plus_responder: the first URL is asked by GET and POST');
is(scalar(() = $r->requests(leaf => $leaf{override}, on => $alive)), 0,
	"ocsp_plus_responder: the certificate's own URL is not asked");

# many: the dead one saw a few probes only

for my $leaf (@many) {
	ok(wait_for(sub { staple_fast(8443, $leaf->name()) }, 15,
		"a staple for " . $leaf->name()),
		$leaf->name() . ': the certificate is stapled by the second responder');
}
my $stats = $r->stats()->{ports};
cmp_ok($stats->{$dead}{connections}, '>=', 1,
	'a dead first responder is tried');
cmp_ok($stats->{$dead}{connections}, '<=', 3 + (time() - $began) / 2,
	'a dead first responder is not tried for each certificate');
is(scalar(grep { /many\d/ } $t->log_lines(qr/ reason=/)), 0,
	'a dead first responder is no failure where the second answers');

# one deadline for all: a hanging one gets half of what is left of it

my $line = $t->wait_log(qr/response published.*certificate="hangs\./, 10);
like($line // '', qr/responder="\Q${\$r->url($speaks)}\E"/,
	'two hanging responders: the third answers');
is(scalar(() = $r->requests(on => $speaks)), 1,
	'two hanging responders: the third is asked once');
is(scalar(() = $t->log_lines(qr/certificate="hangs\..* reason=/)), 0,
	'two hanging responders: the third answers before the deadline');
ok(staples('hangs.example', 5),
	'two hanging responders: the certificate is stapled');

# it is asked again when it has recovered

$r->fault('none', on => $dead);
ok(wait_for(sub { $t->log_lines(
	qr/response published.*"many.* responder="\Q${\$r->url($dead)}\E"/) },
	25, 'the dead one to be asked again'),
	'a first responder is used again once it answers');

$t->done_testing();

###############################################################################

sub staples {
	my ($name, $seconds) = @_;
	return wait_for(sub { staple_fast(8443, $name) }, $seconds);
}

###############################################################################
