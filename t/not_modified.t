#!/usr/bin/perl

# Tests for validators: a response that is held is asked for with the ETag it
# came with, and 304 lets it go on until it ends.

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
$t->log_level('info');

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $with = $int->leaf('with.example', aia => $r->url(1));
my $without = $int->leaf('without.example', aia => $r->url(2));

$r->set(header => 'ETag: "a-validator"', on => 1);
$r->validity(next_update => 12);

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_cache off;',
	# validators are kept by the process they came to
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_retry 1s 2s;',
	map { [ 8443, $_ ] } $with, $without ]);

$t->run();

###############################################################################

my %held;
for my $name (qw/ with without /) {
	$held{$name} = wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name");
}
$r->fault('http_304');

# an answer to whom it was asked with, an error to the other

like($t->wait_log(qr/not newer than the current one: certificate="with\./, 20) // '',
	qr/\[info\].* status=good /,
	'HTTP 304 to a conditional request keeps the held response');
like($t->wait_log(qr/no new response.*certificate="without\./, 20) // '',
	qr/ reason=http_status detail="HTTP 304 /,
	'HTTP 304 to an unconditional request is an error');

my $seen = staple_fast(8443, 'with.example');
ok(defined $seen && $seen eq $held{with},
	'the held response is stapled after HTTP 304') or diag(
	'the first response may have been renewed before the fault');

# towards its end nobody is asked any more whether it has changed

ok(wait_for(sub { $t->log_lines(
	qr/no new response.*certificate="with\..*HTTP 304/) }, 30),
	'HTTP 304 is an error once the held response is about to expire');

$r->fault('none');
ok(wait_for(sub {
	my $der = staple_fast(8443, 'with.example');
	return defined $der && $der ne $held{with};
}, 20, 'a staple'), 'a new response is stapled after HTTP 304');

$t->done_testing();

###############################################################################
