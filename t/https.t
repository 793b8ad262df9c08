#!/usr/bin/perl

# Tests for responders that are reached by https: whom they are checked
# against, by name, and that sessions are resumed.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl http_proxy /);
my $d = $t->testdir();

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');

# the responders' certificates come from other CAs

my $web = Test::Nginx::CA->new($t, 'web', cn => 'Web CA');
my $other = Test::Nginx::CA->new($t, 'other', cn => 'Other CA');
my %front = (
	'fine.test' => $web->leaf('fine.test'),
	'tls12.test' => $web->leaf('tls12.test'),
	'wild.tls.test' => $web->leaf('*.tls.test', file => 'wild'),
	'ended.test' => $web->leaf('ended.test', not_before => -7200,
		not_after => -3600),
	'else.test' => $web->leaf('somewhere-else.test'),
	'foreign.test' => $other->leaf('foreign.test'),
	'old.test' => $web->leaf('old.test'),
	# the name is the common name of the subject alone
	'cn.test' => $web->leaf('cn.test', names => []),
	'cn-ip.test' => $web->leaf('cn-ip.test', names => [ '192.0.2.1' ]),
);

my $dns = Test::Nginx::DNS->start($t, port => 8053,
	zone => { map { $_ => { a => '127.0.0.1' } } keys %front });
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8082 ], addresses => [ '127.0.0.1' ]);

# name of the server, host of its responder, what comes of it

my @cases = (
	[ 'fine', 'fine.test' ],
	[ 'tls12', 'tls12.test' ],
	[ 'wild', 'wild.tls.test' ],
	[ 'aia', 'fine.test' ],
	[ 'ended', 'ended.test', 'tls_certificate', 'certificate has expired' ],
	[ 'else', 'else.test', 'tls_name', '[Hh]ostname mismatch' ],
	[ 'cn', 'cn.test', 'tls_name', '[Hh]ostname mismatch' ],
	[ 'cn-ip', 'cn-ip.test', 'tls_name', '[Hh]ostname mismatch' ],
	[ 'foreign', 'foreign.test', 'tls_certificate', 'local issuer' ],
	[ 'old', 'old.test', 'tls_failed', 'protocol version' ],
	[ 'address', '127.0.0.1', 'tls_name', 'IP address mismatch' ],
	[ 'plain', 'fine.test', 'tls_failed', 'TLS' ],
	# the system's trust store knows nothing of a CA made a moment ago
	[ 'system', 'fine.test', 'tls_certificate', 'issuer' ],
);

my (%leaf, @servers);
# the versions of a port are those of its first server
my %front_port = ('old.test' => 8445, 'tls12.test' => 8446);
my %front_lines = ('old.test' =>
	'ssl_protocols TLSv1.1; ssl_ciphers DEFAULT:@SECLEVEL=0;',
	'tls12.test' => 'ssl_protocols TLSv1.2;');
for my $case (@cases) {
	my ($name, $host) = @$case;
	my $url = $name eq 'plain' ? 'https://127.0.0.1:' . port(8447) . '/'
		: "https://$host:" . port($front_port{$host} || 8444) . '/';
	my $by_aia = $name eq 'aia';
	$leaf{$name} = $int->leaf("$name.example",
		aia => $by_aia ? $url : 'http://127.0.0.1:1/');
	push @servers, [ 8443, $leaf{$name},
		$by_aia ? () : "ocsp_plus_responder $url;", $name eq 'system' ? ()
			: 'ocsp_plus_responder_trusted_certificate web.crt;' ];
}
$t->write_conf(http => [ q{log_format front '$ssl_server_name $ssl_protocol }
	. q{reused=$ssl_session_reused $request_method';},
	'ssl_protocols TLSv1.2 TLSv1.3;', 'ssl_session_cache shared:SSL:1m;',
	# the front of the responders is this very nginx
	'ocsp_plus_startup_wait 0;', 'ocsp_plus_timeout 3s;',
	'ocsp_plus_retry 1s 2s;', "ocsp_plus_resolver @{[ $dns->address() ]};",
	(map { [ $front_port{$_} || 8444, $front{$_}, "server_name $_;",
		$front_lines{$_} // (),
		# the fronts do not want to be stapled themselves
		'ocsp_plus off;',
		'access_log %%TESTDIR%%/front.log front;', 'keepalive_timeout 0;',
		'location / { proxy_pass http://127.0.0.1:8082; }' ]
	} sort keys %front),
	[ 8447, undef ],
	'ocsp_plus on;', @servers ]);
my $conf = $t->read_file('nginx.conf');
$r->validity(next_update => 8);

$t->run();

###############################################################################

for my $case (grep { !$_->[2] } @cases) {
	my ($name, $host) = @$case;
	my $seen = wait_for(sub { staple_fast(8443, "$name.example") }, 15,
		"a staple for $name");
	ok($seen && index($seen, pack 'H*', $leaf{$name}->serial()) > 0,
		"$name: the certificate is stapled by https from $host");
}

for my $case (grep { $_->[2] } @cases) {
	my ($name, $host, $reason, $detail) = @$case;
	my $line = $t->wait_log(qr/no\ response,.*certificate="\Q$name\E\.example/x,
		15) // '';
	like($line, qr/ reason=$reason detail="[^"]*(?:$detail)/,
		"$name: the failed TLS connection is logged with its reason");
	is(staple_fast(8443, "$name.example"), undef,
		"$name: no response is stapled");
}

# SNI went out; the response ends soon, so it is fetched again, over sessions
# that are resumed

my $log = sub { -e "$d/front.log" ? $t->read_file('front.log') : '' };
like($log->(), qr/^fine\.test TLSv1\.3 /m,
	'the https connection uses TLS 1.3 with SNI');
like($log->(), qr/^tls12\.test TLSv1\.2 /m,
	'the https connection uses TLS 1.2 with SNI where TLS 1.3 is missing');
unlike($log->(), qr/^(?:ended|else|foreign|cn|cn-ip)\.test/m,
	'no request is sent to a responder that is not trusted');

# what is signed by nobody is no more welcome by https

$r->fault('broken_signature', on => 1);
ok(wait_for(sub { $t->log_lines(qr/"fine\.example".*reason=bad_signature/) },
	15), 'a response by https is verified like any other');
$r->fault('none', on => 1);

# each fetch takes a connection of its own here

for my $name (qw/ fine.test tls12.test /) {
	ok(wait_for(sub { $log->() =~ /^\Q$name\E \S+ reused=r/m }, 40,
		"a resumed session with $name"),
		"$name: the TLS session is resumed");
}

# what no file is

$conf =~ s/(certificate)(\s+)web\.crt/$1$2missing.pem/;
$t->write_file('nginx.conf', $conf);
ok(!$t->config_test(),
	'a missing ocsp_plus_responder_trusted_certificate is refused');
like($t->output(), qr/missing\.pem.*"ocsp_plus_responder_trusted_certificate"/,
	'the refused file is named with its directive');

$t->done_testing();

###############################################################################
