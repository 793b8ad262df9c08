#!/usr/bin/perl

# Tests for "ocsp-plus check --all": every certificate of every server of
# nginx's configuration, as nginx shows it.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';
my $is_root = $> == 0;
my @rights = $is_root ? () : '--unprivileged';

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my %leaf = map { $_->[0] => $int->leaf("$_->[0].example", aia => $r->url(1),
		@$_[1 .. $#$_]) } (
	[ 'one' ],
	[ 'both', key => 'rsa' ],
	[ 'ec', names => [ 'both.example' ] ],
	[ 'behind' ],
	[ 'new' ],
	[ 'revoked' ],
	[ 'wild', names => [ '*.wild.example', 'wild.example' ] ],
	[ 'some', names => [ 'some.example', 'a.some.example' ] ],
	[ 'any', names => [ 'one.example' ] ],
);

configure();
$t->run();
wait_staple($_, 'good', seconds => 20) for 8443, 8444;

my $check = check('--json');
is($check->{status}, 0, 'exit status 0: all is well')
	or diag($check->{output});
my @servers = @{$check->{json}{servers}};
is(join(', ', sort map { $_->{servername} // '' } @servers),
	', a.some.example, behind.example, both.example, ocsp-plus-check.wild.example, one.example',
	'each server is asked for a name that leads to it');
is(join(', ', sort { $a <=> $b } map { $_->{port} } @servers),
	join(', ', map { ($t->port($_->[0])) x $_->[1] }
		sort { $t->port($a->[0]) <=> $t->port($b->[0]) }
		[ 8443, 4 ], [ 8444, 1 ], [ 8446, 1 ]),
	'each server is asked where it listens');
my ($both) = grep { ($_->{servername} // '') eq 'both.example' }
	 @servers;
is(scalar(grep { $_->{finding} eq 'not_shown' } @{$both->{findings}}), 0,
	'both certificates of a pair are seen');
like(check()->{output}, qr/^OCSP OK - 6 servers staple \|/,
	'the first line, of all');

# what a configuration names and nginx does not show yet

configure(one => $leaf{new});
$check = check('--json');
is($check->{status}, 1, 'exit status 1: nginx waits for a reload');
my ($one) = grep { ($_->{servername} // '') eq 'one.example' }
	@{$check->{json}{servers}};
is(join(' ', sort map { $_->{finding} } @{$one->{findings}}),
	'not_configured not_shown ok',
	'the certificate that is shown, and the one that is not');
like((grep { $_->{finding} eq 'not_shown' } @{$one->{findings}})[0]{detail},
	qr/new\.example.*@{[ $leaf{new}->id() ]}/,
	'the certificate that is not shown is named');
like((grep { $_->{finding} eq 'not_configured' }
	@{$one->{findings}})[0]{detail}, qr/one\.example.*waits for a reload/,
	'the certificate that is not configured waits for a reload');

# a revoked one among them

configure(one => $leaf{revoked});
$r->status($leaf{revoked}, 'revoked');
$t->reload();
wait_staple(8443, 'revoked', servername => 'one.example', seconds => 20);
$check = check();
is($check->{status}, 2, 'exit status 2: one is revoked');
like($check->{output}, qr/^OCSP\ CRITICAL\ -\ 1\ of\ 6\ servers;
	\ 127\.0\.0\.1:\d+\ \(one\.example\):\ .*revoked/x,
	'the first line names the server');

# wrong use

for my $case (
	[ 'neither hosts nor --all', [], qr/give either HOST or --all/ ],
	[ 'hosts and --all', [ '--all', 'one.example' ],
		qr/give either HOST or --all/ ],
	[ '--all and a port', [ '--all', '-p', 8443 ], qr/--port excludes --all/ ],
	[ '--all and a name', [ '--all', '--servername', 'one.example' ],
		qr/--all excludes --servername/ ],
	[ 'a configuration without --all', [ '--conf', "$d/nginx.conf",
		'one.example' ], qr/--conf requires --all/ ],
	[ 'no nginx', [ '--all', '--nginx', "$d/none", @rights ],
		qr/none is no program/ ],
	[ 'no such configuration', [ '--all', '--conf', "$d/none.conf",
		'--nginx', Test::Nginx::Config::nginx(), @rights ],
		qr/nginx refuses this configuration: .*none\.conf/ ],
	$is_root ? () : [ 'not root', [ '--all' ], qr/check --all needs root/ ])
{
	my ($what, $arguments, $text) = @$case;
	my $run = $t->command([ $tool, 'check', @$arguments ],
		env => { $t->environment() });
	is($run->{status}, 3, "$what: exit status 3");
	like($run->{output}, qr/^OCSP UNKNOWN - .*$text/, "$what: what is wrong");
}

$t->write_conf(http => [ 'ocsp_plus on;', [ '8443', undef ] ]);
like(check()->{output}, qr/^OCSP UNKNOWN - no http server with/,
	'no server to check');

$t->done_testing();

###############################################################################

sub configure {
	my (%changed) = @_;
	my %use = (%leaf, %changed);
	$t->write_conf(main => [ $is_root ? 'user nobody nogroup;' : () ],
		http => [ 'ocsp_plus on;',
			[ 8443, $use{one}, 'server_name ~^a\d _ one.example;' ],
			[ 8443, [ @use{qw/ both ec /} ], 'server_name both.example;' ],
			[ 8443, $use{wild}, 'server_name *.wild.example;' ],
			[ 8443, $use{some}, 'server_name .some.example;' ],
			[ 8444, $use{any}, 'server_name _;' ],
			[ '8446 ssl proxy_protocol', undef, 'server_name behind.example;',
				'ssl_certificate ' . $leaf{behind}->chain() . ';',
				'ssl_certificate_key ' . $leaf{behind}->key() . ';' ],
			[ '8445' ] ]);
}

sub check {
	my @arguments = @_;
	my $run = $t->command([ $tool, 'check', '--all', '--conf',
		"$d/nginx.conf", '--prefix', "$d/", '--nginx',
		Test::Nginx::Config::nginx(), @rights, @arguments ],
		timeout => 60, env => { $t->environment() });
	$run->{json} = JSON::PP::decode_json($run->{output})
		if grep { $_ eq '--json' } @arguments;
	return $run;
}

###############################################################################
