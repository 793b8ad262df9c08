#!/usr/bin/perl

# Tests for a cache folder that two nginx instances share: each keeps what it
# fetches, either starts from what the other has kept, and none disturbs the
# other.

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

my $one = Test::Nginx->new()->has(qw/ http_ssl /);
my $two = Test::Nginx->new();

my $int = Test::Nginx::CA->new($one)->intermediate('int');
my $r = Test::Nginx::Responder->start($one, ca => $int);
my @names = qw/ both.example first.example second.example /;
for my $name (@names) {
	$int->leaf($name, aia => $r->url(), not_before => -86400);
	$two->write_file("$name.$_", $one->read_file("$name.$_"))
		for qw/ pem key /;
}
my $dir = $one->testdir() . '/shared';
# looked after every few seconds
$r->validity(this_update => -1000, next_update => 60);

# one has the first, two the second, and both have one in common

write_conf($one, 8443, @names[0, 1]);
write_conf($two, 8444, @names[0, 2]);
$one->run();
$two->run();
ok(wait_for(sub { $one->kept($dir) == 3 }, 15, 'three files'),
	'both keep theirs');

# both go on writing the one they have in common

my $published = qr/published: certificate="both\.example"/;
for my $nginx ($one, $two) {
	ok(wait_for(sub { $nginx->log_lines($published) >= 3 }, 40,
		'three responses'), 'published again and again');
}
is(scalar(() = $_->log_lines(qr/cache folder|is ignored/)), 0, 'no trouble')
	for $one, $two;
is(scalar($one->kept($dir)), 3,
	'one file for each certificate, whoever wrote it');
is(scalar(() = grep { !/\.der$/ } glob "$dir/*"), 0, 'nothing else is left');

# each starts from what the other has kept

$_->stop() for $one, $two;
$r->fault('refuse');
write_conf($one, 8443, @names[0, 2]);
write_conf($two, 8444, @names[0, 1]);
for my $case ([ $one, 8443, @names[0, 2] ], [ $two, 8444, @names[0, 1] ]) {
	my ($nginx, $port, @has) = @$case;
	$nginx->run();
	ok(defined staple_fast($port, $_), "$_: stapled from the folder")
		for @has;
}

$one->done_testing();

###############################################################################

sub write_conf {
	my ($nginx, $port, @has) = @_;
	my $servers = $nginx->ssl_servers($port, @has);
	$nginx->write_file_expand('nginx.conf', <<"CONF");

%%TEST_GLOBALS%%

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    ocsp_plus        on;
    ocsp_plus_cache  $dir;
    ocsp_plus_retry  1s 2s;

$servers
}

CONF
}

###############################################################################
