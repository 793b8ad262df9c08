#!/usr/bin/perl

# Every case of the verify table in the eyes of "ocsp-plus verify" and of
# "openssl ocsp -respin", at the same moment.  Ours says what the table says,
# whichever OpenSSL is installed.  Where the two differ with every version of
# OpenSSL is exactly what docs/trust.md says.  Where that depends on the version,
# or with a version that is not mentioned there, it is told and does not fail.

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
my $directory = $t->testdir() . '/cases';

my ($faketime) = glob '/usr/lib/*/faketime/libfaketime.so.1';
plan(skip_all => 'no libfaketime') unless defined $faketime;

is($t->command([ Test::Nginx::Config::tool("test_fixtures"), $directory ])->{status}, 0,
	'the fixtures are written');
my $cases = JSON::PP::decode_json($t->read_file("$directory/cases.json"));

###############################################################################

# ours

my (%reasons, $accepted, $defects, $unsendable);
for my $case (@$cases) {
	$reasons{$case->{reason}} = 1;
	$case->{reason} eq 'ok' ? $accepted++ : $defects++;
	next if $case->{policy};

	my $run = $t->command([ $tool, 'verify', '--json', '--sendable',
		files($case, cert => 'leaf.pem', issuer => 'candidates.pem',
		response => 'response.der'), '--at', $case->{at} ]);
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	my $reason = $case->{reason} eq 'ok' && !$case->{sendable}
		? 'not_sendable' : $case->{reason};
	my $good = $reason eq 'ok';
	$unsendable++ if $reason eq 'not_sendable';
	if ($case->{name} eq 'no octets at all') {

		# an empty file is no answer but a mistake

		is($run->{status}, 2,
			"$case->{name}: ocsp-plus verify exits with 2");
		next;
	}
	is("$run->{status} " . ($json->{verdict} // '') . ' '
		. ($json->{reason} // $run->{output}), $good ? '0 accept ok'
		: "1 reject $reason",
		"$case->{group}, $case->{name}: ocsp-plus verify gives the reason");
}

cmp_ok(@$cases, '>=', 150, 'there are at least 150 cases');
cmp_ok($unsendable, '>=', 2,
	'some responses are in order, but OpenSSL 3.6 would not send them');
cmp_ok($defects, '>=', 60, 'at least 60 cases are defects');
cmp_ok(keys %reasons, '>=', 30, 'the cases have at least 30 reasons');
cmp_ok($accepted * 3, '>=', @$cases,
	'at least a third of the cases are to be accepted');

# OpenSSL's

my (%theirs, %differences);
for my $case (@$cases) {
	my $theirs = $theirs{$case->{name}} = openssl($case);
	my $ours = $case->{reason} =~ /^(?:ok|not_sendable)$/ ? 1 : 0;
	$differences{$ours ? 'milder' : 'stricter'}{$case->{name}} = 1
		if $ours != $theirs;
}

# what the documentation says, of the versions that it was compared with

my %known = map { $_->{name} => $_ } @$cases;
my (@compared, %always, %sometimes);
my $side = '';
for (split /\n/, $t->read_file("$FindBin::Bin/../docs/trust.md")) {
	@compared = /(\d+\.\d+\.\d+)/g if /^Compared with OpenSSL /;
	$side = /stricter/i ? 'stricter' : /milder/i ? 'milder'
		: /depends on the version/i ? 'sometimes' : '' if /^## /;
	next unless $side && /^\| (.+?) \| `(\w+)` \| .*\w.* \|$/;
	my ($name, $reason) = ($1, $2);
	my $of_table = $known{$name}{reason} // 'no such case';
	is("$name: $reason", "$name: $of_table",
		"docs/trust.md has the reason of: $name");
	if ($side ne 'sometimes') {
		is($side, side($name),
			"docs/trust.md has in the right list: $name");
		$always{$side}{$name} = 1;
		next;
	}
	my (undef, undef, undef, $accepted_by, $refused_by) = split / *\| */;
	$sometimes{$name}{$_} = 1 for $accepted_by =~ /[\d.]+/g;
	$sometimes{$name}{$_} = 0 for $refused_by =~ /[\d.]+/g;
	is(join(' ', sort keys %{$sometimes{$name}}), join(' ', sort @compared),
		"docs/trust.md names every compared version for: $name");
}
cmp_ok(@compared, '>=', 2,
	'docs/trust.md compares several versions of OpenSSL');
cmp_ok(keys %{$always{stricter}}, '>=', 30,
	'docs/trust.md lists at least 30 cases where we are stricter');
cmp_ok(keys %{$always{milder}}, '>=', 1,
	'docs/trust.md lists cases where we are milder');

my ($version) = $t->command([ qw/ openssl version / ])->{output}
	=~ /^OpenSSL (\d+\.\d+\.\d+)/;
ok($version, 'openssl tells its version');
my $exact = grep { $_ eq $version } @compared;
diag("docs/trust.md was not compared with OpenSSL $version") unless $exact;

for my $which (qw/ stricter milder /) {
	my ($said, $seen) = ($always{$which}, $differences{$which});
	my @gone = grep { !exists $seen->{$_} } sort keys %$said;
	my @new = grep { !exists $said->{$_} && !exists $sometimes{$_} }
		sort keys %$seen;
	if ($exact) {
		is(join("\n", @gone), '', "we are $which than OpenSSL $version "
			. 'wherever docs/trust.md says so');
		is(join("\n", @new), '', "we are $which than OpenSSL $version "
			. 'nowhere else');
		next;
	}

	# an OpenSSL of another day may have changed its mind, but hardly all
	# of it

	diag("not in docs/trust.md: we are no longer $which: $_") for @gone;
	diag("not in docs/trust.md: we are $which: $_") for @new;
	cmp_ok(@gone * 4, '<=', keys %$said,
		"we are $which than OpenSSL $version by and large");
}

# what depends on the version is told

for my $name (sort keys %sometimes) {
	my $told = "OpenSSL $version " . ($theirs{$name} ? 'accepts' : 'refuses')
		. ": $name";
	$exact && $sometimes{$name}{$version} != $theirs{$name}
		? diag("not in docs/trust.md: $told")
		: $exact ? note($told) : diag($told);
}

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
		push @arguments, "--$option", "$directory/$case->{case}/$name";
	}
	return @arguments;
}

# Which of the lists of docs/trust.md a case can be in.
sub side {
	my ($name) = @_;
	return ($known{$name}{reason} // '') eq 'ok' ? 'milder' : 'stricter';
}

# Whether OpenSSL would go on: the response verifies, its times are right, and
# what is printed for the certificate is that it is good.
sub openssl {
	my ($case) = @_;

	my $d = "$directory/$case->{case}";
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
