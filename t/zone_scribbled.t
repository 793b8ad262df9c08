#!/usr/bin/perl

# Tests for code in a worker that writes into the shared zone what it likes:
# the master, which is root, takes no address, no size and no lock from there,
# so the next reload works, and staples are there again.  They are without a
# reload as well: the worker that refreshes repairs the zone.

###############################################################################

use warnings;
use strict;
no warnings qw/ portable /;	# addresses have 64 bits

use FindBin;
use POSIX ();
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
my %leaf = map { $_ => $int->leaf($_, aia => $r->url()) }
	qw/ example.com brief.example /;

my $size = 1 << 20;
configure($size);
$t->run();
zone() or plan(skip_all => 'no way to write into another process');
ok(wait_for(sub { staple_fast(8443, 'example.com') }, 15, 'a staple'),
	'the certificate is stapled');
# what is kept survives a zone that is of no use any more
ok(wait_for(sub { $t->kept() == 1 }, 15, 'a file'), 'the response is cached');
my $master = $t->master_pid();

###############################################################################

# what nginx keeps in front of our part of the zone: where to find it

my $wild = pack 'Q<', 0x4141414141414141;
my @pointers = pointers();
cmp_ok(scalar @pointers, '>', 4, 'pointers are found in the zone');

for my $offset (@pointers) {
	attacked("a pointer at $offset", sub { $_[0]->write($offset, $wild) });
}
attacked('lengths of nothing but ones', sub {
	my ($zone) = @_;
	for my $offset (words($zone)) {
		my $word = $zone->word($offset);
		$zone->write($offset, "\xff" x 8) if $word && $word <= $size;
	}
});
attacked('a header of zeros', sub { $_[0]->write(0, "\0" x $_[0]->start()) });
attacked('a header of ones', sub {
	$_[0]->write(0, "\xff" x $_[0]->start()) });

# nginx follows a pointer in the header whenever a process has ended: here one
# ends before anything is written anew

my @killed;
for ([ 'zeros' => "\0" ], [ 'ones' => "\xff" ]) {
	my ($what, $byte) = @$_;
	my ($worker) = $t->workers();
	my $zone = zone();
	$zone->write(0, $byte x $zone->start());
	$t->signal($worker, 'KILL');
	push @killed, $worker;
	ok(wait_for(sub { my @w = $t->workers(); @w && $w[0] != $worker }, 15,
		'another worker'),
		"a worker dies and leaves a header of $what: another one starts");
	is($t->master_pid(), $master,
		"a worker dies and leaves a header of $what: the master survives");
}

# who holds the lock: nobody who can

attacked("a lock of $_->[0]", sub {
	$_[0]->write($_[0]->lock(), pack 'q<', $_->[1]) })
	for [ 'the master' => $master ], [ 'a process that is not nginx' => $$ ],
		[ 'every process' => -1 ], [ 'no process' => 0x7fffffffffff ];

# the same without a reload: nobody would ever write again

$r->validity(next_update => 8);
configure($size, 'brief.example');
$t->reload(old_gone => 1);
ok(wait_for(sub { staple_fast(8443, 'brief.example') }, 15, 'a staple'),
	'the short-lived certificate is stapled');
my $gone = $t->command([ 'sh', '-c', 'echo $$' ])->{output};
my $held = staple_fast(8443, 'brief.example');
zone()->write(zone()->lock(), pack 'Q<', $gone);
ok(wait_for(sub { (staple_fast(8443, 'brief.example') // $held) ne $held },
	20, 'a new staple'),
	'a lock of a process that is gone does not stop refreshing');
$r->validity();

# our part

srand 4711;			# the same noise each time
attacked('noise in our part of the zone', sub {
	my ($zone) = @_;
	my $start = $zone->start();
	$zone->write($start, noise($zone->size() - $start));
}) for 1 .. 3;
attacked('noise in the whole zone', sub {
	$_[0]->write(0, noise($_[0]->size())) });

# the same without a reload: whoever refreshes puts it right

srand 4712;
$held = staple_fast(8443, 'example.com');
repaired('a damaged response, no reload', sub {
	my ($zone) = @_;
	my $at = index $zone->read(0, $zone->size()), $held;
	$zone->write($at + length($held) - 8, 'scribble');
});
repaired('noise in the first kilobyte, no reload', sub {
	my ($zone) = @_;
	$zone->write($zone->start(), noise(1024));
});
repaired('noise in our part of the zone, no reload', sub {
	my ($zone) = @_;
	my $start = $zone->start();
	$zone->write($start, noise($zone->size() - $start));
});
ok($t->wait_log(qr/another process has corrupted the zone, it was repaired/,
	5), 'the repair of the zone is logged');

# a lock of one that lives, and does not hold it: a stranger, and the master

my $stranger = stranger();
for ([ 'a stranger' => $stranger ], [ 'the master' => $master ]) {
	my ($who, $pid) = @$_;
	repaired("a damaged response with a lock of $who, no reload", sub {
		my ($zone) = @_;
		my $at = index $zone->read(0, $zone->size()),
			staple_fast(8443, 'example.com');
		$zone->write($at + 100, 'scribble');
		$zone->write($zone->lock(), pack 'Q<', $pid);
	});
}
kill 'KILL', $stranger;
waitpid $stranger, 0;

# a zone of another size, which is read to be taken over

attacked('wild pointers and another size', sub {
	my ($zone) = @_;
	$zone->write($_, $wild) for pointers();
	configure($size *= 2);
});
attacked('noise and another size', sub {
	$_[0]->write(0, noise($_[0]->size()));
	configure($size *= 2);
});

my %killed = map { $_ => 1 } @killed;
is(join("\n", grep { !/ process (\d+) exited on/ || !$killed{$1} }
	$t->log_lines(qr/exited on signal/)), '',
	'no process ends by a signal');

$t->done_testing();

###############################################################################

sub zone {
	my ($worker) = $t->workers();
	return Test::Nginx::Memory->of($worker, $size);
}

# Writes into a worker's memory, then reloads.
sub attacked {
	my ($what, $attack) = @_;
	return fail("$what: the master is missing before the damage")
		unless $t->master_pid();
	$attack->(zone());
	my $reloaded = eval { $t->reload(old_gone => 1) };
	ok($reloaded, "$what: the master reloads") or diag($@);
	is($t->master_pid(), $master, "$what: the master survives");
	ok(wait_for(sub { staple_fast(8443, 'example.com') }, 15, 'a staple'),
		"$what: the certificate is stapled");
}

# Writes into a worker's memory, and waits until what is stapled verifies and
# the zone can be told from any other memory.
sub repaired {
	my ($what, $attack) = @_;
	my $zone = zone() // return fail(
		"$what: the zone is not found in the worker");
	$attack->($zone);
	ok(wait_for(sub { sound('example.com') && eval { $zone->start() } }, 60,
		'a staple that verifies'),
		"$what: a staple that verifies is sent again");
	is($t->master_pid(), $master, "$what: the master survives");
}

# A process of a session of its own.
sub stranger {
	my $pid = fork() // die "fork: $!\n";
	return $pid if $pid;
	POSIX::setsid();
	exec 'sleep', 600 or POSIX::_exit(1);
}

sub sound {
	my ($name) = @_;
	my $staple = staple_fast(8443, $name) // return 0;
	return Test::Nginx::staple_verify($t, $staple, $leaf{$name})->{ok};
}

sub words {
	my ($zone) = @_;
	return map { 8 * $_ } 0 .. $zone->start() / 8 - 1;
}

# Offsets of the words in front of our part that point into the zone.
sub pointers {
	my $zone = zone();
	my ($from, $to) = ($zone->address(), $zone->address() + $zone->size());
	return grep {
		my $word = $zone->word($_);
		$word >= $from && $word <= $to;
	} words($zone);
}

sub noise {
	my ($length) = @_;
	return join '', map { pack 'L', rand 2 ** 32 } 1 .. $length / 4;
}

sub configure {
	my ($size, @more) = @_;
	$t->write_conf(http => [ 'ocsp_plus on;', "ocsp_plus_zone staples:$size;",
		map { [ 8443, $_ ] } 'example.com', @more ]);
}

###############################################################################
