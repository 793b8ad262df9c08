#!/usr/bin/perl

# Tests for the page's refresh buttons, in a real browser: shown where the same
# server has a control location with a path, which answers by its own rules; the
# answer is shown, and a refusal in words.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::Browser;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 180)->has(qw/ http_ssl /);
my $b = Test::Nginx::Browser->start($t);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $one = $int->leaf('one.example', aia => $r->url());
my $two = $int->leaf('two.example', aia => $r->url());
my $none = $int->leaf('none.example');

my $only = 'allow 127.0.0.1; deny all;';
my $status = "location /ocsp { ocsp_plus_status; $only }";

# Certificates, and a server with the page and `lines`.
sub configure {
	my (@lines) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
		(map { [ 8443, $_ ] } $one, $two, $none),
		[ 8080, undef, $status, @lines ] ]);
}

# Whether the document names a control location, by the lines of its server.

my @cases = (
	[ undef, '' ],
	[ '/control', "location /control { ocsp_plus_control; $only }" ],
	[ '/control', "location = /control { ocsp_plus_control; $only }" ],
	[ '/a/b', "location /a { location /a/b { ocsp_plus_control; $only } }" ],
	[ '/one', "location /one { ocsp_plus_control; $only } "
		. "location /two { ocsp_plus_control; $only }" ],
	[ undef, 'location /control { ocsp_plus_control; internal; }' ],
	[ undef, "location \@control { ocsp_plus_control; $only }" ],
	[ undef, "location ~ ^/control { ocsp_plus_control; $only }" ],
	[ undef, "} server { listen 127.0.0.1:" . port(8090)
		. "; location /control { ocsp_plus_control; $only }" ],
	[ '/a "b"%?', q{location '/a "b"%?' { ocsp_plus_control; } } . $only ],
);
configure($cases[0][1]);
$t->run();
for my $case (@cases) {
	my ($path, $lines) = @$case;
	configure($lines);
	$t->reload(old_gone => 1);
	is(http_json('/ocsp')->{control}, $path, "the document's control, with "
		. ($lines || 'no control location'));
}

is(wait_staple(8443, 'good', servername => "$_.example", seconds => 30)
	->{status}, 'good', "$_.example is stapled") for qw/ one two /;

###############################################################################

# a location whose path has to be escaped, as it is configured now

my $page = 'http://127.0.0.1:' . port(8080) . '/ocsp?format=html';
$b->size(1280, 900);
$b->dark(0);
show();
ok(visible('#refresh'), 'the page offers a refresh of all');
$b->script('document.querySelector("#refresh").focus()');
my $asked = () = $r->requests();
$b->keys("\x{E007}");
is(answer('#answer'), '2 of 3 certificates will be fetched; the others: '
	. 'no responder (1)', 'the answer is shown');
ok($r->wait_requests($asked + 2, 10), 'the certificates are fetched');
is($b->script('return document.activeElement.id'), 'refresh',
	'the keyboard stays where it was');
$b->script('document.querySelector("#refresh").click()');
like(answer('#answer', 'minute'), qr/^all certificates were asked for less than a minute ago: wait/,
	'a second refresh of all is refused in words');

# one certificate

open_row('none.example');
ok(!visible('.detail button'),
	'none is offered for a certificate that nobody can be asked about');
open_row('none.example');
open_row('two.example');
wait_for(sub {
	$b->script('document.querySelector(".detail button").click()');
	answer('.detail [role=status]', 'certificate') =~ / will be fetched$/;
}, 10);
is(answer('.detail [role=status]'), 'certificate "two.example" will be fetched',
	'a certificate is refreshed from its details');
ok($r->wait_requests(3, 10, leaf => $two),
	'a certificate that is refreshed from its details is fetched');

# a location with other rules than the page's

for my $case (
	[ 'allow 192.0.2.1; deny all;', 'Not done: the server does not let this '
		. "browser in there: its allow and deny rules exclude this address, or "
		. "this page was opened under a name that is not in the server\x{2019}s "
		. 'server_name (/control answers 403).' ],
	[ 'return 429;',
		'Not done: too many requests: wait a minute (/control answers 429).' ],
	[ 'return 401;', 'Not done: the server asks for a user and a password '
		. 'there: give them, or ask from a shell (/control answers 401).' ],
	[ 'return 500;', 'Not done: the server refuses it (/control answers 500).' ],
) {
	my ($rules, $words) = @$case;
	configure("location /control { ocsp_plus_control; $rules deny all; }");
	$t->reload(old_gone => 1);
	show();
	$b->script('document.querySelector("#refresh").click()');
	is(answer('#answer'), $words, "the refusal by \"$rules\" is told in words");
}

# none

configure('');
$t->reload(old_gone => 1);
show();
open_row('two.example');
ok(!visible('#refresh') && !visible('.detail button'),
	'without a control location no refresh is offered');

$b->end();
$t->done_testing();

###############################################################################

sub show {
	$b->open('about:blank');
	$b->open($page);
	$b->wait_script('return document.querySelectorAll('
		. '"#certificates tbody tr").length == 3');
}

sub visible {
	my ($selector) = @_;
	return $b->script('const node = document.querySelector(arguments[0]);'
		. 'return Boolean(node && !node.hidden)', $selector);
}

sub open_row {
	my ($name) = @_;
	$b->script('[...document.querySelectorAll(".name")].find((name) =>'
		. 'name.textContent == arguments[0]).click()', $name);
}

# What is said there, in the end.
sub answer {
	my ($selector, $with) = @_;
	my $pattern = $with // '.';
	return $b->wait_script("const said = document.querySelector('$selector')"
		. "?.textContent || ''; return !said.startsWith('asking') && "
		. "/$pattern/.test(said) && said");
}

###############################################################################
