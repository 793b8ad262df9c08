#!/usr/bin/perl

# Every case of the verify table in the eyes of "ocsp-plus verify" and of
# "openssl ocsp -respin", at the same moment.  Ours says what the table says,
# and where the two differ is exactly what docs/trust.md says.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new(timeout => 600);
my $tool = $t->build_dir() . '/ocsp-plus';
my $folder = $t->testdir() . '/cases';

my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan(skip_all => 'no libfaketime') unless defined $faketime;

is($t->command([ Test::Nginx::Config::tool("test_fixtures"), $folder ])->{status}, 0,
	'the fixtures are written');
my $cases = JSON::PP::decode_json($t->read_file("$folder/cases.json"));

###############################################################################

# ours

my (%reasons, $accepted, $defects);
for my $case (@$cases) {
	$reasons{$case->{reason}} = 1;
	$case->{reason} eq 'ok' ? $accepted++ : $defects++;
	next if $case->{policy};

	my $run = $t->command([ $tool, 'verify', '--json', files($case,
		cert => 'leaf.pem', issuer => 'candidates.pem',
		response => 'response.der'), '--at', $case->{at} ]);
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	my $good = $case->{reason} eq 'ok';
	if ($case->{name} eq 'no octets at all') {

		# an empty file is no answer but a mistake

		is($run->{status}, 2, "$case->{name}: exit code");
		next;
	}
	is("$run->{status} " . ($json->{verdict} // '') . ' '
		. ($json->{reason} // $run->{output}), $good ? '0 accept ok'
		: "1 reject $case->{reason}", "$case->{group}: $case->{name}");
}

cmp_ok(@$cases, '>=', 150, 'cases');
cmp_ok($defects, '>=', 60, 'defects');
cmp_ok(keys %reasons, '>=', 30, 'reasons');
cmp_ok($accepted * 3, '>=', @$cases, 'a third is to be accepted');

# OpenSSL's

my %differences = (stricter => {}, milder => {});
for my $case (@$cases) {
	my $theirs = openssl($case);
	my $ours = $case->{reason} eq 'ok';
	next if $ours == $theirs;
	$differences{$ours ? 'milder' : 'stricter'}{$case->{name}} =
		$case->{reason};
}

# what the documentation says

my %documented = (stricter => {}, milder => {});
my $side = '';
for (split /\n/, $t->read_file("$FindBin::Bin/../docs/trust.md")) {
	$side = /stricter/i ? 'stricter' : /milder/i ? 'milder' : ''
		if /^## /;
	$documented{$side}{$1} = $2 if $side
		&& /^\| (.+?) \| `(\w+)` \| .*\w.* \|$/;
}

for my $which (qw/ stricter milder /) {
	my ($seen, $said) = ($differences{$which}, $documented{$which});
	is(join("\n", map { "$_: $said->{$_}" } sort keys %$said),
		join("\n", map { "$_: $seen->{$_}" } sort keys %$seen),
		"docs/trust.md has where we are $which than OpenSSL");
}
cmp_ok(keys %{$differences{stricter}}, '>=', 10, 'we are stricter');

# what the task of this module is about, by name

ok(exists $differences{stricter}{$_}, "OpenSSL accepts, we refuse: $_")
	for 'good, then revoked', 'good by SHA-1, revoked by SHA-256',
	'an unknown critical extension',
	'a critical extension of the single response',
	'producedAt before the signer\'s certificate';

$t->done_testing();

###############################################################################

sub files {
	my ($case, @files) = @_;
	my @arguments;
	while (my ($option, $name) = splice @files, 0, 2) {
		push @arguments, "--$option", "$folder/$case->{case}/$name";
	}
	return @arguments;
}

# Whether OpenSSL would go on: the response verifies, its times are right, and
# what is printed for the certificate is that it is good.
sub openssl {
	my ($case) = @_;

	my $d = "$folder/$case->{case}";
	(my $at = $case->{at}) =~ tr/T/ /; $at =~ tr/Z//d;
	my $run = $t->command([ 'env', 'TZ=UTC', "LD_PRELOAD=$faketime",
		"FAKETIME=$at", qw/ openssl ocsp -no_nonce -partial_chain /,
		'-respin', "$d/response.der", '-issuer', "$d/issuer.pem",
		'-cert', "$d/leaf.pem", '-CAfile', "$d/issuer.pem" ]);
	return $run->{output} =~ /^Response verify OK$/m
		&& $run->{output} =~ /leaf\.pem: good$/m
		&& $run->{output} !~ /WARNING: Status times invalid/ ? 1 : 0;
}

###############################################################################
