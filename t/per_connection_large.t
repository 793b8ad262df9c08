#!/usr/bin/perl

# Tests for large certificates that nginx loads per connection: of any size that
# clients take they are stapled like others, whatever else stands in the chain;
# beyond a limit the log says so.

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
my $d = $t->testdir();

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);

# DNS names of 26 octets each: thirty kilobytes, the most that clients built
# with OpenSSL take, and more than the queue passes

my %leaf = (
	thousand => with_names('thousand', 1000),
	most => with_names('most', 3200),
	beyond => with_names('beyond', 9500),
	small => $int->leaf('small.example'),
);
$leaf{crowded} = $int->leaf('crowded.example', chain => 0);

# the issuer stands behind others, each of them too large to leave it room

my $others = join '', map { $t->read_file("other$_.crt") }
	map { $root->leaf("other$_", names => [ map { "name$_.other.example" }
		1 .. 300 ]); $_ } 1 .. 9;
$t->write_file('crowded.example.pem', $t->read_file('crowded.example.crt')
	. $others . $t->read_file('int.crt'));
chmod 0644, map { $_->key() } values %leaf;

# without ocsp_plus_trusted_certificate the issuer comes with the chain only

configure('');
$t->run();

###############################################################################

is(wait_staple(8443, 'good', servername => 'crowded.example')->{serial},
	$leaf{crowded}->serial(),
	'an issuer behind nine other certificates is found');
$t->stop();
$t->run();

for my $name (qw/ thousand most small /) {
	my $before = $leaf{$name};
	is(wait_staple(8443, 'good', servername => "$name.example")->{serial},
		$before->serial(), "$name: the certificate is stapled");
	is(scalar($r->requests(leaf => $before)), 1,
		"$name: the responder is asked once");
}
my $loaded = status()->{loaded};
is($loaded->{taken}, 3, 'each large certificate is taken');
is($loaded->{$_}, 0,
	"no large certificate is counted as $_") for qw/ dropped torn refused evicted /;
is(scalar(@{status('id=' . $leaf{thousand}->id())->{certificates}[0]{names}}),
	1000, 'the status document has all names of a large certificate');

# the next holder, and a reload

my $mark = $t->log_mark();
$t->signal($_, 'KILL') for $t->workers();
ok($t->wait_log(qr/this is the designated worker now/, 15, $mark),
	'another worker becomes the designated worker after a crash');
is(wait_staple(8443, 'good', servername => 'most.example')->{status}, 'good',
	'a large certificate is stapled after a crash');
ok($t->reload(old_gone => 1), 'a reload with large certificates succeeds');
is(staple(8443, servername => 'thousand.example')->{status}, 'good',
	'a large certificate is stapled at once after a reload');
is(scalar($r->requests(leaf => $leaf{$_})), 1,
	"$_: no request is sent after crash and reload")
	for qw/ thousand most /;

# beyond the limit: clients that do not take so much break off, nginx goes on

my $size = length $leaf{beyond}->der() . $int->der();
cmp_ok($size, '>', 262144, 'the test certificate is beyond the limit');
staple(8443, servername => 'beyond.example');
ok($t->wait_log(qr/\[error\].*\ a\ certificate\ loaded\ per\ connection\ is\ too
	\ large,\ it\ gets\ no\ staple:\ name\ its\ file\ .*
	certificate="name0000001\.beyond\.example"
	\ id=${\$leaf{beyond}->id()}\ server="all\.example"\ bytes=$size
	\ limit=262080\ certificates=1\ reason=certificate_too_large/x, 10),
	'a certificate beyond the limit is logged with its size');
is(staple(8443, servername => 'small.example')->{status}, 'good',
	'another certificate is stapled beside one beyond the limit');
$loaded = status()->{loaded};
cmp_ok($loaded->{refused}, '>', 0,
	'a certificate beyond the limit is counted as refused');
is($loaded->{dropped}, 0,
	'a certificate beyond the limit is not counted as dropped');
is(scalar(() = $t->log_lines(qr/faster than they can be processed/)), 0,
	'a certificate beyond the limit is not logged as dropped');
is(scalar($r->requests(leaf => $leaf{beyond})), 0,
	'no responder is asked for a certificate beyond the limit');

# a small zone takes less

$t->stop();
configure('ocsp_plus_zone staples:1m;');
$t->run();
$mark = $t->log_mark();
my $seen = staple(8443, servername => 'most.example');
is("$seen->{handshake} $seen->{status}", '1 none',
	'small zone: a large certificate has no staple');
ok($t->wait_log(qr/is\ too\ large,\ it\ gets\ no\ staple:\ enlarge
	\ ocsp_plus_zone,\ name\ its\ file\ .*"name0000001\.most\.example".*
	\ limit=6[45]\d{3}\ certificates=1\ reason=certificate_too_large/x, 10, $mark),
	'small zone: a large certificate is logged with the remedy');
is(wait_staple(8443, 'good', servername => 'thousand.example')->{serial},
	$leaf{thousand}->serial(),
	'small zone: a certificate of a thousand names is stapled');
is(status()->{loaded}{dropped}, 0, 'small zone: no certificate is dropped');

$t->done_testing();

###############################################################################

sub with_names {
	my ($name, $count) = @_;
	return $int->leaf("$name.example",
		names => [ map { sprintf "name%07d.$name.example", $_ } 1 .. $count ]);
}

sub status {
	my ($args) = @_;
	return http_json('/status' . ($args ? "?$args" : ''));
}

sub configure {
	my ($lines) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		'ocsp_plus_cache off;', 'ocsp_plus_retry 1s 2s;',
		'ocsp_plus_responder ' . $r->url() . ';', $lines,
		[ 8443, "$d/\$ssl_server_name", 'server_name all.example;' ],
		[ 8080, undef, 'location /status { ocsp_plus_status json; }' ] ]);
}

###############################################################################
