#!/usr/bin/perl

# Tests for certificates that name no responder, or none that can be asked:
# usual nowadays, so they are quiet, unless the certificate demands a staple.

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
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $url = $r->url();

my %leaf = map { $_->name() => $_ } (
	# short names, the first of all, and many more than one after it
	$int->leaf('a.test'), $int->leaf('b.test'),
	$int->leaves(10, 'n%d.test'),
	$int->leaf('chainless', chain => 0),
	$int->leaf('must', must_staple => 1),
	$int->leaf('must2', must_staple => 1),
	$int->leaf('override'),
	$int->leaf('late'),
	$int->leaf('ftp', aia => [ 'ftp://ftp.example/ocsp', $url ]),
	$int->leaf('host', aia => [ $url, 'http:///nowhere' ]),
	$int->leaf('bytes', aia => [ "http://a.example/\x01\x1b[31m\"", $url ]),
	$int->leaf('useless', aia => [ 'ldap://ldap.example/cn=ocsp' ]),
	$int->leaf('fine', aia => $url),
);

my @unsupported = ('a.test', 'b.test', (map { "n$_.test" } 1 .. 10),
	'chainless', 'must', 'must2', 'useless');
my @supported = qw/ override late ftp host bytes fine /;
my %lines = (
	override => 'ocsp_plus_responder ' . $r->url(2) . ';',
	late2 => 'ocsp_plus_responder ' . $r->url(2) . ';',
);

# twice a.test and must: one word each, whatever the number of servers

my $port = 8443;
my (%port, @servers);
for my $name (@unsupported, 'a.test', 'must', 'late', 'late2',
	grep { $_ ne 'late' } @supported)
{
	$port{$name} //= $port;
	push @servers, [ $port++, $name =~ s/^late2$/late/r, $lines{$name} // () ];
}
$t->write_conf(http => [ 'ocsp_plus on;', @servers ]);

$t->run();

###############################################################################

# those that can be asked somewhere

for my $name (@supported) {
	my $seen = wait_staple($port{$name}, 'good', seconds => 30);
	is("$seen->{status} " . ($seen->{serial} // ''),
		'good ' . $leaf{$name}->serial(), "$name has a staple");
}
for my $name (qw/ override late /) {
	is($r->requests(leaf => $leaf{$name}, on => 2), 1,
		"$name is asked for where ocsp_plus_responder says");
}
is(staple($port{late2})->{status}, 'good',
	"a second server's ocsp_plus_responder counts for the certificate");

# the others go without

my @wrong = grep {
	my $seen = staple($port{$_});
	$seen->{status} ne 'none' || !$seen->{handshake};
} 'a.test', 'n10.test', 'must', 'useless';
is("@wrong", '',
	'certificates without responder have handshakes without a staple');
is($r->stats()->{all}{total}, scalar @supported,
	'each certificate with a responder is asked for once');

###############################################################################

# one notice for all

my @notices = $t->log_lines(qr/name no OCSP responder/);
is(scalar @notices, 1, 'certificates without responder raise one notice');
like($notices[0] // '', qr/\[notice\]/,
	'certificates without responder are logged as a notice');
my ($count, $all) = ($notices[0] // '') =~ /(\d+) of (\d+) certificates name/;
is($all, keys %leaf, 'the notice has the number of certificates');
like($notices[0] // '', qr/"ocsp_plus_responder" can name one/,
	'the notice names ocsp_plus_responder as a remedy');

# of "useless" a line of its own says that its CA has OCSP

is($count, @unsupported - 1,
	'the notice has the number of certificates without responder');
like($notices[0] // '', qr/the first is "a\.test"/,
	'the notice names the first certificate');

my @warnings = $t->log_lines(qr/\[(?:warn|error|crit)\]/);
is(join("\n", grep { /"(?:a|b|n\d+)\.test"|"late"|"override"/ } @warnings), '',
	'certificates without Must-Staple raise no warning');

# an error for each that demands a staple

for my $name (qw/ must must2 /) {
	my @lines = grep { /"\Q$name\E"/ } @warnings;
	is(scalar @lines, 1,
		"$name: a Must-Staple certificate raises one error");
	like($lines[0] // '', qr/\[error\].*Must-Staple.*"ocsp_plus_responder"/,
		"$name: the error names Must-Staple and the remedy");
	like($lines[0] // '', qr/nginx\.conf:\d+/,
		"$name: the error names a line");
}

# URLs that cannot be used

my %fault = (
	ftp => qr/the scheme "ftp" is not supported/,
	host => qr/no host/,
	useless => qr/the scheme "ldap" is not supported/,
);
for my $name (sort keys %fault) {
	my @lines = grep { /"\Q$name\E"/ } @warnings;
	is(scalar @lines, 1, "$name: one warning is printed");
	my $level = $name eq 'useless' ? 'error' : 'warn';
	like($lines[0] // '', qr/\[$level\].*names a responder that cannot be used/,
		"$name: the warning says that a URL cannot be used");
	like($lines[0] // '', $fault{$name},
		"$name: the warning says what is wrong with the URL");
	unlike($lines[0] // '', qr/[^\x20-\x7e]/,
		"$name: the warning has printable characters only");
}
my ($line) = grep { /"ftp"/ } @warnings;
like($line // '', qr!ftp://ftp\.example/ocsp!,
	'the warning has the unusable URL');

# bytes that must not reach a log

my @lines = grep { /"bytes"/ } @warnings;
like($lines[0] // '', qr/names a responder that cannot be used/,
	'a URL with control characters raises a warning');
unlike($t->read_file('error.log'), qr/[^\x20-\x7e\n]/,
	'the error log has printable characters only');

is(@warnings - @lines, 5,
	'no other warning is printed') or diag(join "\n", @warnings);

$t->done_testing();

###############################################################################
