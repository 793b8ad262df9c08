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

$t->write_http_conf(<<"CONF");
    ocsp_plus          on;
    ocsp_plus_retry    1s 1s;
    ocsp_plus_preload  tenants/*.pem;

    server {
        listen               127.0.0.1:8443 ssl;
        ssl_certificate      evil.pem;
        ssl_certificate_key  evil.key;
    }

    server {
        listen  127.0.0.1:8080;

        location /status {
            ocsp_plus_status;
        }

        location /control {
            ocsp_plus_control;
            allow 127.0.0.1;
            deny all;
        }
    }
CONF

###############################################################################

$r->fault('http_500', on => 1);
ok($t->config_test(), 'nginx -t') or diag($t->output());
harmless($t->output(), 'nginx -t');
like($t->output(), qr/certificate\ "CN=lost$shown"\ of\ ".*lost$shown\\x0a
	\[crit\]\ forged\.pem"/x, 'a certificate and its file are named');
like($t->output(), qr/read\ from\ ".*none$shown\\x0a\[crit\]\ forged\.pem"/x,
	'a file is named');

$t->run();
ok($t->wait_log(qr/certificate="CN=evil$shown".*http_status/, 20),
	'a failure is logged');
harmless(http_get('/status?format=ready&strict=1'), 'readiness', qr/evil$shown/);
$r->fault('none', on => 1);
is(wait_staple(8443, 'good')->{status}, 'good', 'a staple');

harmless(http_get('/status?format=json'), 'JSON', qr/"CN=evil$json"/);
harmless(http_get('/status?format=prometheus'), 'metrics',
	qr/name="CN=evil$label"/);
require JSON::PP;
my ($body) = http_get('/status?format=json') =~ /\r\n\r\n(.*)/s;
is($_->{subject}, "CN=evil\x{85}\x{9b}2J\x{2028}\x{202e}", 'JSON says the same')
	for grep { $_->{id} eq $evil->id() }
	@{ JSON::PP::decode_json($body)->{certificates} };

my $answer;
wait_for(sub {
	$answer = http_post('/control?refresh=' . $evil->id(), '');
	return $answer !~ / 429 /;
}, 10);
harmless($answer, 'control', qr/ 202 .*evil$shown/s);
harmless(http_post('/control?refresh=%C2%9B%E2%80%AE', ''), 'its complaint',
	qr/ 400 .*\\xc2\\x9b\\xe2\\x80\\xae/s);
harmless(http_get('/status?state=%C2%9B%E2%80%AE'), "the status's complaint",
	qr/ 400 .*\\xc2\\x9b\\xe2\\x80\\xae/s);

# the command line

$r->signer('signer');
$r->set(rid => 'name');
my $file = "$dir/resp$attack.der";
my @cert = ('--cert', $evil->chain());
harmless(run('fetch', @cert, '--out', $file, '-v'), 'fetch',
	qr/file: .*resp$shown\.der/);
harmless(run('show', $file), 'show', qr/responder: .*signer$shown/);
harmless(run('show', $file, '--json'), 'show --json', qr/signer$json/);
harmless(run('verify', '--cert', $evil->cert(), '--issuer', $int->cert(),
	'--response', "$dir/none$attack"), 'verify', qr/none$shown/);
$r->status($evil, 'unknown');
harmless(run('fetch', @cert, '-v'), 'fetch, unknown', qr/evil$shown/);
harmless(run('check', '127.0.0.1:' . port(8443), '--servername', 'evil',
	'--cafile', $root->cert()), 'check');

harmless(join("\n", $t->log_lines(qr/^/)), 'the log', qr/evil$shown/);

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
	ok(utf8::decode($characters), "$name: UTF-8");
	my ($found) = $characters =~
		/([^\n\P{Cc}]|\p{Cf}|\p{Zl}|\p{Zp})/;
	is(defined $found ? sprintf('U+%04X', ord $found) : '', '',
		"$name: nothing unsafe");
	like($text, $has, "$name: is told") if $has;
}

###############################################################################
