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

my $servers = $t->ssl_servers(8443, @names);
$t->write_http_conf(<<"CONF");
    server_names_hash_max_size  4096;

    ocsp_plus                on;
    ocsp_plus_cache          off;
    ocsp_plus_startup_wait   0;
    ocsp_plus_retry          1s 1h;

    server {
        listen                127.0.0.1:8080;

        location /control {
            ocsp_plus_control;
            allow  127.0.0.1;
            deny   all;
        }
    }

$servers
CONF

$r->fault('unauthorized');
$t->run();

###############################################################################

# one line when it begins, one with the count

ok(wait_for(sub { $r->stats()->{all}{total} >= $many }, 30, 'all'),
	'all are asked for');
my $several = qr/no responses for several certificates, nothing is stapled/;
ok($t->wait_log(qr/\[error\].*$several.* host="127.0.0.1:\d+" reason=unauthorized certificates=$many /,
	30), 'told with the count');
is(scalar(() = $t->log_lines(qr/\[error\].*no response, nothing is stapled: /)),
	1, 'one line for the first of them');
cmp_ok(scalar(() = $t->log_lines(qr/\[error\]/)), '<=', 4,
	'and few in all');

# each was asked for not much more than once

cmp_ok($r->stats()->{all}{total}, '<', 3 * $many,
	'the responder is slowed as one');

# it recovers: told as loudly

my $mark = $t->log_mark();
$r->fault('none');
is((http_post("/control?refresh=all", "") =~ /^HTTP\S+ (\d+)/)[0], 202,
	'an operator has it asked again');
ok(wait_for(sub { !grep { !defined staple_fast(8443, $_) } @names[0 .. 9] },
	30, 'staples'), 'stapled again');
ok($t->wait_log(qr/\[error\].*responses come again: .* host="127.0.0.1:\d+" reason=unauthorized certificates=$many/,
	30, $mark), 'the end of it is told as loudly');
cmp_ok(scalar(() = $t->log_lines(qr/\[notice\].*response published/, $mark)),
	'<=', 120, 'but not for each of them');
ok($t->wait_log(qr/\[notice\].*lines were held back to spare the log.* notice_and_louder=\d/,
	70, $mark), 'which is told');

$t->done_testing();

###############################################################################
