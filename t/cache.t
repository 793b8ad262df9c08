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

configure("ocsp_plus_cache  state;");
ok($t->config_test(),
	'the configuration with ocsp_plus_cache is accepted') or diag($t->output());
ok(!-e $dir, 'nginx -t does not create the cache directory');

###############################################################################

# what is kept

$t->run();
is(without(8443, @names, 'brief.example'), 0,
	'all certificates are stapled after the first start');
ok(wait_for(sub { kept() == 6 }, 10, 'files'),
	'the cache directory has a file for each certificate');

my @stat = stat $dir;
my ($worker) = $t->workers();
my ($uid) = $t->read_file("/proc/$worker/status") =~ /^Uid:\s+(\d+)/m;
is(sprintf('%04o', $stat[2] & 07777), '0700',
	'the cache directory has mode 0700');
is($stat[4], $uid, 'the cache directory belongs to the worker user');
is(join(' ', kept()), join(' ', sort map { $_->id() . '.der' }
	@leaves, $brief), 'the cache files are named by the certificate ids');

for my $leaf (@leaves) {
	my $file = "$dir/" . $leaf->id() . '.der';
	is(sprintf('%04o', (stat $file)[2] & 07777), '0644',
		$leaf->name() . ': the cache file has mode 0644');
	is(unpack('H*', $t->read_file($file)),
		unpack('H*', staple_fast(8443, $leaf->name()) // ''),
		$leaf->name() . ': the cache file holds what is stapled');
	my $run = $t->command([ qw/ openssl ocsp -no_nonce /, '-respin', $file,
		'-issuer', $int->cert(), '-cert', $leaf->cert(),
		'-CAfile', $root->cert() ]);
	like($run->{output}, qr/Response verify OK.*: good$/ms,
		$leaf->name() . ': openssl verifies the cache file');
}

my $file = "$dir/" . $brief->id() . '.der';
my $first = $t->read_file($file);
ok(wait_for(sub { $t->read_file($file) ne $first }, 20, 'a new response'),
	'a refreshed response is written to the cache');
is(scalar(() = kept()), 6, 'a refreshed response replaces its file');

###############################################################################

# a start with the responder down: no handshake without a staple, no request

my %held = map { $_ => staple_fast(8443, $_) } @names;
for my $signal (qw/ QUIT TERM KILL /) {
	ok($t->stop($signal), "$signal: nginx ends");
	$r->fault('hang_after_connect', on => 1);
	$r->clear();
	my $mark = $t->log_mark();
	my $watch = Test::Nginx::Watch->start($t, 8443, @names);
	$t->run();
	$watch->wait_for(50);
	my $seen = $watch->end();
	cmp_ok($seen->{stapled}, '>=', 50,
		"$signal: fifty handshakes after the start have a staple");
	is("$seen->{missing} $seen->{failed}", '0 0',
		"$signal: no handshake after the start lacks a staple or fails");
	is(scalar(grep { (staple_fast(8443, $_) // '') ne $held{$_} } @names),
		0,
		"$signal: the staples after the start are those from before");
	ok($t->wait_log(qr/the designated worker now/, 10, $mark),
		"$signal: a designated worker takes over after the start");
	is($r->stats()->{ports}{1}{connections} // 0, 0,
		"$signal: no responder is asked before a refresh is due");
	is(join("\n", $t->log_lines(qr/waiting for responses.* certificates=[2-9]/, $mark)),
		'', "$signal: the start does not wait for cached responses");
	$r->fault('none', on => 1);
	$r->drop_connections();
}

# the responder does not run at all

$t->stop();
$r->stop();
$t->run();
is(without(8443, map { @names } 1 .. 10), 0,
	'fifty handshakes are stapled from the cache without a responder');
$r->restart();

# the directory is used again, whoever it belongs to now

is(join(' ', (stat $dir)[1, 4]), "$stat[1] $uid",
	'the cache directory and its owner stay the same over restarts');

# a reload with another directory: what is published from then on is kept there

configure("ocsp_plus_cache  %%TESTDIR%%/other/;");
ok($t->reload(old_gone => 1), 'a reload with another cache directory succeeds');
$r->validity(next_update => 12, on => 2);
ok(wait_for(sub { -e $t->testdir() . '/other/' . $brief->id() . '.der' }, 20,
	'a file'),
	'a response is written to the new directory after the reload');
$t->stop();

###############################################################################

# off

my $before = join ' ', kept();
$r->fault('none');
configure('ocsp_plus_cache  off;');
$t->run();
is(without(8443, @names), 0, 'cache off: all certificates are stapled');
$t->stop();
$r->fault('refuse');
$t->run();
is(without(8443, @names), 5,
	'cache off: a restart without a responder has no staples');
is(join(' ', kept()), $before,
	'cache off: the former directory is left unchanged');
ok(!-e $t->testdir() . '/off',
	'cache off: no directory called "off" is created');
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
	configure('');
	(my $conf = $t->read_file('nginx.conf')) =~ s/^ocsp_plus_cache.*$//m;
	$t->write_file('nginx.conf', $conf);
	$t->run();
	is(without(8443, @names), 0,
		'default cache: all certificates are stapled');
	my $default = '/proc/' . $t->master_pid() . "/root$parent/ocsp_plus";
	ok(wait_for(sub { -e "$default/" . $leaves[4]->id() . '.der' }, 10,
		'a file'),
		'default cache: a directory beside the temporary paths is used');
	is(sprintf('%d %04o', (stat $default)[4],
		(stat $default)[2] & 07777), "$uid 0700",
		"default cache: the directory is the worker user's with mode 0700");
	is(-e "$parent/ocsp_plus", $there,
		'default cache: nothing is created outside of the mount namespace');
	$t->stop();
}

$t->done_testing();

###############################################################################

sub configure {
	my ($lines) = @_;
	$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
		'ocsp_plus_timeout 3s;', $lines,
		map { [ 8443, $_ ] } @names, 'brief.example' ]);
}

sub kept {
	opendir my $directory, $dir or return;
	my @files = sort grep { !/^\.\.?$/ } readdir $directory;
	return @files;
}

###############################################################################
