#!/usr/bin/perl

# Tests for the deploy hook with real ACME clients and a test CA, those that
# are installed: certbot, lego and dehydrated with pebble.

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
plan(skip_all => 'no pebble, which scripts/test --clients installs')
	unless installed('pebble');

my $d = $t->testdir();
my $hook = "$FindBin::Bin/../packaging/hooks/ocsp-plus-deploy";
my $is_root = $> == 0;
my ($uid, $gid) = $is_root ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);

# the CA, which believes whoever asks for a name

my $own = Test::Nginx::CA->new($t);
my $server = $own->leaf('localhost');
my $r = Test::Nginx::Responder->start($t, ca => $own, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my ($acme, $management) = ($t->port(8090), $t->port(8091));
$t->write_file('pebble.json', <<END);
{ "pebble": {
  "listenAddress": "127.0.0.1:$acme",
  "managementListenAddress": "127.0.0.1:$management",
  "certificate": "@{[ $server->chain() ]}",
  "privateKey": "@{[ $server->key() ]}",
  "httpPort": @{[ $t->port(8092) ]}, "tlsPort": @{[ $t->port(8093) ]},
  "ocspResponderURL": "@{[ $r->url(1) ]}",
  "externalAccountBindingRequired": false
} }
END
$t->run_daemon('sh', '-c', 'PEBBLE_VA_ALWAYS_VALID=1 PEBBLE_VA_NOSLEEP=1 '
	. 'PEBBLE_WFE_NONCEREJECT=0 exec pebble -config "$0" >"$0.log" 2>&1',
	"$d/pebble.json");
ok($t->waitforsocket("127.0.0.1:$_"), 'the CA has begun') for $acme, $management;

# its issuer answers by our responder

for my $part ([ 'intermediates/0', 'acme.crt' ],
	[ 'intermediate-keys/0', 'acme.key' ])
{
	$t->write_file($part->[1], $t->command([ 'curl', '-sk',
		"https://localhost:$management/$part->[0]" ])->{output});
}
$r->add_ca(bless { t => $t, dir => $d, name => 'acme', is_ca => 1 },
	'Test::Nginx::CA');

# the machine's service manager and system's log are not for tests

mkdir $_ for "$d/cache", "$d/live", "$d/bin", "$d/www";
chown $uid, $gid, "$d/cache";
$t->write_file("bin/$_", "#!/bin/sh\nexit 1\n") for qw/ systemd-run logger /;
chmod 0755, map { "$d/bin/$_" } qw/ systemd-run logger /;
my %env = (OCSP_PLUS_CACHE => "$d/cache", OCSP_PLUS_STATE => "$d/state",
	OCSP_PLUS_CONNECT => '127.0.0.1:' . $t->port(8443),
	OCSP_PLUS_TOOL => $t->build_dir() . '/ocsp-plus',
	PATH => "$d/bin:$ENV{PATH}", LEGO_CA_CERTIFICATES => $own->cert());
my $url = "https://localhost:$acme/dir";

$t->write_file('dehydrated.conf', <<END);
CA="$url"
CURL_OPTS="-k"
BASEDIR="$d/dehydrated"
WELLKNOWN="$d/www"
CHALLENGETYPE="http-01"
HOOK="$hook"
CONTACT_EMAIL=a\@example.com
OCSP_MUST_STAPLE="yes"
END
mkdir "$d/dehydrated";
$t->write_file('domains.txt', '');

# each client: its command, and where its certificate and its key are

my %clients = (
	certbot => [ "$d/certbot/live/example.com/fullchain.pem",
		"$d/certbot/live/example.com/privkey.pem",
		[ qw/ certbot certonly --standalone --non-interactive
			--agree-tos -m a@example.com -d example.com
			--must-staple --no-verify-ssl --force-renewal --server /,
			$url, '--http-01-port', $t->port(8092),
			map({ ("--$_-dir", "$d/certbot" . ($_ eq 'config' ? ''
				: "-$_")) } qw/ config work logs /),
			'--deploy-hook', $hook ] ],
	lego => [ "$d/lego/certificates/example.com.crt",
		"$d/lego/certificates/example.com.key",
		[ qw/ lego --accept-tos --email a@example.com
			--domains example.com --http --path /, "$d/lego",
			'--http.port', ':' . $t->port(8092), '--server', $url,
			'run', '--must-staple', '--run-hook', $hook ] ],
	dehydrated => [ "$d/dehydrated/certs/example.com/fullchain.pem",
		"$d/dehydrated/certs/example.com/privkey.pem",
		[ qw/ dehydrated --cron --force --accept-terms
			-d example.com -f /, "$d/dehydrated.conf" ] ],
);

for my $client (sort keys %clients) {
	SKIP: {
		skip "no $client", 4 unless installed($client);
		my ($chain, $key, $command) = @{$clients{$client}};
		if ($client eq 'dehydrated') {
			$t->command([ qw/ dehydrated --register --accept-terms -f /,
				"$d/dehydrated.conf" ], env => \%env, timeout => 60);
		}

		# a first certificate, before nginx has it

		my $first = run($command, 'true');
		is($first->{status}, 0, "$client gets a certificate")
			or diag($first->{output});
		$t->write_conf(main => [ $is_root ? 'user nobody nogroup;' : () ],
			http => [ 'ocsp_plus on;', "ocsp_plus_cache $d/cache;",
			[ '8443 ssl', undef, 'server_name example.com;',
			"ssl_certificate $chain;", "ssl_certificate_key $key;" ] ]);
		$t->run();
		my $before = serial();

		# a renewal

		my $renewed = run($command, 'kill -HUP ' . $t->master_pid());
		is($renewed->{status}, 0, "$client renews it")
			or diag($renewed->{output});
		ok(wait_for(sub { serial() ne $before }, 20),
			"$client: nginx has the new certificate");
		is(staple(8443)->{status}, 'good', "$client: it is stapled");
		$t->stop();
		unlink glob "$d/cache/*";
	}
}

$t->done_testing();

###############################################################################

sub installed {
	my ($program) = @_;
	return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

sub run {
	my ($command, $reload) = @_;
	return $t->command($command, timeout => 120,
		env => { %env, OCSP_PLUS_RELOAD => $reload });
}

sub serial {
	my $text = $t->command([ 'sh', '-c', 'openssl s_client -connect '
		. "127.0.0.1:" . $t->port(8443) . ' -servername example.com '
		. '</dev/null 2>/dev/null | openssl x509 -noout -serial'
		])->{output};
	return $text =~ /serial=(\w+)/ ? $1 : '';
}

###############################################################################
