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
	write_conf('60s', $name);
	my $mark = $t->log_mark();
	$t->run();
	my $seen = staple(8443, servername => $name);
	is("$seen->{status} " . ($seen->{serial} // ''),
		'good ' . $leaf{$name}->serial(), "$name: stapled from the first on");
	my @said = $t->log_lines(qr/: issuer fetched/, $mark);
	is(scalar @said, 1, "$name: said once");
	like($said[0] // '', qr/\[notice\].*incomplete.*certificate="$name".*
		issuer="CN=int"\ url="\Q$urls{$name}[-1]\E"/x,
		"$name: with what and from where");
	is(scalar(issuers()), 1, "$name: kept");
	$t->stop();
}

my @warned = $t->log_lines(qr/no issuer found for certificate "der"/);
is(scalar @warned, 1, 'the incomplete chain is a warning at configuration');
like($warned[0] // '', qr/\[warn\].*it is fetched from where .* incomplete/,
	'which says what happens');

# what is kept is the certificate itself, and it is all that a start needs

my ($kept) = issuers();
is($t->read_file("$cache/$kept"), $int->der(), 'the certificate is kept');
unlink map { "$cache/$_" } $t->kept();
$r->fault('refuse', on => 2);
write_conf('60s', 'der');
my $mark = $t->log_mark();
$t->run();
is(staple(8443, servername => 'der')->{status}, 'good',
	'restart: the host of the issuer is dead');
is(scalar(() = $t->log_lines(qr/issuer fetched/, $mark)), 0,
	'restart: nothing is fetched');

# a reload keeps the response, though the master knows no issuer

my $requests = $r->requests(on => 1);
$t->reload();
is(staple(8443, servername => 'der')->{status}, 'good', 'reload: stapled');
is(scalar(() = $r->requests(on => 1)), $requests, 'reload: nobody is asked');

# the issuer is named now, and then not any more

write_conf('60s', [ 'der', 'ocsp_plus_trusted_certificate int.crt;' ]);
$t->reload();
is(staple(8443, servername => 'der')->{status}, 'good', 'named: stapled');
write_conf('60s', 'der');
$t->reload();
is(staple(8443, servername => 'der')->{status}, 'good', 'unnamed: stapled');
is(scalar(() = $r->requests(on => 1)), $requests, 'both: nobody is asked');

# the response is refreshed by the issuer that was kept

$r->clear();
my $id = $leaf{der}->id();
ok(wait_for(sub { http_post("/control?refresh=$id", '') =~ / 202 / }, 10,
	'a refresh'), 'refresh');
ok($r->wait_requests(1, 10, on => 1), 'reload: and refreshed');
$t->stop();

# a file that is no issuer is as good as none

$r->fault('none', on => 2);
$t->write_file("cache/$kept", $other->der());
unlink map { "$cache/$_" } $t->kept();
$mark = $t->log_mark();
$t->run();
is(staple(8443, servername => 'der')->{status}, 'good', 'planted: stapled');
is(scalar(() = $t->log_lines(qr/issuer fetched/, $mark)), 1,
	'planted: fetched anew');
ok(wait_for(sub { $t->read_file("$cache/$kept") eq $int->der() }, 10, 'a file'),
	'planted: and replaced');
$t->stop();

###############################################################################

# what is not the issuer is not used, and the log says what it is

remove_tree($cache);
for my $name (sort keys %wrong) {
	my ($urls, $reason) = @{$wrong{$name}};
	write_conf('5s', $name);
	$mark = $t->log_mark();
	$t->run();
	my ($line) = $t->wait_log(qr/ocsp_plus: no response.*certificate="$name"/,
		10, $mark);
	($line) = $t->log_lines(qr/no response.*certificate="$name"/, $mark);
	like($line // '', qr/\[error\].* reason=$reason
		.*fetching\ the\ issuer\ from\ \Q$urls->[0]\E/x, "$name: $reason");
	is(staple(8443, servername => $name)->{status}, 'none',
		"$name: not stapled");
	$t->stop();
}
is(scalar(issuers()), 0, 'nothing of it is kept');

# a host that is back is asked again by itself; the status tells meanwhile

$r->fault('refuse', on => 2);
write_conf('0', 'der');
$t->run();
$t->wait_log(qr/reason=connect_refused.*fetching the issuer/, 10);
my $shown = shown('der');
is("$shown->{state} $shown->{issuer}", 'pending CN=int', 'status: pending');
is($shown->{last_attempt}{result}, 'connect_refused', 'status: why');
is($shown->{last_attempt}{responder}, undef, 'status: no responder was asked');
ok(wait_for(sub { health(2) eq 'failing' }, 10, 'a failing host'),
	'status: the health of that host');
$r->fault('none', on => 2);
is(wait_staple(8443, 'good', servername => 'der', seconds => 20)->{status},
	'good', 'a host that is back');
is(shown('der')->{state}, 'valid', 'status: valid');
$t->stop();

# one fetch for all certificates of an issuer that come after it

remove_tree($cache);
my @same = map { $_->name() } $int->leaves(20, 'same%d.example',
	aia => $r->url(1), ca_issuers => file('int.der'), chain => 0);
$r->clear();
write_conf('60s', @same);
$mark = $t->log_mark();
$t->run();
is(without(8443, @same), 0, 'twenty of one issuer: all stapled');
is(scalar(() = $t->log_lines(qr/issuer fetched/, $mark)), 1,
	'twenty of one issuer: said once');
cmp_ok(scalar(() = $r->requests(on => 2)), '<=', 16,
	'twenty of one issuer: not fetched for each');
$t->stop();

# nowhere to get it

write_conf('5s', 'nowhere');
$mark = $t->log_mark();
$t->run();
my ($line) = $t->log_lines(qr/no issuer found for certificate/, $mark);
like($line // '', qr/"nowhere".*it gets no staple: append/, 'nowhere: warned');
is(shown('nowhere')->{state}, 'unsupported', 'nowhere: status');
$t->stop();

# off

remove_tree($cache);
$r->clear();
write_conf('5s', 'der', 'pem');
$t->write_file('nginx.conf', $t->read_file('nginx.conf')
	=~ s/ocsp_plus +on;/ocsp_plus on; ocsp_plus_issuer_fetch off;/r);
$mark = $t->log_mark();
$t->run();
is(staple(8443, servername => 'der')->{status}, 'none', 'off: not stapled');
is(shown('der')->{state}, 'unsupported', 'off: status');
($line) = $t->log_lines(qr/no issuer found for certificate "der"/, $mark);
like($line // '', qr/it gets no staple: append/, 'off: warned');
is(scalar(() = $r->requests()), 0, 'off: nobody is asked');
$t->stop();

# handshakes may be made to depend on it

write_conf('60s', [ 'der', 'ocsp_plus_require on;' ]);
$t->run();
is(staple(8443, servername => 'der')->{status}, 'good', 'required: stapled');
$t->stop();
write_conf('60s', [ 'nowhere', 'ocsp_plus_require on;' ]);
ok(!$t->config_test(), 'required: an issuer that is nowhere is refused');
like($t->output(), qr/would refuse every handshake.*no issuer was found/,
	'required: and says why');

###############################################################################

# the command line

remove_tree($cache);
my $tool = $t->build_dir() . '/ocsp-plus';
my $run = $t->command([ $tool, 'fetch', '--cert', "$d/p7c.crt", '-v',
	'--cache', mkdir_of($cache) ]);
is($run->{status}, 0, 'fetch: good') or diag($run->{output});
like($run->{output}, qr/no issuer is known, fetching it from \Q$urls{p7c}[0]\E/,
	'fetch -v: from where');
like($run->{output}, qr/the issuer is CN=int/, 'fetch -v: who it is');
like($run->{output}, qr/^issuer: +\Q$urls{p7c}[0]\E \(missing in --cert/m,
	'fetch: says that the chain is incomplete');
is(scalar(issuers()), 1, 'fetch: keeps it beside the response');
$r->clear();
$run = $t->command([ $tool, 'fetch', '--cert', "$d/p7c.crt", '--json',
	'--cache', $cache ]);
is($run->{status}, 0, 'fetch again: good') or diag($run->{output});
is(decode_json($run->{output})->{issuer_url}, undef, 'fetch again: kept');
is(scalar(() = $r->requests(on => 2)), 0, 'fetch again: not fetched');
$run = $t->command([ $tool, 'fetch', '--cert', "$d/nowhere.crt" ]);
is($run->{status}, 2, 'fetch: nowhere to get it');
$run = $t->command([ $tool, 'fetch', '--cert', $leaf{garbage}->cert() ]);
is($run->{status}, 1, 'fetch: garbage');
like($run->{output}, qr/issuer_malformed/, 'fetch: its reason');
like($run->{output}, qr/append the issuer/, 'fetch: and the remedy');

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
sub write_conf {
	my ($wait, @servers) = @_;
	my $servers = '';
	for my $server (@servers) {
		my ($name, $lines) = ref $server ? @$server : ($server, '');
		$servers .= $t->ssl_servers(8443, $name)
			=~ s/(server_name.*)/$1\n        $lines/r;
	}
	$t->write_file_expand('nginx.conf', <<"CONF");

%%TEST_GLOBALS%%

worker_processes  2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus                on;
    ocsp_plus_startup_wait   $wait;
    ocsp_plus_retry          1s 1s;

    server {
        listen  127.0.0.1:8080;
        location /status {
            ocsp_plus_status json;
        }
        location /control {
            ocsp_plus_control;
            allow all;
        }
    }
$servers
}

CONF
}

###############################################################################
