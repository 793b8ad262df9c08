#!/usr/bin/perl

# Tests for certificates loaded per connection whose chain comes without the
# issuer: it is fetched where the certificate says, from public addresses only;
# those that a proxy leads to are the proxy's business.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /)->has_daemon('tinyproxy');
my $d = $t->testdir();

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $prolonged = $root->intermediate('prolonged', subject_of => $int,
	key_of => $int);
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ],
	addresses => [ '127.0.0.1' ]);
$t->write_file('int.der', $int->der());
$r->serve_file('int.der', "$d/int.der");

my ($first, $second) = map { port($_) } 8081, 8082;
my %leaf = map { $_ => $int->leaf("$_.example", chain => 0,
	aia => "http://localhost:$first/",
	ca_issuers => [ 'ldap://localhost/cn=int',
		"http://localhost:$second/files/int.der" ]) } qw/ one two direct off /;
$leaf{nowhere} = $int->leaf('nowhere.example', chain => 0,
	aia => "http://localhost:$first/");

# its CA's certificate was renewed with its key; nothing is to be fetched

$leaf{serial} = $int->leaf('serial.example', chain => 0, aki_serial => 1,
	aia => "http://localhost:$first/");
$t->write_file('serial.example.pem',
	join '', map { $t->read_file($_->cert()) } $leaf{serial}, $prolonged);
chmod 0644, map { $_->key() } values %leaf;

my $port = port(8120);
$t->write_file('tinyproxy.conf', <<"EOC");
Port $port
Listen 127.0.0.1
Timeout 10
MaxClients 20
Allow 127.0.0.1
LogFile "$d/tinyproxy.log"
LogLevel Connect
PidFile "$d/tinyproxy.pid"
EOC
$t->run_daemon('tinyproxy', '-d', '-c', "$d/tinyproxy.conf");
ok($t->waitforsocket('127.0.0.1:8120'), 'the proxy runs');

configure("ocsp_plus_proxy http://127.0.0.1:$port;");
$t->run();

###############################################################################

for my $name (qw/ one two /) {
	is(wait_staple(8443, 'good', servername => "$name.example", seconds => 20)
		->{status}, 'good',
		"$name: the certificate is stapled through the proxy");
}
is(scalar(() = issuer_requests()), 1,
	'the issuer of two certificates is fetched once');
is(scalar(() = $t->log_lines(qr/issuer fetched/)), 1,
	'the fetched issuer is logged once');

$t->reload();
is(staple(8443, servername => 'one.example')->{status}, 'good',
	'a reload keeps the staple');
is(scalar(() = issuer_requests()), 1,
	'a reload does not fetch the issuer again');

is(wait_staple(8443, 'good', servername => 'nowhere.example')->{status},
	'good', 'an issuer fetched for one certificate serves another one');

# without a proxy the addresses are looked at

$t->stop();
configure('');
$t->run();
staple_fast(8443, 'direct.example');
ok($t->wait_log(qr/certificate="direct\.example".*
	reason=address_forbidden\ .*issuer/x, 20),
	'without a proxy: the private address is refused and logged');
is(scalar($r->requests(leaf => $leaf{direct})), 0,
	'without a proxy: the responder is not asked');
is(scalar(() = issuer_requests()), 1,
	"without a proxy: the issuer's host is not asked");

# and nothing is fetched where that is off

$t->stop();
configure("ocsp_plus_proxy http://127.0.0.1:$port; ocsp_plus_issuer_fetch off;");
$t->run();
my $mark = $t->log_mark();
staple_fast(8443, 'off.example');
ok($t->wait_log(qr/\[error\].*no issuer found.*certificate="off\.example"/, 20,
	$mark), 'issuer_fetch off: the missing issuer is logged as an error');
is(scalar(() = issuer_requests()), 1,
	'issuer_fetch off: the issuer is not fetched');

# where nothing else has brought the issuer

is(wait_staple(8443, 'good', servername => 'serial.example', seconds => 20)
	->{status}, 'good',
	'a renewed issuer in the chain serves a leaf with its old serial');

# what ends the error is as loud

$t->write_file('off.example.pem',
	join '', map { $t->read_file($_->cert()) } $leaf{off}, $int);
ok(wait_for(sub {
	staple_fast(8443, 'off.example');
	return $t->log_lines(qr/\[error\].*the\ issuer\ of\ a\ certificate\ loaded
		\ per\ connection\ was\ found:\ certificate="off\.example"/x, $mark);
}, 20, 'the issuer'), 'an issuer that is brought later is logged as loudly');

$t->done_testing();

###############################################################################

# as the proxy saw them; the responder does not count files
sub issuer_requests {
	return $t->read_file('tinyproxy.log') =~ m!GET http://localhost:$second/!g;
}

sub configure {
	my ($lines) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		'ocsp_plus_cache off;', 'ocsp_plus_retry 1s 1s;', $lines,
		[ 8443, "$d/\$ssl_server_name" ] ]);
}

###############################################################################
