#!/usr/bin/perl

# Tests for where the issuer of a certificate is looked for: in the chain, in
# ssl_trusted_certificate, in ocsp_plus_trusted_certificate; and for what
# happens when it is nowhere.

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

# a CA that changed its key, and one that does not tell which key it used

my $renewed = $root->intermediate('renewed', subject_of => $int);
my $mute = $root->intermediate('mute');

# one whose certificate was renewed, with the key that it had

my $prolonged = $root->intermediate('prolonged', subject_of => $int,
	key_of => $int);
my $mute_renewed = $root->intermediate('mute-renewed', subject_of => $mute);

my $r = Test::Nginx::Responder->start($t,
	ca => [ $int, $renewed, $mute, $mute_renewed ]);
my @aia = (aia => $r->url());
my @alone = (@aia, chain => 0);

my %leaf = (
	chain => $int->leaf('chain', @aia),
	ssl => $int->leaf('ssl', @alone),
	relative => $int->leaf('relative', @alone),
	shared => $int->leaf('shared', @alone),
	first => $int->leaf('first', @alone),
	second => $renewed->leaf('second', @alone),
	quiet => $mute->leaf('quiet', @alone, no_aki => 1),
	silent => $mute_renewed->leaf('silent', @alone, no_aki => 1),
	wrong => $int->leaf('wrong', @aia),
	later => $int->leaf('later', @alone),
	nowhere => $int->leaf('nowhere', @alone),
	outdated => $int->leaf('outdated', @alone),
	serial => $int->leaf('serial', @alone, aki_serial => 1),
	misfit => $mute->leaf('misfit', @alone, no_aki => 1),
);

sub pem { return join '', map { $t->read_file($_->cert()) } @_ }

mkdir $t->testdir() . '/sub';
$t->write_file('sub/issuers.pem', "comments are fine\n" . pem($root, $int));
$t->write_file('both.pem', pem($int, $renewed, $mute, $mute_renewed));
$t->write_file('reverse.pem', pem($mute_renewed, $mute, $renewed, $int));

# a chain that holds a CA, but not the one, and the right one elsewhere

$t->write_file('wrong.pem', pem($leaf{wrong}, $renewed));

my @servers = (
	[ chain => '' ],
	[ ssl => 'ssl_trusted_certificate int.crt;' ],
	[ relative => 'ocsp_plus_trusted_certificate sub/issuers.pem;' ],
	[ shared => 'ocsp_plus_trusted_certificate %%TESTDIR%%/sub/issuers.pem;' ],
	[ first => 'ocsp_plus_trusted_certificate both.pem;' ],
	[ second => 'ocsp_plus_trusted_certificate both.pem;' ],
	[ quiet => 'ocsp_plus_trusted_certificate reverse.pem;' ],
	[ silent => 'ocsp_plus_trusted_certificate both.pem;' ],
	[ wrong => 'ocsp_plus_trusted_certificate both.pem;' ],
	[ serial => 'ocsp_plus_trusted_certificate prolonged.crt;' ],
	[ later => '' ],
	[ nowhere => '' ],
	[ nowhere => 'ocsp_plus_trusted_certificate root.crt;' ],
	[ later => 'ocsp_plus_trusted_certificate int.crt;' ],
	[ outdated => 'ocsp_plus_trusted_certificate renewed.crt;' ],
	[ misfit => 'ocsp_plus_trusted_certificate mute-renewed.crt;' ],
);

my $port = 8443;
$_->[2] = $port++ for @servers;
$t->write_conf(http => [ 'ocsp_plus on;',
	map { [ $_->[2], @$_[0, 1] ] } @servers ]);
my $conf = $t->read_file('nginx.conf');
$t->run();

###############################################################################

my @found = ([ chain => 'in the chain' ],
	[ ssl => 'in ssl_trusted_certificate' ],
	[ relative => 'in ocsp_plus_trusted_certificate, a relative path' ],
	[ shared => 'in the same file by its full path' ],
	[ first => 'as the older of two with one name' ],
	[ second => 'as the newer of two with one name' ],
	[ quiet => 'as the older of two without key identifiers' ],
	[ silent => 'as the newer of two without key identifiers' ],
	[ wrong => 'in a file, with another CA in the chain' ],
	[ serial => 'renewed with its key though the leaf names its old serial' ]);

for my $found (@found) {
	my ($name, $what) = @$found;
	my ($server) = grep { $_->[0] eq $name } @servers;
	my $seen = wait_staple($server->[2], 'good', seconds => 30);
	is("$seen->{status} " . ($seen->{serial} // ''),
		'good ' . $leaf{$name}->serial(), "the issuer is found $what");
	my $der = staple_fast($server->[2]);
	is(defined $der && Test::Nginx::staple_verify($t, $der, $leaf{$name},
		$root->cert())->{ok}, 1,
		"the staple verifies with the issuer found $what");
}

# one server's file serves all servers of the certificate

my ($without, $with) = map { $_->[2] } grep { $_->[0] eq 'later' } @servers;
is(wait_staple($with, 'good', seconds => 30)->{status}, 'good',
	'an issuer named by the second server of a certificate is used');
is(staple($without)->{status}, 'good',
	'an issuer named by the second server serves the first server');

# no issuer

for my $server (grep { $_->[0] eq 'nowhere' } @servers) {
	my $seen = staple($server->[2]);
	is("$seen->{handshake} $seen->{status}", '1 none',
		'a certificate without issuer has handshakes without a staple');
}
is($r->stats()->{serials}{$leaf{nowhere}->serial()}, undef,
	'no responder is asked for a certificate without issuer');

my @errors = $t->log_lines(qr/\[error\].*no issuer/);
my @nowhere = grep { /"nowhere"/ } @errors;
is(scalar @nowhere, 1,
	'a certificate without issuer is reported once for two servers');
like($nowhere[0] // '', qr/no issuer found for certificate "nowhere"/,
	'the error about a missing issuer names the certificate');
like($nowhere[0] // '', qr!of "\Q${\$t->testdir()}\E/nowhere\.pem"!,
	'the error about a missing issuer names the file');
like($nowhere[0] // '', qr/append the issuer.*"ocsp_plus_trusted_certificate"/,
	'the error about a missing issuer says what to do');
my $line = line_of($nowhere[0]);
like($line, qr/server \{/,
	'the error about a missing issuer names the line of the server') or diag($line);

# one of its name is there, so appending it would not help

my %fault = (outdated => qr/its\ key\ identifier\ is\ not\ the\ one\ that\ the
	\ certificate\ names/x, misfit => qr/its\ key\ does\ not\ fit,\ the
	\ signature\ of\ the\ certificate\ does\ not\ verify\ with\ it/x);
for my $name (sort keys %fault) {
	my @said = grep { /"$name"/ } @errors;
	is(scalar @said, 1, "$name: one error is printed");
	like($said[0] // '', $fault{$name},
		"$name: the error says why the issuer does not fit");
	like($said[0] // '', qr/put the right one in its place .*:\d+$/,
		"$name: the error says what to do");
	unlike($said[0] // '', qr/append/,
		"$name: the error does not advise to append the issuer");
	is(staple((grep { $_->[0] eq $name } @servers)[0][2])->{status}, 'none',
		"$name: no response is stapled");
}

is(join("\n", grep { !/"(?:nowhere|later|outdated|misfit)"/ } @errors), '',
	'a certificate with an issuer raises no error');
is(join("\n", grep { /"later"/ } @errors), '',
	'a certificate whose issuer a later server names raises no error');

$t->stop();

###############################################################################

# the same where a server would refuse every handshake

for my $case ([ 'ocsp_plus_trusted_certificate renewed.crt;', $fault{outdated} ],
	[ '', qr/append it to "ssl_certificate"/ ])
{
	my ($line, $why) = @$case;
	(my $required = $conf) =~
		s/(outdated\.key;\n).*\n/$1        ocsp_plus_require on; $line\n/;
	$t->write_file('nginx.conf', $required);
	ok(!$t->config_test(), 'a required staple without issuer is refused');
	like($t->output(), qr/"ocsp_plus_require"\ would\ refuse\ .*"outdated":\ no
		\ issuer\ was\ found.*nginx\.conf:\d+/x,
		'the message about a required staple names certificate and line');
	like($t->output(), $why,
		'the message about a required staple says what to do');
}

###############################################################################

# files that hold no certificate

my $good = pem($int);
(my $broken = $good) =~ s/(\n.{20}).{8}/$1!!!!!!!!/;
my @files = (
	[ 'missing.pem', undef, qr/No such file/ ],
	[ 'empty.pem', '', qr/no PEM certificate can be read/ ],
	[ 'garbage.pem', "\x30\x82\x01\x00" . "\xff\0" x 200,
		qr/no PEM certificate can be read/ ],
	[ 'key.pem', $t->read_file($int->key()),
		qr/no PEM certificate can be read/ ],
	[ 'second.broken.pem', $good . $broken, qr// ],
	[ 'cut.pem', substr($good, 0, 200), qr// ],
);

for my $file (@files) {
	my ($name, $content, $why) = @$file;
	$t->write_file($name, $content) if defined $content;
	(my $changed = $conf) =~ s/both\.pem/$name/;
	$t->write_file('nginx.conf', $changed);

	ok(!$t->config_test(), "$name is refused as a trusted certificate");
	my @lines = $t->output() =~ /^(nginx: \[emerg\].*)$/mg;
	is(scalar @lines, 1, "$name: one message is printed")
		or diag($t->output());
	like($lines[0] // '', qr/\Q$name\E".*"ocsp_plus_trusted_certificate"/,
		"$name: the message names file and directive");
	like($lines[0] // '', $why, "$name: the message says why");
}

# what stands after the last certificate does no harm

$t->write_file('comment.pem', "$good\nthe end\n");
(my $changed = $conf) =~ s/both\.pem/comment.pem/;
$t->write_file('nginx.conf', $changed);
ok($t->config_test(),
	'text after the last certificate of a file is accepted') or diag($t->output());

$t->done_testing();

###############################################################################

# The line of the configuration that a message ends with.
sub line_of {
	my ($message) = @_;
	my ($number) = ($message // '') =~ /nginx\.conf:(\d+)/ or return '';
	return (split /\n/, $t->read_file('nginx.conf'))[$number - 1];
}

###############################################################################
