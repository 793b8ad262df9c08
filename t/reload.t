#!/usr/bin/perl

# Tests for reloads: staples are there all the time and nothing is fetched again
# that need not be; certificates come, go and are replaced; refused reloads
# change nothing; the zone changes its size.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Handle;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my @leaves = $int->leaves(5, 'host%d.example', aia => $r->url(1));
my @names = map { $_->name() } @leaves;
my %leaf = map { $_->name() => $_ } @leaves;
$leaf{$_} = $int->leaf($_, aia => $r->url(1))
	for qw/ new.example broken.example /;
# of the second port, and short-lived
$leaf{'brief.example'} = $int->leaf('brief.example', aia => $r->url(2));
$r->validity(next_update => 10, on => 2);

configure();
$t->run();
ok(wait_for(sub { !without(8443, @names) }, 15, 'staples'),
	'five certificates are stapled');
is(scalar(() = $r->requests()), 5, 'five certificates take five requests');

# five reloads

my %held = map { $_ => staple_fast(8443, $_) } @names;
my $watch = start_watch();
for my $n (1 .. 5) {
	ok($t->reload(), "reload $n of five succeeds");
}
ok($t->reload(old_gone => 1), 'a reload succeeds whose old workers leave');
wait_for(sub { $t->log_lines(qr/this is the designated worker now/) >= 2 },
	5, 'a new designated worker');
my $seen = end_watch($watch);
cmp_ok($seen->{stapled}, '>', 20, 'five reloads: many handshakes are made');
is($seen->{missing}, 0, 'five reloads: no handshake lacks a staple');
is($seen->{failed}, 0, 'five reloads: no handshake fails');
is(scalar(() = $r->requests()), 5,
	'five reloads: no response is fetched again');
is(scalar(grep { staple_fast(8443, $_) ne $held{$_} } @names), 0,
	'five reloads: the staples stay the same');

# servers and workers are added

configure(names => [ @names, 'new.example', 'brief.example' ], workers => 4);
$watch = start_watch();
ok($t->reload(), 'added servers: the reload succeeds');
ok(wait_for(sub { !without(8443, qw/ new.example brief.example /) }, 15,
	'staples'), 'added servers: the new certificates are stapled');
is(scalar(() = $r->requests(on => 1)), 6,
	'added servers: only new certificates are fetched');

# refreshing goes on over reloads: about each four seconds

my $before = () = $r->requests(on => 2);
ok($t->reload(old_gone => 1), 'added servers: another reload succeeds');
ok($r->wait_requests($before + 2, 20, on => 2),
	'added servers: a short-lived response is refreshed over the reload');

# one is taken away, workers as well

configure(names => [ @names[1 .. 4], 'brief.example' ], workers => 1);
ok($t->reload(old_gone => 1), 'removed server: the reload succeeds');
$seen = end_watch($watch, 'host1.example');
is("$seen->{missing} $seen->{failed}", '0 0',
	'removed server: no handshake with another certificate lacks a staple');
is(without(8443, @names[1 .. 4], 'brief.example'), 0,
	'removed server: the other certificates are stapled');

configure(workers => 2);
ok($t->reload(old_gone => 1), 'server that comes back: the reload succeeds');
ok(wait_for(sub { !without(8443, @names) }, 15, 'a staple'),
	'server that comes back: all certificates are stapled');
cmp_ok(scalar(() = $r->requests(on => 1)), '<=', 7,
	'server that comes back: no other certificate is fetched again');

# replaced by a new certificate in the same files

my $renewed = $int->leaf('host2.example', file => 'renewed',
	aia => $r->url(1));
for my $ending (qw/ pem key /) {
	$t->write_file("host2.example.$ending",
		$t->read_file("renewed.$ending"));
}
ok($t->reload(old_gone => 1), 'renewed certificate: the reload succeeds');
my $staple = wait_staple(8443, 'good', servername => 'host2.example',
	seconds => 15);
is("$staple->{status} $staple->{serial}", 'good ' . $renewed->serial(),
	'renewed certificate: the staple is for the new certificate');
my $opinion = Test::Nginx::staple_verify($t,
	staple_fast(8443, 'host2.example') // '', $renewed);
is("$opinion->{ok} $opinion->{status}", '1 good',
	'renewed certificate: openssl verifies the staple');
is(without(8443, @names), 0,
	'renewed certificate: the other certificates are stapled');

###############################################################################

# a reload that is refused

my $requests = () = $r->requests();
configure(names => [ @names, 'brief.example' ]);
ok($t->reload(old_gone => 1),
	'refused reloads: a good reload before them succeeds');
ok(wait_for(sub { !without(8443, @names, 'brief.example') }, 15, 'staples'),
	'refused reloads: all certificates are stapled before them');
my @workers = sort $t->workers();
my $mark = $t->log_mark();
$watch = start_watch();

my $good = $t->read_file('nginx.conf');
$t->write_file('nginx.conf', "$good\nnonsense;\n");
ok(!$t->reload(refused => 1), 'refused reloads: a syntax error is refused');

configure(names => [ @names, 'brief.example' ], zone => 'ocsp_plus:32k');
ok(!$t->reload(refused => 1),
	'refused reloads: a zone that is too small is refused');
like($t->wait_log(qr/\[emerg\].*ocsp_plus_zone/, 5, $mark) // '',
	qr/ too small for 6 certificates: .* at least \d+[km]/,
	'refused reloads: the message has the size that the zone needs');

configure(names => [ 'broken.example' ]);
$t->write_file('broken.example.key', 'no key');
ok(!$t->reload(refused => 1), 'refused reloads: an unreadable key is refused');

$t->write_file('nginx.conf', $good);
is(join(' ', sort $t->workers()), "@workers",
	'refused reloads: the old workers go on');
$before = () = $r->requests(on => 2);
ok($r->wait_requests($before + 1, 20, on => 2),
	'refused reloads: the responses are still refreshed');
is(scalar($t->log_lines(qr/the designated worker now/, $mark)), 0,
	'refused reloads: the designated worker stays the same');
$seen = end_watch($watch);
is("$seen->{missing} $seen->{failed}", '0 0',
	'refused reloads: no handshake lacks a staple or fails');

###############################################################################

# the zone is enlarged and shrunk

$requests = () = $r->requests(on => 1);
$watch = start_watch();
for my $size (qw/ 32m 9m /) {
	$mark = $t->log_mark();
	%held = map { $_ => staple_fast(8443, $_) } @names;
	configure(zone => "ocsp_plus:$size");
	ok($t->reload(old_gone => 1), "a reload with a zone of $size succeeds");
	like($t->wait_log(qr/zone's size was changed/, 5, $mark) // '',
		qr/\[notice\].*taken_over=(?:5|6) /,
		"a zone of $size takes over the responses");
	is(scalar(grep { (staple_fast(8443, $_) // '') ne $held{$_} } @names),
		0, "a zone of $size keeps the staples");
	ok($t->wait_log(qr/the designated worker now/, 10, $mark),
		"a zone of $size gets a designated worker");
}
$seen = end_watch($watch);
cmp_ok($seen->{stapled}, '>', 20, 'resized zones: many handshakes are made');
is("$seen->{missing} $seen->{failed}", '0 0',
	'resized zones: no handshake lacks a staple or fails');
is(scalar(() = $r->requests(on => 1)), $requests,
	'resized zones: no response is fetched again');

$t->done_testing();

###############################################################################

sub configure {
	my (%opt) = @_;
	$t->write_conf(workers => $opt{workers} || 2, http => [ 'ocsp_plus on;',
		$opt{zone} ? "ocsp_plus_zone $opt{zone};" : (),
		map { [ 8443, $_ ] } @{$opt{names} || \@names} ]);
}

# Handshakes without a pause in another process.
sub start_watch {
	my $file = $t->write_file('watch', '');
	my $pid = $t->run_daemon(sub {
		open my $out, '>>', $file or die "open: $!";
		$out->autoflush();
		while (1) {
			for my $name (@names) {
				my $shake = handshake_fast(8443, $name);
				print $out join(' ', $name, !$shake->{ok}
					? 'failed' : defined $shake->{der}
					? 'stapled' : 'missing'), "\n";
			}
		}
	});
	wait_for(sub { -s $file }, 10, 'handshakes');
	return $pid;
}

# What came of them, but for a name that may lack it.
sub end_watch {
	my ($pid, $except) = @_;
	my $size = -s $t->testdir() . '/watch';
	wait_for(sub { -s $t->testdir() . '/watch' > $size + 100 }, 10,
		'handshakes to the end');
	$t->stop_daemons($pid);
	my %count = (failed => 0, stapled => 0, missing => 0);
	for my $line (split /\n/, $t->read_file('watch')) {
		my ($name, $what) = split ' ', $line;
		next if !defined $what || $name eq ($except // '');
		$count{$what}++;
	}
	return \%count;
}

###############################################################################
