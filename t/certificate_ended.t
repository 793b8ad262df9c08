#!/usr/bin/perl

# Tests for certificates that have themselves ended: nobody is asked for them,
# nobody waits for them, and one line says so of all, but not before the clock
# can be trusted.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Clock;
use Test::Nginx::Responder;

###############################################################################

use constant DAY => 86400;

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);

my $int = Test::Nginx::CA->new($t)->intermediate('int',
	not_before => -400 * DAY);
# 1: of what has ended, 2: of what has not
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my %past = (aia => $r->url(1), not_before => -40 * DAY, not_after => -DAY);
my @ended = $int->leaves(3, 'ended%d.example', %past);
push @ended, $int->leaf('must.example', %past, must_staple => 1);
# its issuer would have to be fetched, too
push @ended, $int->leaf('alone.example', %past, chain => 0,
	ca_issuers => $r->url(1, '/files/int.der'));
my $good = $int->leaf('good.example', aia => $r->url(2), not_before => -DAY);
my $notice = qr/certificates have expired, no responder is asked for them/;

# what was kept, or made elsewhere, is of no use any more and no matter either
$r->set(this_update => -30 * DAY, next_update => 30 * DAY);
my $response = $r->response($ended[0], on => 2);
$t->write_file('ended.der', $response);
my $cache = $t->testdir() . '/cache';
$r->reset();

###############################################################################

configure($t, 8443, 'on', @ended, $good);
ok($t->config_test(),
	'nginx -t accepts expired certificates') or diag($t->output());
$r->fault('refuse', on => 2);
my $mark = $t->log_mark();
$r->clear();
$t->run();
like(($t->log_lines(qr/waiting for responses/, $mark))[0] // '',
	qr/certificates=1 /, 'the start waits for the valid certificate only');
ok($t->wait_log(qr/"good\.example".*reason=connect_refused/, 15, $mark),
	'the valid certificate is tried');
beats($t);
is(scalar(() = $t->log_lines($notice, $mark)), 0,
	"expired certificates are not reported before a responder's time is known");
like(http_get('/ready'), qr/ 200 /,
	'readiness: expired certificates do not count, though required');
like(http_get('/ready?strict=1'), qr/ 503 .*"good\.example"/s,
	'strict readiness: the valid certificate is waited for');
is(shown('certificates', 'ended'), 5,
	'the metric counts the expired certificates');

# a responder tells its time

$r->reset();
is(wait_staple(8443, 'good', servername => 'good.example', seconds => 15)
	->{status}, 'good', 'the valid certificate is stapled');
like($t->wait_log($notice, 10, $mark) // '', qr/\[notice\].*
	\ certificate="(?:ended\d|must|alone)\.example"\ serial=\S+
	\ not_after=\S+Z\ since=1d\ certificates=5$/x,
	'one notice reports all expired certificates');
like(http_get('/ready?strict=1'), qr/ 200 /,
	'strict readiness: expired certificates do not count');

my %state = map { $_->{names}[0] => $_ }
	@{http_json('/json?state=ended')->{certificates}};
is(join(' ', sort keys %state), join(' ', sort map { $_->name() } @ended),
	'the status document lists the expired certificates as ended');
is(http_json('/json?state=pending')->{certificates}[0], undef,
	'the status document lists no certificate as pending');
is($state{'must.example'}{next_attempt}, undef,
	'an expired certificate has no next attempt');
is(staple(8443, servername => 'ended1.example')->{handshake}, 0,
	'a server that requires a staple refuses with an expired certificate');

# other things that happen do not change that

is(http_post('/control?refresh=all', '') =~ / 202 /, 1,
	"an operator's refresh of all is accepted");
ok($r->wait_requests(2, 10, on => 2),
	"an operator's refresh asks for the valid certificate");
$t->reload(old_gone => 1);
beats($t);
is($r->stats()->{ports}{1}{connections} // 0, 0,
	'no responder is asked for an expired certificate');
$t->stop();
is(scalar(() = grep { /reason=/ && !/good\.example/ }
	$t->log_lines(qr/ocsp_plus: /, $mark)), 0,
	'no other line is logged about expired certificates')
	or diag($t->log_lines(qr/reason=/, $mark));
is(scalar(() = $t->log_lines($notice, $mark)), 2,
	'expired certificates are reported once a configuration');

# with what was kept before it ended

my $file = $t->write_file("$cache/" . $ended[0]->id() . '.der', $response);
$mark = $t->log_mark();
$t->run();
ok($t->wait_log(qr/the designated worker now/, 10, $mark),
	'a restart with a cached response succeeds');
beats($t);
is(scalar(() = $t->log_lines(qr/ended1\.example.*reason=/, $mark)), 0,
	'a cached response of an expired certificate is not logged');
is($t->read_file($file), $response,
	'a cached response of an expired certificate is left alone');
$t->stop();

###############################################################################

# one that ends while nginx runs

my $brief = $int->leaf('brief.example', aia => $r->url(1),
	not_before => -DAY, not_after => 12);
configure($t, 8443, 'off', $brief, $good);
$mark = $t->log_mark();
$r->clear();
$t->run();
is(staple(8443, servername => 'brief.example')->{status}, 'good',
	'a certificate about to expire is stapled');
ok(wait_for(sub { http_json('/json?state=ended')->{certificates}[0] }, 20),
	'a certificate that expires is listed as ended');
is(staple(8443, servername => 'brief.example')->{status}, 'none',
	'a certificate that expires is no longer stapled');
my $asked = () = $r->requests(leaf => $brief);
ok($t->wait_log($notice, 15, $mark), 'a certificate that expires is reported');
beats($t);
is(scalar(() = $r->requests(leaf => $brief)), $asked,
	'a certificate that expires is no longer asked for');
is(scalar(() = $t->log_lines(qr/reason=certificate_expired/, $mark)), 0,
	'a certificate that expires raises no error');
$t->stop();

###############################################################################

SKIP: {
	skip 'no libfaketime, or it does not go together with a sanitizer', 15
		unless Test::Nginx::Clock->available();

	# nobody tells the time: said after five minutes

	my $alone = Test::Nginx->new();
	my $clock = Test::Nginx::Clock->start($alone);
	copy($alone, @ended);
	configure($alone, 8444, 'off', @ended);
	$r->clear();
	$alone->run();
	is(scalar(() = $alone->log_lines(qr/waiting for responses/)), 0,
		'only expired certificates: the start does not wait');
	beats($alone, 8091);	# the minutes are counted from its first look
	for (1 .. 4) {
		$clock->pass(60);
		beats($alone, 8091);
	}
	is(scalar(() = $alone->log_lines($notice)), 0,
		'only expired certificates: nothing is reported for five minutes');
	$clock->pass(61);
	ok($alone->wait_log($notice, 10),
		'only expired certificates: they are reported after five minutes');
	$clock->pass(4000);
	beats($alone, 8091);
	is(scalar(() = $alone->log_lines($notice)), 1,
		'only expired certificates: they are reported once');
	is($r->stats()->{all}{connections} // 0, 0,
		'only expired certificates: no responder is asked');
	$alone->stop();

	# by a clock that is wrong all have ended: it is set right

	my $set = Test::Nginx->new();
	$clock = Test::Nginx::Clock->start($set, jumps => 1);
	copy($set, @ended, $good);
	configure($set, 8445, 'off', @ended, $good);
	$clock->set(400 * DAY);
	$r->clear();
	$set->run();
	like(http_get('/ready?strict=1', port => 8091), qr/ 200 /,
		'a clock far ahead: strict readiness waits for no certificate');
	beats($set, 8091);
	is(scalar(() = $r->requests()), 0,
		'a clock far ahead: no responder is asked');
	$clock->set(0);
	is(wait_staple(8445, 'good', servername => 'good.example',
		seconds => 15)->{status}, 'good',
		'a corrected clock: the valid certificate is stapled');
	like($set->wait_log($notice, 10) // '', qr/ certificates=5$/,
		'a corrected clock: the expired certificates are reported');
	is(scalar(() = $set->log_lines($notice)), 1,
		'a corrected clock: they are reported once');
	is($r->stats()->{ports}{1}{connections} // 0, 0,
		'a corrected clock: no responder is asked for expired certificates');

	# and by one that goes wrong while nginx runs

	my $mark = $set->log_mark();
	$clock->set(400 * DAY);
	ok($set->wait_log(qr/the wall clock jumped/, 10, $mark),
		'a clock set ahead later: the jump is noticed');
	is(scalar @{http_json('/json?state=ended', port => 8091)
		->{certificates}}, 6,
		'a clock set ahead later: all certificates are listed as ended');
	beats($set, 8091);
	is(scalar(() = $set->log_lines($notice, $mark)), 0,
		'a clock set ahead later: nothing is reported');
	$clock->set(0);
	is(wait_staple(8445, 'good', servername => 'good.example',
		seconds => 15)->{status}, 'good',
		'a clock set back: the valid certificate is stapled');
}

$t->done_testing();

###############################################################################

# What is planned is begun twice a second.
sub beats {
	my ($nginx, $port) = @_;
	my $seen;
	my $beats = 0;
	wait_for(sub {
		my $worker = http_json('/json', port => $port // 8080)->{worker};
		my $beat = $worker ? $worker->{heartbeat} : $seen // '';
		$beats++ if defined $seen && $beat ne $seen;
		$seen = $beat;
		return $beats == 3;
	}, 20, 'beats');
}

sub shown {
	my ($metric, $state) = @_;
	return http_get('/metrics') =~
		/^ocsp_plus_$metric\{role="leaf",state="$state"\} (\d+)$/m ? $1 : undef;
}

sub copy {
	my ($nginx, @leaves) = @_;
	for my $name (map { $_->name() } @leaves) {
		$nginx->write_file("$name.$_", $t->read_file("$name.$_"))
			for qw/ pem key /;
	}
	$nginx->write_file('ended.der', $response);
}

sub configure {
	my ($nginx, $port, $require, @leaves) = @_;
	my $status = $nginx == $t ? 8080 : 8091;
	$nginx->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
		(map { my $name = $_->name();
			[ $port, $name, $name =~ /^(?:ended|must)/
				? "ocsp_plus_require $require;" : (),
				$name =~ /^ended1/ ? 'ocsp_plus_file ended.der;' : () ]
		} @leaves),
		[ $status, undef, 'location /json { ocsp_plus_status json; }',
			'location /metrics { ocsp_plus_status prometheus; }',
			'location /ready { ocsp_plus_status ready; }',
			'location /control { ocsp_plus_control; allow 127.0.0.1; }' ] ]);
}

###############################################################################
