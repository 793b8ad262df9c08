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

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ssl_protocols TLSv1.2 TLSv1.3;

    ocsp_plus on;

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  a.shared.example;

        ssl_certificate      shared.example.pem;
        ssl_certificate_key  shared.example.key;
    }

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  b.shared.example;

        ssl_certificate      shared.example.pem;
        ssl_certificate_key  shared.example.key;
    }

    server {
        listen       127.0.0.1:8444 ssl;
        server_name  c.shared.example;

        ssl_certificate      copy.pem;
        ssl_certificate_key  copy.key;
    }

    server {
        listen       127.0.0.1:8445 ssl;
        server_name  own.example;

        ssl_certificate      own.example.pem;
        ssl_certificate_key  own.example.key;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;
    }
}

EOC

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
	is($seen->{status}, 'good', "staple of $name");
	is($seen->{serial}, $leaf->serial(), "for the certificate of $name");

	for my $tls ('1.2', '1.3') {
		$seen = staple($port, servername => $name, tls => $tls);
		is($seen->{status}, 'good', "staple of $name over TLS $tls");
	}
}

# any of the workers has it

my @missing = grep { !defined staple_fast(8443, 'a.shared.example') } 1 .. 40;
is("@missing", '', 'a staple in each of 40 handshakes');

# what was asked

my $stats = $r->stats();
is($stats->{serials}{$shared->serial()}, 1, 'one request for three servers');
is($stats->{serials}{$own->serial()}, 1, 'one request for the other one');
is($stats->{all}{total}, 2, 'two requests in all');

my ($request) = $r->requests(leaf => $shared);
is($request->{method}, 'GET', 'by GET');
is($request->{hash}, 'sha1', 'with SHA-1 names');
is($request->{nonce}, 0, 'and without a nonce');

# what was said

my ($line, @more) = $t->log_lines(qr/response published.*"shared\.example"/);
like($line // '', qr/serial=\Q${\$shared->serial()}\E\ responder="\Q${\$r->url()}\E"
	\ status=good\ this_update=\S+Z\ expires=\S+Z\ next_attempt=\S+Z/x,
	'the log says what was fetched, from where and until when');
is(scalar @more, 0, 'once');
is(join("\n", $t->log_lines(qr/\[(?:warn|error|crit)\]/)), '',
	'nothing to complain of');

like(http_get('/index.html'), qr/200 OK.*served/s, 'a server without TLS');

is_deeply([ map { $_->{status} } staple(8445, status => 0),
	staple(8445, servername => 'other.example') ], [ 'none', 'good' ],
	'the default server, asked and not asked');

$t->done_testing();

###############################################################################
