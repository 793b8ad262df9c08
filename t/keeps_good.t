#!/usr/bin/perl

# Tests for the table of what is held and what comes: while a good response is
# valid nothing wrong replaces it, nor something older; a revocation does at
# once, and only something newer takes that back.

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

# name of the server, reason token, what its responder does later on

my @wrong = (
	[ 'refused', 'connect_refused', fault => 'refuse' ],
	[ 'reset', 'connection_reset', fault => 'reset' ],
	[ 'hang', 'timeout', fault => 'hang_after_request' ],
	[ 'short', 'truncated', fault => 'truncate' ],
	[ 'large', 'too_large', fault => 'too_large' ],
	[ 'garbage', 'malformed_response', fault => 'garbage' ],
	[ 'html', 'malformed_response', fault => 'html_200' ],
	[ 'empty', 'malformed_response', fault => 'empty_body' ],
	[ 'http-404', 'http_status', fault => 'http_404' ],
	[ 'http-503', 'http_status', fault => 'http_503' ],
	[ 'loop', 'redirect_limit', fault => 'redirect' ],
	[ 'try-later', 'try_later', fault => 'try_later' ],
	[ 'unauthorized', 'unauthorized', fault => 'unauthorized' ],
	[ 'internal', 'internal_error', fault => 'internal_error' ],
	[ 'malformed', 'malformed_request', fault => 'malformed_request' ],
	[ 'sig-required', 'sig_required', fault => 'sig_required' ],
	[ 'signature', 'bad_signature', fault => 'broken_signature' ],
	[ 'foreign', 'bad_signature', fault => 'foreign_signer' ],
	[ 'serial', 'other_serial', fault => 'other_serial' ],
	[ 'issuer', 'other_issuer', fault => 'other_issuer' ],
	[ 'expired', 'expired', fault => 'expired' ],
	[ 'future', 'this_update_in_future', fault => 'future' ],
	[ 'not-basic', 'not_basic_response', fault => 'not_basic' ],
	[ 'nothing', 'no_single_response', fault => 'no_responses' ],
	[ 'trailing', 'trailing_data', fault => 'trailing_inside' ],
	[ 'unknown', 'unknown', status => 'unknown' ],
);

# verified, but nothing new

my @stale = (
	[ 'same', fault => 'old_same' ],
	[ 'older', fault => 'older', arg => 50 ],
);

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8100 + $_ } 1 .. @wrong + @stale + 1 ]);

my (%leaf, %on);
for my $name (map({ $_->[0] } @wrong, @stale), 'revoked') {
	$on{$name} = 1 + keys %on;
	$leaf{$name} = $int->leaf("$name.example",
		not_before => -86400, aia => $r->url($on{$name}));
}

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_timeout 1s;',
	'ocsp_plus_retry 1s 2s;', map { [ 8443, $leaf{$_} ] } sort keys %on ]);

# Long past their middle: valid for 40 seconds, and looked after within ten
# seconds.
$r->validity(this_update => -1000, next_update => 40);
$t->run();

###############################################################################

my %held;
for my $name (sort keys %on) {
	ok(wait_for(sub { $held{$name} = staple_fast(8443, "$name.example") },
		15, "a staple for $name"), "$name: a good response is held");
}
my $begun = $t->log_mark();
for my $case (@wrong, @stale) {
	my ($name, @settings) = @$case;
	shift @settings if @settings % 2;
	$held{$name} = staple_fast(8443, "$name.example");
	$r->set(@settings, on => $on{$name});
}
# it may have been replaced by another good one in between
for my $case (@wrong, @stale) {
	my ($name) = @$case;
	$held{$name} = staple_fast(8443, "$name.example");
}

for my $case (@wrong) {
	my ($name, $reason) = @$case;
	my $re = qr/certificate="\Q$name\E\.example".* reason=/;
	ok(wait_for(sub { $t->log_lines($re, $begun) > 1 }, 25),
		"$name: the failing responder is asked twice");
	for my $line (($t->log_lines($re, $begun))[0]) {
		like($line // '', qr/\[warn\].*no\ new\ response,
			\ keeping\ the\ current\ one:
			.*\ responder="\Q${\$r->url($on{$name})}\E"
			\ reason=$reason\ detail="
			.*\ expires=\d{4}-\S+Z
			\ next_attempt=\d{4}-\S+Z/x,
			"$name: the failure is logged as a warning");
	}
}
for my $case (@stale) {
	my ($name) = @$case;
	my $re = qr/not newer than the current one.*certificate="\Q$name\E\./;
	ok(wait_for(sub { $t->log_lines($re, $begun) > 0 }, 25),
		"$name: the answer is logged as not newer");
	like(($t->log_lines($re, $begun))[0] // '',
		qr/\[info\].* status=good .*next_attempt=/,
		"$name: an answer that is not newer is logged as info");
}
for my $case (@wrong, @stale) {
	my ($name) = @$case;
	is(unpack('H*', staple_fast(8443, "$name.example") // ''),
		unpack('H*', $held{$name} // 'none'),
		"$name: the held response is stapled byte for byte");
}

# revoked

$r->status(undef, 'revoked', on => $on{revoked});
my $seen = wait_staple(8443, 'revoked', servername => 'revoked.example',
	seconds => 20);
is($seen->{status}, 'revoked', 'a revocation replaces the good response');
like($t->wait_log(qr/REVOKED.*certificate="revoked\./, 5) // '', qr/\[crit\]/,
	'a revocation is logged as critical');

my $revoked = staple_fast(8443, 'revoked.example');
my $mark = $t->log_mark();
$r->set(on => $on{revoked}, status => 'good', fault => 'older', arg => 50);
wait_for(sub { staple_fast(8443, 'revoked.example') ne $revoked
	|| $t->log_lines(qr/not newer.*certificate="revoked\./, $mark) },
	20, 'another look');
# what was under way at the switch may have brought a newer revocation
$seen = staple(8443, servername => 'revoked.example');
is($seen->{status}, 'revoked',
	'an older good response does not replace the revocation');
ok(wait_for(sub { $t->log_lines(
	qr/not newer.*certificate="revoked\..* status=good/, $mark) }, 20),
	'an older good response is logged as not newer');
is(staple(8443, servername => 'revoked.example')->{status}, 'revoked',
	'the revocation is still stapled after the older response');

$r->fault('none', on => $on{revoked});
$seen = wait_staple(8443, 'good', servername => 'revoked.example',
	seconds => 20);
is($seen->{status}, 'good', 'a newer good response replaces the revocation');

# they recover

$mark = $t->log_mark();
for my $case (@wrong, @stale) {
	my ($name, @settings) = @$case;
	$r->set(on => $on{$name}, fault => 'none', status => 'good');
}
for my $case (@wrong, @stale) {
	my ($name) = @$case;
	ok(wait_for(sub {
		my $der = staple_fast(8443, "$name.example");
		defined $der && $der ne $held{$name};
	}, 20, "a new staple for $name"),
		"$name: a new response is stapled once the responder recovers");
}

$t->done_testing();

###############################################################################
