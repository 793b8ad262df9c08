#!/usr/bin/perl

# Tests for ocsp_plus_responder: in place of the URLs of the certificate, in
# order, inherited by servers, and joined where servers differ.

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
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083, 8084 ]);

my %leaf = map { $_->name() => $_ } map { $int->leaf($_, aia => $r->url(1)) }
	qw/ inherited own several path equal differs same /;

# the second of three is the first that has something to say

# it is up and speaks, but does not know the certificates
$r->fault('unauthorized', on => 3);

my $fourth = 'ocsp_plus_responder http://127.0.0.1:8084/;';
$t->write_conf(http => [ 'ocsp_plus on;',
	# no host is ever busy, so the order is the configured one
	'ocsp_plus_concurrency 1;', 'ocsp_plus_responder http://127.0.0.1:8082;',
	[ 8443, 'inherited' ],
	[ 8444, 'own', $fourth ],
	[ 8445, 'several', 'ocsp_plus_responder http://127.0.0.1:8083/ '
		. 'http://127.0.0.1:8084/ http://127.0.0.1:8081/;' ],
	[ 8446, 'path', 'ocsp_plus_responder HTTP://localhost:8082/some/path;' ],
	# one certificate, the same URLs
	[ 8447, 'equal', $fourth ],
	[ 8448, 'equal', $fourth,
		'ocsp_plus_responder_trusted_certificate int.crt;' ],
	# one certificate, other URLs: 3 answers nothing, then 4
	[ 8449, 'differs', 'ocsp_plus_responder http://127.0.0.1:8083/;' ],
	[ 8450, 'differs', $fourth ],
	[ 8451, 'differs', 'ocsp_plus_responder http://127.0.0.1:8082/;' ],
	# a server that has it off has no say
	[ 8452, 'same' ],
	[ 8453, 'same', 'ocsp_plus off;', $fourth ] ]);

my $conf = $t->read_file('nginx.conf');
$t->run();

###############################################################################

# name, port, the responders asked

my @wanted = (
	[ 'inherited', 8443, '2' ],
	[ 'own', 8444, '4' ],
	[ 'several', 8445, '3 4' ],
	[ 'path', 8446, '2' ],
	[ 'equal', 8447, '4' ],
	[ 'differs', 8449, '3 4' ],
	[ 'same', 8452, '2' ],
);

for my $wanted (@wanted) {
	my ($name, $port, $asked) = @$wanted;
	my $seen = wait_staple($port, 'good', seconds => 30);
	is("$seen->{status} " . ($seen->{serial} // ''),
		'good ' . $leaf{$name}->serial(),
		"$name: the certificate is stapled");

	my %index = map { $r->port($_) => $_ } 1 .. 4;
	is(join(' ', map { $index{$_->{port}} }
		$r->requests(leaf => $leaf{$name})), $asked,
		"$name: the right responders are asked in order");
}

for my $port (8448, 8450, 8451) {
	is(staple($port)->{status}, 'good',
		"the server on $port staples what another server's responder said");
}
is(staple(8453)->{status}, 'none',
	'a server with ocsp_plus off sends no staple');

my ($request) = $r->requests(leaf => $leaf{path});
like($request->{target} // '', qr!^/some/path/.!,
	'the request is sent below the path of the URL');
like($request->{host} // '', qr/^localhost:\d+$/,
	'the request has the host of the URL');

# what was said

is(scalar @{[ $r->requests(on => 1) ]}, 0,
	"ocsp_plus_responder replaces the certificates' own URLs");

my ($line) = $t->log_lines(qr/response published.*"several"/);
like($line // '', qr!responder="http://127\.0\.0\.1:\Q${\$r->port(4)}\E/"!,
	'the log names the responder that answered');

my @notices = $t->log_lines(qr/name different responders/);
my @differs = grep { /"differs"/ } @notices;
like($differs[0] // '', qr/\[notice\].*in the order.*nginx\.conf:\d+/,
	'a notice says that servers name different responders');
is(scalar @differs, 1, 'the notice about different responders is printed once');
is(scalar(grep { !/"differs"/ } @notices), 0,
	'servers with the same responders raise no notice');
@notices = $t->log_lines(qr/servers differ in "ocsp_plus_responder_trusted/);
like($notices[0] // '', qr/\[notice\].*certificate "equal".*nginx\.conf:\d+/,
	'a notice says that servers differ in their trusted certificates');
is(scalar @notices, 1, 'the notice about trusted certificates is printed once');
is(join("\n", $t->log_lines(qr/\[(?:warn|crit)\]/)), '',
	'nothing is logged as a warning');

$t->stop();

###############################################################################

# URLs that are none

my @bad = (
	[ 'ldap://ldap.example/', qr/the scheme "ldap" is not supported/ ],
	[ 'ftp://ftp.example/', qr/the scheme "ftp" is not supported/ ],
	[ 'ocsp.example', qr/no scheme/ ],
	[ 'http:/ocsp.example/', qr!no "//" after its scheme! ],
	[ 'http://', qr/no host/ ],
	[ 'http:///path', qr/no host/ ],
	[ 'http://ocsp.example:0/', qr/port/ ],
	[ 'http://ocsp.example:65536/', qr/port/ ],
	[ 'http://ocsp.example:x/', qr/port/ ],
	[ 'http://user@ocsp.example/', qr/user information/ ],
	[ 'http://[::z]/', qr/no IPv6 address/ ],
	[ 'http://ocsp..example/', qr/a host that is no name/ ],
	[ 'http://1.2.3.256/', qr/no address/ ],
	[ '"http://ocsp.example/a b"', qr/a space/, 'http://ocsp.example/a b' ],
	[ 'http://ocsp.example/%zz', qr/two hexadecimal digits/ ],
	[ '""', qr/no scheme/, '' ],
	[ 'http://127.0.0.1/ ftp://second.example/',
		qr/the scheme "ftp" is not supported/, 'ftp://second.example/' ],
);

for my $bad (@bad) {
	my ($url, $why, $named) = @$bad;
	(my $changed = $conf) =~
		s!(ocsp_plus_responder) +http://127.0.0.1:\d+;!$1 $url;!;
	$t->write_file('nginx.conf', $changed);

	ok(!$t->config_test(), "$url is refused as a responder");
	$named //= $url;
	like($t->output(), qr/\[emerg\]\ invalid\ URL\ "\Q$named\E"
		\ in\ "ocsp_plus_responder":\ .*$why.*nginx\.conf:\d+$/mx,
		"$url: the message says what is wrong and where");
}

(my $changed = $conf) =~ s!(ocsp_plus_responder) +http://127.0.0.1:\d+;!
	"$1 http://ocsp.example/" . 'x' x 2048 . ';'!e;
$t->write_file('nginx.conf', $changed);
ok(!$t->config_test(), 'a URL of more than 2048 bytes is refused');
like($t->output(), qr/\[emerg\].*more than 2048 bytes/,
	'the message about a long URL has the limit');

for my $url ('http://ocsp.example', 'http://[::1]:8080/x?y=z',
	'http://127.0.0.1:80/', 'HTTP://OCSP.Example./')
{
	(my $changed = $conf) =~
		s!(ocsp_plus_responder) +http://127.0.0.1:\d+;!$1 $url;!;
	$t->write_file('nginx.conf', $changed);
	ok($t->config_test(),
		"$url is accepted as a responder") or diag($t->output());
}

$t->done_testing();

###############################################################################
