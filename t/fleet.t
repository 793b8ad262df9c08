#!/usr/bin/perl

# Tests for several nginx behind one responder that hands all of them the same
# responses, as a cache in front of it does: they ask for a new one at moments
# of their own, not all within the same second, round after round.

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
my @nodes = ($t, map { Test::Nginx->new() } 2 .. 6);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(8, 'host%d.example', aia => $r->url(),
	not_before => -86400);

# asked for again after 20 to 25 seconds; whoever asks within 15 seconds gets
# what the first has got

my $rounds = 2;
$r->set(next_update => 50, cache => 15);
for my $i (0 .. $#nodes) {
	for my $name (map { $_->name() } @leaves) {
		$nodes[$i]->write_file("$name.$_", $t->read_file("$name.$_"))
			for qw/ pem key /;
	}
	configure($i);
	$nodes[$i]->run();
}
is(differing(), 0, 'all nodes hold the same responses');
is(scalar(() = $r->requests()), @nodes * @leaves,
	'each node asks once for each certificate');

###############################################################################

$r->clear();
ok($r->wait_requests($rounds * @nodes * @leaves, 100),
	'all nodes refresh each certificate twice');

# how far apart the first and the last of the nodes are, for each certificate
# in each round

my @apart;
for my $leaf (@leaves) {
	my @times = sort { $a <=> $b } map { $_->{time} } $r->requests(leaf => $leaf);
	my @round;
	for my $time (@times, 'inf') {
		if (@round && $time - $round[0] > 12) {
			push @apart, $round[-1] - $round[0] if @round == @nodes;
			@round = ();
		}
		push @round, $time;
	}
}
cmp_ok(scalar @apart, '>=', @leaves, 'rounds are seen in which all nodes ask');

# at random in one of four seconds: rarely all of them in the same two

my $wide = grep { $_ > 1 } @apart;
cmp_ok($wide, '>=', @apart / 2,
	'the nodes of a round do not ask at the same time')
	or diag(join ' ', map { sprintf '%.2f', $_ } @apart);
is(scalar(() = map { $_->log_lines(qr/nothing is stapled/) } @nodes), 0,
	"no node's response expires before its refresh");

$t->done_testing();

###############################################################################

# How many certificates have another response on some node.
sub differing {
	return scalar grep {
		my $name = $_->name();
		my %seen = map { (staple_fast(8440 + $_, $name) // '') => 1 }
			0 .. $#nodes;
		keys %seen != 1 || $seen{''};
	} @leaves;
}

sub configure {
	my ($i) = @_;
	$nodes[$i]->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
		map { [ 8440 + $i, $_ ] } @leaves ]);
}

###############################################################################
