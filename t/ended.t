#!/usr/bin/perl

# Tests for the table of what is held and what comes, once what is held has
# ended: a good one and one that says revoked.

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

# name, what is held, what comes when that has ended, what is stapled then

my @cells = (
	[ 'good-good', 'good', { status => 'good' }, 'good' ],
	[ 'good-older', 'good', { status => 'good', fault => 'older' }, 'none' ],
	[ 'good-revoked', 'good', { status => 'revoked' }, 'revoked' ],
	[ 'good-unknown', 'good', { status => 'unknown' }, 'none' ],
	[ 'good-error', 'good', { fault => 'try_later' }, 'none' ],
	[ 'good-garbage', 'good', { fault => 'garbage' }, 'none' ],
	[ 'revoked-good', 'revoked', { status => 'good' }, 'good' ],
	[ 'revoked-older', 'revoked', { status => 'good', fault => 'older' },
		'none' ],
	[ 'revoked-old', 'revoked', { status => 'revoked', fault => 'older' },
		'revoked' ],
	[ 'revoked-revoked', 'revoked', { status => 'revoked' }, 'revoked' ],
	[ 'revoked-unknown', 'revoked', { status => 'unknown' }, 'none' ],
	[ 'revoked-error', 'revoked', { fault => 'http_500' }, 'none' ],
	[ 'revoked-garbage', 'revoked', { fault => 'garbage' }, 'none' ],
);

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8100 + $_ } 1 .. @cells ]);

my (%leaf, %on);
for my $cell (@cells) {
	my $name = $cell->[0];
	$on{$name} = 1 + keys %on;
	$leaf{$name} = $int->leaf("$name.example",
		not_before => -86400, aia => $r->url($on{$name}));
	$r->status($leaf{$name}, $cell->[1]);
}

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
	map { [ 8443, $leaf{$_->[0]} ] } @cells ]);

# all hold a response that ends soon, then nobody answers until it has

$r->validity(next_update => 6);
$t->run();

for my $cell (@cells) {
	my ($name, $held) = @$cell;
	is(wait_staple(8443, $held, servername => "$name.example",
		seconds => 5)->{status}, $held,
		"$name: the first response is stapled");
}
$r->fault('close');
for my $cell (@cells) {
	my $name = $cell->[0];
	is(wait_staple(8443, 'none', servername => "$name.example",
		seconds => 20)->{status}, 'none',
		"$name: nothing is stapled once the response has expired");
}

# then each gets its answer

my $mark = $t->log_mark();
$r->validity(next_update => 86400);
for my $cell (@cells) {
	my ($name, undef, $comes) = @$cell;
	$r->fault($comes->{fault} || 'none', on => $on{$name});
	$r->status($leaf{$name}, $comes->{status}) if $comes->{status};
}

for my $cell (@cells) {
	my ($name, undef, undef, $expected) = @$cell;
	if ($expected eq 'none') {
		my $line = $t->wait_log(
			qr/\[error\].*nothing is stapled: certificate="$name\.(?!.*(?:truncated|reset))/,
			20, $mark);
		ok($line, "$name: the refused answer is logged as an error");
	}
	is(wait_staple(8443, $expected, servername => "$name.example",
		seconds => 20)->{status}, $expected,
		"$name: $expected is stapled after the answer");
}

is(scalar(() = $t->log_lines(qr/\[crit\].*certificate="good-revoked\./, $mark)),
	1, 'a revocation after the expiry is logged as critical once');

$t->done_testing();

###############################################################################
