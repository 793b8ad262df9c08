#!/usr/bin/perl

# Tests for ocsp_plus_zone: the default, a zone of one's own, a size that is
# too small and the size that the message asks for.

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

my $count = 60;

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves($count, 'host%d.example', aia => $r->url());

# each response is signed by a certificate that it carries

my $delegated = $int->responder_cert('delegated', key => 'rsa');
$r->add_signer($delegated);
$r->signer('delegated');

my @servers = map { [ 8443, $_ ] } @leaves;

###############################################################################

# too small

write_conf('ocsp_plus_zone staples:64k;');
ok(!$t->config_test(), 'a zone that is too small is refused');
my ($line) = $t->output() =~ /^(nginx: \[emerg\].*)$/m;
like($line // '', qr/"ocsp_plus_zone" .* is too small for $count certificates/,
	'it says for how many');
my ($needed) = ($line // '') =~ /it needs at least (\d+)k/;
cmp_ok($needed // 0, '>', 64, 'and how large it has to be');

ok(!$t->try_run(), 'nor does nginx start with it');

# one page less than needed

write_conf('ocsp_plus_zone staples:' . ($needed - 4) . 'k;');
ok(!$t->config_test(), 'a page less than that is refused');
like($t->output(), qr/it needs at least ${needed}k/, 'naming the same size');

# exactly so large

write_conf("ocsp_plus_zone staples:${needed}k;");
ok($t->config_test(), 'that size is accepted') or diag($t->output());
is($r->stats()->{all}{connections}, 0, 'all this asks nobody');

$t->run();
ok($r->wait_requests($count, 40), 'each certificate is asked for');
my @missing = missing();
is("@missing", '', 'and there is room for each response');
is(join("\n", $t->log_lines(qr/zone_full|\[(?:warn|error|crit)\]/)), '',
	'no complaint');

is(staple(8443, servername => 'host7.example')->{status}, 'good',
	'a staple of one of them');
$t->stop();

###############################################################################

# units, names

for my $zone ('any_name:8m', 'a:8192k', 'a:8388608', 'x.y-z:64m') {
	write_conf("ocsp_plus_zone $zone;");
	ok($t->config_test(), "$zone is accepted") or diag($t->output());
}

# a name that is taken, given or by default

write_conf("ssl_session_cache shared:ocsp_plus:1m;");
ok(!$t->config_test(), 'another zone named ocsp_plus');
like($t->output(), qr/\[emerg\].*"ocsp_plus"/, 'is told of');
write_conf("ssl_session_cache shared:mine:1m;\nocsp_plus_zone mine:8m;");
ok(!$t->config_test(), 'another zone of the given name');
like($t->output(), qr/\[emerg\].*"mine"/, 'is told of');

# not needed, so not made

@servers = ();
write_conf('ocsp_plus_zone staples:64k;');
ok($t->config_test(), 'a zone that nobody uses') or diag($t->output());

$t->done_testing();

###############################################################################

sub write_conf {
	my ($lines) = @_;
	$t->write_conf(http => [ 'server_names_hash_bucket_size 128;',
		'ocsp_plus on;', $lines, @servers ]);
}

# Those without a staple, once the last of them came or the time is over.
sub missing {
	my @left = map { $_->name() } @leaves;
	wait_for(sub {
		@left = grep { !defined staple_fast(8443, $_) } @left;
		return !@left;
	}, 30);
	return @left;
}

###############################################################################
