#!/usr/bin/perl

# Tests for a shared store that somebody has filled with wrong responses: each
# case of the verify table, and responses of the right CA that are not to be
# stapled.  None is ever sent, and all are written over.

###############################################################################

use warnings;
use strict;

use Digest::SHA qw/ sha256_hex /;
use FindBin;
use JSON::PP ();
use MIME::Base64 qw/ decode_base64 /;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Fleet;
use Test::Nginx::Redis;
use Test::Nginx::Responder;

###############################################################################

plan(skip_all => 'neither redis-server nor valkey-server is installed')
	unless Test::Nginx::Redis->installed();

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);
my $directory = $t->testdir() . '/cases';
is($t->command([ Test::Nginx::Config::tool('test_fixtures'), $directory ])
	->{status}, 0, 'the verify table is written');
my @cases = @{JSON::PP::decode_json($t->read_file("$directory/cases.json"))};

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my ($other, $revoked) = $int->leaves(2, 'other%d.example');
$r->status($revoked, 'revoked');

# what is put into the store, and for how many certificates

my @values = map { [ $_->{name}, sub {
	my ($case) = @_;
	return $t->read_file("$directory/$case->{case}/response.der");
}, $_ ] } @cases;
my $own = sub {
	my ($leaf, %validity) = @_;
	$r->validity(%validity) if %validity;
	my $der = $r->response($leaf);
	$r->validity(this_update => 'default', next_update => 'default');
	return $der;
};
push @values,
	[ 'of another certificate', sub { $own->($other) } ],
	[ 'of another certificate, which is revoked', sub { $own->($revoked) } ],
	[ 'ended', sub { $own->($_[1], this_update => -8000,
		next_update => -4000) } ],
	[ 'of the future', sub { $own->($_[1], this_update => 8000,
		next_update => 9000) } ],
	[ 'cut short', sub { substr $own->($_[1]), 0, 200 } ],
	[ 'with bytes behind it', sub { $own->($_[1]) . 'x' } ],
	[ 'with a wrong signature', sub {
		my $der = $own->($_[1]);
		substr($der, -3, 1) ^= "\x01";
		return $der;
	} ],
	[ 'empty', sub { '' } ],
	[ 'random', sub { join '', map { chr rand 256 } 1 .. 1000 } ],
	[ 'huge', sub { "\x30\x84" . 'x' x 2_000_000 } ];

my @leaves = $int->leaves(scalar @values, 'host%d.example', aia => $r->url(),
	not_before => -86400);
my $redis = Test::Nginx::Redis->start($t);
srand 4711;
my @keys = map { "{ocsp_plus}:1:c:" . id($_) } @leaves;
my @poison = map { $values[$_][1]->($values[$_][2], $leaves[$_]) }
	0 .. $#values;
for (0 .. $#values) {
	$redis->ask('HSET', $keys[$_], 'r', $poison[$_]);
	# without an end of its own a key gets that of the first lease
	$redis->ask('PEXPIRE', $keys[$_], 3600000);
}
$r->clear();

my $fleet = Test::Nginx::Fleet->new($t, nodes => 2, leaves => \@leaves);
$fleet->configure('ocsp_plus_share ' . $redis->place() . ';');
$fleet->start();

###############################################################################

# a correct staple is there, whatever was in the store

ok($fleet->wait_staples(sub { defined $_[0] }, 30),
	'both nodes staple each certificate');
my @wrong;
for my $i (0 .. $#values) {
	for my $node (0, 1) {
		my $staple = $fleet->staple($node, $leaves[$i]);
		push @wrong, "node $node: $values[$i][0]"
			if $staple eq $poison[$i] || !Test::Nginx::staple_verify($t,
				$staple, $leaves[$i])->{ok};
	}
}
is(join("\n", @wrong), '', 'no wrong response is ever stapled');

# what a node refuses for its own clock, library or policy may be of use to
# another, and is left where it is

my $own_reason = qr/^(?:unsupported_(?:hash|signature)|sha256_only|not_sendable|
	(?:this_update|produced_at)_in_future)$/x;
my @left = map { "$values[$_][0]: " . reason($_) }
	grep { ($redis->ask('HGET', $keys[$_], 'r') // '') eq $poison[$_] }
	0 .. $#values;
is(join("\n", grep { !/: (\w+)$/ || $1 ne 'ok' && $1 !~ $own_reason }
	@left), '',
	'all were written over that no node may want');
ok(scalar(grep { /^of the future/ } @left),
	'responses that another node may want were not written over');
cmp_ok(scalar(() = $r->requests()), '<=', 2 * @leaves,
	'no more requests than without a store');

# what the operator hears of it

my @lines = $t->log_lines(qr/response from the shared store ignored/);
cmp_ok(scalar(@lines), '>=', 1, 'the log says that responses were ignored');
cmp_ok(scalar(@lines), '<=', 2,
	'the log does not name each response that was ignored');
like($lines[0], qr/\[warn\] .*certificate="host\d+\.example" .*reason=\w+/,
	'a line about an ignored response names certificate and reason');

$t->done_testing();

###############################################################################

# Why a response that was put into the store cannot be used for its certificate.
sub reason {
	my ($i) = @_;
	my $path = $t->write_file('poison.der', $poison[$i]);
	my $run = $t->command([ $t->build_dir() . '/ocsp-plus', 'verify',
		'--json', '--cert', $t->testdir() . '/' . $leaves[$i]->name()
		. '.pem', '--issuer', $t->testdir() . '/int.crt',
		'--response', $path ]);
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	return $json->{reason} // $run->{output};
}

# The id of a certificate in our keys.
sub id {
	my ($leaf) = @_;
	my ($pem) = $t->read_file($leaf->name() . '.pem')
		=~ /-----BEGIN CERTIFICATE-----(.*?)-----END/s;
	return sha256_hex(decode_base64($pem));
}

###############################################################################
