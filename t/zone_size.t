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

configure('ocsp_plus_zone staples:64k;');
ok(!$t->config_test(), 'a zone that is too small is refused');
my ($line) = $t->output() =~ /^(nginx: \[emerg\].*)$/m;
like($line // '', qr/"ocsp_plus_zone" .* is too small for $count certificates/,
	'the message about a small zone has the number of certificates');
my ($needed) = ($line // '') =~ /it needs at least (\d+)k/;
cmp_ok($needed // 0, '>', 64,
	'the message about a small zone has the size needed');

ok(!$t->try_run(), 'nginx does not start with a zone that is too small');

# one page less than needed

configure('ocsp_plus_zone staples:' . ($needed - 4) . 'k;');
ok(!$t->config_test(), 'a zone one page too small is refused');
like($t->output(), qr/it needs at least ${needed}k/,
	'the message about a zone one page too small has the same size');

# exactly so large

configure("ocsp_plus_zone staples:${needed}k;");
ok($t->config_test(),
	'a zone of the size needed is accepted') or diag($t->output());
is($r->stats()->{all}{connections}, 0, 'configuration tests ask no responder');

$t->run();
ok($r->wait_requests($count, 40), 'each certificate is asked for');
my @missing = missing();
is("@missing", '', 'a zone of the size needed has room for each response');
is(join("\n", $t->log_lines(qr/zone_full|\[(?:warn|error|crit)\]/)), '',
	'nothing is logged at warn or above');

is(staple(8443, servername => 'host7.example')->{status}, 'good',
	'a certificate in the zone is stapled');
$t->stop();

###############################################################################

# units, names

for my $zone ('any_name:8m', 'a:8192k', 'a:8388608', 'x.y-z:64m') {
	configure("ocsp_plus_zone $zone;");
	ok($t->config_test(),
		"ocsp_plus_zone $zone is accepted") or diag($t->output());
}

# a name that is taken, given or by default

configure("ssl_session_cache shared:ocsp_plus:1m;");
ok(!$t->config_test(), 'another zone named ocsp_plus is refused');
like($t->output(), qr/\[emerg\].*"ocsp_plus"/,
	'the message about another zone named ocsp_plus names it');
configure("ssl_session_cache shared:mine:1m;\nocsp_plus_zone mine:8m;");
ok(!$t->config_test(), 'another zone of the given name is refused');
like($t->output(), qr/\[emerg\].*"mine"/,
	'the message about another zone of the given name names it');

# not needed, so not made

@servers = ();
configure('ocsp_plus_zone staples:64k;');
ok($t->config_test(),
	'a small zone without certificates is accepted') or diag($t->output());

$t->done_testing();

###############################################################################

sub configure {
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
