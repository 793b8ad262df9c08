#!/usr/bin/perl

# Tests for the private CA of docs/private-ca.md: its commands, as they stand
# there, and what nginx makes of them.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';
my $port = port(8081);
my $url = "http://127.0.0.1:$port/";

my $page = $t->read_file("$FindBin::Bin/../docs/private-ca.md");
my ($conf) = $page =~ /```ini t\/private_ca\.t\n(.*?)```/s;
my ($make, $serve, $revoke, $tell, $by_hand) = $page =~ /```sh t\/private_ca\.t\n(.*?)```/sg;
my ($responder, $try) = split /\n/, $serve;
s/2560/$port/, s/^ocsp-plus/$tool/mg for $responder, $try, $tell, $by_hand;
$tell =~ s!/etc/nginx/ocsp!$d!;
$tell =~ s/ocsp-plus fetch|\Q$tool\E fetch/$tool fetch --responder $url/;

$t->write_file('ca.cnf', $conf);
is(shell($make)->{status}, 0,
	'the documented commands make a CA, a responder and a certificate');
my $pid = serve();
my $run = shell($try);
is($run->{status}, 0,
	'the documented try of the responder succeeds') or diag($run->{output});

$t->write_conf(http => [ 'ocsp_plus on;', [ 8443, 'www',
	"ocsp_plus_responder $url;", "ocsp_plus_file $d/www.der;" ] ]);

chmod 0755, $d;
$t->run();
is(wait_staple(8443, 'good', seconds => 20)->{status}, 'good',
	'nginx staples the certificate of the private CA');

# plan looks whether it can be reached, and does not block it

is($t->command([ $tool, 'plan', '-c', "$d/nginx.conf", '-p', "$d/", '--nginx',
	$t->nginx(), $> ? '--unprivileged' : () ], timeout => 60,
	env => { $t->environment() })->{status}, 0, 'plan is content');
is(shell($try)->{status}, 0, 'the responder answers after a plan');

is(shell((split /\n/, $revoke)[0])->{status}, 0,
	'the documented revocation succeeds');
$t->stop_daemons($pid);
$pid = serve();
$run = shell($tell);
is($run->{status}, 1,
	'the documented fetch reports the revocation') or diag($run->{output});
is(wait_staple(8443, 'revoked', seconds => 20)->{status}, 'revoked',
	'nginx staples the revocation from the file without a reload');
like($t->wait_log(qr/CERTIFICATE IS REVOKED.*"www\.internal\.example"/) // '',
	qr/\[crit\]/, 'nginx logs the revocation as critical');
$t->stop_daemons($pid);

$run = shell($by_hand);
is($run->{status}, 1, 'the documented fetch without a responder exits with 1');
like($run->{output}, qr/^reason: +revoked /m,
	'the documented fetch without a responder says revoked');

$t->done_testing();

###############################################################################

sub shell {
	my ($commands) = @_;
	return $t->command([ 'sh', '-ec', "cd $d\n$commands" ],
		timeout => 30);
}

sub serve {
	$t->write_file('responder.log', '');
	my $daemon = $t->run_daemon('sh', '-c', "cd $d && exec $responder"
		. ' >responder.log 2>&1');
	# to connect without a request would keep it busy for good
	ok(wait_for(sub { $t->find_in_file('responder.log',
		qr/waiting for OCSP client connections/) }, 10),
		'the openssl responder is ready');
	return $daemon;
}

###############################################################################
