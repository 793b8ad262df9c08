#!/usr/bin/perl

# Tests for "ocsp-plus show": what a response says, and a cache directory.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use MIME::Base64 qw/ encode_base64 /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int,
	signers => [ $int->responder_cert('delegated') ]);
my $leaf = $int->leaf('example.com', aia => $r->url());

# settings of the responder, what each of the single responses shows

for my $case (
	[ 'good response', {}, { cert_status => 'good', state => 'valid',
		serial => $leaf->serial(), hash => 'sha1' } ],
	[ 'revoked', { status => 'revoked', revoked_at => 1700000000,
		reason => 'key_compromise' }, { cert_status => 'revoked',
		revoked_at => '2023-11-14T22:13:20Z',
		revocation_reason => 'keyCompromise' } ],
	[ 'unknown', { status => 'unknown' }, { cert_status => 'unknown' } ],
	[ 'expired response', { fault => 'expired' }, { state => 'ended' } ],
	[ 'response from the future', { fault => 'future' }, { state => 'early' } ],
	[ 'response without nextUpdate',
		{ next_update => 'none' }, { state => 'valid',
		next_update => undef } ],
	[ 'old response without nextUpdate',
		{ this_update => -90000, next_update => 'none' },
		{ state => 'ended' } ],
	[ 'response with two hashes',
		{ hash => 'both' }, { hash => 'sha1' }, { hash => 'sha256' } ],
	[ 'contradicting response', { fault => 'two_responses_disagree' },
		{ cert_status => 'good' }, { cert_status => 'revoked' } ],
	[ 'forged', { fault => 'broken_signature' },
		{ cert_status => 'good' } ],
	[ 'response without single responses', { fault => 'no_responses' } ])
{
	my ($what, $settings, @wanted) = @$case;
	my $file = response($settings);
	my ($run, $json) = show($file);
	is($run->{status}, 0, "$what: exit code 0");
	is(scalar @{$json->{responses}}, @wanted,
		"$what: the number of single responses is " . @wanted);
	for my $wanted (@wanted) {
		my ($seen) = grep { fits($_, $wanted) } @{$json->{responses}};
		ok($seen, "$what: " . join ' ',
			"$what: a single response has "
			. join ' ', map { "$_=" . ($wanted->{$_} // 'null') } sort keys %$wanted)
			or diag($run->{output});
	}
	is($json->{file}, $file, "$what: the JSON names the file");
	is($json->{bytes}, -s $file, "$what: the JSON has the size");
	is($json->{reason}, 'ok', "$what: the reason is ok");
	my $text = text($file);
	like($text, qr/^file: +\Q$file\E$/m, "$what: the text names the file");
	is(scalar(() = $text =~ /^cert status: /mg), @wanted,
		"$what: the text has each single response");
}

my (undef, $json) = show(response({ signer => 'delegated', rid => 'name' }));
like($json->{responder}, qr/CN=delegated/,
	'the responder is shown by its name');
like("@{$json->{certificates}}", qr/CN=delegated/,
	'the certificates of the response are shown');
is($json->{signature}, 'ecdsa-with-SHA256', 'the signature algorithm is shown');
like($json->{produced_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
	'producedAt is shown');
(undef, $json) = show(response({ rid => 'key' }));
like($json->{responder}, qr/^[0-9a-f]{40}$/,
	'the responder is shown by its key');
(undef, $json) = show(response({}, sub {
	"-----BEGIN OCSP RESPONSE-----\n" . encode_base64($_[0])
	. "-----END OCSP RESPONSE-----\n" }));
is($json->{responses}[0]{serial}, $leaf->serial(),
	'a response in PEM is shown');

# whose it is

for my $case ([ 'signed by the issuer', { rid => 'name' } ],
	[ 'signed by a delegate', { signer => 'delegated', rid => 'key' } ],
	[ 'with a SHA-256 CertID', { hash => 'sha256', rid => 'name' } ])
{
	my ($what, $settings) = @$case;
	my $file = response($settings);
	my (undef, $shown) = show($file);
	my $single = $shown->{responses}[0];
	is("$single->{issuer} " . ($single->{subject} // 'null'), 'CN=int null',
		"$what: the issuer is named, not the certificate");
	like(text($file), qr/^issued by: +CN=int$/m,
		"$what: the text names the issuer");
	(undef, $shown) = show($file, '--cert', $int->leaf('o.example')->chain(),
		'--cert', $leaf->chain());
	$single = $shown->{responses}[0];
	is("$single->{issuer} $single->{subject} @{$single->{names}}",
		'CN=int CN=example.com example.com',
		"$what: --cert names the certificate");
	like(text($file, '--cert', $leaf->chain()),
		qr/^certificate: +CN=example\.com \(example\.com\)$/m,
		"$what: the text names the certificate");
}
my (undef, $keyed) = show(response({ rid => 'key' }));
is($keyed->{responses}[0]{issuer}, undef,
	'the issuer is unknown where no name is in the response');
my $twin = Test::Nginx::CA->new($t, 'twin')->leaf('twin.example',
	serial => $leaf->serial());
(undef, $keyed) = show(response({}), '--cert', $twin->chain());
is($keyed->{responses}[0]{subject}, undef,
	"another issuer's certificate with this serial number is not named");

# what is no answer

for my $case ([ 'try later', "\x30\x03\x0a\x01\x03", 'try_later' ],
	[ 'unauthorized', "\x30\x03\x0a\x01\x06", 'unauthorized' ],
	[ 'garbage', 'garbage', 'malformed_response' ],
	[ 'error response with octets behind it',
		"\x30\x03\x0a\x01\x03\0", 'try_later' ],
	[ 'error response with octets in it',
		"\x30\x05\x0a\x01\x03\x05\0", 'trailing_data' ])
{
	my ($what, $content, $reason) = @$case;
	my $file = $t->write_file('answer', $content);
	my ($run, $shown) = show($file);
	is("$run->{status} $shown->{reason}", "1 $reason",
		"$what: exit code 1 with the reason");
	is(scalar @{$shown->{responses}}, 0,
		"$what: no single response is shown");
	like(text($file), qr/^reason: +$reason \(.+\)$/m,
		"$what: the text has the reason");
}

###############################################################################

# a directory

my $cache = "$d/kept";
mkdir $cache, 0700;
my ($uid, $gid) = $> == 0 ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);
chown $uid, $gid, $cache;
my ($run, $all) = show($cache);
is("$run->{status} " . @$all, '0 0', 'an empty directory shows nothing');

my @leaves = $int->leaves(3, 'host%d.example', aia => $r->url());
for my $one (@leaves) {
	is($t->command([ $tool, 'fetch', '--cert', $one->chain(), '--cache',
		$cache ])->{status}, 0,
		'fetch into the directory succeeds for ' . $one->name());
}
$t->write_file("$cache/$_", 'x') for 'notes', 'short.der', '.tmp';
($run, $all) = show($cache);
is("$run->{status} " . @$all, '0 3',
	'a directory shows its responses and ignores other files');
is(join(' ', map { $_->{certificate_id} } @$all),
	join(' ', sort map { $_->id() } @leaves),
	'the responses of a directory are sorted by certificate id');
is(join(' ', sort map { $_->{responses}[0]{serial} } @$all),
	join(' ', sort map { $_->serial() } @leaves),
	'the responses of a directory have the right serials');
($run, $all) = show($cache, map { ('--cert', $_->chain()) } @leaves[0, 2]);
my %name = map { $_->{certificate_id} => $_->{responses}[0]{subject} } @$all;
is(join(' ', map { $name{$_->id()} // 'null' } @leaves),
	'CN=host1.example null CN=host3.example',
	'--cert names certificates of a directory');
is(scalar(() = text($cache) =~ /^file: .*\/[0-9a-f]{64}\.der$/mg), 3,
	'the text form lists the responses of a directory');

my $torn = 'ab' x 32 . '.der';
$t->write_file("$cache/$torn", 'torn');
chown $uid, $gid, "$cache/$torn";
symlink '/etc/passwd', "$cache/" . 'cd' x 32 . '.der';
($run, $all) = show($cache);
is("$run->{status} " . @$all, '1 5', 'a directory with bad files exits with 1');
is(join(' ', sort map { $_->{reason} } @$all),
	'malformed_response ok ok ok unreadable',
	'the bad files of a directory have their reasons');
unlike($run->{output}, qr/root:/, 'a link in the directory is not followed');

# wrong use

for my $misuse ([ 'no path', qr/path is required/ ],
	[ 'a missing file', qr!\Q$d\E/none.*No such file!, "$d/none" ],
	[ 'an empty file', qr!empty is empty!, $t->write_file('empty', '') ],
	[ 'two paths', qr/not expected/, $cache, $cache ],
	[ 'a certificate that is none', qr/PEM/, $cache, '--cert',
		"$d/empty" ])
{
	my ($what, $says, @arguments) = @$misuse;
	my $bad = $t->command([ $tool, 'show', @arguments ]);
	is($bad->{status}, 2, "$what: exit code 2");
	like($bad->{output}, qr/\Aocsp-plus: [^\n]*$says[^\n]*\n\z/,
		"$what: one line says why");
}

$t->done_testing();

###############################################################################

# A file with what the responder says, through a filter.
sub response {
	my ($settings, $filter) = @_;
	$r->reset();
	$r->set(%$settings) if %$settings;
	my $der = $r->response($leaf);
	return $t->write_file('response', $filter ? $filter->($der) : $der);
}

sub show {
	my $run = $t->command([ 'sh', '-c', 'exec "$@" 2>/dev/null', 'sh', $tool,
		'show', @_, '--json' ]);
	return ($run, eval { JSON::PP::decode_json($run->{output}) } || {});
}

sub text {
	return $t->command([ $tool, 'show', @_ ])->{output};
}

sub fits {
	my ($seen, $wanted) = @_;
	return !grep { ($seen->{$_} // 'null') ne ($wanted->{$_} // 'null') }
		keys %$wanted;
}

###############################################################################
