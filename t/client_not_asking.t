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

$t->write_conf(http => [ 'ssl_protocols TLSv1.2 TLSv1.3;', 'ocsp_plus on;',
	map { [ 8443, $_ ] } $leaf, $must ]);

$t->write_file('index.html', 'served');

$t->run();

###############################################################################

my @trace = (args => [ '-trace' ]);

for my $name ('example.com', 'must.example.com') {
	is(wait_staple(8443, 'good', servername => $name,
		seconds => 30)->{status}, 'good', "$name is stapled");

	for my $tls ('1.2', '1.3') {
		my @to = (servername => $name, tls => $tls, @trace);

		my $seen = staple(8443, @to, status => 0);
		is("$seen->{handshake} $seen->{status}", '1 none',
			"$name, TLS $tls: a client that does not ask gets no staple");
		is($seen->{version}, "TLSv$tls",
			"$name, TLS $tls: that version is negotiated");
		is(messages($seen), '',
			"$name, TLS $tls: no status message is sent to a client "
			. "that does not ask");

		# what a staple would look like
		$seen = staple(8443, @to);
		is($seen->{status}, 'good',
			"$name, TLS $tls: a client that asks gets a staple");
		isnt(messages($seen), '',
			"$name, TLS $tls: a status message is sent to a client that asks");
	}
}

# what comes after the handshake is as ever

SKIP: {
	skip 'no IO::Socket::SSL', 1 unless eval { require IO::Socket::SSL };
	like(http_get('/index.html', port => 8443, ssl => 1,
		servername => 'example.com'), qr/200 OK.*served/s,
		'a request is answered after the handshake');
}

# nor is anybody asked on behalf of clients

is($r->stats()->{all}{total}, 2,
	'the responder gets one request for each certificate');

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
