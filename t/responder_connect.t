#!/usr/bin/perl

# Tests for responders that cannot be reached, hang, or speak no proper HTTP:
# nothing is stapled, the log says why, and all is well when they recover.

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

# name of the server, fault, its argument, reason token

my @wrong = (
	[ 'refused', 'refuse', undef, 'connect_refused' ],
	[ 'reset', 'reset', undef, 'connection_reset' ],
	[ 'reset-early', 'reset_on_connect', undef, 'connection_reset' ],
	[ 'close', 'close', undef, 'truncated' ],
	[ 'deaf', 'hang_after_connect', undef, 'timeout' ],
	[ 'mute', 'hang_after_request', undef, 'timeout' ],
	[ 'stuck', 'hang_in_body', 50, 'timeout' ],
	[ 'drip', 'slow_drip', 20, 'timeout' ],
	[ 'short', 'truncate', 100, 'truncated' ],
	[ 'short-chunks', 'chunked_truncated', 64, 'truncated' ],
	[ 'large', 'too_large', 1500, 'too_large' ],
	[ 'larger', 'too_large', 10000000, 'too_large' ],
	[ 'large-chunks', 'chunked', 200, 'too_large', 'big' ],
	[ 'large-close', 'until_close', undef, 'too_large', 'big' ],
	[ 'header', 'huge_header', 1000000, 'headers_too_large' ],
	[ 'smtp', 'not_http', undef, 'http_malformed' ],
	[ 'garbage', 'garbage', 700, 'malformed_response' ],
	[ 'html', 'html_200', undef, 'malformed_response' ],
	[ 'empty', 'empty_body', undef, 'malformed_response' ],
	[ 'gone', 'http_404', undef, 'http_status' ],
	[ 'broken', 'http_500', undef, 'http_status' ],
	[ 'busy', 'http_503', undef, 'http_status' ],
	[ 'loop', 'redirect', 'loop', 'redirect_limit' ],
	[ 'hops', 'redirect', 'hops:4', 'redirect_limit' ],
	[ 'ftp', 'redirect', 'ftp://x.example/', 'redirect_scheme' ],
	[ 'inside', 'redirect', 'http://127.0.0.1/', 'redirect_forbidden' ],
	[ 'unspecified', 'redirect', 'http://0.0.0.0/', 'redirect_forbidden' ],
	[ 'mapped', 'redirect', 'http://[::ffff:127.0.0.1]/',
		'redirect_forbidden' ],
	[ 'metadata', 'redirect', 'http://169.254.169.254/',
		'redirect_forbidden' ],
	[ 'https', 'redirect', 'https://127.0.0.1/', 'redirect_forbidden' ],
);

# odd, but right: name, fault, its arg, a header

my @fine = (
	[ 'text', 'wrong_content_type', 'text/plain' ],
	[ 'typeless', 'wrong_content_type', 'none' ],
	[ 'chunks', 'chunked', 100 ],
	[ 'bytes', 'chunked', 1 ],
	[ 'until-close', 'until_close' ],
	[ 'http10', 'http10' ],
	[ 'continue', 'continue_100' ],
	[ 'line-feeds', 'bare_lf' ],
	[ 'bare-status', 'bare_status' ],
	[ 'identity', 'none', undef, 'Transfer-Encoding: identity' ],
	[ 'binary', 'none', undef, 'Content-Encoding: binary' ],
	[ 'charset', 'until_close', undef, 'Content-Encoding: utf-8' ],
	[ 'moved', 'redirect', '301 hops:1' ],
	[ 'three-hops', 'redirect', 'hops:3' ],
	[ 'relative', 'redirect', 'relative' ],
);

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $big = $int->responder_cert('big',
	names => [ map { "a-rather-long-name-$_.example" } 1 .. 60 ]);

my $r = Test::Nginx::Responder->start($t, ca => $int, signers => [ $big ],
	ports => [ map { 8100 + $_ } 1 .. @wrong + @fine ]);

my (%leaf, %on);
for my $case (@wrong, @fine) {
	my ($name, $fault, $arg, undef, $signer) = @$case;
	$on{$name} = 1 + keys %on;
	$leaf{$name} = $int->leaf("$name.example",
		aia => $r->url($on{$name}));
	$r->fault($fault, on => $on{$name},
		defined $arg ? (arg => $arg) : ());
	$r->signer($signer, on => $on{$name}) if $signer;
}
for my $case (@fine) {
	my ($name, undef, undef, $header) = @$case;
	$r->set(header => $header, on => $on{$name}) if $header;
}

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_timeout 2s;',
	'ocsp_plus_retry 1s 2s;', 'ocsp_plus_max_response 1k;',
	map { [ 8443, $leaf{$_} ] } sort keys %on ]);

$t->run();

###############################################################################

for my $case (@fine) {
	my ($name, @how) = @$case;
	ok(wait_for(sub { good($name) }, 15, "a staple for $name"),
		join ' ', 'accepted:',
		join ' ', 'an odd but right answer is stapled:', grep { defined } @how);
}

for my $case (@wrong) {
	my ($name, $fault, $arg, $reason) = @$case;

	my $line = $t->wait_log(qr/ocsp_plus: no .*certificate="\Q$name\E\.example/,
		20) // '';
	like($line, qr/\[error\].*no\ response,\ nothing\ is\ stapled:
		.*\ responder="\Q${\$r->url($on{$name})}\E"
		\ reason=$reason\ detail="[^"]+"
		.*\ next_attempt=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/x,
		"$name: the failure is logged with reason and next attempt");
	my $seen = handshake_fast(8443, "$name.example");
	is("$seen->{ok} " . defined $seen->{der}, '1 ',
		"$name: the handshake works without a staple");
}

# one line for each try, and it goes on trying

my $begun = $t->log_mark();
for my $case (@wrong) {
	my ($name, $fault, $arg, $reason) = @$case;
	my $re = failure($name);
	ok(wait_for(sub { $t->log_lines($re, $begun) > 0 }, 15),
		"$name: the responder is asked again");
	next if $fault eq 'refuse';

	my @lines = $t->log_lines($re);
	my $seen = $r->stats()->{ports}{$on{$name}};
	# a connection may serve several, and not all come to a request
	my $tries = $seen->{connections} > $seen->{total}
		? $seen->{connections} : $seen->{total};
	cmp_ok(scalar @lines, '<=', $tries,
		"$name: no more than one line is logged an attempt");
	is(scalar(grep { !/ reason=$reason / } @lines), 0,
		"$name: the reason stays the same");
}

# they recover

for my $case (@wrong) {
	my ($name) = @$case;
	$r->fault('none', on => $on{$name});
	$r->signer('direct', on => $on{$name});
}
for my $case (@wrong) {
	my ($name) = @$case;
	ok(wait_for(sub { good($name) }, 15, "a staple for $name"),
		"$name: the certificate is stapled once the responder answers");
}

my $seen = staple(8443, servername => 'drip.example');
is("$seen->{status} $seen->{serial}", 'good ' . $leaf{drip}->serial(),
	'the staple after a recovery is for the right certificate');

$t->done_testing();

###############################################################################

sub failure {
	my ($name) = @_;
	return qr/ocsp_plus: no .*certificate="\Q$name\E\.example.* reason=/;
}

# A good staple for the right certificate.
sub good {
	my ($name) = @_;
	my $der = staple_fast(8443, "$name.example");
	return defined $der && index($der, pack 'H*', $leaf{$name}->serial())
		> 0;
}

###############################################################################
