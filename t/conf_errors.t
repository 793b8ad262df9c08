#!/usr/bin/perl

# Tests for wrong, missing, duplicate and misplaced arguments of each
# directive: one message that names directive, value, place and what it takes.

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

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url());

my ($value, $directive) = (qr/invalid value/, qr/directive/);
my $number = qr/invalid number of arguments in/;
my $choices = qr/it must be "off", "must_staple" or "on"/;
my $either = qr/it must be "staple" or "omit"/;
my $on_off = qr/it must be "on" or "off"/;
my $between = sub { my ($min, $max) = @_;
	return qr/it must be between $min and $max/ };
my $zone = qr/takes name:size, as in "\w+:\d+m"/;
my $size = qr/takes a size of at least \d+k/;
my $resolver = qr/takes IP addresses with an optional port, .*"valid=time"/;
my $proxy = qr/it takes "http:\/\/host:port", with .* or "off"/;
my $refresh = qr/it takes "auto" or a time from 5s to 365d/;
my $retry = qr/takes two times, the first at least 1s and not above the second/;

# arguments of a directive, the value that the message has to name (undef:
# none), what else it has to say

my @wrong = (
	[ 'ocsp_plus', '', undef, $number ],
	[ 'ocsp_plus', 'on off', undef, $number ],
	[ 'ocsp_plus', 'yes', 'yes', $on_off ],
	[ 'ocsp_plus', '""', '', $on_off ],

	[ 'ocsp_plus_zone', '', undef, $number ],
	[ 'ocsp_plus_zone', 'a:8m b:8m', undef, $number ],
	[ 'ocsp_plus_zone', '8m', '8m', $zone ],
	[ 'ocsp_plus_zone', 'staples', 'staples', $zone ],
	[ 'ocsp_plus_zone', ':8m', ':8m', $zone ],
	[ 'ocsp_plus_zone', 'a:', '', $size ],
	[ 'ocsp_plus_zone', 'a:much', 'much', $size ],
	[ 'ocsp_plus_zone', 'a:-8m', '-8m', $size ],
	[ 'ocsp_plus_zone', 'a:8t', '8t', $size ],
	[ 'ocsp_plus_zone', 'a:8m:8m', '8m:8m', $size ],
	[ 'ocsp_plus_zone', 'a:1k', '1k', $size ],
	[ 'ocsp_plus_zone', 'a:99999999999999999999m',
		'99999999999999999999m', $size ],

	[ 'ocsp_plus_resolver', '', undef, $number ],
	[ 'ocsp_plus_resolver', 'resolver.example', 'resolver.example',
		$resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.1 localhost:53', 'localhost:53',
		$resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.1:0', '127.0.0.1:0', $resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.1:65536', '127.0.0.1:65536',
		$resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.256', '127.0.0.256', $resolver ],
	[ 'ocsp_plus_resolver', '[::1', '[::1', $resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.1 ipv4=no', 'ipv4=no', $resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.1 ipv6=', 'ipv6=', $resolver ],
	[ 'ocsp_plus_resolver', '127.0.0.1 ipv7=on', 'ipv7=on', $resolver ],
	[ 'ocsp_plus_resolver', 'ipv4=off ipv6=off', undef,
		qr/"ipv4=off" and "ipv6=off", which leaves no addresses/ ],
	[ 'ocsp_plus_resolver', 'timeout=', 'timeout=', $resolver ],
	[ 'ocsp_plus_resolver', 'timeout=0', 'timeout=0', $resolver ],
	[ 'ocsp_plus_resolver', 'timeout=soon', 'timeout=soon', $resolver ],
	[ 'ocsp_plus_resolver', 'valid=0', 'valid=0', $resolver ],
	[ 'ocsp_plus_resolver', 'valid=1x', 'valid=1x', $resolver ],
	[ 'ocsp_plus_resolver', 'valid=500ms', 'valid=500ms', $resolver ],
	[ 'ocsp_plus_resolver', '""', '', $resolver ],

	[ 'ocsp_plus_proxy', '', undef, $number ],
	[ 'ocsp_plus_proxy', 'on', undef, $proxy ],
	[ 'ocsp_plus_proxy', '""', undef, $proxy ],
	[ 'ocsp_plus_proxy', 'proxy.example:3128', undef, $proxy ],
	[ 'ocsp_plus_proxy', 'https://proxy.example:3128', undef, $proxy ],
	[ 'ocsp_plus_proxy', 'http://proxy.example:99999', undef, $proxy ],
	[ 'ocsp_plus_proxy', 'http://proxy.example/path', undef, $proxy ],
	[ 'ocsp_plus_proxy', 'http://a http://b', undef, $number ],

	[ 'ocsp_plus_certid', '', undef, $number ],
	[ 'ocsp_plus_certid', 'sha256', 'sha256',
		qr/it must be "sha1" or "auto"/ ],

	[ 'ocsp_plus_issuer_fetch', '', undef, $number ],
	[ 'ocsp_plus_issuer_fetch', 'on off', undef, $number ],
	[ 'ocsp_plus_issuer_fetch', 'auto', 'auto', $on_off ],

	[ 'ocsp_plus_timeout', '', undef, $number ],
	[ 'ocsp_plus_timeout', '5s 10s', undef, $number ],
	[ 'ocsp_plus_timeout', 'soon', undef, $value ],
	[ 'ocsp_plus_timeout', '-1s', undef, $value ],
	[ 'ocsp_plus_timeout', '0', '0', $between->(1, '\d+') ],
	[ 'ocsp_plus_timeout', '400d', '400d', $between->(1, '\d+') ],

	[ 'ocsp_plus_concurrency', '', undef, $number ],
	[ 'ocsp_plus_concurrency', '1 2', undef, $number ],
	[ 'ocsp_plus_concurrency', 'many', undef, qr/invalid number/ ],
	[ 'ocsp_plus_concurrency', '-1', undef, qr/invalid number/ ],
	[ 'ocsp_plus_concurrency', '1.5', undef, qr/invalid number/ ],
	[ 'ocsp_plus_concurrency', '0', '0', $between->(1, 512) ],
	[ 'ocsp_plus_concurrency', '513', '513', $between->(1, 512) ],

	[ 'ocsp_plus_retry', '', undef, $number ],
	[ 'ocsp_plus_retry', '5s', undef, $number ],
	[ 'ocsp_plus_retry', '5s 1h 1d', undef, $number ],
	[ 'ocsp_plus_retry', 'soon 1h', 'soon 1h', $retry ],
	[ 'ocsp_plus_retry', '5s later', '5s later', $retry ],
	[ 'ocsp_plus_retry', '0 1h', '0 1h', $retry ],
	[ 'ocsp_plus_retry', '500ms 1h', '500ms 1h', $retry ],
	[ 'ocsp_plus_retry', '1h 5s', '1h 5s', $retry ],

	[ 'ocsp_plus_max_response', '', undef, $number ],
	[ 'ocsp_plus_max_response', '1k 2k', undef, $number ],
	[ 'ocsp_plus_max_response', 'large', undef, $value ],
	[ 'ocsp_plus_max_response', '-1', undef, $value ],
	[ 'ocsp_plus_max_response', '0', '0', $between->(1024, 1048576) ],
	[ 'ocsp_plus_max_response', '1023', '1023',
		$between->(1024, 1048576) ],
	[ 'ocsp_plus_max_response', '2m', '2m', $between->(1024, 1048576) ],

	[ 'ocsp_plus_responder', '', undef, $number ],
	[ 'ocsp_plus_responder', 'ocsp.example', 'ocsp.example',
		qr/no scheme/ ],

	[ 'ocsp_plus_trusted_certificate', '', undef, $number ],
	[ 'ocsp_plus_trusted_certificate', 'a.pem b.pem', undef, $number ],
	[ 'ocsp_plus_trusted_certificate', 'missing.pem', undef,
		qr/missing\.pem.*No such file/ ],

	[ 'ocsp_plus_responder_trusted_certificate', '', undef, $number ],
	[ 'ocsp_plus_responder_trusted_certificate', 'a.pem b.pem', undef,
		$number ],
	[ 'ocsp_plus_responder_trusted_certificate', 'missing.pem', undef,
		qr/missing\.pem.*No such file/ ],

	[ 'ocsp_plus_cache', '', undef, $number ],
	[ 'ocsp_plus_cache', 'a b', undef, $number ],
	[ 'ocsp_plus_cache', '""', undef, qr/takes a path or "off"/ ],

	[ 'ocsp_plus_startup_wait', '', undef, $number ],
	[ 'ocsp_plus_startup_wait', '5s 10s', undef, $number ],
	[ 'ocsp_plus_startup_wait', 'soon', undef, $value ],
	[ 'ocsp_plus_startup_wait', '-1s', undef, $value ],
	[ 'ocsp_plus_startup_wait', 'off', undef, $value ],
	[ 'ocsp_plus_startup_wait', '""', undef, $value ],

	[ 'ocsp_plus_file', '', undef, $number ],

	[ 'ocsp_plus_require', '', undef, $number ],
	[ 'ocsp_plus_require', 'on off', undef, $number ],
	[ 'ocsp_plus_require', 'yes', 'yes', $choices ],
	[ 'ocsp_plus_require', 'must-staple', 'must-staple',
		$choices ],
	[ 'ocsp_plus_require', '""', '', $choices ],

	[ 'ocsp_plus_revoked', '', undef, $number ],
	[ 'ocsp_plus_revoked', 'staple omit', undef, $number ],
	[ 'ocsp_plus_revoked', 'off', 'off', $either ],
	[ 'ocsp_plus_revoked', '""', '', $either ],

	[ 'ocsp_plus_refresh', '', undef, $number ],
	[ 'ocsp_plus_refresh', '5s 1h', undef, $number ],
	(map { [ 'ocsp_plus_refresh', $_, $_, $refresh ] } qw/ 0 4s -1 -5s soon
		on off Auto 999ms 366d 99999999999999999999 5x 1d1h1s1d /),
	[ 'ocsp_plus_refresh', '""', '', $refresh ],

	[ 'ocsp_plus_chain', '', undef, $number ],
	[ 'ocsp_plus_chain', 'all', 'all', $on_off ],
);

# arguments that are fine, as one would write them

my @right = (
	[ 'ocsp_plus', 'on', 'off', 'ON' ],
	[ 'ocsp_plus_zone', 'a:8m', 'ocsp_plus:9000k', 'a:16777216' ],
	[ 'ocsp_plus_resolver', '127.0.0.1', '127.0.0.1:53 [::1]:5353 ::1',
		'ipv6=off', 'ipv4=off', '127.0.0.1 timeout=500ms valid=1h',
		'timeout=2s', 'ipv4=on ipv6=on valid=1d' ],
	[ 'ocsp_plus_proxy', 'off', 'http://proxy.example:3128',
		'http://user:secret@[::1]:3128' ],
	[ 'ocsp_plus_certid', 'sha1', 'auto' ],
	[ 'ocsp_plus_issuer_fetch', 'on', 'off' ],
	[ 'ocsp_plus_timeout', '1ms', '10s', '1h' ],
	[ 'ocsp_plus_concurrency', '1', '512' ],
	[ 'ocsp_plus_retry', '1s 1s', '5s 1h', '1m 1d' ],
	[ 'ocsp_plus_max_response', '1k', '1024', '1m', '100k' ],
	[ 'ocsp_plus_responder', 'http://a.example',
		'http://a.example/ http://b.example:8080/x' ],
	[ 'ocsp_plus_trusted_certificate', 'int.crt' ],
	[ 'ocsp_plus_responder_trusted_certificate', 'int.crt' ],
	[ 'ocsp_plus_cache', 'state', 'off', '%%TESTDIR%%/state/', 'a/b' ],
	[ 'ocsp_plus_startup_wait', '0', '5s', '500ms', '1m' ],
	[ 'ocsp_plus_file', 'int.crt', 'int.crt root.crt' ],
	[ 'ocsp_plus_require', 'off', 'must_staple', 'on' ],
	[ 'ocsp_plus_revoked', 'staple', 'omit' ],
	[ 'ocsp_plus_refresh', 'auto', '5', '5s', '15m', '1h30m', '365d' ],
	[ 'ocsp_plus_chain', 'on', 'off' ],
);

# those of a location

for my $case (
	[ 'ocsp_plus_status', 'xml', 'xml',
		qr/it must be "html", "json", "prometheus" or "ready"/ ],
	[ 'ocsp_plus_status', 'jsonp', 'jsonp',
		qr/it must be "html", "json", "prometheus" or "ready"/ ],
	[ 'ocsp_plus_status', 'html json', undef, $number ],
	[ 'ocsp_plus_control', 'on', undef, $number ],
) {
	my ($name, $arguments, $named, $says) = @$case;
	my $line = refused("$name $arguments",
		location => "$name $arguments;");
	like($line, qr/"\Q$name\E"/,
		"$name $arguments: the message names the directive");
	like($line, qr/"\Q$named\E"/,
		"$name $arguments: the message names the value")
		if defined $named;
	like($line, $says, "$name $arguments: the message says what is right");
}
for my $name (qw/ ocsp_plus_status ocsp_plus_control /) {
	like(refused("$name twice", location => "$name; $name;"),
		qr/"$name" directive is duplicate.*nginx\.conf:\d+$/,
		"$name twice in a location is refused as a duplicate");
	for my $place (qw/ http server main events /) {
		like(refused("$name in $place", $place => "$name;"),
			qr/"$name" directive is not allowed here.*conf:\d+$/,
			"$name in $place is refused");
	}
}
for my $arguments ('', 'html', 'json', 'prometheus', 'ready') {
	configure(location => "ocsp_plus_status $arguments; deny all;");
	ok($t->config_test(), "ocsp_plus_status $arguments is accepted")
		or diag($t->output());
	is(() = $t->output() =~ /\[\w+\]/g, 0,
		"ocsp_plus_status $arguments prints nothing")
		or diag($t->output());
}

my %of_server = map { $_ => 1 } qw/ ocsp_plus ocsp_plus_responder
	ocsp_plus_trusted_certificate ocsp_plus_file ocsp_plus_require
	ocsp_plus_revoked ocsp_plus_refresh ocsp_plus_chain
	ocsp_plus_responder_trusted_certificate /;

for my $case (@wrong) {
	my ($name, $arguments, $named, $says) = @$case;
	my $what = "$name $arguments";
	my $line = refused($what, http => "$name $arguments;");
	like($line, qr/"\Q$name\E"|\Q$name\E directive/,
		"$what: the message names the directive");
	like($line, qr/"\Q$named\E"/,
		"$what: the message names the value") if defined $named;
	like($line, $says, "$what: the message says what is right");
	like($line, qr/nginx\.conf:\d+$/, "$what: the message names the line")
		unless $says =~ /No such/;
}

# where the cache directory would be created
mkdir $t->testdir() . '/a';

for my $case (@right) {
	my ($name, @values) = @$case;
	for my $arguments (@values) {
		configure(http => "$name $arguments;");
		ok($t->config_test(), "$name $arguments is accepted")
			or diag($t->output());
		is(() = $t->output() =~ /\[\w+\]/g, 0,
			"$name $arguments prints nothing")
			or diag($t->output());
	}

	# twice; once more in a server for those of a server

	my $lines = "$name $values[0];";
	my $twice = qr/"\Q$name\E" directive is duplicate.*nginx\.conf:\d+$/;
	like(refused("$name twice", http => "$lines\n$lines"), $twice,
		"$name twice is refused as a duplicate");

	my $here = qr/"\Q$name\E" directive is not allowed here.*conf:\d+$/;
	if ($of_server{$name}) {
		like(refused("$name twice in a server",
			server => "$lines\n$lines"), $twice,
			"$name twice in a server is refused as a duplicate");
		configure(http => $lines, server => $lines);
		ok($t->config_test(),
			"$name in http and in a server is accepted")
			or diag($t->output());
	} else {
		like(refused("$name in a server", server => $lines), $here,
			"$name in a server is refused");
	}
	for my $place (qw/ location main events /) {
		like(refused("$name in $place", $place => $lines), $here,
			"$name in $place is refused");
	}
}

unlike(refused('a wrong proxy with a password',
	http => 'ocsp_plus_proxy http://u:sesame@:1;'),
	qr/sesame/, 'the password of a proxy is not printed');

# as nginx's own resolver is written

configure(http => 'ocsp_plus_resolver [::1];');
my $ok = $t->config_test();
ok($ok, 'ocsp_plus_resolver [::1] is accepted');

like(refused('an unknown directive', http => 'ocsp_plus_nonsense on;'),
	qr/unknown directive "ocsp_plus_nonsense"/,
	'an unknown directive is named');

is($r->stats()->{all}{connections}, 0,
	'no configuration test asks a responder');

$t->done_testing();

###############################################################################

sub configure {
	my %lines = (main => '', events => '', http => '', server => '',
		location => '', @_);
	# other places keep it on, unless it is what the test is about
	my $on = $lines{http} =~ /^ocsp_plus / ? '' : 'ocsp_plus on;';
	$t->write_conf(main => [ $lines{main} ], events => [ $lines{events} ],
		http => [ $on, $lines{http}, [ 8443, $leaf, $lines{server},
			"location / { $lines{location} }" ] ]);
}

# The one message of a refusal.
sub refused {
	my ($what, @lines) = @_;
	configure(@lines);
	my $ok = $t->config_test();
	my @said = $t->output() =~ /^(nginx: \[emerg\] .*)$/mg;
	is(($ok ? 'accepted' : 'refused') . ' ' . scalar @said, 'refused 1',
		"$what is refused with one message") or diag($t->output());
	return $said[0] // '';
}

###############################################################################
