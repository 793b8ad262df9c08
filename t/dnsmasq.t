#!/usr/bin/perl

# Tests with dnsmasq as the DNS server: families, TTL, names that are not
# there, truncation, a server that goes and comes back, and resolv.conf.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl ipv6 /)->has_daemon('dnsmasq');
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $four = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my $six = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8082 ],
	addresses => [ '::1' ]);

my @many = map { "127.0.1.$_" } 1 .. 80;
my %hosts = (
	'four.test' => [ '127.0.0.1' ],
	'six.test' => [ '::1' ],
	'both.test' => [ '::1', '127.0.0.1' ],
	'many.test' => \@many,
	'kept.test' => [ '127.0.0.1' ],
	'four.deep.test' => [ '127.0.0.1' ],
);
my %leaf = map {
	$_ => $int->leaf("$_.example", aia => "http://$_.test:"
		. port($_ eq 'six' ? 8082 : 8081) . '/')
} qw/ four six both many kept missing /;
$leaf{dotted} = $int->leaf('dotted.example',
	aia => 'http://four.deep:' . port(8081) . '/');

my $one = port(8053);
my $ttl = 5;
my $server = dnsmasq($one);

###############################################################################

# both families, and what there is none of

for my $case ([ four => qr/four\.test is 127\.0\.0\.1:/ ],
	[ six => qr/six\.test is \[::1\]:/ ],
	[ both => qr/both\.test is .*127\.0\.0\.1:.*, |both\.test is \[::1\]/ ])
{
	my ($name, $what) = @$case;
	my $run = fetch($name, "127.0.0.1:$one");
	is($run->{status}, 0,
		"$name: fetch succeeds through dnsmasq") or diag($run->{output});
	like($run->{output}, $what,
		"$name: fetch uses the address of its family");
}
my $run = fetch('both', "127.0.0.1:$one", '-6');
like($run->{output}, qr/both\.test is \[::1\]:\d+$/m,
	'fetch -6 uses the IPv6 address alone');
$run = fetch('both', "127.0.0.1:$one", '-4');
like($run->{output}, qr/both\.test is 127\.0\.0\.1:\d+$/m,
	'fetch -4 uses the IPv4 address alone');
is($run->{status}, 0, 'fetch -4 succeeds');
is(asked('AAAA', 'both.test'), 2, 'fetch -4 sends no AAAA query');
$run = fetch('six', "127.0.0.1:$one", '-4');
like($run->{output}, qr/dns_no_address/,
	'fetch -4 finds no address of an IPv6 host');
$run = fetch('missing', "127.0.0.1:$one");
like($run->{output}, qr/dns_not_found/,
	'NXDOMAIN is reported as dns_not_found');

# eighty addresses are more than a datagram of 512 bytes holds

$run = fetch('many', "127.0.0.1:$one", '-4');
like($run->{output}, qr/many\.test is 127\.0\.1\.\d+:/,
	'an answer of eighty addresses is used');
cmp_ok(asked('A', 'many.test'), '>=', 2,
	'a truncated answer is asked for again by TCP');

# two servers, the first of which is gone; then both

$run = fetch('four', '127.0.0.1:' . port(8199), '--resolver',
	"127.0.0.1:$one");
is($run->{status}, 0,
	'the second --resolver is asked where the first is '
	. 'unreachable') or diag($run->{output});

###############################################################################

# an address is kept as long as its TTL; connections are not kept, so that
# each fetch needs it

$four->fault('http10');
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 0;',
	'ocsp_plus_cache off;', 'ocsp_plus_timeout 3s;', 'ocsp_plus_retry 1s 2s;',
	"ocsp_plus_resolver 127.0.0.1:$one timeout=1s valid=1h;",
	[ 8080, undef, 'location /control { ocsp_plus_control; allow all; }' ],
	map { [ 8443, $leaf{$_} ] } qw/ kept missing / ]);
my $mark = $t->log_mark();
$t->run();
ok(wait_for(sub { staple_fast(8443, 'kept.example') }, 20, 'a staple'),
	'nginx staples a certificate whose host dnsmasq resolves');
like($t->wait_log(qr/no response.*"missing\.example"/, 20) // '',
	qr/reason=dns_not_found/, 'nginx logs NXDOMAIN as dns_not_found');
my $asked = asked('A', 'kept.test');
refresh('kept') for 1 .. 3;
is(asked('A', 'kept.test'), $asked, 'nginx sends no query within the TTL');
ok(wait_for(sub {
	refresh('kept');
	return asked('A', 'kept.test') > $asked;
}, 30, 'the TTL to be over'), 'nginx sends a query after the TTL');

# the server goes, and comes back

$t->stop_daemons($server);
ok(wait_for(sub {
	refresh('kept');
	return $t->log_lines(qr/"kept\.example".*reason=dns_(?:timeout|failed)/,
		$mark);
}, 40, 'an error'),
	'dnsmasq down: the failed refresh is logged with a DNS reason');
ok(staple_fast(8443, 'kept.example'),
	'dnsmasq down: the held response is still stapled');
$hosts{'missing.test'} = [ '127.0.0.1' ];
$mark = $t->log_mark();
$server = dnsmasq($one);
ok(wait_for(sub { staple_fast(8443, 'missing.example') }, 60, 'a staple'),
	'dnsmasq back: a host that was missing is found');
$t->stop();

###############################################################################

# resolv.conf has no ports, so this needs port 53 and a system of its own

SKIP: {
	my @own = ('unshare', '--mount', '--net', 'sh', '-c');
	skip 'no namespaces', 4 unless $t->command([ @own, 'true' ])->{status} == 0;
	my $dnsmasq = join ' ', 'dnsmasq', options(53);
	my $etc = $t->write_file('resolv.conf',
		"nameserver 127.0.0.9\nnameserver 127.0.0.1\n"
		. "search test other.test\noptions timeout:1 attempts:2\n");
	my $hosts_file = $t->write_file('etc-hosts', "127.0.0.1 localhost\n");
	my $try = sub {
		my ($name) = @_;
		return $t->command([ @own, "ip link set lo up || exit 9;
			mount --bind $etc \$(readlink -f /etc/resolv.conf) || exit 9;
			mount --bind $hosts_file /etc/hosts || exit 9;
			$dnsmasq & until [ -s $d/dnsmasq-53.pid ]; do :; done;
			$tool fetch -v --timeout 6s --cert @{[ $leaf{$name}->chain() ]};
			kill \$!; rm -f $d/dnsmasq-53.pid" ], timeout => 30);
	};
	my $first = $try->('four');
	skip 'no namespaces', 4 if $first->{output} !~ /resolving/;
	like($first->{output}, qr/four\.test is 127\.0\.0\.1:/,
		'resolv.conf: the second server is asked as the first is unreachable');
	unlike($try->('dotted')->{output}, qr/four\.deep is /,
		'resolv.conf: "search" completes no name');
	my $log = $t->read_file('dnsmasq-53.log');
	like($log, qr/query\[A\] four\.deep from/,
		'resolv.conf: the name itself is asked for');
	unlike($log, qr/four\.deep\.test/,
		'resolv.conf: no completed name is asked for');
}

$t->done_testing();

###############################################################################

sub options {
	my ($port) = @_;
	$t->write_file("hosts-$port", join '', map { my $name = $_;
		map { "$_ $name\n" } @{$hosts{$name}} } sort keys %hosts);
	return ('--keep-in-foreground', "--port=$port", '--listen-address=127.0.0.1',
		'--bind-interfaces', '--no-resolv', '--no-hosts',
		"--addn-hosts=$d/hosts-$port", "--local-ttl=$ttl", '--log-queries',
		'--local=/test/', '--local=/deep/', '--conf-file=/dev/null',
		'--edns-packet-max=512', '--user=root',
		"--log-facility=$d/dnsmasq-$port.log",
		"--pid-file=$d/dnsmasq-$port.pid");
}

# A server that answers from now on; its pid.
sub dnsmasq {
	my ($port) = @_;
	my $pid = $t->run_daemon('dnsmasq', options($port));
	ok(wait_for(sub { IO::Socket::INET->new(Proto => 'tcp',
		PeerAddr => "127.0.0.1:$port") }, 10, 'dnsmasq'),
		'dnsmasq runs');
	return $pid;
}

# How often a name was asked for.
sub asked {
	my ($type, $name) = @_;
	my $log = $t->read_file("dnsmasq-$one.log");
	return scalar(() = $log =~ /query\[$type\] \Q$name\E from/g);
}

sub fetch {
	my ($name, $resolver, @more) = @_;
	return $t->command([ $tool, 'fetch', '-v', '--cert',
		$leaf{$name}->chain(), '--resolver', $resolver, '--timeout', '8s',
		@more ], timeout => 20);
}

sub refresh {
	my ($name) = @_;
	my $id = $leaf{$name}->id();
	return wait_for(sub {
		http_post("/control?refresh=$id", '') =~ / 202 / }, 10, 'a refresh');
}

###############################################################################
