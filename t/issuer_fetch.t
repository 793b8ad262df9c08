#!/usr/bin/perl

# Tests for "ocsp_plus_issuer_fetch": an issuer that is in no file is fetched
# from where the certificate says, is used only if it is the issuer, and is
# kept for the next start.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Path qw/ remove_tree /;
use JSON::PP;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $cache = "$d/cache";

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $other = $root->intermediate('another');

# as the issuer in all but the key; its leaves say nothing of keys

my $mute = $root->intermediate('mute');
my $forged = $root->intermediate('lookalike', subject_of => $mute);

# responses come from the first port, issuers from the second; the third leads
# in circles

my $r = Test::Nginx::Responder->start($t, ca => [ $int, $mute ],
	ports => [ 8081, 8082, 8083, 8084 ]);
$r->fault('redirect', arg => 'loop', on => 3);

sub pem { return join '', map { $t->read_file($_->cert()) } @_ }

my $chain = $t->write_file('chain.pem', pem($root, $other, $int));
$t->write_file('garbage', "\x30\x82\x01\x00" . "\xff\0" x 200);
$t->write_file('html', "<html><body>Please log in</body></html>\n" x 20);
$t->write_file('huge', $int->der() . "\0" x 70000);
$t->write_file('int.der', $int->der());
$t->write_file('other.der', $other->der());
$t->write_file('forged.der', $forged->der());
for my $form (qw/ DER PEM /) {
	system('openssl', 'crl2pkcs7', '-nocrl', '-certfile', $chain,
		'-outform', $form, '-out', "$d/p7." . lc $form) == 0 or die;
}
$r->serve_file($_, "$d/$_") for qw/ garbage html huge int.der other.der
	forged.der p7.der p7.pem int.crt chain.pem /;

sub file { return $r->url(2, "/files/$_[0]") }

my %urls = (
	der => [ file('int.der') ],
	pem => [ file('int.crt') ],
	many => [ file('chain.pem') ],
	p7c => [ file('p7.der') ],
	'p7c-pem' => [ file('p7.pem') ],
	second => [ 'ldap://127.0.0.1/cn=int',
		$r->url(4, '/files/garbage'), file('int.der') ],
);
my %wrong = (
	other => [ [ file('other.der') ], 'issuer_mismatch' ],
	forged => [ [ file('forged.der') ], 'issuer_mismatch' ],
	garbage => [ [ file('garbage') ], 'issuer_malformed' ],
	portal => [ [ file('html') ], 'issuer_malformed' ],
	huge => [ [ file('huge') ], 'too_large' ],
	loop => [ [ $r->url(3, '/loop') ], 'redirect_limit' ],
	missing => [ [ file('missing') ], 'http_status' ],
);
my %leaf;
for my $name (keys %urls) {
	$leaf{$name} = $int->leaf($name, aia => $r->url(1), chain => 0,
		ca_issuers => $urls{$name});
}
for my $name (keys %wrong) {
	$leaf{$name} = ($name eq 'forged' ? $mute : $int)->leaf($name,
		aia => $r->url(1), chain => 0, ca_issuers => $wrong{$name}[0],
		$name eq 'forged' ? (no_aki => 1) : ());
}
$leaf{nowhere} = $int->leaf('nowhere', aia => $r->url(1), chain => 0,
	ca_issuers => 'ldap://127.0.0.1/cn=int');

###############################################################################

# each form, in time for the first handshake; a cache directory of its own each

for my $name (sort keys %urls) {
	remove_tree($cache);
	configure('60s', $name);
	my $mark = $t->log_mark();
	$t->run();
	my $seen = staple(8443, servername => $name);
	is("$seen->{status} " . ($seen->{serial} // ''),
		'good ' . $leaf{$name}->serial(),
		"$name: the certificate is stapled from the first handshake on");
	my @said = $t->log_lines(qr/: issuer fetched/, $mark);
	is(scalar @said, 1, "$name: the fetched issuer is logged once");
	like($said[0] // '', qr/\[notice\].*incomplete.*certificate="$name".*
		issuer="CN=int"\ url="\Q$urls{$name}[-1]\E"/x,
		"$name: the log names the issuer and its URL");
	is(scalar(issuers()), 1, "$name: the issuer is cached");
	$t->stop();
}

my @warned = $t->log_lines(qr/no issuer found for certificate "der"/);
is(scalar @warned, 1, 'an incomplete chain raises one warning');
like($warned[0] // '', qr/\[warn\].*it is fetched from where .* incomplete/,
	'the warning about an incomplete chain says that the issuer is fetched');

# what is kept is the certificate itself, and it is all that a start needs

my ($kept) = issuers();
is($t->read_file("$cache/$kept"), $int->der(),
	"the cache file is the issuer's certificate");
unlink map { "$cache/$_" } $t->kept();
$r->fault('refuse', on => 2);
configure('60s', 'der');
my $mark = $t->log_mark();
$t->run();
is(staple(8443, servername => 'der')->{status}, 'good',
	"restart: the certificate is stapled while the issuer's host is down");
is(scalar(() = $t->log_lines(qr/issuer fetched/, $mark)), 0,
	'restart: the cached issuer is not fetched again');

# a reload keeps the response, though the master knows no issuer

my $requests = $r->requests(on => 1);
$t->reload();
is(staple(8443, servername => 'der')->{status}, 'good',
	'reload: the certificate is stapled');
is(scalar(() = $r->requests(on => 1)), $requests,
	'reload: no responder is asked');

# the issuer is named now, and then not any more

configure('60s', [ 'der', 'ocsp_plus_trusted_certificate int.crt;' ]);
$t->reload();
is(staple(8443, servername => 'der')->{status}, 'good',
	'issuer now configured: the certificate is stapled after a reload');
configure('60s', 'der');
$t->reload();
is(staple(8443, servername => 'der')->{status}, 'good',
	'issuer no longer configured: the certificate is stapled after a reload');
is(scalar(() = $r->requests(on => 1)), $requests,
	'issuer configured and removed: no responder is asked');

# the response is refreshed by the issuer that was kept

$r->clear();
my $id = $leaf{der}->id();
ok(wait_for(sub { http_post("/control?refresh=$id", '') =~ / 202 / }, 10,
	'a refresh'), 'a refresh by the cached issuer is accepted');
ok($r->wait_requests(1, 10, on => 1),
	'a refresh by the cached issuer asks the responder');
$t->stop();

# a file that is no issuer is as good as none

$r->fault('none', on => 2);
$t->write_file("cache/$kept", $other->der());
unlink map { "$cache/$_" } $t->kept();
$mark = $t->log_mark();
$t->run();
is(staple(8443, servername => 'der')->{status}, 'good',
	'a wrong cached issuer: the certificate is stapled');
is(scalar(() = $t->log_lines(qr/issuer fetched/, $mark)), 1,
	'a wrong cached issuer: the right one is fetched');
ok(wait_for(sub { $t->read_file("$cache/$kept") eq $int->der() }, 10, 'a file'),
	'a wrong cached issuer: its file is replaced');
$t->stop();

###############################################################################

# what is not the issuer is not used, and the log says what it is

remove_tree($cache);
for my $name (sort keys %wrong) {
	my ($urls, $reason) = @{$wrong{$name}};
	configure('5s', $name);
	$mark = $t->log_mark();
	$t->run();
	my ($line) = $t->wait_log(qr/ocsp_plus: no response.*certificate="$name"/,
		10, $mark);
	($line) = $t->log_lines(qr/no response.*certificate="$name"/, $mark);
	like($line // '', qr/\[error\].* reason=$reason
		.*fetching\ the\ issuer\ from\ \Q$urls->[0]\E/x,
		"$name: the log has the reason $reason and the issuer's URL");
	is(staple(8443, servername => $name)->{status}, 'none',
		"$name: no response is stapled");
	$t->stop();
}
is(scalar(issuers()), 0, 'no wrong issuer is cached');

# a host that is back is asked again by itself; the status tells meanwhile

$r->fault('refuse', on => 2);
configure('0', 'der');
$t->run();
$t->wait_log(qr/reason=connect_refused.*fetching the issuer/, 10);
my $shown = shown('der');
is("$shown->{state} $shown->{issuer}", 'pending CN=int',
	'a failing host: the status document says pending and names the issuer');
is($shown->{last_attempt}{result}, 'connect_refused',
	'a failing host: the status document has the reason');
is($shown->{last_attempt}{responder}, undef,
	'a failing host: the status document names no responder');
ok(wait_for(sub { health(2) eq 'failing' }, 10, 'a failing host'),
	'a failing host: the status document lists it as failing');
$r->fault('none', on => 2);
is(wait_staple(8443, 'good', servername => 'der', seconds => 20)->{status},
	'good', 'a recovered host: the certificate is stapled');
is(shown('der')->{state}, 'valid',
	'a recovered host: the status document says valid');
$t->stop();

# one fetch for all certificates of an issuer that come after it

remove_tree($cache);
my @same = map { $_->name() } $int->leaves(20, 'same%d.example',
	aia => $r->url(1), ca_issuers => file('int.der'), chain => 0);
$r->clear();
configure('60s', @same);
$mark = $t->log_mark();
$t->run();
is(without(8443, @same), 0, 'twenty certificates of one issuer are stapled');
is(scalar(() = $t->log_lines(qr/issuer fetched/, $mark)), 1,
	'twenty certificates of one issuer log one fetched issuer');
cmp_ok(scalar(() = $r->requests(on => 2)), '<=', 16,
	'twenty certificates of one issuer do not fetch it twenty times');
$t->stop();

# nowhere to get it

configure('5s', 'nowhere');
$mark = $t->log_mark();
$t->run();
my ($line) = $t->log_lines(qr/no issuer found for certificate/, $mark);
like($line // '', qr/\[error\].*"nowhere".*it gets no staple: append/,
	'an issuer without usable URL raises an error');
is(join(' ', @{shown('nowhere')}{qw/ state reason /}), 'unsupported no_issuer',
	'an issuer without usable URL leaves the certificate unsupported');
$t->stop();

# off

remove_tree($cache);
$r->clear();
configure('5s', 'der', 'pem');
$t->write_file('nginx.conf', $t->read_file('nginx.conf')
	=~ s/ocsp_plus +on;/ocsp_plus on; ocsp_plus_issuer_fetch off;/r);
$mark = $t->log_mark();
$t->run();
is(staple(8443, servername => 'der')->{status}, 'none',
	'issuer_fetch off: no response is stapled');
is(shown('der')->{state}, 'unsupported',
	'issuer_fetch off: the status document says unsupported');
($line) = $t->log_lines(qr/no issuer found for certificate "der"/, $mark);
like($line // '', qr/\[error\].*it gets no staple: append/,
	'issuer_fetch off: an error says what to do');
is(scalar(() = $r->requests()), 0, 'issuer_fetch off: no host is asked');
$t->stop();

# handshakes may be made to depend on it

configure('60s', [ 'der', 'ocsp_plus_require on;' ]);
$t->run();
is(staple(8443, servername => 'der')->{status}, 'good',
	'ocsp_plus_require accepts an issuer that is fetched');
$t->stop();
configure('60s', [ 'nowhere', 'ocsp_plus_require on;' ]);
ok(!$t->config_test(),
	'ocsp_plus_require refuses an issuer without usable URL');
like($t->output(), qr/would refuse every handshake.*no issuer was found/,
	'ocsp_plus_require says that no issuer was found');

###############################################################################

# the command line

remove_tree($cache);
my $tool = $t->build_dir() . '/ocsp-plus';
my $run = $t->command([ $tool, 'fetch', '--cert', "$d/p7c.crt", '-v',
	'--cache', mkdir_of($cache) ]);
is($run->{status}, 0,
	'ocsp-plus fetch succeeds with an incomplete chain') or diag($run->{output});
like($run->{output}, qr/no issuer is known, fetching it from \Q$urls{p7c}[0]\E/,
	"ocsp-plus fetch -v prints the issuer's URL");
like($run->{output}, qr/the issuer is CN=int/,
	"ocsp-plus fetch -v prints the issuer's name");
like($run->{output}, qr/^issuer: +\Q$urls{p7c}[0]\E \(missing in --cert/m,
	'ocsp-plus fetch prints that the chain is incomplete');
is(scalar(issuers()), 1, 'ocsp-plus fetch caches the issuer');
$r->clear();
$run = $t->command([ 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', $tool, 'fetch',
	'--cert', "$d/p7c.crt", '--json', '--cache', $cache ]);
is($run->{status}, 0,
	'a second ocsp-plus fetch succeeds') or diag($run->{output});
is(decode_json($run->{output})->{issuer_url}, undef,
	'a second ocsp-plus fetch uses the cached issuer');
is(scalar(() = $r->requests(on => 2)), 0,
	"a second ocsp-plus fetch does not ask the issuer's host");
$run = $t->command([ $tool, 'fetch', '--cert', "$d/nowhere.crt" ]);
is($run->{status}, 2, 'ocsp-plus fetch fails without usable issuer URL');
$run = $t->command([ $tool, 'fetch', '--cert', $leaf{garbage}->cert() ]);
is($run->{status}, 1, 'ocsp-plus fetch fails with a malformed issuer');
like($run->{output}, qr/issuer_malformed/,
	'ocsp-plus fetch names the reason issuer_malformed');
like($run->{output}, qr/append the issuer/,
	'ocsp-plus fetch says what to do about a malformed issuer');

$t->done_testing();

###############################################################################

sub issuers {
	opendir my $handle, $cache or return ();
	my @names = grep { /^[0-9a-f]{64}\.issuer$/ } readdir $handle;
	return @names;
}

sub mkdir_of {
	my ($directory) = @_;
	mkdir $directory, 0700;
	return $directory;
}

sub status { return http_json('/status') }

sub health {
	my ($i) = @_;
	my ($host) = grep { $_->{host} eq '127.0.0.1:' . $r->port($i) }
		@{status()->{responders}};
	return $host->{state};
}

sub shown {
	my ($name) = @_;
	my ($found) = grep { $_->{id} eq $leaf{$name}->id() }
		@{status()->{certificates}};
	return $found;
}

# servers are names, or [ name, more lines ]
sub configure {
	my ($wait, @servers) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		"ocsp_plus_startup_wait $wait;", 'ocsp_plus_retry 1s 1s;',
		[ 8080, undef, 'location /status { ocsp_plus_status json; }',
			'location /control { ocsp_plus_control; allow all; }' ],
		map { [ 8443, ref $_ ? @$_ : $_ ] } @servers ]);
}

###############################################################################
