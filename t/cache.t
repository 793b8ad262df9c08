#!/usr/bin/perl

# Tests for the cache directory: who owns it and what lies in it; a start from it
# needs no responder, from the first handshake on; off keeps nothing.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;
use Test::Nginx::Watch;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my @leaves = $int->leaves(5, 'host%d.example', aia => $r->url(1));
my @names = map { $_->name() } @leaves;
my $brief = $int->leaf('brief.example', aia => $r->url(2));
$r->validity(next_update => 12, on => 2);

my $dir = $t->testdir() . '/state';

write_conf("ocsp_plus_cache  state;");
ok($t->config_test(), 'configuration') or diag($t->output());
ok(!-e $dir, 'a test of the configuration creates no directory');

###############################################################################

# what is kept

$t->run();
is(without(8443, @names, 'brief.example'), 0, 'stapled');
ok(wait_for(sub { kept() == 6 }, 10, 'files'), 'a file for each certificate');

my @stat = stat $dir;
my ($worker) = $t->workers();
my ($uid) = $t->read_file("/proc/$worker/status") =~ /^Uid:\s+(\d+)/m;
is(sprintf('%04o', $stat[2] & 07777), '0700', 'mode of the directory');
is($stat[4], $uid, 'it belongs to the worker user');
is(join(' ', kept()), join(' ', sort map { $_->id() . '.der' }
	@leaves, $brief), 'named by the certificates');

for my $leaf (@leaves) {
	my $file = "$dir/" . $leaf->id() . '.der';
	is(sprintf('%04o', (stat $file)[2] & 07777), '0644',
		$leaf->name() . ': mode of the file');
	is(unpack('H*', $t->read_file($file)),
		unpack('H*', staple_fast(8443, $leaf->name()) // ''),
		$leaf->name() . ': what is stapled');
	my $run = $t->command([ qw/ openssl ocsp -no_nonce /, '-respin', $file,
		'-issuer', $int->cert(), '-cert', $leaf->cert(),
		'-CAfile', $root->cert() ]);
	like($run->{output}, qr/Response verify OK.*: good$/ms,
		$leaf->name() . ': openssl reads it');
}

my $file = "$dir/" . $brief->id() . '.der';
my $first = $t->read_file($file);
ok(wait_for(sub { $t->read_file($file) ne $first }, 20, 'a new response'),
	'what is refreshed is kept');
is(scalar(() = kept()), 6, 'in the same file');

###############################################################################

# a start with the responder down: no handshake without a staple, no request

my %held = map { $_ => staple_fast(8443, $_) } @names;
for my $signal (qw/ QUIT TERM KILL /) {
	ok($t->stop($signal), "$signal: ended");
	$r->fault('hang_after_connect', on => 1);
	$r->clear();
	my $mark = $t->log_mark();
	my $watch = Test::Nginx::Watch->start($t, 8443, @names);
	$t->run();
	$watch->wait_for(50);
	my $seen = $watch->end();
	cmp_ok($seen->{stapled}, '>=', 50, "$signal: handshakes");
	is("$seen->{missing} $seen->{failed}", '0 0',
		"$signal: none without a staple from the first on");
	is(scalar(grep { (staple_fast(8443, $_) // '') ne $held{$_} } @names),
		0, "$signal: what was held before");
	ok($t->wait_log(qr/the designated worker now/, 10, $mark),
		"$signal: a designated worker");
	is($r->stats()->{ports}{1}{connections} // 0, 0,
		"$signal: nobody is asked before it is due");
	is(join("\n", $t->log_lines(qr/waiting for responses.* certificates=[2-9]/, $mark)),
		'', "$signal: no wait for what is kept");
	$r->fault('none', on => 1);
	$r->drop_connections();
}

# the responder does not run at all

$t->stop();
$r->stop();
$t->run();
is(without(8443, map { @names } 1 .. 10), 0,
	'50 handshakes without a responder');
$r->restart();

# the directory is used again, whoever it belongs to now

is(join(' ', (stat $dir)[1, 4]), "$stat[1] $uid", 'the same directory');

# a reload with another directory: what is published from then on is kept there

write_conf("ocsp_plus_cache  %%TESTDIR%%/other/;");
ok($t->reload(old_gone => 1), 'reload with another directory');
$r->validity(next_update => 12, on => 2);
ok(wait_for(sub { -e $t->testdir() . '/other/' . $brief->id() . '.der' }, 20,
	'a file'), 'it is used');
$t->stop();

###############################################################################

# off

my $before = join ' ', kept();
$r->fault('none');
write_conf('ocsp_plus_cache  off;');
$t->run();
is(without(8443, @names), 0, 'off: stapled');
$t->stop();
$r->fault('refuse');
$t->run();
is(without(8443, @names), 5, 'off: nothing outlives nginx');
is(join(' ', kept()), $before, 'off: nothing is written');
ok(!-e $t->testdir() . '/off', 'off: is no directory');
$t->stop();
$r->reset();

###############################################################################

# the default, out of sight of this machine's own nginx

SKIP: {
	skip 'needs root', 4 unless $> == 0;
	my $built = $t->command([ $t->{binary}, '-V' ])->{output};
	skip 'other temporary paths', 4 unless $built =~
		m!--http-client-body-temp-path=(/\S+)/!;
	my $parent = $1;
	my $mount = "mount -t tmpfs -o mode=0755 none $parent";
	skip 'no mount namespaces', 4 if !-d $parent || $t->command([ 'unshare',
		'-m', 'sh', '-c', $mount ])->{status};

	my $real = $t->{binary};
	$t->{binary} = $t->write_file('nginx-alone', "#!/bin/sh\n"
		. "exec unshare -m sh -c '$mount && exec $real \"\$@\"' sh"
		. " \"\$@\"\n");
	chmod 0755, $t->{binary};
	my $there = -e "$parent/ocsp_plus";
	write_conf('');
	(my $conf = $t->read_file('nginx.conf')) =~ s/^ocsp_plus_cache.*$//m;
	$t->write_file('nginx.conf', $conf);
	$t->run();
	is(without(8443, @names), 0, 'default: stapled');
	my $default = '/proc/' . $t->master_pid() . "/root$parent/ocsp_plus";
	ok(wait_for(sub { -e "$default/" . $leaves[4]->id() . '.der' }, 10,
		'a file'), 'default: a directory beside the temporary ones');
	is(sprintf('%d %04o', (stat $default)[4],
		(stat $default)[2] & 07777), "$uid 0700",
		'default: owner and mode');
	is(-e "$parent/ocsp_plus", $there, 'default: not outside');
	$t->stop();
}

$t->done_testing();

###############################################################################

sub write_conf {
	my ($lines) = @_;
	my $servers = $t->ssl_servers(8443, @names, 'brief.example');
	$t->write_file_expand('nginx.conf', <<"CONF");

%%TEST_GLOBALS%%

worker_processes  2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus  on;
    ocsp_plus_timeout  3s;
    $lines

$servers
}

CONF
}

sub kept {
	opendir my $directory, $dir or return;
	my @files = sort grep { !/^\.\.?$/ } readdir $directory;
	return @files;
}

###############################################################################
