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

write_conf('ocsp_plus off;');
ok($t->config_test(), 'without ocsp_plus') or diag($t->output());
my @before = files();
write_conf('');
ok($t->config_test(), 'before a first start');
is(join(' ', files()), "@before", 'it leaves no file');
is($r->stats()->{all}{connections}, 0, 'and asks nobody');

# while nginx runs

$t->run();
is(wait_staple(8443, 'good', seconds => 30)->{status}, 'good', 'a staple');
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
	[ 'a certificate more', <<'EOC', 1 ],
    server {
        listen               127.0.0.1:8444 ssl;
        ssl_certificate      new.example.com.pem;
        ssl_certificate_key  new.example.com.key;
    }
EOC
	[ 'no certificate', 'ocsp_plus off;', 1 ],
	[ 'an error of a directive', 'ocsp_plus_timeout never;', '' ],
	[ 'an error of the zone', 'ocsp_plus_zone ocsp_plus:32k;', '' ],
	[ 'an error of nginx itself', 'error_log %%TESTDIR%%/none/x;', '' ],
);

for my $test (@tests) {
	my ($what, $lines, $ok) = @$test;
	write_conf($lines);
	is($t->config_test(), $ok, $what) or diag($t->output());
}

is(join(' ', files()), "@before", 'no file is left');
is(join(' ', sort $t->workers()), "@workers", 'the workers go on');
is($t->master_pid(), $master, 'and the master');
my @missing = grep { (staple_fast(8443) // '') ne $der } 1 .. 20;
is("@missing", '', 'with the same staple');
is($r->stats()->{all}{connections}, 0, 'and nobody was asked');
my ($said) = $t->log_lines(qr/designated worker|response published/, $mark);
is($said, undef, 'nor is there another designated worker');

# the running one still does its work: what its configuration said last is
# what a reload takes

write_conf($tests[3][1]);
ok($t->reload(), 'a reload after all that');
is(wait_staple(8444, 'revoked', seconds => 30)->{status}, 'revoked',
	'fetches what is new');
is(staple(8443)->{status}, 'good', 'and keeps what it had');

$t->done_testing();

###############################################################################

sub write_conf {
	my ($lines) = @_;
	my $on = $lines =~ /^ocsp_plus / ? '' : 'ocsp_plus on;';
	$t->write_file_expand('nginx.conf', <<"EOC");

%%TEST_GLOBALS%%

worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    $on
    $lines

    server {
        listen               127.0.0.1:8443 ssl;
        ssl_certificate      example.com.pem;
        ssl_certificate_key  example.com.key;
    }
}

EOC
}

sub files {
	my @found;
	find({ no_chdir => 1, wanted => sub {
		push @found, $_ unless m!/(?:start\.out|error\.log|cache/.*)$! } },
		$t->testdir());
	return sort @found;
}

###############################################################################
