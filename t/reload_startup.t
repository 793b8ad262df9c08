#!/usr/bin/perl

# Tests for the wait of a reload: a certificate that is added has its staple
# when the new workers begin, and one that was tried in vain before delays
# nobody again.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;
use Test::Nginx::Watch;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ]);
$int->leaf("good$_.example", aia => $r->url(1)) for 1 .. 4;
$int->leaf("refused$_.example", aia => $r->url(2)) for 1 .. 3;
$int->leaf("hangs$_.example", aia => $r->url(3)) for 1 .. 8;
$r->fault('refuse', on => 2);
$r->fault('hang_after_request', on => 3);
$r->set(delay => 300, on => 1);

my @refused = map { "refused$_.example" } 1 .. 3;
my @hanging = map { "hangs$_.example" } 1 .. 8;
my $waits = qr/waiting for responses before starting the workers/;
my $begin = qr/starting the workers: stapled=/;

configure('60s', { 8443 => [ 'good1.example' ] });
$t->run();
is(without(8443, 'good1.example'), 0,
	'the first certificate is stapled at the start');

###############################################################################

# a certificate more, on a port of its own that only new workers know

my $old = Test::Nginx::Watch->start($t, 8443, 'good1.example');
my $new = Test::Nginx::Watch->start($t, 8444, 'good2.example');
configure('60s', { 8443 => [ 'good1.example' ], 8444 => [ 'good2.example' ] });
my $mark = $t->log_mark();
ok($t->reload(), 'one certificate more: the reload succeeds');
ok($new->wait_for(100), 'one certificate more: handshakes with it are made');
my $seen = $new->end();
is("$seen->{missing} $seen->{failed}", '0 0',
	'one certificate more: no handshake with it lacks a staple');
like(join("\n", $t->log_lines($waits, $mark)), qr/certificates=1 /,
	'one certificate more: the reload waits for its response');
like(join("\n", $t->log_lines($begin, $mark)), qr/stapled=1 missing=0/,
	'one certificate more: the wait ends with its response');

# and a server more on the same port, once the reload is over

configure('60s', { 8443 => [ 'good1.example', 'good3.example' ],
	8444 => [ 'good2.example' ] });
ok($t->reload(old_gone => 1), 'one server more on a port: the reload succeeds');
is(without(8443, ('good3.example') x 100), 0,
	'one server more on a port: no handshake with it lacks a staple');

# the responders of all but one fail: that one is waited for, and no longer

configure('60s', { 8443 => [ 'good1.example', 'good4.example', @refused ] });
$mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'failing responders: the reload succeeds');
like(join("\n", $t->log_lines($begin, $mark)),
	qr/stapled=1 missing=3 waited=\d{1,4}ms/,
	'failing responders: the reload waits for the answering one only');
is(without(8443, 'good4.example'), 0,
	'failing responders: the certificate of the answering one is stapled');

###############################################################################

# what was tried before is not waited for again

for my $n (1 .. 2) {
	$mark = $t->log_mark();
	ok($t->reload(old_gone => 1), "failing responders: reload $n succeeds");
	is(scalar(() = $t->log_lines($waits, $mark)), 0,
		"failing responders: reload $n does not wait");
}
$mark = $t->log_mark();
my @names = ('good1.example', @refused, @hanging);
configure('1s', { 8443 => \@names });
ok($t->reload(old_gone => 1), 'hanging responders: the reload succeeds');
like(join("\n", $t->log_lines($begin, $mark)),
	qr/stapled=0 missing=8 waited=1\d\d\dms/,
	'hanging responders: the first reload waits to its limit');
configure('60s', { 8443 => \@names });
for my $n (1 .. 2) {
	$mark = $t->log_mark();
	ok($t->reload(old_gone => 1), "hanging responders: reload $n succeeds");
	is(scalar(() = $t->log_lines($waits, $mark)), 0,
		"hanging responders: reload $n does not wait");
}

# they recover as ever

$r->fault('none', on => $_) for 2, 3;
$r->drop_connections();
for my $name (@refused, @hanging) {
	ok(wait_for(sub { !without(8443, $name) }, 20, $name),
		"$name is stapled once its responder answers");
}

# which is no wait either

$mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'all stapled: the reload succeeds');
is(scalar(() = $t->log_lines($waits, $mark)), 0,
	'all stapled: the reload does not wait');
is(without(8443, @names), 0, 'all stapled: all certificates have their staple');

$seen = $old->end();
cmp_ok($seen->{stapled}, '>', 100, 'many handshakes are made over all reloads');
is("$seen->{missing} $seen->{failed} $seen->{unreachable}", '0 0 0',
	'no handshake over all reloads lacks a staple or fails');

$t->done_testing();

###############################################################################

sub configure {
	my ($wait, $servers) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		"ocsp_plus_startup_wait $wait;", 'ocsp_plus_timeout 20s;',
		'ocsp_plus_retry 1s 1s;',
		map { my $port = $_; map { [ $port, $_ ] } @{$servers->{$port}} }
			sort keys %$servers ]);
}

###############################################################################
