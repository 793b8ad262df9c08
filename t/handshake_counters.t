#!/usr/bin/perl

# Tests for the counters of handshakes: what asked, what it got; each handshake
# once; over reloads, new workers and another size of the zone.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;


use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Counters;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $good = $int->leaf('good.example', aia => $r->url(1));
$int->leaf('bad.example', aia => $r->url(2));
$int->leaf('strict.example', aia => $r->url(2));
$r->fault('http_500', on => 2);

sub configure {
	my ($size) = @_;
	$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ssl_protocols   TLSv1.2 TLSv1.3;
    ssl_ecdh_curve  X25519;
    ocsp_plus       on;
    ocsp_plus_zone  ocsp_plus:$size;

    server {
        listen               127.0.0.1:8443 ssl;
        server_name          good.example;
        ssl_certificate      good.example.pem;
        ssl_certificate_key  good.example.key;
        ssl_session_cache    shared:one:1m;
    }

    server {
        listen               127.0.0.1:8443 ssl;
        server_name          bad.example;
        ssl_certificate      bad.example.pem;
        ssl_certificate_key  bad.example.key;
    }

    server {
        listen               127.0.0.1:8443 ssl;
        server_name          strict.example;
        ssl_certificate      strict.example.pem;
        ssl_certificate_key  strict.example.key;
        ocsp_plus_require    on;
    }

    server {
        listen  127.0.0.1:8080;

        location / {
            ocsp_plus_status json;
        }
    }
}

EOC
}

configure('8m');
$t->run();
is(wait_staple(8443, 'good', servername => 'good.example', seconds => 30)
	->{status}, 'good', 'a staple');

###############################################################################

my $counters = Test::Nginx::Counters->new('/');

my @good = (8443, servername => 'good.example');
for my $tls ('1.2', '1.3') {
	staple(@good, tls => $tls);
	counted("TLS $tls: stapled", stapled => 1);

	staple(@good, tls => $tls, status => 0);
	counted("TLS $tls: not asked");

	my $file = $t->testdir() . "/session-$tls";
	staple(@good, tls => $tls, sess_out => $file);
	counted("TLS $tls: a session", stapled => 1);
	is(staple(@good, tls => $tls, sess_in => $file)->{resumed}, 1,
		"TLS $tls: resumed");
	counted("TLS $tls: resumed is not counted");

	staple(8443, tls => $tls, servername => 'bad.example');
	counted("TLS $tls: missing", missing => 1);

	is(staple(8443, tls => $tls, servername => 'strict.example')->{alert},
		80, "TLS $tls: an alert");
	counted("TLS $tls: refused", missing => 1, refused => 1);
}

is(staple(@good, tls => '1.3', curves => 'P-521:X25519')->{status}, 'good',
	'a hello that is repeated');
counted('is one handshake', stapled => 1);

# they survive what nginx survives

$t->reload(old_gone => 1);
counted('a reload');
staple(@good);
counted('goes on after it', stapled => 1);

my ($worker) = $t->workers();
$t->signal($worker, 'KILL');
wait_for(sub { !grep { $_ == $worker } $t->workers() }, 5, 'its end');
counted('a killed worker');

my $fetches = document()->{fetches};
my $stapled = of_good();
configure('16m');
$t->reload(old_gone => 1);
ok($t->wait_log(qr/the zone's size was changed/, 5), 'a zone of another size');
cmp_ok(document()->{zone}{size}, '>', 9 << 20, 'which is larger');
counted('has the counters');
is(of_good(), $stapled, 'of the certificate, too');
cmp_ok(document()->{fetches}{ok}, '>=', $fetches->{ok}, 'and of fetches');
staple(@good);
counted('and goes on', stapled => 1);

$t->done_testing();

###############################################################################

sub document { return http_json('/') }

sub of_good {
	return (map { $_->{stapled} } grep { $_->{id} eq $good->id() }
		@{document()->{certificates}})[0];
}

sub counted {
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $counters->grew(@_);
}

###############################################################################
