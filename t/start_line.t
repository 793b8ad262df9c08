#!/usr/bin/perl

# Tests for the line at each start and reload that says what the workers begin
# with.

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

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url(1)) }
	qw/ good gone /;
$leaf{late} = $int->leaf('late.example', aia => $r->url(2));
$leaf{must} = $int->leaf('must.example', aia => $r->url(2), must_staple => 1);
$leaf{file} = $int->leaf('file.example');
$leaf{never} = $int->leaf('never.example');
$r->status($leaf{gone}, 'revoked');
$r->fault('http_500', on => 2);
$t->write_file('file.der', $r->response($leaf{file}));
my $cache = $t->testdir() . '/cache';

sub configure {
	my (@lines) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 2s;',
		@lines, (map { [ 8443, $leaf{$_},
			$_ eq 'file' ? 'ocsp_plus_file file.der;' : () ] }
			sort keys %leaf) ]);
}

my $mark = $t->log_mark();
my $counts = 'revoked=1 missing=2 first_missing="must\.example" '
	. 'unsupported=1 ended=0';

configure("ocsp_plus_cache $cache;");
$t->run();
begins('a start', "stapled=2 network=1 cache=0 file=1 shared=0 $counts "
	. qq{cache_directory="\Q$cache\E"});

$t->reload();
begins('a reload', "stapled=2 network=1 cache=0 file=1 shared=0 $counts "
	. qq{cache_directory="\Q$cache\E"});

$t->stop();
$r->fault('http_500', on => 1);
$t->run();
begins('a restart', "stapled=2 network=0 cache=2 file=0 shared=0 $counts "
	. qq{cache_directory="\Q$cache\E"});
$t->stop();

$r->fault('none', on => 1);
configure('ocsp_plus_cache off;');
$t->run();
begins('without a cache directory',
	"stapled=2 network=1 cache=0 file=1 shared=0 $counts cache_directory=off");

$t->done_testing();

###############################################################################

# the one line since the last time
sub begins {
	my ($what, $text) = @_;
	my $line = qr/ocsp_plus: version \d\S*: certificates=/;
	$t->wait_log($line, 20, $mark);
	my @lines = $t->log_lines($line, $mark);
	$mark = $t->log_mark();
	is(scalar(@lines), 1, "$what: one line");
	like($lines[0] // '', qr/\[notice\].*: certificates=6 $text$/,
		"$what: what the workers begin with");
}

###############################################################################
