#!/usr/bin/perl

# Tests for ocsp_plus_control: a refresh on demand, by POST only, and not by
# pages of other sites; a location that is open to everybody is a warning, be it
# one of ocsp_plus_control or of ocsp_plus_status.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /)->has_daemon('curl');

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $one = $int->leaf('one.example', aia => $r->url());
my $two = $int->leaf('two.example', aia => $r->url());
my $none = $int->leaf('none.example', key => 'rsa');

sub configure {
	my ($location, %opt) = @_;
	$t->write_conf(workers => 3, http => [ 'ocsp_plus on;',
		'ocsp_plus_retry 1s 1s;', $opt{http} // (),
		[ 8443, [ $one, $none ] ], [ 8443, $two ],
		[ 8080, undef, $opt{lines} // (),
			"location /control { ocsp_plus_control; $location }",
			'location /status { ' . ($opt{status}
				// 'ocsp_plus_status; deny all;') . ' }' ] ]);
}

configure('allow 127.0.0.1; deny all;');
$t->run();
is(wait_staple(8443, 'good', servername => "$_.example", sig => 'ecdsa',
	seconds => 30)->{status}, 'good',
	"$_.example is stapled") for qw/ one two /;
is(scalar(() = $r->requests()), 2, 'each certificate is fetched once');
is(join("\n", $t->log_lines(qr/open to everybody/)), '',
	'a protected control location raises no warning');

###############################################################################

# the plainest curl there is

my $url = 'http://127.0.0.1:' . port(8080) . '/control';
my $curl = $t->command([ 'curl', '-s', '-X', 'POST', "$url?refresh=all" ]);
is($curl->{output}, "2 of 3 certificates will be fetched; the others: "
	. "no responder (1)\n", 'curl -X POST refreshes all certificates, and the '
	. 'answer counts those that have a responder');
ok($r->wait_requests(4, 10),
	'all certificates that have a responder are fetched again');
ok(wait_for(sub {
	return $t->log_lines(qr/refresh requested: status=202/);
}, 5), 'the refresh is logged');
like(http_post('/control?refresh=all', ''), qr/ 429 .*less than a minute ago: wait, or refresh one by its name or id\n\z/s,
	'a second refresh within a minute is refused with 429');

# one; whichever worker is asked

ok(wait_for(sub {
	http_post('/control?refresh=' . $two->id(), '') =~ / 202 /;
}, 5), 'a refresh of one certificate is accepted');
ok($r->wait_requests(5, 10), 'a refresh of one certificate asks the responder');
is(scalar(() = $r->requests(leaf => $two)), 3,
	'a refresh of one certificate fetches that certificate');
like(http_post('/control?refresh=' . $none->id(), ''), qr/ 404 .*"none\.example" will not be fetched: no responder/s,
	'a refresh of a certificate without responder is refused with 404');
like(http_post('/control?refresh=' . '0' x 64, ''), qr/ 404 .*no server uses/s,
	'a refresh of an unknown certificate is refused with 404');

# by a name

ok(wait_for(sub {
	http_post('/control?refresh=one.example', '')
		=~ / 202 .*1 of 2 certificates will be fetched; the others: no/s;
}, 5), 'a refresh of a name is for the certificates of its server');
ok($r->wait_requests(3, 10, leaf => $one),
	'a refresh of a name fetches the certificate that bears it');
like(http_post("/control?refresh=$_", ''), qr/ 404 .*has the name "$_"/s,
	"a refresh of the unknown name $_ is refused with 404")
	for 'some', 'x' x 64;
for my $args ('', '?refresh=', '?fetch=all') {
	like(http_post("/control$args", ''), qr/ 400 /,
		"a refresh with arguments \"$args\" is refused with 400");
}

# nothing but POST

my $before = () = $r->requests();
for my $method (qw/ GET HEAD PUT DELETE OPTIONS /) {
	like(http("$method /control?refresh=" . $one->id()
		. " HTTP/1.0\r\nHost: localhost\r\n\r\n"),
		qr/ 405 .*^Allow: POST\r$/ms, "$method is refused with 405");
}

# forms of other sites

my %foreign = (
	'Sec-Fetch-Site: cross-site' => 403,
	'Sec-Fetch-Site: same-site' => 403,
	'Sec-Fetch-Site: nonsense' => 403,
	'Sec-Fetch-Site: same-origin' => 202,
	'Sec-Fetch-Site: none' => 202,
	'Origin: http://evil.example' => 403,
	'Origin: http://localhost.evil.example' => 403,
	'Origin: http://evil.example/?localhost' => 403,
	'Origin: null' => 403,
	'Origin: http://localhost' => 202,
	'Origin: HTTPS://LocalHost' => 202,
);
for my $header (sort keys %foreign) {
	my $answer;
	# not sooner than a second after the last fetch
	wait_for(sub {
		$answer = http_post('/control?refresh=' . $one->id(), 'a=b',
			headers => [ $header,
			'Content-Type: application/x-www-form-urlencoded' ]);
		return $answer !~ / 429 /;
	}, 10);
	like($answer, qr/ $foreign{$header} /,
		"a form with \"$header\" gets $foreign{$header}");
}
ok($t->log_lines(qr/\[warn\] .*a cross-site request was refused/),
	'a refused form of another site is logged');

# a page whose name was made to lead here: the browser takes it for one of this
# site, as Host and Origin agree

configure('allow 127.0.0.1; deny all;', lines => 'server_name status.example '
	. '*.wild.example .dot.example www.* ~^re\d+\.example$ "" _;');
$t->reload(old_gone => 1);
my @browser = ('Origin', 'Sec-Fetch-Site: same-origin',
	'Sec-Fetch-Mode: cors', 'Sec-Fetch-Dest: empty', 'SEC-FETCH-USER: ?1');
my %host = (
	'evil.example' => 403,
	'evil.example:8080' => 403,
	'www.evil.example' => 403,
	're1.example' => 403,
	'localhost.evil.example' => 403,
	'127.0.0.1.evil.example' => 403,
	'evilstatus.example' => 403,
	'evildot.example' => 403,
	'wild.example' => 403,
	'1.2.3' => 403,
	'0x7f000001' => 403,
	'status.example' => 202,
	'Status.Example:8080' => 202,
	'status.example.' => 202,
	'a.wild.example' => 202,
	'a.b.wild.example' => 202,
	'dot.example' => 202,
	'a.dot.example' => 202,
	'localhost' => 202,
	'localhost:8080' => 202,
	'127.0.0.1' => 202,
	'192.0.2.1:8080' => 202,
	'[::1]' => 202,
	'[2001:db8::1]:8080' => 202,
);
for my $host (sort keys %host) {
	for my $header ($host{$host} == 403 ? @browser : $browser[0]) {
		my $line = $header eq 'Origin' ? "Origin: http://$host" : $header;
		my $answer = refresh_one($host, $line);
		like($answer, qr/ $host{$host} /,
			"a request with Host: $host and \"$line\" gets $host{$host}");
	}
}
like(refresh_one('evil.example'), qr/ 202 /,
	"a request without a browser's headers may have any Host");
like(http("POST /control?refresh=all HTTP/1.0\r\nOrigin: null\r\n"
	. "Sec-Fetch-Site: same-origin\r\n\r\n"), qr/ 403 /,
	"a browser's request without Host is refused");
ok($t->log_lines(qr/\[warn\]\ .*a\ browser's\ request\ for\ host
	\ "evil\.example",\ which\ is\ not\ a\ name\ of\ this\ server,\ was\ refused/x),
	'a refused Host of a browser is logged');

# who may come in is for nginx to say

configure('deny all;');
$t->reload(old_gone => 1);
like(http_post('/control?refresh=all', ''), qr/ 403 /,
	'a denied client is refused by nginx');
is(join("\n", $t->log_lines(qr/open to everybody/)), '',
	'"deny all" raises no warning');

my $request = $t->command([ Test::Nginx::Config::nginx(), '-V' ])
	->{output} =~ /auth_request/;
my $basic = 'auth_basic closed; auth_basic_user_file users;';
my $both = 'listen [::1]:8080;';
for my $case (
	[ 0, $basic ],
	[ 0, 'deny all;' ],
	[ 0, 'allow 127.0.0.1; deny all;' ],
	[ 0, 'deny 192.0.2.1; allow 127.0.0.1; deny 0.0.0.0/0;' ],
	[ 0, "allow all; $basic" ],
	[ 0, "satisfy any; allow 127.0.0.1; $basic" ],
	[ 0, "satisfy any; allow 127.0.0.1; deny all; $basic" ],
	[ 0, "satisfy any; deny all; allow all; $basic" ],
	[ 0, 'internal;' ],
	[ 0, '', http => 'deny all;' ],
	[ 0, '', http => $basic ],
	[ 0, 'allow ::1; deny all;', lines => $both ],
	$request ? [ 0, 'auth_request /status;' ] : (),
	[ 1, '' ],
	[ 1, 'allow 127.0.0.1;' ],
	[ 1, 'allow all;' ],
	[ 1, 'allow all; deny all;' ],
	[ 1, 'allow 0.0.0.0/0; deny all;' ],
	[ 1, 'deny 192.0.2.1;' ],
	[ 1, 'deny ::1;' ],
	[ 1, 'deny unix:;' ],
	[ 1, 'auth_basic off;' ],
	[ 1, 'auth_basic off; auth_basic_user_file users;' ],
	[ 1, 'auth_basic closed;' ],
	[ 1, 'auth_basic off;', http => $basic ],
	[ 1, 'allow 127.0.0.1;', http => 'deny all;' ],
	[ 1, "satisfy any; allow all; $basic" ],
	[ 1, 'deny 0.0.0.0/0;', lines => $both ],
	[ 1, 'deny ::/0;', lines => $both ],
	$request ? [ 1, 'auth_request off;', http => 'auth_request /x;' ] : (),
) {
	my ($open, $location, %opt) = @$case;
	my $name = join ' ', "\"$location\"", map { "$_: \"$opt{$_}\"" } keys %opt;
	configure($location, %opt);
	my $fine = $t->config_test();
	SKIP: {
		skip 'no IPv6 here', 2 if !$fine && $opt{lines};
		ok($fine,
			"$name: the configuration is accepted") or diag($t->output());
		is(scalar(() = $t->output() =~ /^nginx:\ \[warn\]\ "ocsp_plus_control"
			\ is\ open\ to\ everybody:\ add\ "allow"\ and\ "deny\ all",\ or
			\ "auth_basic",\ in\ .*nginx\.conf:\d+$/mgx), $open,
			"$name: "
			. ($open ? 'nginx warns' : 'nginx does not warn') . ' that control is open') or diag($t->output());
	}
}

# the status as well: it names every certificate, and writing it costs something

for my $case (
	[ 0, 'ocsp_plus_status; deny all;' ],
	[ 0, 'ocsp_plus_status ready;' ],
	[ 1, 'ocsp_plus_status;' ],
	[ 1, 'ocsp_plus_status html;' ],
	[ 1, 'ocsp_plus_status json; allow 127.0.0.1;' ],
	[ 1, 'ocsp_plus_status prometheus; allow all;' ],
) {
	my ($open, $status) = @$case;
	configure('deny all;', status => $status);
	ok($t->config_test(), "$status is accepted") or diag($t->output());
	is(scalar(() = $t->output() =~ /^nginx:\ \[warn\]\ "ocsp_plus_status"\ is
		\ open\ to\ everybody:.*nginx\.conf:\d+$/mgx), $open,
		"$status: "
		. ($open ? 'nginx warns' : 'nginx does not warn') . ' that it is open') or diag($t->output());
}

$t->done_testing();

###############################################################################

# Asks for a refresh, not sooner than a second after the last one.
sub refresh_one {
	my ($host, @headers) = @_;
	my $answer;
	wait_for(sub {
		$answer = http_post('/control?refresh=' . $one->id(), 'a=b',
			host => $host, headers => \@headers);
		return $answer !~ / 429 /;
	}, 10);
	return $answer;
}

###############################################################################
