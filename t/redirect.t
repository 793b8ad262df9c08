#!/usr/bin/perl

# Tests for redirects: they never lead inside, wherever the first request went,
# but to whom was asked and to whom ocsp_plus_responder names; from http to
# https and not back.

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
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $web = Test::Nginx::CA->new($t, 'web', cn => 'Web CA');
$web->leaf('front.test', file => 'front', names => [ '127.0.0.1' ]);

# the first and the third send everybody on to wherever the certificate is to
# be led, the second answers; the last two lead to issuers.  Who leads astray
# fails as a host, so those that do not are apart; the sixth is one's alone,
# or the busy one is passed over for the second of its names.

# issuers that no other certificate brings, so that they have to be fetched
my %lone = map { $_ => $int->root()->intermediate($_) }
	qw/ issuer-control issuer-named /;

my $r = Test::Nginx::Responder->start($t, ca => [ $int, values %lone ],
	ports => [ map { 8080 + $_ } 1 .. 6 ]);
my $dns = Test::Nginx::DNS->start($t, port => 8053,
	zone => { 'inside.test' => { a => '127.0.0.1' } });

my ($second, $third) = ($r->url(2), $r->url(3));
my $here = '127.0.0.1:' . port(8080);
my $there = 'inside.test:' . port(8080);
my $front = 'https://127.0.0.1:' . port(8444);

# name, where it is led, the server's lines, what comes of it

my @cases = (
	# our own control location lets in whoever comes from here
	[ 'control', "http://$here/control?refresh=all&", '', 'redirect_forbidden' ],
	[ 'by-name', "http://$there/control?refresh=all&", '',
		'redirect_forbidden' ],
	[ 'localhost', 'http://localhost:' . port(8080) . '/control?', '',
		'redirect_forbidden' ],
	[ 'secure-control', "$front/control?", '', 'redirect_forbidden' ],
	# the second responder is no better, unless it is named
	[ 'unnamed', "${second}moved*", '', 'redirect_forbidden' ],
	[ 'untrusted', "$front/ocsp*", "ocsp_plus_responder @{[ $r->url(1) ]}"
		. " $front/ocsp/;", 'tls_certificate' ],
	[ 'named', "${second}moved*", "ocsp_plus_responder $third $second;" ],
	[ 'same', 'hops:2', '' ],
	[ 'secure', "$front/ocsp/moved*", "ocsp_plus_responder @{[ $r->url(6) ]} $front/ocsp/;"
		. ' ocsp_plus_responder_trusted_certificate web.crt;' ],
	[ 'back', '', "ocsp_plus_responder $front/back/ $second;"
		. ' ocsp_plus_responder_trusted_certificate web.crt;' ],
);

my (%leaf, @servers);
for my $case (@cases) {
	my ($name, $to, $lines, $reason) = @$case;
	my $port = $reason ? 1 : $name eq 'secure' ? 6 : 3;
	$leaf{$name} = $int->leaf("$name.example",
		aia => $r->url($port));
	$r->fault('redirect', arg => $to, on => $port, leaf => $leaf{$name})
		if $to;
	push @servers, [ 8443, $leaf{$name}, $lines ];
}

# an issuer is to be fetched from the same places

my %issuer = ('issuer-control' => 4, 'issuer-named' => 5);
$r->fault('redirect', arg => "http://$here/control?", on => 4);
$r->fault('redirect', arg => "${second}files/ca.crt", on => 5);
$r->serve_file('ca.crt', $lone{'issuer-named'}->cert());
for my $name (sort keys %issuer) {
	$leaf{$name} = $lone{$name}->leaf("$name.example",
		chain => 0, aia => $second, ca_issuers => $r->url($issuer{$name}, '/ca'));
	push @servers, [ 8443, $leaf{$name}, $name =~ /named/
		? "ocsp_plus_responder $second;" : () ];
}
$t->write_conf(http => [
	# who redirects and where it leads is in part this very nginx
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_timeout 20s;',
	'ocsp_plus_retry 1s 2s;', "ocsp_plus_resolver @{[ $dns->address() ]};",
	[ 8444, 'front', 'listen 127.0.0.1:8080;',
		'access_log %%TESTDIR%%/inside.log;',
		'location /control { allow 127.0.0.1; deny all; ocsp_plus_control; }',
		"location /ocsp/ { proxy_pass $second; }",
		"location /back/ { return 302 ${second}back\$request_uri; }" ],
	'ocsp_plus on;', @servers ]);

$t->run();

###############################################################################

for my $case (@cases) {
	my ($name, undef, undef, $reason) = @$case;
	if (!defined $reason) {
		ok(stapled($name),
			"$name: the redirect is followed and the certificate stapled");
		next;
	}
	like(failure($name), qr/ reason=$reason detail="[^"]+"/,
		"$name: the redirect is refused with its reason");
	is(staple_fast(8443, "$name.example"), undef,
		"$name: no response is stapled")
		if $reason ne 'tls_certificate';
}
like(failure('control'),
	qr/detail="HTTP 302 from 127\.0\.0\.1:\d+ to \Q$here\E: no redirect may/,
	'the failure names where the redirect came from and led to');
like(failure('by-name'), qr/ to \Q$there\E, which is \Q$here\E: no redirect may/,
	'the failure names the address behind a host name');

for my $name (qw/ named same secure /) {
	is(scalar(grep { /"$name\.example"/ } $t->log_lines(qr/no response/)), 0,
		"$name: the first responder's redirect gives the response");
}
is(scalar($r->requests(on => 2, leaf => $leaf{unnamed})), 0,
	'a redirect to a host that is not configured sends no request there');
cmp_ok(scalar($r->requests(on => 2, leaf => $leaf{named})), '>=', 1,
	'a redirect to a configured responder sends the request there');
like($t->read_file('inside.log'), qr!"GET /ocsp/moved/M!,
	'a redirect of an https responder sends the request to its target');

# https does not lead back to http: the second of the names is asked instead

my ($back) = $r->requests(on => 2, leaf => $leaf{back});
unlike(join(' ', %{$back || {}}), qr!/back/!,
	'a redirect from https to http is not followed');

# the issuers

like(failure('issuer-control'), qr/ reason=redirect_forbidden detail="fetching/,
	"an issuer's redirect to a private address is refused");
ok(stapled('issuer-named'),
	"an issuer's redirect to a configured responder is followed");

# nobody came in

my $inside = $t->read_file('inside.log');
unlike($inside, qr!control\?!, 'no redirect reaches our own control location');
unlike($inside, qr!"GET /ocsp/M!,
	'no request reaches an https front that is not trusted');

###############################################################################

# the command line keeps the same rule

my @fetch = ($tool, 'fetch', '--cert', "$d/unnamed.example.pem", '--json',
	'--responder', $r->url(1));
my $run = $t->command([ @fetch ]);
is($run->{status}, 1, 'ocsp-plus fetch fails at a redirect to another host');
like($run->{output}, qr/"reason": "redirect_forbidden"/,
	'ocsp-plus fetch names the reason redirect_forbidden');
like($run->{output}, qr/name where it leads with --responder/,
	'ocsp-plus fetch says that --responder allows the target');
$run = $t->command([ @fetch, '--responder', $second ]);
is($run->{status}, 0,
	'ocsp-plus fetch follows a redirect to a named --responder');

$t->done_testing();

###############################################################################

sub failure {
	my ($name) = @_;
	return $t->wait_log(qr/no\ response,.*certificate="\Q$name\E\.example"/x, 15)
		// '';
}

sub stapled {
	my ($name) = @_;
	my $der = wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name");
	return $der && index($der, pack 'H*', $leaf{$name}->serial()) > 0;
}

###############################################################################
