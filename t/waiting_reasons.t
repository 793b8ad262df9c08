#!/usr/bin/perl

# Tests for certificates that wait for a responder which fails for others: each
# says what that responder says and when it is probed next, though it was never
# asked for itself.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ]);
my $held = $int->leaf('held.example', aia => $r->url(1));
my @waiting = $int->leaves(50, 'waits%d.example', aia => $r->url(1));
# whoever has another way out does not wait
my $second = $int->leaf('second.example', aia => [ $r->url(1), $r->url(2) ]);
my $both = $int->leaf('both.example', aia => [ $r->url(1), $r->url(3) ]);

# a host that fails, which has answered before

configure('', $held);
$t->run();
is(wait_staple(8443, 'good', servername => 'held.example', seconds => 15)
	->{status}, 'good', 'the first certificate is stapled');

for my $case ([ http_503 => 'http_status' ],
	[ refuse => 'connect_refused' ], [ garbage => 'malformed_response' ])
{
	my ($fault, $reason) = @$case;
	$t->stop() if $fault ne 'http_503';
	$r->fault($fault, on => $_) for 1, 3;
	configure('', $held, @waiting, $second, $both);
	$fault eq 'http_503' ? $t->reload() : $t->run();
	check($fault, $reason);
}

# whoever becomes the designated worker says the same

my ($worker) = http_json('/')->{worker}{pid};
$t->signal($worker, 'KILL');
ok(wait_for(sub { my $other = http_json('/')->{worker};
	$other && $other->{pid} != $worker }, 20, 'another'),
	'another worker becomes the designated worker after a kill');
check('another worker', 'malformed_response');

# a proxy that fails

$t->stop();
$r->reset();
configure('ocsp_plus_proxy http://127.0.0.1:8089;', $held, @waiting, $second,
	$both);
$t->run();
check('proxy', 'proxy_failed', 'proxy');
$t->stop();

# it recovers: nobody waits any more

configure('', $held, @waiting);
$t->run();
ok(wait_for(sub { !@{http_json('/?state=pending')->{certificates}} }, 20,
	'all'), 'all certificates are stapled once the responder answers');
my %by = map { $_->{id} => $_ } @{http_json('/')->{certificates}};
is(scalar(() = grep { result($_, \%by) ne 'ok' } @waiting), 0,
	'all certificates show the result ok once the responder answers');

$t->done_testing();

###############################################################################

sub check {
	my ($what, $reason, $proxy) = @_;
	my ($document, %by);
	ok(wait_for(sub {
		$document = http_json('/');
		%by = map { $_->{id} => $_ } @{$document->{certificates}};
		return !grep { result($_, \%by) ne $reason } @waiting;
	}, 20, 'reasons'),
		"$what: each waiting certificate shows the reason") or diag(join ' ',
		map { result($_, \%by) } @waiting);
	is(result($both, \%by), $reason,
		"$what: a certificate with two failing responders shows the reason");

	# when its host is probed, or later if it has failed itself
	my ($host) = grep { $_->{host} eq '127.0.0.1:' . $r->port(1) }
		@{$document->{responders}};
	my @next = map { $by{$_->id()}{next_attempt} // '' } @waiting;
	is(scalar(() = grep { !$_ || $_ lt $document->{now} } @next), 0,
		"$what: each waiting certificate shows its next attempt");
	return if $proxy;
	is($host->{state}, 'failing',
		"$what: the responder is shown as failing");
	my $same = grep { $_ eq $host->{next_attempt} } @next;
	cmp_ok($same, '>=', 45,
		"$what: the next attempt is when the responder is probed")
		or diag("$host->{next_attempt}: @next");

	is($by{$second->id()}{state}, 'valid',
		"$what: a certificate with a working responder is valid");
	is($by{$held->id()}{state}, 'valid',
		"$what: a certificate with a held response is valid");
	# after a start both are from the cache directory, and nobody was asked
	return if $what ne 'http_503';
	is(result($second, \%by), 'ok',
		"$what: a certificate with a working responder shows ok");
	is(result($held, \%by), 'ok',
		"$what: a certificate that is not due shows its own result");
}

sub result {
	my ($leaf, $by) = @_;
	return $by->{$leaf->id()}{last_attempt}{result} // 'nothing';
}

sub configure {
	my ($lines, @leaves) = @_;
	$t->write_conf(workers => 2, http => [ 'server_names_hash_max_size 4096;',
		'ocsp_plus on;', 'ocsp_plus_startup_wait 0;',
		# the next probe is far enough away to be compared
		'ocsp_plus_retry 60s 60s;', $lines, (map { [ 8443, $_ ] } @leaves),
		[ 8080, undef, 'location / { ocsp_plus_status json; }' ] ]);
}

###############################################################################
