#!/usr/bin/perl

# Tests for certificates that others bring: addresses that are not public are
# not asked for them, unless the operator has vouched in one of three ways.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
# of the same name and key identifier as the trusted one, but somebody else's
my $forged = Test::Nginx::CA->new($t, 'evil')
	->intermediate('forged', subject_of => $int, no_aki => 1);
my $r = Test::Nginx::Responder->start($t, ca => [ $int, $forged ]);
my $dns = Test::Nginx::DNS->start($t);
$dns->set('inside.example', a => '127.0.0.1');
my $port = $r->port();
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url()) }
	qw/ plain responder trusted preloaded both /;
$leaf{named} = $int->leaf('named.example', aia => "http://inside.example:$port/");
$leaf{metadata} = $int->leaf('metadata.example',
	aia => 'http://169.254.169.254/latest/');
$leaf{mapped} = $int->leaf('mapped.example',
	aia => "http://[::ffff:127.0.0.1]:$port/");
$leaf{configured} = $int->leaf('configured.example', aia => $r->url());
$leaf{forged} = $forged->leaf('forged.example', aia => $r->url(),
	no_aki => 1);

my $dir = $t->testdir();
chmod 0644, map { $_->key() } values %leaf;

my $any = "$dir/\$ssl_server_name";
my $responder = $r->url();
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
	"ocsp_plus_resolver @{[ $dns->address() ]};",
	"ocsp_plus_preload $dir/preloaded.example.pem;",
	[ 8443, $any ],
	[ 8444, $any, "ocsp_plus_responder $responder;" ],
	[ 8445, $any, "ocsp_plus_trusted_certificate $dir/int.crt;" ],
	[ 8446, $any, "ssl_trusted_certificate $dir/int.crt;" ],
	[ 8447, 'configured.example' ] ]);

$t->run();

###############################################################################

# forbidden

for my $name (qw/ plain named metadata mapped /) {
	staple_fast(8443, "$name.example");
	ok($t->wait_log(qr/certificate="\Q$name\E.example".*
		reason=address_forbidden\ .*no\ public\ address/x, 10),
		"$name: the private address is refused and logged");
}
my ($line) = $t->log_lines(qr/certificate="plain.example".*address_forbidden/);
like($line, qr/\Q$_\E/,
	"the line about a refused address names $_") for qw/ ocsp_plus_responder
	ocsp_plus_trusted_certificate ocsp_plus_preload /;
is(scalar($r->requests(leaf => $leaf{$_})), 0, "$_: no responder is asked")
	for qw/ plain named mapped /;

# the host has no bad name by it

is(wait_staple(8447, 'good')->{status}, 'good',
	'a configured certificate may ask the same private address');

# three remedies

is(wait_staple(8444, 'good', servername => 'responder.example')->{status},
	'good', 'a configured responder may have a private address');
is(wait_staple(8445, 'good', servername => 'trusted.example')->{status},
	'good', "a trusted issuer's certificates may ask a private address");
is(wait_staple(8446, 'good', servername => 'named.example')->{status}, 'good',
	'an issuer in ssl_trusted_certificate counts as trusted');
is(wait_staple(8443, 'good', servername => 'preloaded.example')->{status},
	'good', 'a preloaded certificate may ask a private address');

# an issuer that only looks trusted

staple_fast(8445, 'forged.example');
ok($t->wait_log(qr/certificate="forged.example".*address_forbidden/, 10),
	'an issuer that only looks trusted is refused a private address');
is(scalar($r->requests(leaf => $leaf{forged})), 0,
	'no responder is asked for an issuer that only looks trusted');

$t->done_testing();
