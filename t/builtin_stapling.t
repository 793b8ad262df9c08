#!/usr/bin/perl

# Tests for nginx's built-in stapling next to ocsp_plus: it goes on where
# ocsp_plus is off, and gives way where both are on.

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
my @aia = (aia => $r->url());

my $off = $int->leaf('off.example', @aia);
my $both = $int->leaf('both.example', @aia);
my $shared = $int->leaf('shared.example', @aia);

# responses of the day before, for stapling from a file

$r->validity(this_update => -86400);
for my $leaf ($off, $both) {
	$t->command([ 'openssl', 'ocsp', '-issuer', $int->cert(), '-cert',
		$leaf->cert(), '-url', $r->url(), '-no_nonce', '-noverify',
		'-respout', $t->testdir() . '/' . $leaf->name() . '.der' ]);
}
$r->reset();
$r->clear();

$t->write_conf(http => [ 'ocsp_plus on;', 'ssl_stapling  on;',
	# the built-in one alone
	[ 8443, 'off.example', 'ssl_stapling_file off.example.der;',
		'ocsp_plus off;' ],
	[ 8444, 'off.example', 'ocsp_plus off;' ],
	# both
	[ 8445, 'both.example', 'ssl_stapling_file both.example.der;' ],
	[ 8446, 'both.example', 'ssl_stapling_verify on;',
		'ssl_stapling_responder http://127.0.0.1:8082/;',
		'ssl_trusted_certificate root.crt;' ],
	# one certificate, in one server so and in the other so
	[ 8447, 'shared.example' ],
	[ 8448, 'shared.example', 'ocsp_plus off;' ],
	# neither
	[ 8449, 'shared.example', 'ocsp_plus off;', 'ssl_stapling off;' ] ]);

my $conf = $t->read_file('nginx.conf');
$t->run();

###############################################################################

my $yesterday = time() - 80000;

# where it is off

my $seen = staple(8443);
is(said($seen), 'good ' . $off->serial(),
	'built-in stapling from a file works where ocsp_plus is off');
cmp_ok($seen->{this_update}, '<', $yesterday,
	'built-in stapling sends the response of its file');
is($r->requests(leaf => $off), 0,
	'no responder is asked for a certificate with ssl_stapling_file');

is(said(wait_staple(8444, 'good', seconds => 30)), 'good ' . $off->serial(),
	'built-in stapling from a responder works where ocsp_plus is off');
is($r->requests(leaf => $off), 1,
	'nginx itself asks the responder once where ocsp_plus is off');

is(staple(8449)->{status}, 'none',
	'a server with both switched off sends no staple');

# where both are on

$seen = wait_staple(8445, 'good', seconds => 30);
is(said($seen), 'good ' . $both->serial(),
	'ocsp_plus staples where both are on and ssl_stapling_file is set');
cmp_ok($seen->{this_update} // 0, '>', $yesterday,
	'ocsp_plus sends its own response rather than that of ssl_stapling_file');
is(said(wait_staple(8446, 'good', seconds => 30)), 'good ' . $both->serial(),
	'ocsp_plus staples where both are on and ssl_stapling_responder is set');
is(staple(8446)->{status}, 'good',
	'ocsp_plus staples a second handshake where both are on');
is($r->requests(leaf => $both), 1,
	'built-in stapling asks no responder where ocsp_plus is on');

# the same certificate here and there

is(said(wait_staple(8447, 'good', seconds => 30)), 'good ' . $shared->serial(),
	'ocsp_plus staples a certificate that another server leaves to nginx');
is(said(wait_staple(8448, 'good', seconds => 30)), 'good ' . $shared->serial(),
	'built-in stapling works for a certificate that ocsp_plus staples elsewhere');
is($r->requests(leaf => $shared), 2,
	'ocsp_plus and built-in stapling ask once each for a shared certificate');

# what was said

my @lines = $t->log_lines(qr/\[warn\].*"ssl_stapling"/);
is(scalar @lines, 1,
	'nginx warns once that ssl_stapling is ignored, for all servers');
like($lines[0] // '', qr/is ignored where "ocsp_plus" is on.*nginx\.conf:\d+/,
	'the warning about ssl_stapling says why and names a line');
my ($number) = ($lines[0] // '') =~ /nginx\.conf:(\d+)/;
like(join("\n", (split /\n/, $conf)[($number // 1) - 1 .. ($number // 1) + 1]),
	qr/server \{\s+listen.*\s+server_name +both/,
	'the warning about ssl_stapling names the first server with both on');

for my $left ([ ssl_stapling_file => 'ocsp_plus_file', 8445 ],
	[ ssl_stapling_responder => 'ocsp_plus_responder', 8446 ])
{
	my ($old, $new, $port) = @$left;
	@lines = $t->log_lines(qr/\[warn\].*"$old"/);
	is(scalar @lines, 1, "nginx warns once that $old is ignored");
	like($lines[0] // '', qr/is ignored where "ocsp_plus" is on,.*"$new"/,
		"the warning about $old names $new");
	($number) = ($lines[0] // '') =~ /nginx\.conf:(\d+)/;
	my $listens = port($port);
	like(join("\n", (split /\n/, $conf)[($number // 1) - 1 .. ($number // 1)]),
		qr/listen\s+\S*:$listens /,
		"the warning about $old names the first server that has it");
}

unlink $t->testdir() . '/both.example.der';
ok(!$t->config_test(), 'nginx opens a file of ssl_stapling_file all the same');
like($t->output(), qr/BIO_new_file\("[^"]*both\.example\.der"\) failed/,
	'nginx names the missing file in the words of the documentation');
$conf =~ s/ssl_stapling  on;//;
$t->write_file('nginx.conf', $conf);
ok($t->config_test(),
	'the configuration without ssl_stapling is accepted, and without that file');
unlike($t->output(), qr/has taken over/,
	'nginx does not warn without ssl_stapling');
like($t->output(), qr/\[warn\].*"ssl_stapling_responder"/,
	'nginx warns of ssl_stapling_responder without ssl_stapling');
$conf =~ s/ssl_stapling_(?:file|responder) [^;]*;//g;
$t->write_file('nginx.conf', $conf);
ok($t->config_test(), 'the configuration without any of them is accepted');
unlike($t->output(), qr/\[warn\].*ssl_stapling/,
	'nginx does not warn where nothing is left over');

$t->done_testing();

###############################################################################

sub said {
	my ($seen) = @_;
	return "$seen->{status} " . ($seen->{serial} // '');
}

###############################################################################
