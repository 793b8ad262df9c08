#!/usr/bin/perl

# Tests for nginx -t: it asks nobody, leaves nothing behind and does not
# disturb an nginx that runs.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Find qw/ find /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url());
my $new = $int->leaf('new.example.com', aia => $r->url());

# before a first start; nginx itself makes directories and logs

configure('ocsp_plus off;');
ok($t->config_test(),
	'a configuration without ocsp_plus is accepted') or diag($t->output());
my @before = files();
configure('');
ok($t->config_test(), 'nginx -t succeeds before the first start');
is(join(' ', files()), "@before",
	'nginx -t before the first start leaves no file');
is($r->stats()->{all}{connections}, 0,
	'nginx -t before the first start asks no responder');

# while nginx runs

$t->run();
is(wait_staple(8443, 'good', seconds => 30)->{status}, 'good',
	'the certificate is stapled');
my $der = staple_fast(8443);
my @workers = sort $t->workers();
my $master = $t->master_pid();

# anything that was asked for from here on would show

$r->status(undef, 'revoked');
$r->clear();
@before = files();
my $mark = $t->log_mark();

my @tests = (
	[ 'the same configuration', '', 1 ],
	[ 'another size of the zone', 'ocsp_plus_zone ocsp_plus:16m;', 1 ],
	[ 'another name of the zone', 'ocsp_plus_zone other:16m;', 1 ],
	[ 'a certificate more', [ 8444, $new ], 1 ],
	[ 'no certificate', 'ocsp_plus off;', 1 ],
	[ 'an error of a directive', 'ocsp_plus_timeout never;', '' ],
	[ 'an error of the zone', 'ocsp_plus_zone ocsp_plus:32k;', '' ],
	[ 'an error of nginx itself', 'error_log %%TESTDIR%%/none/x;', '' ],
);

for my $test (@tests) {
	my ($what, $lines, $ok) = @$test;
	configure($lines);
	is($t->config_test(), $ok,
		"nginx -t while nginx runs, $what: "
		. ($ok ? 'accepted' : 'refused')) or diag($t->output());
}

is(join(' ', files()), "@before", 'nginx -t while nginx runs leaves no file');
is(join(' ', sort $t->workers()), "@workers",
	'nginx -t while nginx runs leaves the workers alone');
is($t->master_pid(), $master,
	'nginx -t while nginx runs leaves the master alone');
my @missing = grep { (staple_fast(8443) // '') ne $der } 1 .. 20;
is("@missing", '', 'nginx -t while nginx runs leaves the staple as it was');
is($r->stats()->{all}{connections}, 0,
	'nginx -t while nginx runs asks no responder');
my ($said) = $t->log_lines(qr/designated worker|response published/, $mark);
is($said, undef,
	'nginx -t while nginx runs leaves the designated worker alone');

# the running one still does its work: what its configuration said last is
# what a reload takes

configure($tests[3][1]);
ok($t->reload(), 'a reload after the tests succeeds');
is(wait_staple(8444, 'revoked', seconds => 30)->{status}, 'revoked',
	'the reload fetches a response for the new certificate');
is(staple(8443)->{status}, 'good', 'the reload keeps the staple it had');

$t->done_testing();

###############################################################################

# What is given is a line of http or a server.
sub configure {
	my ($more) = @_;
	$t->write_conf(workers => 2, http => [
		$more =~ /^ocsp_plus / ? () : 'ocsp_plus on;', $more,
		[ 8443, $leaf ] ]);
}

sub files {
	my @found;
	find({ no_chdir => 1, wanted => sub {
		push @found, $_ unless m!/(?:start\.out|error\.log|cache/.*)$! } },
		$t->testdir());
	return sort @found;
}

###############################################################################
