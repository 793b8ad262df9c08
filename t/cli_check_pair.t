#!/usr/bin/perl

# Tests for "ocsp-plus check": servers with an RSA and an ECDSA certificate,
# whose certificate it is, several servers, and the options of monitoring
# plugins.

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

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
$r->fault('refuse', on => 2);

# For each case: what the responder says of the RSA and of the ECDSA
# certificate, lines of the server, exit status, the gravest finding, which
# certificate it is about

my @cases = (
	[ both => 'good', 'good', '', 0, 'ok',
		qr/^ECDSA P-256: staple good/ ],
	[ twin => 'revoked', 'good', '', 2, 'revoked', qr/^RSA 2048: / ],
	[ other => 'good', 'revoked', '', 2, 'revoked', qr/^ECDSA P-256: / ],
	[ older => 'revoked', 'good', 'ssl_protocols TLSv1.2;', 2, 'revoked',
		qr/^RSA 2048: / ],
	[ newer => 'revoked', 'good', 'ssl_protocols TLSv1.3;', 2, 'revoked',
		qr/^RSA 2048: / ],
	[ rsa => 'good', undef, '', 0, 'ok', qr/^staple good/ ],
	[ ecdsa => undef, 'good', '', 0, 'ok', qr/^staple good/ ],
	[ refused => 'none', 'good', 'ocsp_plus_require on;', 2,
		'handshake_refused', qr/refuses clients that ask/ ],
);

my $port = 8443;
my (%leaf, %port, @servers);
for my $case (@cases) {
	my ($name, $rsa, $ecdsa, $lines) = @$case;
	my @certificates;
	for my $kind ([ rsa => $rsa ], [ ec => $ecdsa ]) {
		my ($key, $status) = @$kind;
		next unless defined $status;
		my $leaf = $int->leaf("$name.example", file => "$name-$key",
			key => $key, aia => $r->url($status eq 'none' ? 2 : 1));
		$r->status($leaf, $status) if $status ne 'none';
		$leaf{$name}{$key} = $leaf;
		push @certificates, $leaf;
	}
	push @servers, [ $port, \@certificates, $lines ];
	$port{$name} = $port++;
}
my $bar = $int->leaf('bar', cn => 'a|b', names => [ 'a|b.example' ],
	aia => $r->url());
push @servers, [ $port, $bar ];
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 2s;',
	'ssl_protocols TLSv1.2 TLSv1.3;', @servers ]);
$t->run();

###############################################################################

my @words = qw/ OK WARNING CRITICAL UNKNOWN /;
for my $case (@cases) {
	my ($name, undef, undef, $lines, $status, $finding, $says) = @$case;
	my ($run, $json) = check(address($name), '--servername',
		"$name.example");
	is($run->{status}, $status, "$name: exit status $status")
		or diag($run->{output});
	my $gravest = $json->{findings}[0];
	is($gravest->{finding}, $finding, "$name: the finding is $finding");
	like($gravest->{detail}, $says, "$name: the finding names the key");

	# the handshakes by the server's choice come first

	my @shakes = @{$json->{handshakes}};
	is("$shakes[0]{tls} $shakes[1]{tls}", '1.2 1.3',
		"$name: TLS 1.2 and 1.3 are the first handshakes");
	my %seen = map { $_->{certificate}
		? ($_->{certificate}{key} => $_->{certificate}{id}) : () }
		@shakes;
	my %wanted = map { ($_ eq 'rsa' ? 'RSA 2048' : 'ECDSA P-256')
		=> $leaf{$name}{$_}->id() } keys %{$leaf{$name}};
	delete $wanted{'RSA 2048'} if $name eq 'refused';
	is_deeply(\%seen, \%wanted, "$name: each certificate is seen");
	is(scalar(@shakes), $name =~ /^(?:rsa|ecdsa)$/ ? 2
		: $lines =~ /protocols/ ? 3 : 4,
		"$name: there is no handshake that tells nothing");

	# each line names the certificate

	$run = run(address($name), '--servername', "$name.example");
	like($run->{output}, qr/\AOCSP $words[$status] - /,
		"$name: the text has the same status");
	for my $key (keys %{$leaf{$name}}) {
		next if $name eq 'refused' && $key eq 'rsa';
		my $text = $key eq 'rsa' ? 'RSA 2048' : 'ECDSA P-256';
		my $serial = $leaf{$name}{$key}->serial();
		like($run->{output}, qr/^TLS\ 1\.[23],\ CN=\Q$name\E\.example,
			\ \Q$text\E,\ serial\ 0*$serial:\ \S/mx,
			"$name: a line names subject, key and serial ($text)");
	}
}

###############################################################################

# whose certificate it is

for my $case ([ 0, 'ok', 'both.example' ],
	[ 1, 'name_mismatch', 'www.example' ],
	[ 2, 'revoked', 'www.example', 'twin' ])
{
	my ($status, $finding, $servername, $server) = @$case;
	my ($run, $json) = check(address($server || 'both'), '--servername',
		$servername);
	is("$run->{status} $json->{findings}[0]{finding}", "$status $finding",
		"--servername $servername: $finding");
}
my ($run, $json) = check(address('both'), '--servername', 'www.example');
like($json->{findings}[0]{detail}, qr/is\ for\ "both\.example",\ not\ for
	\ "www\.example"/x, 'a name mismatch says which names differ');
($run, $json) = check(address('both'));
is($run->{status}, 0, 'without a name none is compared');

# a bar in a name begins no performance data

$run = run('127.0.0.1:' . port($port), '--servername', 'www.example');
like($run->{output}, qr/is for "a b\.example".* \| expires_in=.*CN=a b,/s,
	'a bar in a name is left out');
is(scalar(() = $run->{output} =~ /\|/g), 1, 'there is one bar');

###############################################################################

# several servers, and options as monitoring plugins have them

$run = run(address('both'), address('twin'), address('rsa'));
is($run->{status}, 2, 'several servers: the exit status is the gravest');
my ($first, @lines) = split /\n/, $run->{output};
my $label = qr/'127\.0\.0\.1:\d+ expires_in'/;
my $value = qr/=\d+s;\d+:;\d+:;0;\d+/;
like($first, qr/\AOCSP CRITICAL - 1 of 3 servers; \Q@{[ address('twin') ]}\E:/,
	'several servers: the first line names those that are not ok');
like($first, qr/ \|(?: $label$value){3}\z/,
	'several servers: each has performance data');
is(scalar(grep { !/^127\.0\.0\.1:\d+, TLS 1\.[23], / } @lines), 0,
	'several servers: each line names the server');
($run, $json) = check(address('both'), address('twin'));
is(join(' ', sort keys %$json), 'servers status',
	'several servers are one JSON document');
is(join(' ', map { $_->{status} } @{$json->{servers}}), 'OK CRITICAL',
	'several servers: each has its status in the JSON');
like(run(address('both'), address('rsa'))->{output},
	qr/\AOCSP OK - 2 servers staple \|/, 'several servers that are ok');

like(run(address('both'), address('rsa'), '--servername', "a'=9|b'=8\n")
	->{output}, qr/\A[^\n]* \|(?: '127\.0\.0\.1:\d+ \(a'' 9 b'' 8\\x0a\) expires_in'$value){2}\n[^|]*\z/,
	'several servers: a name is a part of its label');

is(run('-H', '127.0.0.1', '-p', port($port{both}), '-w', '20%', '-c', '5%',
	'-t', '20')->{status}, 0, '-H, -p, -w, -c and -t');
is(run('-H', '127.0.0.1', '-p', port($port{twin}))->{status}, 2,
	'-p selects the server');
is(run('-H', '127.0.0.1', '-p', port($port{both}), '-w', '400d')->{status}, 1,
	'-w is the warning threshold');
is(run('-H', '127.0.0.1', '-p', port($port{both}), '-c', '400d')->{status}, 2,
	'-c is the critical threshold');
$run = run('-H', '127.0.0.1', '-p', port(8081), '-t', '1');
is($run->{status}, 3, '-t: no answer in time');

$t->done_testing();

###############################################################################

sub address {
	my ($name) = @_;
	return '127.0.0.1:' . port($port{$name});
}

sub run {
	return $t->command([ $tool, 'check', @_ ], timeout => 30);
}

sub check {
	my $run = run(@_, '--json');
	return ($run, eval { JSON::PP::decode_json($run->{output}) } || {});
}

###############################################################################
