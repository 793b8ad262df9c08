#!/usr/bin/perl

# Tests for clients that do not ask for a status: they get none, and the same
# handshake as ever.

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
my $leaf = $int->leaf('example.com', aia => $r->url());
my $must = $int->leaf('must.example.com', aia => $r->url(), must_staple => 1);

$t->write_file_expand('nginx.conf', <<'EOC');

%%TEST_GLOBALS%%

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ssl_protocols TLSv1.2 TLSv1.3;

    ocsp_plus on;

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  example.com;

        ssl_certificate      example.com.pem;
        ssl_certificate_key  example.com.key;
    }

    server {
        listen       127.0.0.1:8443 ssl;
        server_name  must.example.com;

        ssl_certificate      must.example.com.pem;
        ssl_certificate_key  must.example.com.key;
    }
}

EOC

$t->write_file('index.html', 'served');

$t->run();

###############################################################################

my @trace = (args => [ '-trace' ]);

for my $name ('example.com', 'must.example.com') {
	is(wait_staple(8443, 'good', servername => $name,
		seconds => 30)->{status}, 'good', "$name has a staple");

	for my $tls ('1.2', '1.3') {
		my @to = (servername => $name, tls => $tls, @trace);

		my $seen = staple(8443, @to, status => 0);
		is("$seen->{handshake} $seen->{status}", '1 none',
			"$name, TLS $tls: none for who does not ask");
		is($seen->{version}, "TLSv$tls", "$name, TLS $tls: spoken");
		is(messages($seen), '', "$name, TLS $tls: no such message");

		# what a staple would look like
		$seen = staple(8443, @to);
		is($seen->{status}, 'good', "$name, TLS $tls: for who asks");
		isnt(messages($seen), '', "$name, TLS $tls: it is a message");
	}
}

# what comes after the handshake is as ever

SKIP: {
	skip 'no IO::Socket::SSL', 1 unless eval { require IO::Socket::SSL };
	like(http_get('/index.html', port => 8443, ssl => 1,
		servername => 'example.com'), qr/200 OK.*served/s,
		'a request');
}

# nor is anybody asked on behalf of clients

is($r->stats()->{all}{total}, 2, 'one request for each certificate');

$t->done_testing();

###############################################################################

# How the server of a traced handshake mentions a status.
sub messages {
	my ($seen) = @_;
	my ($answer) = $seen->{output} =~ /(\bServerHello, Length.*)/s;
	return 'no trace' unless defined $answer;
	return join ' ', $answer =~ /(CertificateStatus,|extension_type=status_request)/g;
}

###############################################################################
