#!/usr/bin/perl

# Tests for "ocsp-plus check": what it makes of servers that staple well, not
# at all, or the wrong thing.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $other = Test::Nginx::CA->new($t, 'other');
my $r = Test::Nginx::Responder->start($t, ca => [ $root, $int ],
	ports => [ 8081, 8082 ]);
my @aia = (aia => $r->url());

# nginx's built-in stapling sends whatever its file holds.  For each case: the
# leaf's options, the settings of the responder that make the response (none:
# no staple), lines of the server, arguments, exit code, the gravest finding

my @cases = (
	{ name => 'good', response => {}, code => 0, finding => 'ok' },
	{ name => 'delegated', response => { signer => 'delegated' },
		code => 0, finding => 'ok' },

	# left: 30, 20 and 5 of 100

	{ name => 'third', response => { this_update => -70 * 3600,
		next_update => 30 * 3600 }, code => 0, finding => 'ok' },
	{ name => 'warned', response => { this_update => -80 * 3600,
		next_update => 20 * 3600 }, code => 1, finding => 'ends_soon' },
	{ name => 'grave', response => { this_update => -95 * 3600,
		next_update => 5 * 3600 }, code => 2, finding => 'ends_soon' },
	{ name => 'part', response => { this_update => -80 * 3600,
		next_update => 20 * 3600 }, code => 2, finding => 'ends_soon',
		arguments => [ '-w', '40%', '-c', '30%' ] },
	{ name => 'mixed', response => { this_update => -80 * 3600,
		next_update => 20 * 3600 }, code => 1, finding => 'ends_soon',
		arguments => [ '-w', '24h', '-c', '10%' ] },

	# a default is not above what is given

	{ name => 'small', response => { this_update => -92 * 3600,
		next_update => 8 * 3600 }, code => 0, finding => 'ok',
		arguments => [ '--warn', '6h' ] },
	{ name => 'bounds', response => { next_update => 12 * 3600 },
		arguments => [ '--warn', '600', '--critical', '5m' ],
		code => 0, finding => 'ok' },
	{ name => 'week', response => { next_update => 86400 * 7 },
		arguments => [ '--warn', '30d', '--critical', '8d' ],
		code => 2, finding => 'ends_soon' },
	{ name => 'old', response => { this_update => -7200 },
		arguments => [ '--max-age', '1h' ], code => 1,
		finding => 'status_old' },
	{ name => 'young', response => { this_update => -7200 },
		arguments => [ '--max-age', '3h' ], code => 0, finding => 'ok' },
	{ name => 'none', code => 2, finding => 'no_staple' },
	{ name => 'must', leaf => [ must_staple => 1 ], code => 2,
		finding => 'must_staple_missing' },
	{ name => 'mute', leaf => [ aia => [] ], code => 1,
		finding => 'no_responder' },
	{ name => 'past', leaf => [ not_after => -60 ], code => 2,
		finding => 'certificate_expired' },
	{ name => 'lonely', leaf => [ chain => 0 ], code => 2,
		finding => 'no_staple', also => 'chain_without_issuer' },
	{ name => 'expired', response => { fault => 'expired' }, code => 2,
		finding => 'expired' },
	{ name => 'early', response => { fault => 'future' }, code => 2,
		finding => qr/_in_future$/ },
	{ name => 'serial', response => { fault => 'other_serial' },
		code => 2, finding => 'other_serial' },
	{ name => 'issuer', response => { fault => 'other_issuer' },
		code => 2, finding => 'other_issuer' },
	{ name => 'forged', response => { fault => 'broken_signature' },
		code => 2, finding => 'bad_signature' },
	{ name => 'foreign', response => { fault => 'foreign_signer' },
		code => 2, finding => qr/^signer_|^bad_signature$/ },
	{ name => 'revoked', response => { status => 'revoked',
		revoked_at => time() - 60 }, code => 2, finding => 'revoked' },
	{ name => 'unknown', response => { status => 'unknown' }, code => 2,
		finding => 'unknown' },

	# chains

	{ name => 'alone', leaf => [ chain => 0 ], response => {}, code => 3,
		finding => 'no_issuer' },
	{ name => 'known', leaf => [ chain => 0 ], response => {}, code => 1,
		arguments => [ '--cafile', $int->cert() ],
		finding => 'chain_without_issuer' },
	{ name => 'root', ca => $root, leaf => [ chain => 0 ], response => {},
		arguments => [ '--cafile', $root->cert() ], code => 0,
		finding => 'ok' },
	{ name => 'trusted', response => {}, code => 0, finding => 'ok',
		arguments => [ '--cafile', $root->cert() ] },
	{ name => 'distrusted', response => {}, code => 2,
		finding => 'chain_not_trusted',
		arguments => [ '--cafile', $other->cert() ] },

	# versions of TLS

	{ name => 'tls12', response => {}, conf => 'ssl_protocols TLSv1.2;',
		code => 0, finding => 'ok' },
	{ name => 'tls13', response => {}, conf => 'ssl_protocols TLSv1.3;',
		code => 0, finding => 'ok' },

	# a server that asks for a certificate

	{ name => 'mutual', response => {}, conf => 'ssl_verify_client on; '
		. 'ssl_client_certificate root.crt;', code => 0,
		finding => 'ok' },

	# the module

	{ name => 'module', module => 1, code => 0, finding => 'ok' },
	{ name => 'required', module => 1, leaf => [ aia => $r->url(2) ],
		conf => 'ocsp_plus_require on;', code => 2,
		finding => 'handshake_refused' },
);

$r->add_signer($int->responder_cert('delegated'));
$r->fault('refuse', on => 2);

my $port = 8443;
my @servers;
for my $case (@cases) {
	my $name = $case->{name};
	my $leaf = $case->{cert} = ($case->{ca} || $int)->leaf("$name.example",
		@aia, @{$case->{leaf} || []});
	$case->{port} = $port++;
	my @conf = $case->{conf} || ();
	push @conf, 'ocsp_plus on;' if $case->{module};
	if (my $settings = $case->{response}) {
		$r->set(%$settings, leaf => $leaf) if %$settings;
		$t->write_file("$name.der", $r->response($leaf));
		push @conf, 'ssl_stapling on;', "ssl_stapling_file $name.der;";
	}
	push @servers, [ $case->{port}, $leaf, @conf ];
}
my ($named) = grep { $_->{name} eq 'revoked' } @cases;

$t->write_conf(http => [ 'ocsp_plus_startup_wait 1s;',
	'ssl_protocols TLSv1.2 TLSv1.3;', @servers,
	map { [ $port, "$_.example", 'ssl_stapling on;',
		"ssl_stapling_file $_.der;" ] } qw/ good revoked / ]);

$t->run();

###############################################################################

my $listeners = 0;
my @words = qw/ OK WARNING CRITICAL UNKNOWN /;

for my $case (@cases) {
	my ($name, $code, $finding) = @$case{qw/ name code finding /};
	my $sent = $case->{response} || $case->{module};
	if ($name eq 'serial' && !defined staple_fast($case->{port})) {
		note('the server leaves out a response for another serial, as'
			. ' OpenSSL does from 3.6 on');
		($finding, $sent) = ('no_staple', 0);
	}
	my @arguments = @{$case->{arguments} || []};
	my ($run, $json) = check($case->{port}, @arguments);

	is($run->{status}, $code,
		"$name: the exit code is $code") or diag($run->{output});
	is($json->{status}, $words[$code],
		"$name: the JSON status is $words[$code]");
	my $gravest = $json->{findings}[0];
	ref $finding ? like($gravest->{finding}, $finding,
		"$name: the first finding matches $finding")
		: is($gravest->{finding}, $finding,
			"$name: the first finding is $finding");
	is($gravest->{status}, $words[$code],
		"$name: the first finding decides the status");
	ok(scalar(grep { $_->{finding} eq $case->{also} } @{$json->{findings}}),
		"$name: $case->{also} is found as well") if $case->{also};
	like($gravest->{detail}, qr/\w/,
		"$name: the first finding has a detail");

	for my $handshake (@{$json->{handshakes}}) {
		my $version = "$name: TLS $handshake->{tls}";
		my $certificate = $handshake->{certificate};
		if ($name eq 'tls' . ($handshake->{tls} eq '1.2' ? 13 : 12)) {
			is("@{$handshake->{findings}}", 'tls_not_supported',
				"$version is reported as not supported");
			next;
		}
		if ($finding eq 'handshake_refused') {
			is($certificate, undef,
				"$version shows no certificate after a refused handshake");
			next;
		}
		is($certificate->{id}, $case->{cert}->id(),
			"$version shows the server's certificate");
		ok(!!$handshake->{stapled} == !!$sent,
			"$version shows whether a staple was sent");
		is($handshake->{staple}{reason}, $finding,
			"$version judges the staple")
			if $handshake->{staple} && !ref $finding
			&& $finding !~ /soon|_old|chain/;
	}

	# the same in words

	$run = $t->command([ $tool, 'check', address($case->{port}),
		@arguments ]);
	is($run->{status}, $code,
		"$name: the exit code of the text form is $code");
	like($run->{output}, qr/\AOCSP $words[$code] - 127\.0\.0\.1:\d+: \S/,
		"$name: the text form begins with the status");
	is(scalar($run->{output} =~ /\A.*\ \|\ expires_in=\d+s;\d+:;\d+:;0;\d+\n/x),
		$json->{expires_in} ? 1 : '',
		"$name: the text form has performance data");
}

# ends in time

my ($case) = grep { $_->{name} eq 'good' } @cases;
my ($run, $json) = check($case->{port});
my $staple = $json->{handshakes}[0]{staple};
is($json->{expires}, $staple->{expires}, 'the result expires with its staple');
cmp_ok(abs($json->{expires_in} - 7 * 86400), '<', 300,
	'expires_in is the time left');
is(join(' ', sort keys %$staple), 'cert_status detail expires next_update'
	. ' reason this_update verdict',
	'the staple has the members that "verify" prints');
is(join(' ', sort keys %$json), 'expires expires_in findings handshakes host'
	. ' port servername status', 'the JSON has the documented members');

# names

($run, $json) = check($port);
is($json->{findings}[0]{finding}, 'ok',
	'a check of an address sends no server name');
($run, $json) = check($port, '--servername', 'revoked.example');
is($json->{findings}[0]{finding}, 'revoked',
	'--servername selects the certificate');
is($json->{handshakes}[1]{certificate}{id}, $named->{cert}->id(),
	'--servername shows the named certificate');
SKIP: {
	skip 'no localhost', 1 unless gethostbyname 'localhost';
	$run = $t->command([ $tool, 'check', 'localhost:' . port($port) ]);
	like($run->{output}, qr/is\ for\ "good\.example",\ not\ for
		\ "localhost"/x, 'a host name is resolved, and compared');
}

# steps

$run = $t->command([ $tool, 'check', address($case->{port}), '-v' ]);
like($run->{output}, qr/^ *\d+ ms  TLS $_: connecting to 127\.0\.0\.1:\d+$/m,
	"-v prints the connection for TLS $_") for '1.2', '1.3';
like($run->{output}, qr/TLS 1\.3: 2 certificates, a staple of \d+ bytes/,
	'-v prints what the server sent');

###############################################################################

# a server whose versions differ: by the first message, to one server or the
# other

my %to = map { $_->{name} => port($_->{port}) } @cases;
for my $pair ([ 'good', 'none', 'no_staple' ], [ 'none', 'good', 'no_staple' ],
	[ 'good', 'revoked', 'revoked' ], [ 'good', 'mute', 'no_responder' ])
{
	my ($older, $newer, $finding) = @$pair;
	my ($number, $splitter) = splitter($to{$older}, $to{$newer});
	($run, $json) = check($number);
	my %found = map { $_->{finding} => $_ } @{$json->{findings}};
	ok($found{$finding},
		"$older by TLS 1.2, $newer by TLS 1.3: $finding is found");
	is($found{tls_versions_differ}{status}, 'WARNING',
		"$older by TLS 1.2, $newer by TLS 1.3: a warning says that they differ");
	like($found{tls_versions_differ}{detail} // '',
		qr/TLS 1\.2 and TLS 1\.3 differ: .+ and .+/,
		"$older by TLS 1.2, $newer by TLS 1.3: the detail says how they differ");
	$t->stop_daemons($splitter);
}

###############################################################################

# no server, or none that speaks TLS

$r->fault('hang_after_connect', on => 1);
for my $case (
	[ 'no listener', 8999, 3, 'connect_refused' ],
	[ 'no answer', 8081, 3, 'timeout', '--timeout', '1s' ],
	[ 'HTTP without TLS', 'http', 3, 'not_tls' ],
	[ 'another protocol', 'ssh', 3, 'handshake_failed' ],
	[ 'a connection that is closed', 'end', 3, 'handshake_failed' ])
{
	my ($what, $where, $code, $finding, @arguments) = @$case;
	my $daemon;
	($where, $daemon) = speaker($where) if $where =~ /\D/;
	($run, $json) = check($where, @arguments);
	is("$run->{status} $json->{findings}[0]{finding}", "$code $finding",
		"$what: exit code $code, finding $finding") or diag($run->{output});
	is($json->{expires}, undef, "$what: nothing expires");
	$t->stop_daemons($daemon) if $daemon;
}
$r->fault('none', on => 1);
$run = $t->command([ $tool, 'check', 'no.such.host.invalid', '--json',
	'--timeout', '5s' ]);
is($run->{status}, 3, 'an unknown host name exits with 3');
like($run->{output}, qr/"finding": "dns_\w+"/,
	'an unknown host name has a DNS finding');

# wrong use is nothing to tell either

for my $misuse ([ 'no host', qr/give either HOST or --all/ ],
	[ 'a URL', qr!https://x/ is no host; give it like!, 'https://x/' ],
	[ 'a port that is none', qr/is no host/, 'localhost:port' ],
	[ 'a port out of range', qr/--port/, 'x', '-p', '65536' ],
	[ 'two ports', qr/x:1 names another port than --port 2/, 'x:1', '-p', 2 ],
	[ 'a time that is none', qr/is no time/, 'x', '--warn', 'soon' ],
	[ 'a part that is none', qr/is no time/, 'x', '--warn', '101%' ],
	[ 'half a part', qr/is no time/, 'x', '-c', '%' ],
	[ 'thresholds in the wrong order', qr/--warn is below --critical/, 'x',
		'--warn', '6h', '--critical', '24h' ],
	[ 'parts in the wrong order', qr/--warn is below --critical/, 'x',
		'-w', '10%', '-c', '25%' ],
	[ 'a bar', qr/a b is no host/, 'a|b' ],
	[ 'no CA file', qr!\Q$d\E/nofile.*No such file!, 'x', '--cafile',
		"$d/nofile" ],
	[ 'an unknown option', qr/--nonsense/, 'x', '--nonsense' ])
{
	my ($what, $says, @arguments) = @$misuse;
	$run = $t->command([ 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', $tool,
		'check', @arguments ]);
	is($run->{status}, 3, "$what exits with 3");
	like($run->{output}, qr/\AOCSP UNKNOWN - [^\n|]*$says[^\n|]*\n\z/,
		"$what is explained in one line on standard output");
}
like($t->command([ $tool, 'check', '-V' ])->{output}, qr/\Aocsp-plus \d/,
	'-V prints the version');

$t->done_testing();

###############################################################################

sub address {
	my ($number) = @_;
	return '127.0.0.1:' . port($number);
}

sub check {
	my ($number, @arguments) = @_;
	my $run = $t->command([ $tool, 'check', address($number), '--json',
		@arguments ], timeout => 30);
	return ($run, eval { JSON::PP::decode_json($run->{output}) } || {});
}

# TLS 1.3 is what names it in supported_versions.
sub splitter {
	my ($older, $newer) = @_;
	return listener(sub {
		my ($client) = @_;
		sysread $client, my $hello, 65536;
		my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
			PeerPort => $hello =~ /\x00\x2b\x00\x03\x02\x03\x04/
				? $newer : $older) or return;
		syswrite $server, $hello;
		my $select = IO::Select->new($client, $server);
		while (my @ready = $select->can_read()) {
			for my $from (@ready) {
				sysread $from, my $bytes, 65536 or return;
				syswrite $from == $client ? $server : $client,
					$bytes;
			}
		}
	});
}

# What is no TLS.
sub speaker {
	my ($what) = @_;
	return listener(sub {
		my ($client) = @_;
		sysread $client, my $hello, 65536;
		syswrite $client, "HTTP/1.1 400 Bad Request\r\n\r\n"
			if $what eq 'http';
		syswrite $client, "SSH-2.0-OpenSSH\r\n" if $what eq 'ssh';
	});
}

# On a port of its own, since who serves a client may outlive who listened.
sub listener {
	my ($serve) = @_;
	my $number = 8970 + $listeners++;
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
		LocalPort => port($number), Listen => 5, ReuseAddr => 1)
		or die "listen: $!";
	return ($number, $t->run_daemon(sub {
		local $SIG{CHLD} = 'IGNORE';
		while (my $client = $socket->accept()) {
			next if fork();
			$serve->($client);
			POSIX::_exit(0);
		}
	}));
}

###############################################################################
