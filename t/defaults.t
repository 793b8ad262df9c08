#!/usr/bin/perl

# Tests for the smallest configuration: "ocsp_plus on" in http and nothing
# else.  Each certificate is asked for once, however many servers and workers
# share it.

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

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);

my $shared = $int->leaf('shared.example', aia => $r->url(),
	names => [ 'shared.example', '*.shared.example' ]);
my $own = $int->leaf('own.example', aia => $r->url());

# the same certificate in a file of another name

$t->write_file('copy.pem', $t->read_file($shared->chain()));
$t->write_file('copy.key', $t->read_file($shared->key()));

$t->write_conf(workers => 2, http => [ 'ssl_protocols TLSv1.2 TLSv1.3;',
	'ocsp_plus on;',
	[ 8443, $shared, 'server_name a.shared.example;' ],
	[ 8443, $shared, 'server_name b.shared.example;' ],
	[ 8444, 'copy', 'server_name c.shared.example;' ],
	[ 8445, $own ],
	[ 8080, undef, 'server_name localhost;' ] ]);

$t->write_file('index.html', 'served');

$t->run();

###############################################################################

my @servers = (
	[ 8443, 'a.shared.example', $shared ],
	[ 8443, 'b.shared.example', $shared ],
	[ 8444, 'c.shared.example', $shared ],
	[ 8445, 'own.example', $own ],
);

for my $server (@servers) {
	my ($port, $name, $leaf) = @$server;
	my $seen = wait_staple($port, 'good', servername => $name, seconds => 30);
	is($seen->{status}, 'good', "$name has a staple");
	is($seen->{serial}, $leaf->serial(),
		"the staple of $name is for its certificate");

	for my $tls ('1.2', '1.3') {
		$seen = staple($port, servername => $name, tls => $tls);
		is($seen->{status}, 'good', "$name has a staple over TLS $tls");
	}
}

# any of the workers has it

my @missing = grep { !defined staple_fast(8443, 'a.shared.example') } 1 .. 40;
is("@missing", '', 'each of 40 handshakes has a staple');

# what was asked

my $stats = $r->stats();
is($stats->{serials}{$shared->serial()}, 1,
	'a certificate of three servers is asked for once');
is($stats->{serials}{$own->serial()}, 1,
	'a certificate of one server is asked for once');
is($stats->{all}{total}, 2, 'the responder gets two requests in all');

my ($request) = $r->requests(leaf => $shared);
is($request->{method}, 'GET', 'the default method is GET');
is($request->{hash}, 'sha1', 'the default hash of the request is SHA-1');
is($request->{nonce}, 0, 'the default request has no nonce');

# what was said

my ($line, @more) = $t->log_lines(qr/response published.*"shared\.example"/);
like($line // '', qr/serial=\Q${\$shared->serial()}\E\ responder="\Q${\$r->url()}\E"
	\ status=good\ this_update=\S+Z\ expires=\S+Z\ next_attempt=\S+Z/x,
	'the log says what was fetched, from where and until when');
is(scalar @more, 0, 'a published response is logged once');
is(join("\n", $t->log_lines(qr/\[(?:warn|error|crit)\]/)), '',
	'nothing is logged at warn or above');

like(http_get('/index.html'), qr/200 OK.*served/s,
	'a server without TLS is not affected');

is_deeply([ map { $_->{status} } staple(8445, status => 0),
	staple(8445, servername => 'other.example') ], [ 'none', 'good' ],
	'the default server staples only for a client that asks');

$t->done_testing();

###############################################################################
