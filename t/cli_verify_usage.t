#!/usr/bin/perl

# Tests for wrong use of "ocsp-plus verify" and for input that cannot be read:
# exit code 2 and one line on standard error that says what to do.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;

###############################################################################

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $leaf = $int->leaf('example.com');

my @cert = ('--cert', $leaf->cert());
my @issuer = ('--issuer', $int->cert());
my @response = ('--response', $t->write_file('response', "\x30\x03\x0a\x01\x03"));
$t->write_file('empty', '');
$t->write_file('text', "no certificate\n");
$t->write_file('armour', "-----BEGIN OCSP RESPONSE-----\n!!\n");
$t->write_file('other', $t->read_file($int->cert()));

my @misuse = (
	[ 'no arguments', qr/--cert|required/ ],
	[ 'no --response', qr/--response/, @cert, @issuer ],
	[ 'no issuer', qr/no issuer of .* append it there, or .*--issuer/, @cert,
		@response ],
	[ 'no --cert', qr/--cert/, @issuer, @response ],
	[ 'an unknown option', qr/--nonsense/, @cert, @issuer, @response,
		'--nonsense' ],
	[ 'no such certificate', qr!\Q$d\E/none.*No such file!, '--cert',
		"$d/none", @issuer, @response ],
	[ 'no such issuer', qr!\Q$d\E/none.*No such file!, @cert, '--issuer',
		"$d/none", @response ],
	[ 'no such chain', qr!\Q$d\E/none.*No such file!, @cert, @issuer,
		'--trusted', "$d/none", @response ],
	[ 'no such response', qr!\Q$d\E/none.*No such file!, @cert, @issuer,
		'--response', "$d/none" ],
	[ 'a certificate that is none', qr!\Q$d\E/text: .*PEM!, '--cert',
		"$d/text", @issuer, @response ],
	[ 'an issuer that is none', qr!\Q$d\E/empty!, @cert, '--issuer',
		"$d/empty", @response ],
	[ 'an empty response', qr!\Q$d\E/empty is empty!, @cert, @issuer,
		'--response', "$d/empty" ],
	[ 'broken armour', qr!\Q$d\E/armour: .*armour is broken!, @cert,
		@issuer, '--response', "$d/armour" ],
	[ 'armour of something else', qr!\Q$d\E/other: .*OCSP RESPONSE!, @cert,
		@issuer, '--response', "$d/other" ],
	[ 'a directory', qr!\Q$d\E!, @cert, @issuer, '--response', $d ],
	[ 'a time that is none', qr/yesterday.*like 2026-01-31T00:00:00Z/,
		@cert, @issuer, @response, '--at', 'yesterday' ],
	[ 'a day that is none', qr/2026-02-30T00:00:00Z/, @cert, @issuer,
		@response, '--at', '2026-02-30T00:00:00Z' ],
);

for my $misuse (@misuse) {
	my ($what, $says, @arguments) = @$misuse;
	my $run = run(@arguments);
	is($run->{status}, 2, "$what: exit code 2");
	like($run->{output}, qr/\Aocsp-plus: [^\n]+\n\z/,
		"$what: one line is printed");
	like($run->{output}, $says, "$what: the line says why");
	is($t->command([ 'sh', '-c', '"$@" 2>/dev/null', 'sh', $tool,
		'verify', @arguments ])->{output}, '',
		"$what: standard output is empty");
}

# what is read, but no response, is an answer

my $run = run(@cert, @issuer, @response);
is($run->{status}, 1,
	'correct arguments give exit code 1 for an error response');
like($run->{output}, qr/^reason:\s+try_later/m,
	'an error response has a reason');

$run = run('--help');
is($run->{status}, 0, '--help exits with 0');
like($run->{output}, qr/\Q$_\E/, "--help names $_")
	for qw/ --cert --issuer --trusted --response --at --json /;

$t->done_testing();

###############################################################################

sub run {
	return $t->command([ $tool, 'verify', @_ ]);
}

###############################################################################
