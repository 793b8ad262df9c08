#!/usr/bin/perl

# Tests for a responder that asks to be left alone: Retry-After with 429 and
# 503, in seconds and as a date, within the bounds of ocsp_plus_retry.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::Local qw/ timegm /;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

# name, fault, its argument, seconds until the next attempt: at least, at most.
# The back-off alone would be a second or two.

my @cases = (
	[ 'busy', 'http_503', '100', 100, 101 ],
	[ 'too-many', 'http_429', '100', 100, 101 ],
	[ 'date', 'http_503', '@150', 148, 151 ],
	[ 'too-long', 'http_503', '86400', 200, 201 ],
	[ 'past', 'http_503', '@-100', 1, 3 ],
	[ 'nonsense', 'http_503', 'soon', 1, 3 ],
	[ 'other', 'http_500', '', 1, 3 ],
);

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8100 + $_ } 1 .. @cases ]);

my (%on, @leaves);
for my $case (@cases) {
	my ($name, $fault, $arg) = @$case;
	$on{$name} = 1 + keys %on;
	# two certificates on one host
	for my $which ("$name", "$name-2") {
		push @leaves, $int->leaf("$which.example",
			not_before => -86400, aia => $r->url($on{$name}));
	}
	$r->fault($fault, on => $on{$name}, arg => $arg);
}

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 0;',
	'ocsp_plus_retry 1s 200s;', map { [ 8443, $_ ] } @leaves ]);

$t->run();

my $when = qr/(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z/;
for my $case (@cases) {
	my ($name, undef, undef, $least, $most) = @$case;
	my $line = $t->wait_log(
		qr/nothing is stapled: certificate="\Q$name\E(?:-2)?\./, 15) // '';
	my ($waits) = $line =~ /next_attempt=$when/
		? timegm($6, $5, $4, $3, $2 - 1, $1) : 0;
	# the time at which the line was written, in the time zone of the log
	my ($said) = $line =~ m!^(\d+)/(\d+)/(\d+) (\d+):(\d+):(\d+)!
		? POSIX::mktime($6, $5, $4, $3, $2 - 1, $1 - 1900) : 0;
	cmp_ok($waits - $said, '>=', $least - 1,
		"$name: the next attempt is not too early")
		or diag($line);
	cmp_ok($waits - $said, '<=', $most + 1,
		"$name: the next attempt is not too late")
		or diag($line);
}

# those that asked for nothing are asked again, for either certificate; while
# those that did have seen no more than one request for each

$r->wait_requests(3, 20, on => $on{$_}) for qw/ past nonsense other /;
for my $name (qw/ past nonsense other /) {
	cmp_ok(scalar(() = $r->requests(on => $on{$name})), '>=', 3,
		"$name: the responder is asked again");
}
for my $name (qw/ busy too-many date too-long /) {
	cmp_ok(scalar(() = $r->requests(on => $on{$name})), '<=', 2,
		"$name: the responder is not asked again");
}

$t->done_testing();

###############################################################################
