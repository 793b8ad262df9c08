#!/usr/bin/perl

# Tests for what happens to many certificates at once: a responder that refuses
# all of them is told of in a few lines, is asked again more and more seldom,
# and its recovery is told, too.

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
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $many = 300;
my @names = map { $_->name() } $int->leaves($many, 'many%d.example',
	aia => $r->url(1));

$t->write_conf(http => [ 'server_names_hash_max_size 4096;', 'ocsp_plus on;',
	'ocsp_plus_cache off;', 'ocsp_plus_startup_wait 0;',
	'ocsp_plus_retry 1s 1h;',
	[ 8080, undef, 'location /control { ocsp_plus_control; '
		. 'allow 127.0.0.1; deny all; }' ],
	map { [ 8443, $_ ] } @names ]);

$r->fault('unauthorized');
$t->run();

###############################################################################

# one line when it begins, one with the count

ok(wait_for(sub { $r->stats()->{all}{total} >= $many }, 30, 'all'),
	'all certificates are asked for');
my $several = qr/no responses for several certificates, nothing is stapled/;
ok($t->wait_log(qr/\[error\].*$several.* host="127.0.0.1:\d+" reason=unauthorized certificates=$many /,
	30),
	'many failures of a host are logged as one line with their number');
is(scalar(() = $t->log_lines(qr/\[error\].*no response, nothing is stapled: /)),
	1, 'the first failure is logged by itself');
cmp_ok(scalar(() = $t->log_lines(qr/\[error\]/)), '<=', 4,
	'three hundred failures make at most four error lines');

# each was asked for not much more than once

cmp_ok($r->stats()->{all}{total}, '<', 3 * $many,
	'the back-off of a host holds for all of its certificates');

# it recovers: told as loudly

my $mark = $t->log_mark();
$r->fault('none');
is((http_post("/control?refresh=all", "") =~ /^HTTP\S+ (\d+)/)[0], 202,
	"an operator's refresh of all is accepted");
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_) } @names[0 .. 9] },
	30, 'staples'),
	'the certificates are stapled once the responder recovers');
ok($t->wait_log(qr/\[error\].*responses arrive again: .* host="127.0.0.1:\d+" reason=unauthorized certificates=$many/,
	30, $mark),
	'the recovery of a host is logged as an error line as well');
cmp_ok(scalar(() = $t->log_lines(qr/\[notice\].*response published/, $mark)),
	'<=', 120, 'the published responses are not all logged');
ok($t->wait_log(qr/\[notice\].*log lines were suppressed by the rate limit.* notice_and_louder=\d/,
	70, $mark), 'the number of held-back lines is logged');

$t->done_testing();

###############################################################################
