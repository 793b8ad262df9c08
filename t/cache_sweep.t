#!/usr/bin/perl

# Tests for what is removed from the cache directory: what this nginx does not
# want and what ended over 90 days ago, by what is in the file and not by how
# old it is; nothing in the first hour, and nothing where it is the clock that
# is wrong.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Clock;
use Test::Nginx::Responder;

###############################################################################

use constant DAY => 86400;

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $clock = Test::Nginx::Clock->start($t);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int', not_before => -400 * DAY,
	not_after => 400 * DAY);
my $past = $root->intermediate('past', not_before => -400 * DAY,
	not_after => -91 * DAY);
my $r = Test::Nginx::Responder->start($t, ca => $int);
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url(),
	not_before => -400 * DAY, not_after => 400 * DAY) }
	qw/ wanted long lately /;
$leaf{$_} = $int->leaf("$_.example", not_before => -400 * DAY,
	not_after => 400 * DAY) for qw/ ended recent year /;
my $dir = $t->testdir() . '/cache';

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 0;',
	(map { [ 8443, "$_.example" ] } qw/ wanted long lately /),
	[ 8080, undef, 'location / { ocsp_plus_status json; }' ] ]);
$r->validity(this_update => -60 * DAY, next_update => 300 * DAY);
$t->run();
ok(wait_for(sub { $t->kept() == 3 }, 15, 'files'), 'the responses are cached');
$t->stop();
$r->fault('refuse');

# name, days since its modification time, content

my @goes = (
	[ der('ended'), 0, response('ended', -200, -91) ],
	[ 'a' x 64 . '.der', 91, 'nothing that could be read' ],
	[ '.' . 'b' x 64 . '.1.2.tmp', 91, 'half of' ],
	[ 'c' x 64 . '.issuer', 0, $past->der() ],
);
my @stays = (
	# another instance may want it: it has ended lately, or has not
	[ der('recent'), 300, response('recent', -200, -89) ],
	[ der('year'), 200, response('year', -200, 165) ],
	[ 'd' x 64 . '.issuer', 300, $int->der() ],
	[ 'e' x 64 . '.der', 89, 'nothing that could be read' ],
	[ '.' . 'f' x 64 . '.1.2.tmp', 89, 'half of' ],
	# this one wants it, whatever it is
	[ der('wanted'), 91, response('wanted', -200, -91) ],
	[ der('lately'), 91, 'nothing that could be read' ],
	# not ours
	[ 'README', 300, 'mine' ],
	[ 'A' x 64 . '.der', 300, 'mine' ],
	[ 'c' x 64 . '.pem', 300, 'mine' ],
);
my ($uid, $gid) = (stat $dir)[4, 5];
for my $file (@goes, @stays) {
	my ($name, $days, $content) = @$file;
	$t->write_file("$dir/$name", $content);
	chown $uid, $gid, "$dir/$name";
}

###############################################################################

# the newest file is 31 days old: it is the clock that is wrong

age(31);
$t->run();
round();
is(missing(), '', 'no file is removed at the start');
$clock->pass(3000);
round();
is(missing(), '', 'no file is removed in the first hour');
$clock->pass(1200);
round();
is(missing(), '',
	'no file is removed when the clock is far ahead of the newest file');
utime 1, $clock->now() + 31 * DAY, "$dir/" . der('long');
round();
is(missing(), '',
	'no file is removed when the clock is far behind the newest file');

# the clock is right

utime 1, $clock->now() - 29 * DAY, "$dir/" . der('long');
ok(wait_for(sub {
	round();
	return missing() eq join ' ', sort map { $_->[0] } @goes;
}, 20, 'files to go'), 'unwanted files that ended over 90 days ago are removed')
	or diag(missing());
round();
is(missing(), join(' ', sort map { $_->[0] } @goes),
	'no other file is removed by the next sweep');

# a start begins anew

$t->write_file("$dir/$goes[0][0]", $goes[0][2]);
$t->restart();
round();
ok(-e "$dir/$goes[0][0]", 'no file is removed right after a restart');
is(staple(8443, servername => 'long.example')->{status}, 'good',
	'a wanted response is still stapled after the sweep');

$t->done_testing();

###############################################################################

sub der { return $leaf{$_[0]}->id() . '.der' }

# days from now
sub response {
	my ($name, $this, $next) = @_;
	$r->fault('none');
	$r->validity(this_update => $this * DAY, next_update => $next * DAY);
	my $der = $r->response($leaf{$name});
	$r->fault('refuse');
	return $der;
}

# What is wanted and valid is so many days old, and newer than all others.
sub age {
	my ($days) = @_;
	for my $file (@goes, @stays) {
		my $old = $file->[1] > $days ? $file->[1] : $days + 1;
		utime 1, $clock->now() - $old * DAY, "$dir/$file->[0]";
	}
	utime 1, $clock->now() - $days * DAY, "$dir/" . der('long');
}

sub missing {
	return join ' ', sort grep { !-e "$dir/$_" } map { $_->[0] }
		@goes, @stays;
}

# Two rounds of the sweep, which takes place every ten seconds at the end of a
# beat: the first learns how old the newest file is.
sub round {
	for (1 .. 2) {
		$clock->pass(11);
		my $since = $clock->now();
		wait_for(sub { heartbeat() > $since + 1 }, 20, 'a beat');
	}
}

sub heartbeat { return seconds_of(http_json('/')->{worker}{heartbeat}) }

###############################################################################
