#!/usr/bin/perl

# Tests for the end of a response: while the responder is down it is served
# until the second it ends and not one second longer.  With responses valid for
# ten seconds and a responder that is up there is no gap.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;
use Time::Local qw/ timegm /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ]);

my %leaf;
my %on = (dies => 1, stays => 2, drips => 3);
$leaf{$_} = $int->leaf("$_.example", aia => $r->url($on{$_}))
	for keys %on;

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_timeout 2s;', 'ocsp_plus_retry 1s 3s;',
	map { [ 8443, $leaf{$_} ] } sort keys %on ]);

$r->validity(next_update => 6);
$r->validity(next_update => 10, on => $on{stays});
$t->run();

###############################################################################

for my $name (sort keys %on) {
	ok(wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name"),
		"$name: the certificate is stapled at first");
}

# the one that is served from now on is the last

$r->fault('refuse', on => $on{dies});
$r->fault('slow_drip', on => $on{drips}, arg => 20);
my (%seen, %late, %later, %gaps, %ends);
my $began = time();
my $recovered;

while (time() - $began < 30) {
	for my $name (sort keys %on) {
		my $before = time();
		my $shake = handshake_fast(8443, "$name.example");
		my $after = time();
		$seen{$name}{failed}++ unless $shake->{ok};
		next unless $shake->{ok};

		if (defined $shake->{der}) {
			$ends{$name} = next_update($shake->{der});
			$seen{$name}{stapled}++;
			$late{$name}++ if $ends{$name} <= $before;
			# more than a tick of a coarse clock
			$later{$name}++ if $ends{$name} + 0.05 <= $before;
			$seen{$name}{again}++ if $seen{$name}{none};
		} else {
			$seen{$name}{none}++;
			# before its end it must have been there
			$gaps{$name}++ if $after < $ends{$name};
			$seen{$name}{over} //= $before;
		}
	}
	# a while without any, and then it answers again
	if (!$recovered && $seen{dies}{over} && $seen{drips}{over}
		&& time() > $seen{dies}{over} + 2
		&& time() > $seen{drips}{over} + 2)
	{
		$recovered = time();
		$r->fault('none', on => $on{$_}) for qw/ dies drips /;
	}
	last if $recovered && $seen{dies}{again} && $seen{drips}{again}
		&& time() - $began > 22;
}

for my $name (sort keys %on) {
	is($seen{$name}{failed} || 0, 0, "$name: no handshake fails");
	is($later{$name} || 0, 0,
		"$name: no response is stapled after its expiry, give or take 50 ms");
	is($late{$name} || 0, 0,
		"$name: no response is stapled after its expiry at all");
	is($gaps{$name} || 0, 0,
		"$name: no staple is missing before the expiry");
}
is($seen{stays}{none} || 0, 0,
	'a working responder leaves no gap between two responses');
cmp_ok($seen{stays}{stapled}, '>', 100,
	"a working responder's certificate is stapled in over 100 handshakes");
for my $name (qw/ dies drips /) {
	cmp_ok($seen{$name}{none} || 0, '>', 0,
		"$name: handshakes after the expiry have no staple");
	cmp_ok($seen{$name}{again} || 0, '>', 0,
		"$name: the certificate is stapled once the responder recovers");
	my $opinion = Test::Nginx::staple_verify($t,
		staple_fast(8443, "$name.example") // '', $leaf{$name});
	is("$opinion->{ok} $opinion->{status}", '1 good',
		"$name: openssl verifies the staple after the recovery");
}

# tries went on while it was held and afterwards, and said so

my @lines = $t->log_lines(qr/certificate="dies\..* reason=connect_refused/);
is(scalar(grep { /\[warn\].*keeping the current one.* expires=.* failures=1$/ } @lines), 1,
	'a failed refresh is logged as a warning once while a response is held');
cmp_ok(scalar(grep { /\[info\].*keeping the current one.* failures=\d/ } @lines), '>=', 1,
	'further failed refreshes are logged as info with their count');
cmp_ok(scalar(grep { /\[error\].*nothing is stapled/ } @lines), '>=', 1,
	'failed attempts after the expiry are logged as errors');

$t->done_testing();

###############################################################################

# From producedAt, thisUpdate and nextUpdate of a single response.
sub next_update {
	my ($der) = @_;
	my @times = $der =~ /\x18\x0f(\d{14})Z/g;
	my ($year, $month, $day, $hour, $min, $sec) =
		unpack "A4 (A2)5", $times[2] // return 0;
	return timegm($sec, $min, $hour, $day, $month - 1, $year);
}

###############################################################################
