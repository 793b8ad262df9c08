#!/usr/bin/perl

# Tests for "ocsp-plus verify": exit codes, JSON, and that its verdict on the
# bytes of a responder is what nginx does with them.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use MIME::Base64 qw/ encode_base64 /;
use POSIX qw/ strftime /;
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
my $old = $root->intermediate('old', subject_of => $int);
my $r = Test::Nginx::Responder->start($t, ca => $int, signers =>
	[ $int->responder_cert('delegated'),
	$int->responder_cert('plain', ocsp_signing => 0) ]);

# the CLI's bytes come from a client, nginx fetches its own: for each case a
# certificate, so that what one case said is not held in the next

my @cases = (
	# name, settings of the responder, exit code, reason, cert_status
	[ good => {}, 0, 'ok', 'good' ],
	[ delegated => { signer => 'delegated' }, 0, 'ok', 'good' ],
	[ endless => { next_update => 'none' }, 0, 'ok', 'good' ],
	[ others => { fault => 'other_too' }, 0, 'ok', 'good' ],
	[ skewed => { this_update => 200 }, 0, 'ok', 'good' ],
	[ revoked => { status => 'revoked', revoked_at => time() - 60 },
		1, 'revoked', 'revoked' ],
	[ unknown => { status => 'unknown' }, 1, 'unknown', 'unknown' ],
	[ expired => { fault => 'expired' }, 1, 'expired' ],
	[ future => { fault => 'future' }, 1, qr/in_future$/ ],
	[ old_endless => { this_update => -90000, next_update => 'none' },
		1, 'too_old_without_next_update' ],
	[ other_serial => { fault => 'other_serial' }, 1, 'other_serial' ],
	[ other_issuer => { fault => 'other_issuer' }, 1, 'other_issuer' ],
	[ garbage => { fault => 'garbage' }, 1, 'malformed_response' ],
	[ trailing => { fault => 'trailing' }, 0, 'ok', 'good' ],
	[ trailing_inside => { fault => 'trailing_inside' }, 1,
		'trailing_data' ],
	[ broken => { fault => 'broken_signature' }, 1, 'bad_signature' ],
	[ foreign => { fault => 'foreign_signer' }, 1,
		qr/^signer_|^bad_signature$/ ],
	[ plain => { signer => 'plain' }, 1, 'signer_without_ocsp_signing' ],
	[ try_later => { fault => 'try_later' }, 1, 'try_later' ],
	[ unauthorized => { fault => 'unauthorized' }, 1, 'unauthorized' ],
	[ not_basic => { fault => 'not_basic' }, 1, 'not_basic_response' ],
	[ nothing => { fault => 'no_responses' }, 1, 'no_single_response' ],
	[ disagree => { fault => 'two_responses_disagree' }, 1, 'revoked',
		'revoked' ],
	[ sha256 => { hash => 'sha256' }, 1, 'sha256_only' ],
);

my $port = 8443;
my @servers;
my (%leaf, %port);
for my $case (@cases) {
	my ($name, $settings) = @$case;
	$leaf{$name} = $int->leaf("$name.example", aia => $r->url());
	$r->set(%$settings, leaf => $leaf{$name}) if %$settings;
	$port{$name} = $port++;
	push @servers, [ $port{$name}, $leaf{$name} ];
}

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_concurrency 64;',
	@servers ]);

$t->run();

###############################################################################

my (%der, %json);
for my $case (@cases) {
	my ($name, $settings, $code, $reason, $status) = @$case;

	my $file = "$d/$name.der";
	$der{$name} = $r->response($leaf{$name});
	$t->write_file($file, $der{$name});
	my $run = verify($leaf{$name}, '--response', $file, '--json');

	is($run->{status}, $code, "$name: the exit code is $code");
	my $json = $json{$name} = eval { JSON::PP::decode_json($run->{output}) }
		|| { output => $run->{output} };
	is(join(' ', sort keys %$json), 'cert_status detail expires next_update'
		. ' reason this_update verdict',
		"$name: the JSON has the documented members");
	is($json->{verdict}, $code ? 'reject' : 'accept',
		"$name: the verdict agrees with the exit code");
	ref $reason ? like($json->{reason}, $reason,
		"$name: the reason matches $reason")
		: is($json->{reason}, $reason, "$name: the reason is $reason");
	is($json->{cert_status}, $status,
		"$name: cert_status is " . ($status // 'null'))
		if defined $status || $reason =~ /malformed|later|unauth|basic/;

	# the same in words

	$run = verify($leaf{$name}, '--response', $file);
	is($run->{status}, $code,
		"$name: the exit code of the text form is $code");
	like($run->{output}, qr/^verdict:\s+\Q$json->{verdict}\E$
		.*^reason:\s+\Q$json->{reason}\E\s/msx,
		"$name: the text form has verdict and reason");
}

is($json{trailing}{detail}, '14 octets after the response are left out',
	'trailing octets are reported in the detail');
is($json{good}{detail}, undef, 'a good response has no detail');

# what nginx staples: what is fit, and the truth about what is revoked

for my $case (@cases) {
	my ($name, undef, $code, $reason) = @$case;

	if ($code == 0 || $reason eq 'revoked') {
		my $seen = wait_staple($port{$name}, qr/good|revoked/,
			seconds => 30);
		my $wanted = $code ? 'revoked' : 'good';
		is(scalar(grep { $_ eq $wanted } @{$seen->{statuses}}), 1,
			"$name: nginx staples it with the same status");
		next;
	}

	# the first verdict is the first line
	my $line = $t->wait_log(qr/no response.*"\Q$name\E\.example"/, 30);
	my ($said) = ($line // '') =~ /reason=(\w+)/;
	is($said, $json{$name}{reason},
		"$name: nginx refuses it for the same reason");
	is(staple($port{$name})->{status}, 'none',
		"$name: nginx staples nothing");
}

# and the bytes that it staples are fit in the eyes of the tool

for my $name (qw/ good delegated revoked /) {
	my $der = staple_fast($port{$name});
	$t->write_file("stapled.der", $der // '');
	is(verify($leaf{$name}, '--response', "$d/stapled.der")->{status},
		$name eq 'revoked' ? 1 : 0,
		"$name: \"verify\" judges the staple like the response");
}

###############################################################################

# times

my $json = $json{good};
like($json->{$_}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
	"$_ has the form of RFC 3339")
	for qw/ this_update next_update expires /;
is($json->{expires}, $json->{next_update},
	'a response expires at its nextUpdate');
is($json{endless}{next_update}, undef,
	'next_update is null without nextUpdate');
isnt($json{endless}{expires}, undef,
	'a response without nextUpdate expires all the same');
is($json{garbage}{$_}, undef, "$_ is null for garbage")
	for qw/ cert_status this_update next_update expires /;

my @at = ('--response', "$d/good.der", '--json', '--at');
for my $at (
	[ time(), 0, 'ok' ], [ time() + 86400, 0, 'ok' ],
	[ time() + 8 * 86400, 1, 'expired' ],
	[ time() - 3600, 1, qr/in_future$/ ],
	[ time() + 100 * 86400, 1, qr/expired$/ ])
{
	my ($seconds, $code, $reason) = @$at;
	my $text = rfc3339($seconds);
	my $run = verify($leaf{good}, @at, $text);
	is($run->{status}, $code, "--at $text: the exit code is $code");
	my $said = eval { JSON::PP::decode_json($run->{output})->{reason} };
	like($said // '', ref $reason ? $reason : qr/^$reason$/,
		"--at $text: the reason is $reason");
}

# expired and the end of its validity, to the second

is(verify($leaf{good}, @at, $json->{next_update})->{status}, 1,
	'a response is refused at its nextUpdate');

###############################################################################

# forms of the response

my $pem = "-----BEGIN OCSP RESPONSE-----\n" . encode_base64($der{good})
	. "-----END OCSP RESPONSE-----\n";
my @good = ('--response', "$d/form");
for my $form ([ PEM => $pem ], [ 'PEM after a comment' => "hello\n$pem" ],
	[ DER => $der{good} ])
{
	my ($what, $content) = @$form;
	$t->write_file('form', $content);
	is(verify($leaf{good}, @good)->{status}, 0,
		"a response in $what is accepted");
}

# several candidates for the issuer: the same name, another key

my $file = $t->write_file("$d/candidates", $t->read_file($old->cert())
	. $t->read_file($int->cert()));
is(run('--cert', $leaf{good}->cert(), '--issuer', $file, @good)->{status}, 0,
	'the issuer is found as the second certificate of --issuer');
is(run('--cert', $leaf{good}->cert(), '--issuer', $old->cert(), '--trusted',
	$int->cert(), @good)->{status}, 0, 'the issuer is found in --trusted');
is(run('--cert', $leaf{good}->chain(), @good)->{status}, 0,
	'without --issuer the issuer is found in the chain of --cert');
is(run('--cert', $leaf{good}->chain(), '--trusted', $int->cert(),
	@good)->{status}, 0, '--trusted alone may have the issuer');
for my $wrong ([ $old, qr/has not issued "[^"]+": its key / ],
	[ $root, qr/has not issued "[^"]+": its name is another; give/ ])
{
	my ($ca, $says) = @$wrong;
	for my $form (qw/ cert chain /) {
		my $run = run('--cert', $leaf{good}->$form(), '--issuer',
			$ca->cert(), '--json', @good);
		my $what = "--issuer that has not issued the $form: " . $ca->name();
		is($run->{status}, 2, "$what: exit status 2");
		like($run->{output}, qr/\Aocsp-plus: --issuer \S+ $says.*\n\z/,
			"$what: one line says why");
	}
}

# another certificate of the same issuer

my $run = verify($leaf{others}, @good, '--json');
is($run->{status}, 1, 'the response of another certificate is refused');
like($run->{output}, qr/"reason": "other_serial"/,
	"the reason for another certificate's response is other_serial");

$t->done_testing();

###############################################################################

sub run {
	return $t->command([ $tool, 'verify', @_ ]);
}

sub verify {
	my ($leaf, @arguments) = @_;
	return run('--cert', $leaf->cert(), '--issuer', $int->cert(),
		@arguments);
}

sub rfc3339 {
	return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $_[0]);
}

###############################################################################
