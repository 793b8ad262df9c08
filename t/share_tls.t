#!/usr/bin/perl

# Tests for a shared store that is reached over TLS, with certificates on both
# sides, and with no more rights than docs/fleets.md says.

###############################################################################

use warnings;
use strict;

use FindBin;
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

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @leaves = $int->leaves(2, 'host%d.example', aia => $r->url(),
	not_before => -86400);
$root->leaf($_) for qw/ localhost node.example /;
Test::Nginx::CA->new($t, 'stranger');

my $dir = $t->testdir();
my $redis = eval { Test::Nginx::Redis->start($t, conf => [
	'tls-port ' . port(8379), "tls-cert-file $dir/localhost.pem",
	"tls-key-file $dir/localhost.key", "tls-ca-cert-file $dir/root.crt",
	'tls-auth-clients yes' ]) }
	or plan(skip_all => 'a server without TLS');

# the rights that docs/fleets.md tells operators to give

open my $docs, '<', "$FindBin::Bin/../docs/fleets.md" or die "fleets.md: $!";
my ($acl) = join('', <$docs>) =~ /^ACL SETUSER (.*?)\n\n?```/ms
	or die "docs/fleets.md has no ACL line\n";
my $password = 'correct-horse';
(my @rights) = split ' ', $acl =~ s/\\\n/ /gr =~ s/>password/>$password/r;
is($redis->ask('ACL', 'SETUSER', @rights), 'OK', "the server takes the rights");

my $fleet = Test::Nginx::Fleet->new($t, nodes => 2, leaves => \@leaves);
$fleet->write_file($_, $t->read_file($_))
	for qw/ root.crt stranger.crt node.example.pem node.example.key /;
$fleet->write_file('pass', "$password\n");

my $place = 'rediss://localhost:' . port(8379);
my $login = "user=$rights[0] password_file=%%TESTDIR%%/pass";
my $trust = 'trusted_certificate=%%TESTDIR%%/root.crt';
my $show = 'certificate=%%TESTDIR%%/node.example.pem'
	. ' certificate_key=%%TESTDIR%%/node.example.key';

###############################################################################

$fleet->configure("ocsp_plus_share $place $login $trust $show;");
$fleet->start();
is($fleet->without(), 0, 'each first handshake gets a staple');
is(scalar(() = $r->requests()), @leaves, 'after one request for each');
is(scalar(map { $_->log_lines(qr/shared store (?:cannot|refuses)/) }
	$fleet->nodes()), 0, 'the documented rights are enough');
$r->clear();
$fleet->control(1, 'refresh=all');
ok($r->wait_requests(2, 20), 'a refresh of all, on one node');
ok(wait_for(sub { !grep { $fleet->staple(0, $_) ne $fleet->staple(1, $_) }
	@leaves }, 20, 'the same'), 'the other node takes its responses');

# what is refused

for my $case ([ 'without a certificate of its own' => "$place $login $trust" ],
	[ 'with a name that is not the server\'s' =>
		$place =~ s/localhost/127.0.0.1/r . " $login $trust $show" ],
	[ 'with another trust anchor' => "$place $login $show"
		. ' trusted_certificate=%%TESTDIR%%/stranger.crt' ],
	[ "with the system's trust anchors" => "$place $login $show" ])
{
	my ($what, $arguments) = @$case;
	$fleet->configure("ocsp_plus_share $arguments;", [ 0 ]);
	my $mark = $t->log_mark();
	$t->reload(old_gone => 1);
	like($t->wait_log(qr/the shared store cannot be used/, 10, $mark) // '',
		qr/reason=store_unreachable/, "the node does not share $what");
	is($fleet->without(0), 0, "nothing is missing $what");
}

$t->done_testing();
