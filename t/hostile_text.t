#!/usr/bin/perl

# Tests for what others wrote and people read: neither the log nor the status
# nor the command line shows a control or format character of a certificate or
# of a file's name, which could move a cursor, forge a line or turn the
# direction of writing.

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
my $dir = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

# next line, control sequence introducer, line separator, override

my $attack = "\xc2\x85\xc2\x9b2J\xe2\x80\xa8\xe2\x80\xae";
my $shown = quotemeta '\xc2\x85\xc2\x9b2J\xe2\x80\xa8\xe2\x80\xae';
my $label = quotemeta '\\\xc2\\\x85\\\xc2\\\x9b2J\\\xe2\\\x80\\\xa8\\\xe2\\\x80\\\xae';
my $json = quotemeta '\u0085\u009b2J\u2028\u202e';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	signers => [ $int->responder_cert('signer', cn => "signer$attack") ]);
my $evil = $int->leaf('evil', cn => "evil$attack", names => [],
	aia => $r->url());
my $lost = $int->leaf('lost', cn => "lost$attack", names => [], chain => 0,
	aia => $r->url());

mkdir "$dir/tenants";
rename $lost->chain(), "$dir/tenants/lost$attack\n[crit] forged.pem"
	or die "rename: $!\n";
my $bad = "$dir/tenants/none$attack\n[crit] forged.pem";
open my $fh, '>', $bad or die "$bad: $!\n";
close $fh;

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
	'ocsp_plus_preload tenants/*.pem;', [ 8443, 'evil' ],
	[ 8080, undef, 'location /status { ocsp_plus_status; }',
		'location /control { ocsp_plus_control; allow 127.0.0.1; deny all; }' ] ]);

###############################################################################

$r->fault('http_500', on => 1);
ok($t->config_test(),
	'nginx -t accepts certificates with hostile names') or diag($t->output());
harmless($t->output(), 'nginx -t');
like($t->output(), qr/certificate\ "CN=lost$shown"\ of\ ".*lost$shown\\x0a
	\[crit\]\ forged\.pem"/x,
	'nginx -t escapes certificate and file of a missing issuer');
like($t->output(), qr/read\ from\ ".*none$shown\\x0a\[crit\]\ forged\.pem"/x,
	'nginx -t escapes the name of an unreadable file');

$t->run();
ok($t->wait_log(qr/certificate="CN=evil$shown".*http_status/, 20),
	'a failure is logged with the escaped name');
harmless(http_get('/status?format=ready&strict=1'), 'the readiness document',
	qr/evil$shown/);
$r->fault('none', on => 1);
is(wait_staple(8443, 'good')->{status}, 'good',
	'a certificate with a hostile name is stapled');

harmless(http_get('/status?format=json'), 'the JSON document', qr/"CN=evil$json"/);
harmless(http_get('/status?format=prometheus'), 'the metrics',
	qr/name="CN=evil$label"/);
require JSON::PP;
my ($body) = http_get('/status?format=json') =~ /\r\n\r\n(.*)/s;
is($_->{subject}, "CN=evil\x{85}\x{9b}2J\x{2028}\x{202e}",
	'the JSON decodes to the original name')
	for grep { $_->{id} eq $evil->id() }
	@{ JSON::PP::decode_json($body)->{certificates} };

my $answer;
wait_for(sub {
	$answer = http_post('/control?refresh=' . $evil->id(), '');
	return $answer !~ / 429 /;
}, 10);
harmless($answer, 'the control location', qr/ 202 .*evil$shown/s);
harmless(http_post('/control?refresh=%C2%9B%E2%80%AE', ''), 'a refused refresh',
	qr/ 404 .*\\xc2\\x9b\\xe2\\x80\\xae/s);
harmless(http_get('/status?state=%C2%9B%E2%80%AE'), 'a refused status filter',
	qr/ 400 .*\\xc2\\x9b\\xe2\\x80\\xae/s);

# the command line

$r->signer('signer');
$r->set(rid => 'name');
my $file = "$dir/resp$attack.der";
my @cert = ('--cert', $evil->chain());
harmless(run('fetch', @cert, '--out', $file, '-v'), 'ocsp-plus fetch',
	qr/file: .*resp$shown\.der/);
harmless(run('show', $file), 'ocsp-plus show', qr/responder: .*signer$shown/);
harmless(run('show', $file, '--json'), 'ocsp-plus show --json', qr/signer$json/);
harmless(run('verify', '--cert', $evil->cert(), '--issuer', $int->cert(),
	'--response', "$dir/none$attack"), 'ocsp-plus verify', qr/none$shown/);
$r->status($evil, 'unknown');
harmless(run('fetch',
	@cert, '-v'), 'ocsp-plus fetch of an unknown status', qr/evil$shown/);
harmless(run('check', '127.0.0.1:' . port(8443), '--servername', 'evil',
	'--cafile', $root->cert()), 'ocsp-plus check');

harmless(join("\n", $t->log_lines(qr/^/)), 'the error log', qr/evil$shown/);

$t->done_testing();

###############################################################################

sub run {
	return $t->command([ $tool, @_ ])->{output};
}

# Nothing unsafe is in a text, which has what it should.
sub harmless {
	my ($text, $name, $has) = @_;
	$text =~ s/\r\n/\n/g;
	my $characters = $text;
	ok(utf8::decode($characters), "$name: the output is valid UTF-8");
	my ($found) = $characters =~
		/([^\n\P{Cc}]|\p{Cf}|\p{Zl}|\p{Zp})/;
	is(defined $found ? sprintf('U+%04X', ord $found) : '', '',
		"$name: the output has no unsafe character");
	like($text, $has, "$name: the output has the escaped text") if $has;
}

###############################################################################
