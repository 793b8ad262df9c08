#!/usr/bin/perl

# Tests that what clients see is what is counted: over thousands of handshakes
# with certificates and responses drawn at random, whatever OpenSSL's version.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::Config;
use Test::Nginx::Counters;

###############################################################################

use constant PAIRS => 2000;

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $dir = $t->testdir();
my $seed = $ENV{OCSP_PLUS_SEED} || time();

my $made = $t->command([ Test::Nginx::Config::tool('test_pairs'), $dir, PAIRS,
	$seed ], timeout => 60);
is($made->{status}, 0, "pairs are drawn from seed $seed") or diag($made->{output});

my @names = map { "p$_" } 0 .. PAIRS - 1;
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_cache off;',
	'ssl_protocols TLSv1.2 TLSv1.3;', 'server_names_hash_max_size 8192;',
	'ssl_session_tickets off;',
	(map { [ 8443, $names[$_], "ocsp_plus_file $names[$_].der;",
		$_ % 4 == 1 ? 'ocsp_plus_require on;' : (),
		$_ % 4 == 2 ? 'ocsp_plus_revoked omit;' : () ]
	} 0 .. $#names),
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);
$t->run();

###############################################################################

my $counters = Test::Nginx::Counters->new('/');
my (%seen, %wire, @wrong);
for my $name (@names) {
	my $response = $t->read_file("$name.der");
	for my $tls ('1.2', '1.3') {
		my $one = handshake_fast(8443, $name, tls => $tls);
		my $came = $one->{der};
		push @wrong, "TLS $tls, $name: other bytes"
			if defined $came && $came ne $response;
		$wire{defined $came ? 'stapled' : $one->{ok} ? 'missing'
			: 'refused'}++;
		$seen{$name}++ if defined $came;
	}
}
is(join("\n", @wrong), '', 'what came is the response that was given');
$counters->grew('what was counted is what came', %wire);

my %counted = map { $_->{names}[0] => $_->{stapled} }
	@{http_json('/')->{certificates}};
is_deeply([ grep { ($seen{$_} // 0) != ($counted{$_} // -1) } @names ], [],
	'the counts of each certificate are what came');
cmp_ok($wire{$_} // 0, '>', PAIRS / 20, "there is enough of $_")
	for qw/ stapled missing refused /;

$t->done_testing();
