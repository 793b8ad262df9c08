#!/usr/bin/perl

# Tests for what an operator has to know at once: a Must-Staple certificate
# without a staple, and a clock that is not the responder's.

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
	ports => [ 8081, 8082 ]);

my @leaves = map { my ($name, $on, @more) = @$_;
	$int->leaf("$name.example", not_before => -86400, aia => $r->url($on),
		@more) } [ 'must', 1, must_staple => 1 ], [ 'plain', 1 ], [ 'clock', 2 ];

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
	'ocsp_plus_startup_wait 0;', map { [ 8443, $_ ] } @leaves ]);

$r->fault('unauthorized', on => 1);
$r->set(date_offset => 900, on => 2);
$r->validity(next_update => 8, on => 2);
$t->run();

# a Must-Staple certificate without a staple

my $urgent = qr/NO STAPLE FOR A CERTIFICATE THAT NEEDS ONE/;
my $line = $t->wait_log($urgent, 20);
like($line // '', qr/\[crit\].*certificate="must\.example"
	.*\ reason=unauthorized\ .*next_attempt=/x,
	'a missing staple of a Must-Staple certificate is logged as critical');
ok(wait_for(sub {
	my @tries = $t->log_lines(qr/no response, nothing is stapled/);
	(grep { /"must\./ } @tries) >= 2 && (grep { /"plain\./ } @tries) >= 2
}, 30), 'failing certificates are tried again, with and without Must-Staple');
is(scalar(() = $t->log_lines($urgent)), 1,
	'a missing staple is logged as critical once a minute at most');

# the clock of a responder

$line = $t->wait_log(qr/the local clock and a responder's differ/, 20);
like($line // '', qr/\[warn\].*responder="\Q${\$r->url(2)}\E"
	\ ours=\S+Z\ theirs=\S+Z\ apart=15m$/x,
	'a responder whose clock differs is logged with both times');
ok($r->wait_requests(3, 20, on => 2),
	'a responder whose clock differs is asked again');
is(scalar(() = $t->log_lines(qr/responder's differ/)), 1,
	'a responder whose clock differs is logged once');
is(staple(8443, servername => 'clock.example')->{status}, 'good',
	"a certificate is stapled though the responder's clock differs");

$r->fault('none', on => 1);
is(wait_staple(8443, 'good', servername => 'must.example', seconds => 20)
	->{status}, 'good',
	'the Must-Staple certificate is stapled once the responder answers');

$t->done_testing();

###############################################################################
