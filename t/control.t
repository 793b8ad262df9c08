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
	my $names = $opt{names} ? "server_name $opt{names};" : '';
	my $status = $opt{status} // 'ocsp_plus_status; deny all;';
	my $http = $opt{http} // '';
	my $listen = $opt{listen} // 'listen 127.0.0.1:8080;';
	$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

worker_processes 3;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus        on;
    ocsp_plus_retry  1s 1s;
    $http

    server {
        listen               127.0.0.1:8443 ssl;
        server_name          one.example;
        ssl_certificate      one.example.pem;
        ssl_certificate_key  one.example.key;
        ssl_certificate      none.example.pem;
        ssl_certificate_key  none.example.key;
    }

    server {
        listen               127.0.0.1:8443 ssl;
        server_name          two.example;
        ssl_certificate      two.example.pem;
        ssl_certificate_key  two.example.key;
    }

    server {
        $listen
        $names

        location /control {
            ocsp_plus_control;
            $location
        }

        location /status {
            $status
        }
    }
}

EOC
}

configure('allow 127.0.0.1; deny all;');
$t->run();
is(wait_staple(8443, 'good', servername => "$_.example", sig => 'ecdsa',
	seconds => 30)->{status}, 'good', "a staple, $_") for qw/ one two /;
is(scalar(() = $r->requests()), 2, 'fetched once each');
is(join("\n", $t->log_lines(qr/open to everybody/)), '', 'no warning');

###############################################################################

# the plainest curl there is

my $url = 'http://127.0.0.1:' . port(8080) . '/control';
my $curl = $t->command([ 'curl', '-s', '-X', 'POST', "$url?refresh=all" ]);
is($curl->{output}, "3 certificates will be fetched\n", 'curl');
ok($r->wait_requests(4, 10), 'all that have a responder are fetched again');
ok(wait_for(sub {
	return $t->log_lines(qr/refresh requested: status=202/);
}, 5), 'the log knows');
like(http_post('/control?refresh=all', ''), qr/ 429 .*less than a minute ago\n\z/s,
	'not again within a minute');

# one; whichever worker is asked

ok(wait_for(sub {
	http_post('/control?refresh=' . $two->id(), '') =~ / 202 /;
}, 5), 'one certificate');
ok($r->wait_requests(5, 10), 'is fetched again');
is(scalar(() = $r->requests(leaf => $two)), 3, 'that one');
like(http_post('/control?refresh=' . $none->id(), ''), qr/ 404 .*nobody can be asked/s,
	'one without a responder');
like(http_post('/control?refresh=' . '0' x 64, ''), qr/ 404 .*no server uses/s,
	'one that nobody uses');
for my $args ('', '?refresh=', '?refresh=some', '?refresh=' . 'x' x 64) {
	like(http_post("/control$args", ''), qr/ 400 /, "no sense: \"$args\"");
}

# nothing but POST

my $before = () = $r->requests();
for my $method (qw/ GET HEAD PUT DELETE OPTIONS /) {
	like(http("$method /control?refresh=" . $one->id()
		. " HTTP/1.0\r\nHost: localhost\r\n\r\n"),
		qr/ 405 .*^Allow: POST\r$/ms, "$method is not allowed");
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
	like($answer, qr/ $foreign{$header} /, $header);
}
ok($t->log_lines(qr/\[warn\] .*a request of another site was refused/),
	'the log knows of foreigners');

# a page whose name was made to lead here: the browser takes it for one of this
# site, as Host and Origin agree

configure('allow 127.0.0.1; deny all;', names => 'status.example '
	. '*.wild.example .dot.example www.* ~^re\d+\.example$ "" _');
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
		like($answer, qr/ $host{$host} /, "Host: $host, $line");
	}
}
like(refresh_one('evil.example'), qr/ 202 /, 'no browser: any Host');
like(http("POST /control?refresh=all HTTP/1.0\r\nOrigin: null\r\n"
	. "Sec-Fetch-Site: same-origin\r\n\r\n"), qr/ 403 /, 'a browser without Host');
ok($t->log_lines(qr/\[warn\]\ .*a\ browser's\ request\ for\ host
	\ "evil\.example",\ which\ is\ no\ name\ of\ this\ server,\ was\ refused/x),
	'the log knows of them');

# who may come in is for nginx to say

configure('deny all;');
$t->reload(old_gone => 1);
like(http_post('/control?refresh=all', ''), qr/ 403 /, 'denied');
is(join("\n", $t->log_lines(qr/open to everybody/)), '', 'no warning');

my $request = $t->command([ Test::Nginx::Config::nginx(), '-V' ])
	->{output} =~ /auth_request/;
my $basic = 'auth_basic closed; auth_basic_user_file users;';
my $both = 'listen 127.0.0.1:8080; listen [::1]:8080;';
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
	[ 0, 'allow ::1; deny all;', listen => $both ],
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
	[ 1, 'deny 0.0.0.0/0;', listen => $both ],
	[ 1, 'deny ::/0;', listen => $both ],
	$request ? [ 1, 'auth_request off;', http => 'auth_request /x;' ] : (),
) {
	my ($open, $location, %opt) = @$case;
	my $name = join ' ', "\"$location\"", map { "$_: \"$opt{$_}\"" } keys %opt;
	configure($location, %opt);
	my $fine = $t->config_test();
	SKIP: {
		skip 'no IPv6 here', 2 if !$fine && $opt{listen};
		ok($fine, $name) or diag($t->output());
		is(scalar(() = $t->output() =~ /^nginx:\ \[warn\]\ "ocsp_plus_control"
			\ is\ open\ to\ everybody:\ add\ "allow"\ and\ "deny\ all",\ or
			\ "auth_basic",\ in\ .*nginx\.conf:\d+$/mgx), $open, "$name: "
			. ($open ? 'a warning' : 'no warning')) or diag($t->output());
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
	ok($t->config_test(), $status) or diag($t->output());
	is(scalar(() = $t->output() =~ /^nginx:\ \[warn\]\ "ocsp_plus_status"\ is
		\ open\ to\ everybody:.*nginx\.conf:\d+$/mgx), $open, "$status: "
		. ($open ? 'a warning' : 'no warning')) or diag($t->output());
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
