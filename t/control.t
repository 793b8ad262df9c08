#!/usr/bin/perl

# Tests for ocsp_plus_control: a refresh on demand, by POST only, and not by
# pages of other sites; a location that is open to everybody is a warning.

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
	my (@location) = @_;
	$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

worker_processes 3;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus        on;
    ocsp_plus_retry  1s 1s;

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
        listen  127.0.0.1:8080;

        location /control {
            ocsp_plus_control;
            @location
        }

        location /status {
            ocsp_plus_status;
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

# who may come in is for nginx to say

configure('deny all;');
$t->reload(old_gone => 1);
like(http_post('/control?refresh=all', ''), qr/ 403 /, 'denied');
is(join("\n", $t->log_lines(qr/open to everybody/)), '', 'no warning');

for my $location ('auth_basic closed; auth_basic_user_file users;',
	'auth_request /status;', 'deny ::1;', 'deny unix:;')
{
	next if $location =~ /auth_request/ && $t->command([
		$ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx', '-V' ])
		->{output} !~ /auth_request/;
	configure($location);
	ok($t->config_test(), $location);
	unlike($t->output(), qr/open to everybody/, 'no warning');
}

configure('');
ok($t->config_test(), 'open to everybody');
like($t->output(), qr/\[warn\] .*"ocsp_plus_control" is open to everybody: add "allow" and "deny", or "auth_basic", in .*nginx\.conf:\d+/,
	'is a warning');

$t->done_testing();

###############################################################################
