#!/usr/bin/perl

# Tests for ocsp_plus_preload: certificates that servers load per connection
# are stapled in the first handshake already.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl stream_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $bare = $root->intermediate('bare');
my $r = Test::Nginx::Responder->start($t, ca => [ $int, $bare ]);
my $dir = $t->testdir();

my @tenants = $int->leaves(5, 'tenant%d.example', aia => $r->url());
my $single = $int->leaf('single.example', aia => $r->url());
my $alone = $int->leaf('alone.example', aia => $r->url(), chain => 0);
my $lost = $bare->leaf('lost.example', aia => $r->url(), chain => 0);
$int->leaf('leap.example', file => 'leap', raw_not_after => '290229000000Z');
chmod 0644, map { $_->key() } @tenants, $single, $alone, $lost;
mkdir "$dir/tenants";
rename $_->chain(), "$dir/tenants/" . $_->name() . '.pem' for @tenants;

sub configure {
	my ($preload, $http, $stream) = @_;
	my $line = "ocsp_plus_preload $preload;";
	my $any = "$dir/\$ssl_server_name";
	$t->write_conf(
		stream => [ 'ocsp_plus on;', $stream ? $line : (),
			[ 8450, $any, 'return ok;' ] ],
		http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
			$stream ? () : $line, $http,
			[ '8443 ssl', undef,
				"ssl_certificate $dir/tenants/\$ssl_server_name.pem;",
				"ssl_certificate_key $any.key;" ],
			[ 8444, $any ],
			[ 8080, undef, 'location /status { ocsp_plus_status json; }' ] ]);
}

###############################################################################

configure("tenants/*.pem $dir/single.example.pem alone.example.pem lost.example.pem",
	"ocsp_plus_trusted_certificate int.crt;");
$t->run();
is(staple(8443, servername => $_->name())->{serial}, $_->serial(),
	$_->name() . ': the first handshake is stapled') for @tenants;
is(staple(8444, servername => 'single.example')->{status}, 'good',
	'a preloaded file named by its path is stapled at first');
is(staple(8444, servername => 'alone.example')->{status}, 'good',
	"the block's trusted issuer serves a preloaded certificate");
is(staple(8450, servername => 'single.example')->{status}, 'good',
	'a certificate preloaded in http is stapled in stream');
ok($t->log_lines(qr/no\ issuer\ found\ for\ certificate\ "lost.example"\ of
	\ "\Q$dir\E\/lost.example.pem".*nginx.conf:\d+/x),
	'a preloaded certificate without issuer is reported');

require JSON::PP;
my ($body) = http_get('/status') =~ /\r\n\r\n(.*)/s;
my %known = map { $_->{id} => $_ }
	@{ JSON::PP::decode_json($body)->{certificates} };
is($known{ $tenants[0]->id() }{state}, 'valid',
	'a preloaded certificate is in the status document');

# of the block's ssl_trusted_certificate; in the stream block

configure('alone.example.pem', "ssl_trusted_certificate $dir/int.crt;");
ok($t->reload(old_gone => 1), 'a reload with ssl_trusted_certificate succeeds');
ok(staple_fast(8444, 'alone.example'),
	'ssl_trusted_certificate gives the issuer of a preloaded certificate');
$t->stop();
configure('single.example.pem', '', 1);
$t->run();
is(staple(8450, servername => 'single.example')->{status}, 'good',
	'a certificate preloaded in stream is stapled at first');

# what is wrong

for my $case (
	[ 'nothing/*.pem', 1, qr/nothing\/\*\.pem"\ of\ "ocsp_plus_preload"\ matches
		\ no\ file\ in\ .*nginx\.conf:\d+/x, 'a pattern without a match' ],
	[ 'missing.pem', 1, qr/\[warn\].*missing\.pem.*"ocsp_plus_preload",\ it\ is
		\ left\ out\ in\ .*nginx\.conf:\d+/x, 'a file that is missing' ],
	[ 'single.example.key', 1, qr/\[warn\].*no\ PEM\ certificate\ can\ be\ read
		\ from\ .*single\.example\.key"\ of\ "ocsp_plus_preload",\ it\ is
		\ left\ out\ in\ .*nginx\.conf:\d+/x, 'a file without a certificate' ],
	[ 'leap.pem', 1, qr/\[error\].*certificate\ "leap\.example"\ of
		\ ".*leap\.pem"\ cannot\ be\ read\ and\ gets\ no\ staple:\ notAfter
		\ .*\ in\ .*nginx\.conf:\d+/x, 'a certificate with an impossible date' ],
	[ '""',
		0, qr/"ocsp_plus_preload" directive takes paths of files/, 'an empty path' ],
	[ "single.example.pem; ocsp_plus_preload alone.example.pem", 0,
		qr/"ocsp_plus_preload" directive is duplicate/, 'the directive twice' ],
) {
	my ($preload, $fine, $said, $name) = @$case;
	configure($preload, '');
	is($t->config_test() ? 1 : 0, $fine,
		"$name: the configuration is " . ($fine ? 'accepted' : 'refused'));
	like($t->output(), $said, "$name: the message says what is wrong");
}

# those beside them are preloaded all the same, also where nginx trusts a file
# in which there is no certificate

$t->stop();
$t->write_file('ca.conf', "[ca]\ndefault_ca = it\n[it]\ndatabase = $dir/index\n"
	. "default_md = sha256\ndefault_crl_days = 30\n");
$t->write_file('index', '');
my $made = $t->command([ qw/ openssl ca -gencrl -config /, "$dir/ca.conf",
	'-keyfile', $int->key(), '-cert', $int->cert(), '-out', "$dir/crl.pem" ]);
is($made->{status}, 0,
	'openssl makes a revocation list') or diag($made->{output});
my $beside = 'missing.pem leap.pem single.example.key single.example.pem';
configure($beside, "ssl_trusted_certificate $dir/crl.pem;");
my $accepted = $t->config_test();
SKIP: {
	skip 'nginx itself refuses such a file', 2 if $t->output() =~
		/\[emerg\] .*cannot load certificate "[^"]*crl\.pem"/;
	ok($accepted,
		'preloaded files of no use are accepted') or diag($t->output());
	is(scalar(() = $t->output() =~ /^nginx:\ \[warn\].*crl\.pem"\ of
		\ "ssl_trusted_certificate",\ it\ is\ left\ out\ in\ .*conf:\d+/mgx),
		1, 'a trusted file without certificate is reported once')
		or diag($t->output());
}
configure($beside, '') unless $accepted;
$t->run();
is(staple(8444, servername => 'single.example')->{status}, 'good',
	'a good file is stapled beside preloaded files of no use');

$t->done_testing();
