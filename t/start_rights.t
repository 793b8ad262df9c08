#!/usr/bin/perl

# Tests for a master whose initgroups() is refused, as in a user namespace or
# without capabilities: nginx's workers say so and go on, and so does the start
# helper: what was kept is stapled in the first handshake.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl root preload /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url());

$t->write_conf(http => [ 'ocsp_plus on;', [ 8443, $leaf ] ]);
$t->run();
ok(wait_for(sub { $t->kept() == 1 }, 15, 'a file'), 'the response is cached');
$t->stop();
$r->fault('refuse');

###############################################################################

$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libtest_preload.so'),
	OCSP_PLUS_NO_GROUPS => 1);
$t->todo_alerts(qr/\[emerg\] \d+#\d+: initgroups\(/);
$t->write_conf(http => [ 'ocsp_plus on;', [ 8443, $leaf ] ]);

my $mark = $t->log_mark();
my $watch = Test::Nginx::Watch->start($t, 8443, 'example.com');
$t->run();
$watch->wait_for(20);
my $seen = $watch->end();
cmp_ok($seen->{stapled}, '>=', 20,
	'handshakes after a start without initgroups have a staple');
is("$seen->{missing} $seen->{failed}", '0 0',
	'no handshake from the first on lacks a staple without initgroups');

ok($t->wait_log(qr/\[emerg\] \d+#\d+: initgroups\(/, 10, $mark),
	'nginx logs the failed initgroups of a worker');
like(($t->log_lines(qr/start helper/, $mark))[0] // '',
	qr/\[warn\].*helper continues without initgroups\(\S+, \d+\).*not permitted/,
	'the start helper logs its failed initgroups and goes on');
is(scalar(() = $t->log_lines(qr/the zone may be incomplete/, $mark)), 0,
	'the start helper fills the zone without initgroups');

my ($worker) = $t->workers();
isnt((stat "/proc/$worker")[4], 0, 'no worker runs as root');

# the command line becomes the owner of the directory in the same way

my $run = $t->command([ $t->build_dir() . '/ocsp-plus', 'show',
	$t->testdir() . '/cache' ], env => { $t->environment() });
is($run->{status}, 0,
	'ocsp-plus show reads the cache directory without initgroups')
	or diag($run->{output});

$t->done_testing();

###############################################################################
