#!/usr/bin/perl

# Tests for a zone whose size is changed: what the old one held goes on, with
# every responder off, but only what is verified anew.  Code in a worker may
# have written whatever it likes into the old zone.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Memory;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl root /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @names = qw/ example.com swapped.example forged.example /;
my %leaf = map { $_ => $int->leaf($_, aia => $r->url()) } @names;

my $size = 1 << 20;
configure($size);
$t->run();
zone() or plan(skip_all => 'no way to write into another process');
ok(wait_for(sub { @names == grep { staple_fast(8443, $_) } @names }, 15,
	'staples'), 'all certificates are stapled');
my %held = map { $_ => staple_fast(8443, $_) } @names;
my $requests = () = $r->requests();
$r->fault('refuse');

# a larger one, and none of the responders answers

my $mark = resized();
is(staple_fast(8443, $_) // '', $held{$_},
	"$_: a larger zone has the same staple at once")
	for @names;
like($t->wait_log(qr/the zone's size was changed/, 5, $mark) // '',
	qr/\[notice\].*taken_over=3 refused=0/,
	'a larger zone takes over all responses');
is(scalar(() = $r->requests()), $requests, 'a larger zone asks no responder');

# the responses in the old zone are replaced just before

$mark = resized(
	'forged.example' => sub {
		return $_[0] ^ ("\0" x (length($_[0]) - 8) . 'scribble');
	},
	'swapped.example' => sub {
		return substr $held{'example.com'} . "\0" x 8, 0, length $_[0];
	});
is(staple_fast(8443, 'example.com') // '', $held{'example.com'},
	'an intact response of a damaged zone is stapled at once');
for my $name (qw/ forged.example swapped.example /) {
	is(staple_fast(8443, $name), undef,
		"$name: a damaged response is not taken over");
}
like($t->wait_log(qr/the zone's size was changed/, 5, $mark) // '',
	qr/\[notice\].*taken_over=1 /,
	'only the intact response of a damaged zone is taken over');

# they are fetched like any others

$r->reset();
for my $name (qw/ forged.example swapped.example /) {
	my $staple;
	ok(wait_for(sub { $staple = staple_fast(8443, $name) }, 30, 'a staple'),
		"$name: the certificate is stapled again");
	ok(Test::Nginx::staple_verify($t, $staple // '', $leaf{$name})->{ok},
		"$name: openssl verifies the new staple");
}

is(join("\n", $t->log_lines(qr/exited on signal/)), '',
	'no process ends by a signal');

$t->done_testing();

###############################################################################

sub zone {
	my ($worker) = $t->workers();
	return Test::Nginx::Memory->of($worker, $size);
}

# Reloads with a zone of twice the size, after the responses of some names were
# written over by what the functions make of them.  The position in the log
# before that.
sub resized {
	my (%made) = @_;
	my $mark = $t->log_mark();
	my $zone = zone();
	my $bytes = $zone->read(0, $zone->size());
	configure($size *= 2);
	for my $name (keys %made) {
		my $offset = index $bytes, $held{$name};
		ok($offset > 0, "$name: the response is found in the zone");
		$zone->write($offset, $made{$name}->($held{$name}));
	}
	ok($t->reload(old_gone => 1),
		"the reload with a zone of $size succeeds");
	return $mark;
}

sub configure {
	my ($size) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', "ocsp_plus_zone staples:$size;",
		'ocsp_plus_cache off;', 'ocsp_plus_retry 1s 2s;',
		map { [ 8443, $_ ] } @names ]);
}

###############################################################################
