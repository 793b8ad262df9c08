#!/usr/bin/perl

# Tests for the table of what is held and what comes, while a revocation is
# held and valid: only something newer replaces it.

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

# name, what comes, what says in the log that it came, what is stapled then

my $fails = qr/\[warn\].*no new response/;
my $older = qr/\[info\].*not newer than the current one/;

my @cells = (
	[ 'newer', { status => 'good' }, qr/published/, 'good' ],
	[ 'older', { status => 'good', fault => 'older', arg => 600 }, $older,
		'revoked' ],
	[ 'revoked-newer', { status => 'revoked' }, qr/REVOKED/, 'revoked' ],
	[ 'revoked-older', { status => 'revoked', fault => 'older', arg => 600 },
		$older, 'revoked' ],
	[ 'unknown', { status => 'unknown' }, $fails, 'revoked' ],
	[ 'try-later', { fault => 'try_later' }, $fails, 'revoked' ],
	[ 'http', { fault => 'http_500' }, $fails, 'revoked' ],
	[ 'garbage', { fault => 'garbage' }, $fails, 'revoked' ],
	[ 'forged', { status => 'good', fault => 'foreign_signer' }, $fails,
		'revoked' ],
	[ 'silent', { fault => 'close' }, $fails, 'revoked' ],
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
}

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_retry 1s 2s;', map { [ 8443, $leaf{$_->[0]} ] } @cells ]);

# past its middle, so it is looked after within seconds; valid for the test

$r->set(status => 'revoked');
$r->validity(this_update => -3600, next_update => 120);
$t->run();

my %held;
for my $cell (@cells) {
	my ($name) = @$cell;
	is(wait_staple(8443, 'revoked', servername => "$name.example")->{status},
		'revoked', "$name: a revocation is held");
}

my $mark = $t->log_mark();
$r->set(reset => 1);
$r->validity(this_update => -1800, next_update => 120);
for my $cell (@cells) {
	my ($name, $comes) = @$cell;
	my %comes = %$comes;
	# an older one than what is held
	$comes{arg} += 1800 if $comes{arg};
	$r->set(on => $on{$name}, %comes);
}

for my $cell (@cells) {
	my ($name, undef, $line, $expected) = @$cell;
	ok($t->wait_log(qr/$line.*certificate="\Q$name\E\.example"/, 40, $mark),
		"$name: the next answer is logged")
		or diag(join "\n", $t->log_lines(qr/"\Q$name\E\./, $mark));
	is(wait_staple(8443, $expected, servername => "$name.example",
		seconds => 20)->{status}, $expected,
		"$name: status $expected after the next answer");
}

# and none of those that stay is ever hidden

for my $cell (grep { $_->[3] eq 'revoked' } @cells) {
	my $seen = staple(8443, servername => "$cell->[0].example");
	is($seen->{status}, 'revoked',
		"$cell->[0]: the revocation is still stapled at the end");
}

$t->done_testing();

###############################################################################
