#!/usr/bin/perl

# Tests for responders that answer, but not what is wanted: errors, responses
# that do not verify, that are for others or out of time.  A revocation is
# stapled, and logged at crit.

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

# name of the server, reason token, settings of its responder

my @wrong = (
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
	[ 'backwards', 'next_update_before_this_update',
		this_update => -60, next_update => -120 ],
	[ 'old', 'too_old_without_next_update',
		this_update => -100000, next_update => 'none' ],
	[ 'not-basic', 'not_basic_response', fault => 'not_basic' ],
	[ 'nothing', 'no_single_response', fault => 'no_responses' ],
	[ 'trailing-inside', 'trailing_data', fault => 'trailing_inside' ],
	# as Vault, OpenBao and xipki say it
	[ 'http-401', 'unauthorized', fault => 'unauthorized', code => 401 ],
	[ 'http-500', 'internal_error', fault => 'internal_error',
		code => 500 ],
	[ 'http-400', 'malformed_request', fault => 'malformed_request',
		code => 400 ],
	[ 'http-empty', 'http_status', fault => 'empty_body', code => 401 ],
	[ 'unknown', 'unknown', status => 'unknown' ],
	[ 'half-known', 'unknown', fault => 'two_responses_disagree',
		arg => 'unknown' ],
	[ 'lost-signer', 'signer_not_found', signer => 'delegated',
		fault => 'no_certs' ],
	[ 'no-signer', 'signer_without_ocsp_signing', signer => 'impostor' ],
	[ 'old-signer', 'signer_expired', signer => 'retired' ],
	[ 'other-signer', 'signer_not_issued_by_issuer',
		signer => 'of-root' ],
);

my @good = (
	[ 'delegated', signer => 'delegated' ],
	[ 'delegated-key', signer => 'delegated', rid => 'key' ],
	[ 'direct-key', rid => 'key' ],
	[ 'others-too', fault => 'other_too' ],
	[ 'two-hashes', hash => 'both' ],
	[ 'no-next-update', next_update => 'none' ],
	[ 'trailing', fault => 'trailing' ],
	[ 'good-500', code => 500, max_age => 86400 ],
	[ 'a-day', this_update => -3600, next_update => 82800 ],
);

my @revoked = (
	[ 'revoked', status => 'revoked' ],
	[ 'compromised', status => 'revoked', reason => 'key_compromise' ],
	[ 'good-revoked', fault => 'two_responses_disagree' ],
	[ 'revoked-good', status => 'revoked',
		fault => 'two_responses_disagree', arg => 'good' ],
	[ 'unknown-revoked', status => 'unknown',
		fault => 'two_responses_disagree' ],
);

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my @signers = (
	$int->responder_cert('delegated'),
	$int->responder_cert('impostor', ocsp_signing => 0),
	$int->responder_cert('retired', not_before => -86400,
		not_after => -3600),
	$root->responder_cert('of-root'),
);

my $r = Test::Nginx::Responder->start($t, ca => $int, signers => \@signers,
	ports => [ map { 8100 + $_ } 1 .. @wrong + @good + @revoked ]);

my (%leaf, %on);

for my $case (@wrong, @good, @revoked) {
	my ($name, @settings) = @$case;
	shift @settings if @settings % 2;
	$on{$name} = 1 + keys %on;
	$leaf{$name} = $int->leaf("$name.example",
		not_before => -86400, aia => $r->url($on{$name}));
	$r->set(@settings, on => $on{$name});
}

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
	map { [ 8443, $leaf{$_} ] } sort keys %on ]);

$t->run();

###############################################################################

for my $case (@good) {
	my ($name) = @$case;
	ok(wait_for(sub { good($name) }, 15, "a staple for $name"),
		"$name: the good response is stapled");
}

unlike(staple_fast(8443, 'trailing.example') // '', qr/trailing bytes/,
	'octets after a response are not stapled');
for my $case (@revoked) {
	my ($name) = @$case;
	my $seen = wait_staple(8443, 'revoked', servername => "$name.example",
		seconds => 15);
	is("$seen->{handshake} $seen->{status}", '1 revoked',
		"$name: the response is stapled as revoked");
	my @lines = $t->log_lines(qr/certificate="\Q$name\E\.example"/);
	is(scalar @lines, 1, "$name: the revocation is logged once");
	like($lines[0] // '', qr/\[crit\].*REVOKED.*\ status=revoked
		.*\ expires=\d{4}-\S+Z/x,
		"$name: the revocation is logged as critical");
}

for my $case (@wrong) {
	my ($name, $reason) = @$case;

	my $line = $t->wait_log(qr/ocsp_plus: no .*certificate="\Q$name\E\.example"/,
		15) // '';
	like($line, qr/\[error\].*no\ response,\ nothing\ is\ stapled:
		.*\ serial=\Q${\$leaf{$name}->serial()}\E
		\ responder="\Q${\$r->url($on{$name})}\E"
		\ reason=$reason\ detail="
		.*\ next_attempt=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/x,
		"$name: the failure is logged with reason and next attempt");
	my $seen = handshake_fast(8443, "$name.example");
	is("$seen->{ok} " . defined $seen->{der}, '1 ',
		"$name: the handshake works without a staple");
}

like(join("\n", $t->log_lines(qr/no response.*"http-401\.example"/)),
	qr/ reason=unauthorized detail="HTTP 401: /,
	'the HTTP status of an error response is logged');

# never anything that does not verify, however often it is offered

my $begun = $t->log_mark();
for my $case (@wrong) {
	my ($name, $reason) = @$case;
	my $re = qr/certificate="\Q$name\E\.example".* reason=\Q$reason\E /;
	ok(wait_for(sub { $t->log_lines($re, $begun) > 0 }, 15),
		"$name: the responder is asked again");
	is(staple_fast(8443, "$name.example"), undef,
		"$name: no response is stapled after another attempt");
}

# they recover

for my $case (@wrong) {
	my ($name, undef, %settings) = @$case;
	delete $settings{arg};
	$r->set(on => $on{$name},
		map { $_ => $_ eq 'fault' ? 'none' : 'default' }
		keys %settings);
}
for my $case (@wrong) {
	my ($name) = @$case;
	ok(wait_for(sub { good($name) }, 15, "a staple for $name"),
		"$name: the certificate is stapled once the responder is right");
}

$t->done_testing();

###############################################################################

# A staple for the right certificate that openssl takes for good.
sub good {
	my ($name) = @_;
	my $der = staple_fast(8443, "$name.example") // return 0;
	my $seen = Test::Nginx::staple_verify($t, $der, $leaf{$name});
	return $seen->{ok} && $seen->{status} eq 'good'
		|| $name eq 'others-too' && $seen->{ok};
}

###############################################################################
