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
my $waits = qr/waiting for responses before the workers begin/;
my $begin = qr/the workers begin: stapled=/;

write_conf('60s', { 8443 => [ 'good1.example' ] });
$t->run();
is(without(8443, 'good1.example'), 0, 'stapled at the start');

###############################################################################

# a certificate more, on a port of its own that only new workers know

my $old = Test::Nginx::Watch->start($t, 8443, 'good1.example');
my $new = Test::Nginx::Watch->start($t, 8444, 'good2.example');
write_conf('60s', { 8443 => [ 'good1.example' ], 8444 => [ 'good2.example' ] });
my $mark = $t->log_mark();
ok($t->reload(), 'reload with one more');
ok($new->wait_for(100), 'handshakes');
my $seen = $new->end();
is("$seen->{missing} $seen->{failed}", '0 0',
	'the new one never lacks its staple');
like(join("\n", $t->log_lines($waits, $mark)), qr/certificates=1 /,
	'it was waited for');
like(join("\n", $t->log_lines($begin, $mark)), qr/stapled=1 missing=0/,
	'until it was there');

# and a server more on the same port, once the reload is over

write_conf('60s', { 8443 => [ 'good1.example', 'good3.example' ],
	8444 => [ 'good2.example' ] });
ok($t->reload(old_gone => 1), 'reload with another');
is(without(8443, ('good3.example') x 100), 0, 'none without a staple');

# the responders of all but one fail: that one is waited for, and no longer

write_conf('60s', { 8443 => [ 'good1.example', 'good4.example', @refused ] });
$mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'reload with some that fail');
like(join("\n", $t->log_lines($begin, $mark)),
	qr/stapled=1 missing=3 waited=\d{1,4}ms/, 'not waited for');
is(without(8443, 'good4.example'), 0, 'nor does one go without for it');

###############################################################################

# what was tried before is not waited for again

for my $n (1 .. 2) {
	$mark = $t->log_mark();
	ok($t->reload(old_gone => 1), "reload $n with failing ones");
	is(scalar(() = $t->log_lines($waits, $mark)), 0, 'no wait');
}
$mark = $t->log_mark();
my @names = ('good1.example', @refused, @hanging);
write_conf('1s', { 8443 => \@names });
ok($t->reload(old_gone => 1), 'reload with hanging ones');
like(join("\n", $t->log_lines($begin, $mark)),
	qr/stapled=0 missing=8 waited=1\d\d\dms/, 'waited for once');
write_conf('60s', { 8443 => \@names });
for my $n (1 .. 2) {
	$mark = $t->log_mark();
	ok($t->reload(old_gone => 1), "reload $n with hanging ones");
	is(scalar(() = $t->log_lines($waits, $mark)), 0, 'no wait');
}

# they recover as ever

$r->fault('none', on => $_) for 2, 3;
$r->drop_connections();
for my $name (@refused, @hanging) {
	ok(wait_for(sub { !without(8443, $name) }, 20, $name),
		"$name recovers");
}

# which is no wait either

$mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'reload when all are stapled');
is(scalar(() = $t->log_lines($waits, $mark)), 0, 'no wait');
is(without(8443, @names), 0, 'all with their staple');

$seen = $old->end();
cmp_ok($seen->{stapled}, '>', 100, 'many handshakes meanwhile');
is("$seen->{missing} $seen->{failed} $seen->{unreachable}", '0 0 0',
	'all with a staple');

$t->done_testing();

###############################################################################

sub write_conf {
	my ($wait, $servers) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		"ocsp_plus_startup_wait $wait;", 'ocsp_plus_timeout 20s;',
		'ocsp_plus_retry 1s 1s;',
		map { my $port = $_; map { [ $port, $_ ] } @{$servers->{$port}} }
			sort keys %$servers ]);
}

###############################################################################
