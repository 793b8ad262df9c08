#!/usr/bin/perl

# Tests for a stream module beside an http module of another build: the
# configuration is refused before anything of it is used, and nginx goes on
# with the one before.

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

my $t = Test::Nginx->new(module => 0)->has(qw/ http_ssl stream_ssl /);
plan(skip_all => 'ocsp_plus is a part of this nginx') if $t->is_static();

my ($d, $build) = ($t->testdir(), $t->build_dir());
my $http = "$d/ngx_http_ocsp_plus_module.so";
my $stream = "$build/ngx_stream_ocsp_plus_module.so";

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('www.example', aia => $r->url());

sub configure {
	my (@modules) = @_;
	my @common = ('ocsp_plus on;', "ocsp_plus_cache $d/cache;");
	$t->write_conf(main => [ map { "load_module $_;" } @modules ],
		http => [ @common, [ 8443, $leaf ] ],
		@modules == 1 ? () : (stream => [ "ocsp_plus on;",
			[ 8444, $leaf, 'ssl_protocols TLSv1.2 TLSv1.3;', 'return "hello";' ] ]));
}

# another build: one digit of the sum of the headers is changed

local $_ = $t->read_file("$build/ngx_http_ocsp_plus_module.so");
my ($number) = /\0\d+\.\d+\.\d+ \((\d+)\)\0/
	or die 'the module does not say which build it is of';
my $other = $number =~ s/(\d)$/($1 + 1) % 10/er;
s/(\0\d+\.\d+\.\d+ \()$number(\)\0)/$1$other$2/g;
$t->write_file($http, $_);

configure($http);
$t->run();
is(wait_staple(8443, 'good')->{status}, 'good', 'an older http module runs');
my @workers = $t->workers();

my $refused = qr/\[emerg\].*the stream module is version \S+ \($number\), the http module in this process is version \S+ \($other\)/;
my $mark = $t->log_mark();
configure($http, $stream);
$t->todo_alerts($refused);
$t->signal($t->master_pid(), 'HUP');
ok(defined $t->wait_log($refused, 10, $mark), 'a reload says why it refuses');
is(staple(8443)->{status}, 'good', 'nginx goes on to staple');
is(join(' ', $t->workers()), join(' ', @workers),
	'the same workers run after a refused reload');
ok(!$t->config_test(), 'such a pair does not pass nginx -t');
like($t->output(), $refused, 'nginx -t says why');
$t->stop();
like($t->read_file("$FindBin::Bin/../docs/operations.md"),
	qr/^\| `the stream module is version` … `the http module in this process/m,
	'docs/operations.md has a row for it');

# an http module from before there was such a comparison

s/ngx_ocsp_plus_build\0/ngx_ocsp_plus_built\0/g;
$t->write_file($http, $_);
ok(!$t->config_test(), 'a module without a build does not pass nginx -t');
like($t->output(), qr/\[emerg\].*undefined symbol: ngx_ocsp_plus_build/,
	'nginx -t names the symbol');

# the one that it was built with

configure("$build/ngx_http_ocsp_plus_module.so", $stream);
$t->run();
is(wait_staple(8444, 'good')->{status}, 'good', 'one build staples in stream');

$t->done_testing();
