#!/usr/bin/perl

# Tests for wrong arguments of ocsp_plus_share: one error that names the remedy,
# and never a secret; and what a reload does about a password that changes.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Redis;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url());
my $client = $int->leaf('client.example');
$t->write_file('pass', "SECRET\nsecond line\n");
$t->write_file('empty', "\nSECRET\n");
$t->write_file('noise', "SECRET\0SECRET\n");

my $place = 'redis://cache.example';
my $forms = qr!a place is redis://.*rediss://.*unix:/path!;
my @wrong = (
	[ '' => qr/invalid number of arguments in "ocsp_plus_share"/ ],
	[ 'cache.example' => qr/invalid place 1 in "ocsp_plus_share": .*$forms/ ],
	[ 'http://u:SECRET@cache.example' => qr/invalid place 1 in .*$forms/ ],
	[ "$place redis://u:SECRET\@host:99999" => qr/invalid place 2 in .*port/ ],
	[ 'redis://u:SEC%RET@host' => qr/invalid place 1 in .*write it as %25/ ],
	[ 'redis://u:SECRET@' => qr/invalid place 1 in .*$forms/ ],
	[ 'redis://host/SECRET' => qr/invalid place 1 in .*database/ ],
	[ 'unix:relative' => qr/invalid place 1 in .*absolute path/ ],
	[ 'unix:/socket sentinel=m' => qr/place 1 in .*sentinels do not have/ ],
	[ 'prefix=x' => qr/names no place/ ],
	[ 'off prefix=x' => qr/takes nothing beside "off"/ ],
	[ "$place off" => qr/invalid place 2 in .*$forms/ ],
	[ "$place passwd=SECRET" => qr/invalid place 2 in .*$forms/ ],
	[ "$place \"prefix={x}\"" => qr/invalid "prefix=" in .*letters, digits/ ],
	[ "$place prefix=" . 'x' x 65 => qr/invalid "prefix=" in .*64/ ],
	[ "$place prefix=" => qr/invalid "prefix=" in "ocsp_plus_share": it has no/ ],
	[ "$place user=a user=b" => qr/invalid "user=" in .*it is given twice/ ],
	[ "$place timeout=0" => qr/invalid "timeout=" in .*10ms and 10s/ ],
	[ "$place timeout=11s" => qr/invalid "timeout=" in .*10ms and 10s/ ],
	[ "$place timeout=soon" => qr/invalid "timeout=" in .*10ms and 10s/ ],
	[ "$place password_file=%%TESTDIR%%/none" =>
		qr!cannot read ".*/none" of "ocsp_plus_share".*No such file! ],
	[ "$place password_file=%%TESTDIR%%" =>
		qr!cannot read ".*" of "ocsp_plus_share": ! ],
	[ "$place password_file=%%TESTDIR%%/empty" =>
		qr/has an empty first line in "password_file="/ ],
	[ "$place password_file=%%TESTDIR%%/noise" =>
		qr/has a control character in the first line of "password_file="/ ],
	[ "$place trusted_certificate=%%TESTDIR%%/none" =>
		qr!/none" of "ocsp_plus_share"! ],
	[ "$place certificate=%%TESTDIR%%/client.example.pem" =>
		qr/takes "certificate=" and "certificate_key=" together/ ],
	[ "$place certificate_key=%%TESTDIR%%/client.example.key" =>
		qr/takes "certificate=" and "certificate_key=" together/ ],
	[ "$place certificate=%%TESTDIR%%/client.example.pem"
		. ' certificate_key=%%TESTDIR%%/example.com.key' =>
		qr/"ocsp_plus_share": certificate and key .*key is not that of/ ],
	[ "$place certificate=%%TESTDIR%%/pass"
		. ' certificate_key=%%TESTDIR%%/client.example.key' =>
		qr/"ocsp_plus_share": certificate and key .*no PEM certificate/ ],
);
for my $case (@wrong) {
	my ($arguments, $says) = @$case;
	configure("ocsp_plus_share $arguments;");
	ok(!$t->config_test(), "refused: $arguments");
	my @errors = grep { /^nginx: \[emerg\]/ } split /\n/, $t->output();
	like("@errors", $says, "says why: $arguments");
	is(scalar(@errors), 1, "says it once: $arguments");
	unlike($t->output(), qr/SECRET/, "shows no secret: $arguments");
}
configure("ocsp_plus_share $place;", "ocsp_plus_share off;");
ok(!$t->config_test(), 'refused: two directives');
like($t->output(), qr/"ocsp_plus_share" directive is duplicate/,
	'says why: two directives');
$t->write_conf(http => [ 'ocsp_plus on;',
	[ 8443, $leaf, "ocsp_plus_share $place;" ] ]);
ok(!$t->config_test(), 'refused: in a server');
like($t->output(), qr/"ocsp_plus_share" directive is not allowed here/,
	'says why: in a server');
for my $arguments ('off', $place, "$place redis://[::1]:1/3 unix:/s:/2",
	"rediss://u:p%40\@cache.example:1 prefix=a.b-c_D user=u timeout=10ms"
	. ' password_file=%%TESTDIR%%/pass'
	. ' trusted_certificate=%%TESTDIR%%/root.crt'
	. ' certificate=%%TESTDIR%%/client.example.pem'
	. ' certificate_key=%%TESTDIR%%/client.example.key',
	"$place rediss://other.example sentinel=mymaster")
{
	configure("ocsp_plus_share $arguments;");
	ok($t->config_test(), "taken: $arguments") or diag($t->output());
}

###############################################################################

SKIP: {
skip 'neither redis-server nor valkey-server is installed', 9
	unless Test::Nginx::Redis->installed();

# a password that is rotated: the file is read again at each reload

my $redis = Test::Nginx::Redis->start($t);
$redis->ask('ACL', 'SETUSER', 'node', 'on', '>FIRST-SECRET', '~*', '+@all');
$t->write_file('pass', "FIRST-SECRET\n");
chmod 0600, $t->testdir() . '/pass';
configure('ocsp_plus_share ' . $redis->place()
	. ' user=node password_file=%%TESTDIR%%/pass;');
$t->run();
ok($t->wait_log(qr/shared store connected/, 10), 'the password is accepted');

unlink $t->testdir() . '/pass';
my $mark = $t->log_mark();
ok(!$t->reload(refused => 1), 'a reload without the file is refused');
like($t->wait_log(qr/\[emerg\]/, 5, $mark) // '',
	qr!cannot read ".*/pass" of "ocsp_plus_share"!,
	'a reload without the file says which one it is');
is(staple(8443)->{status}, 'good', 'the running configuration goes on');

$redis->ask('ACL', 'SETUSER', 'node', 'resetpass', '>SECOND-SECRET');
$t->write_file('pass', "WRONG-SECRET\n");
$mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'a reload with a wrong password');
like($t->wait_log(qr/the shared store cannot be used/, 10, $mark) // '',
	qr/\[warn\].*reason=store_auth/, 'a wrong password is no error of nginx');
is(staple(8443)->{status}, 'good', 'a wrong password costs no staple');

$t->write_file('pass', "SECOND-SECRET\n");
$mark = $t->log_mark();
ok($t->reload(old_gone => 1), 'a reload with the new password');
ok($t->wait_log(qr/shared store connected/, 10, $mark),
	'the new password is accepted');
}

unlike($t->read_file('error.log'), qr/SECRET/, 'no secret is logged');

$t->done_testing();

###############################################################################

sub configure {
	$t->write_conf(http => [ 'ocsp_plus on;', @_, [ 8443, $leaf ] ]);
}

###############################################################################
