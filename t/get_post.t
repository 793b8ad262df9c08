#!/usr/bin/perl

# Tests for the form of requests: GET while the whole URL is at most 255 bytes,
# POST beyond; the other method where a responder does not understand that one;
# the URL's path, its host and port; no nonce.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl ipv6 /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ map { 8100 + $_ } 1 .. 12 ]);
my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	'ocsp.example' => { a => '127.0.0.1' } });

# Certificates of one serial number, so that their requests have one size.

my $serial = '51' . '1f' x 15;
my $size = request_size();

my %url = (
	plain => $r->url(1),
	path => $r->url(2, '/ocsp/v1/'),
	'no-slash' => $r->url(3, '/ocsp/v1'),
	bare => $r->url(4, ''),
	named => 'http://ocsp.example:' . $r->port(5) . '/',
	literal => 'http://[::1]:' . $r->port(6) . '/ocsp/',
	long => $r->url(7, '/' . 'x' x 300 . '/'),
	query => $r->url(8, '/ocsp?ca=1'),
	'at-limit' => padded(9, 255),
	'over-limit' => padded(10, 256),
);
my @names = qw/ plain path no-slash bare named literal long query at-limit
	over-limit /;
my (%leaf, %on);
for my $name (@names) {
	$on{$name} = 1 + keys %on;
	$leaf{$name} = $int->leaf("$name.example",
		serial => $serial, aia => $url{$name});
}

my @http = ('ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
	'ocsp_plus_resolver 127.0.0.1:8053;', map { [ 8443, $_ ] } @leaf{@names});
$t->write_conf(http => \@http);

$t->run();

###############################################################################

my %asked;
for my $name (@names) {
	ok(wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name"), "$name: the certificate is stapled");
	my @requests = $r->requests(on => $on{$name});
	is(scalar @requests, 1, "$name: one request is sent");
	$asked{$name} = $requests[0] || {};
	is("$asked{$name}{nonce} $asked{$name}{hash} $asked{$name}{serial}",
		"0 sha1 $serial",
		"$name: the request has the serial, SHA-1 and no nonce");
}

# GET: the request is base64, URL-encoded, behind the path

my $base64 = qr/(?:[A-Za-z0-9]|%2[BbFf]|%3[Dd])+/;

for my $case (
	[ 'plain', '/' ],
	[ 'path', '/ocsp/v1/' ],
	[ 'no-slash', '/ocsp/v1/' ],
	[ 'bare', '/' ],
	[ 'named', '/' ],
	[ 'literal', '/ocsp/' ],
) {
	my ($name, $path) = @$case;
	is($asked{$name}{method}, 'GET', "$name: the method is GET");
	like($asked{$name}{target}, qr/\A\Q$path\E$base64\z/,
		"$name: the request is encoded behind the path of the URL");
}
is($asked{'at-limit'}{method}, 'GET',
	'a URL of 255 bytes with its request is sent by GET');
is($asked{'at-limit'}{url_size}, 255,
	'the longest URL sent by GET has 255 bytes');

# POST: the path as it is

is("$asked{'over-limit'}{method} $asked{'over-limit'}{target}",
	'POST ' . path_of($url{'over-limit'}),
	'a URL of 256 bytes with its request is sent by POST');
is("$asked{long}{method} $asked{long}{target}",
	'POST ' . path_of($url{long}),
	'a URL with a long path is sent by POST');
is("$asked{query}{method} $asked{query}{target}", 'POST /ocsp?ca=1',
	'a URL with a query is sent by POST');

# Host

is($asked{plain}{host}, '127.0.0.1:' . $r->port(1),
	'Host has address and port');
is($asked{named}{host}, 'ocsp.example:' . $r->port(5),
	'Host has the name of the URL');
is($asked{literal}{host}, '[::1]:' . $r->port(6),
	'Host has an IPv6 address in brackets');
is($asked{'over-limit'}{host}, '127.0.0.1:' . $r->port(10),
	'Host is sent by POST as well');

# a responder named in the configuration is asked in the same way

$leaf{override} = $int->leaf('override.example',
	aia => 'http://127.0.0.1:1/');
my $other = '127.0.0.1:' . $r->port(1);

# responders that refuse the first request, whatever it is, and take the next

$leaf{'other-post'} = $int->leaf('other-post.example',
	serial => $serial, aia => $r->url(11));
$leaf{'other-get'} = $int->leaf('other-get.example',
	serial => $serial,
	aia => $r->url(12, '/' . 'x' x 300 . '/'));
$r->fault('http_405', on => 11, times => 1);
$r->fault('html_200', on => 12, times => 1);
$t->write_conf(http => [ @http, [ 8443, $leaf{override},
	"ocsp_plus_responder http://$other/instead/;" ],
	map { [ 8443, $_ ] } @leaf{qw/ other-post other-get /} ]);
ok($t->reload(), 'the reload with more servers succeeds');
ok(wait_for(sub { staple_fast(8443, 'override.example') }, 15, 'a staple'),
	'override: the certificate is stapled');
my ($seen) = $r->requests(leaf => $leaf{override});
like("$seen->{method} $seen->{host} $seen->{target}",
	qr!^GET \Q$other\E /instead/$base64$!,
	'override: the configured responder is asked by GET below its path');

# the other method, at once

for my $case ([ 'other-post', 11, 'GET POST' ], [ 'other-get', 12, 'POST GET' ]) {
	my ($name, $on, $methods) = @$case;
	ok(wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name"), "$name: the certificate is stapled");
	is(join(' ', map { $_->{method} } $r->requests(on => $on)), $methods,
		"$name: a refused method is followed by the other one");
}

$t->done_testing();

###############################################################################

# Of the request for that serial number, as it is written in a URL.
sub request_size {
	my $leaf = $int->leaf('size.example', serial => $serial);
	my $file = $t->testdir() . '/size.der';
	$t->command([ 'openssl', 'ocsp', '-issuer', $int->cert(), '-cert',
		$leaf->cert(), '-no_nonce', '-reqout', $file ]);
	require MIME::Base64;
	my $text = MIME::Base64::encode_base64($t->read_file($file), '');
	$text =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ge;
	return length $text;
}

# A URL with which that request makes so many bytes.
sub padded {
	my ($i, $bytes) = @_;
	my $rest = $bytes - $size - length($r->url($i)) - 1;
	return $r->url($i, '/' . 'p' x $rest . '/');
}

sub path_of {
	my ($url) = @_;
	return $url =~ m!^http://[^/]+(/.*)$! ? $1 : '';
}

###############################################################################
