#!/usr/bin/perl

# Tests that the staples of a chain are counted as they lie on the wire: over
# 10,000 handshakes, while responses are revoked, refused, expire and come back.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Counters;
use Test::Nginx::Responder;

###############################################################################

use constant CHAINS => 14;
use constant HANDSHAKES => 10_000;
use constant CHANGES => 100;

my $t = Test::Nginx->new(timeout => 300)->has(qw/ http_ssl /);
my $can = $t->feature('openssl 3.6');
my $seed = $ENV{OCSP_PLUS_SEED} || time();
srand $seed;

my $root = Test::Nginx::CA->new($t);
my $r = Test::Nginx::Responder->start($t, ca => $root);
my %chain;
for my $name (map { "c$_.example" } 1 .. CHAINS) {
	my $outer = $root->intermediate("outer.$name", aia => $r->url());
	my $inner = $outer->intermediate("inner.$name", aia => $r->url());
	my $leaf = $inner->leaf($name, aia => $r->url());
	$r->add_ca($_) for $outer, $inner;
	$chain{$name} = [ $leaf, $inner, $outer ];
	$t->write_file($leaf->chain(), join '', map { $t->read_file($_->cert()) }
		@{$chain{$name}}, $root);
}
my @names = sort keys %chain;
# every third is loaded per connection
my @loaded = grep { /[369]\./ } @names;
my %loaded = map { $_ => 1 } @loaded;
my @configured = grep { !$loaded{$_} } @names;
# of two there never is a leaf's response: the second is refused
my @never = @configured[0, 1];
my @change = grep { $_ ne $never[0] && $_ ne $never[1] } @names;
$r->fault('http_500', leaf => $chain{$_}[0]) for @never;
chmod 0644, map { $chain{$_}[0]->key() } @loaded;	# workers read them
$t->write_file('trusted.pem', join '', map { $t->read_file($_->cert()) }
	$root, map { @{$chain{$_}}[1, 2] } @loaded);

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;', 'ocsp_plus_chain on;',
	'ocsp_plus_refresh 5s;', 'ocsp_plus_retry 1s 1s;',
	'ssl_protocols TLSv1.2 TLSv1.3;',
	(map { [ 8443, $chain{$configured[$_]}[0],
		$_ % 3 == 1 ? 'ocsp_plus_revoked omit;' : (),
		$_ % 2 ? 'ocsp_plus_require on;' : () ] } 0 .. $#configured),
	[ 8444, $t->testdir() . '/$ssl_server_name',
		'ocsp_plus_trusted_certificate trusted.pem;' ],
	[ 8080, undef, 'location / { ocsp_plus_status; }',
		'location /control { ocsp_plus_control; }' ] ]);
$t->run();
ok(wait_for(sub {
	!grep {
		my $staples = shake($_, wire => 1, tls => '1.3')->{staples};
		grep({ defined } @$staples) != ($can ? 3 : 1);
	} @change;
}, 30), 'all responses are there');

###############################################################################

my $counters = Test::Nginx::Counters->new('/');
my %before = counted();
my (%count, %came, %statuses, @wrong, $session, $name, $tls);
for my $number (0 .. HANDSHAKES - 1) {
	change() if $number % (HANDSHAKES / CHANGES) == 0;
	$t->reload() if $number == HANDSHAKES / 2;

	# a session is resumed by the server that it is of
	($name, $tls) = ($names[rand @names], $number % 4 ? '1.3' : '1.2')
		unless $session;
	my $begun = time();
	my $seen = shake($name, wire => 1, tls => $tls,
		$number % 50 == 1 ? (keep_session => 1) : (),
		$session ? (session => $session) : ());
	$session = $seen->{session};
	if ($seen->{resumed}) {
		$count{resumed}++;
		push @wrong, "$name: a resumed one has staples"
			if @{$seen->{staples}};
		next;
	}

	my @staples = @{$seen->{staples}};
	my $sent = grep { defined } @staples;
	$count{!$seen->{ok} ? 'refused' : $sent ? 'stapled' : 'missing'}++;
	$count{chain_stapled}++ if $sent > 1;
	$count{all}++ if $sent == 3;
	for my $position (grep { defined $staples[$_] } 0 .. $#staples) {
		my $one = $chain{$name}[$position];
		$came{$one->id()}++;
		my ($status, $until) = response($staples[$position]);
		$statuses{"$position $status"}++;
		push @wrong, "$number, $name, $position: in spite of a gap"
			if grep { !defined } @staples[0 .. $position];
		push @wrong, "$number, $name, $position: $status, not the last"
			if $status ne 'good' && $position < $sent - 1;
		push @wrong, "$number, $name, $position: expired"
			if $until <= $begun;
	}
}

is(join("\n", @wrong), '', "nothing else is on the wire, seed $seed");
$counters->grew('the counters are what came', map { $_ => $count{$_} }
	qw/ stapled missing refused chain_stapled /);
my %now = counted();
is_deeply({ map { $_ => $now{$_} - ($before{$_} // 0) } keys %now },
	{ map({ $_ => 0 } keys %now), %came },
	'the counts of each certificate are what came');

my @enough = (qw/ stapled missing refused resumed /,
	$can ? qw/ chain_stapled all / : ());
cmp_ok($count{$_} // 0, '>', 20, "there is enough of $_") for @enough;
is($count{chain_stapled} // 0, 0, 'no chain is stapled') unless $can;
my %seen = (%count, %statuses);
note(join ', ', map { "$_: $seen{$_}" } sort keys %seen);

$t->done_testing();

###############################################################################

# One certificate's responses are from now on others.
sub change {
	my $one = $chain{$change[rand @change]}[rand() < .5 ? 0 : 1 + rand 2];
	$r->set(leaf => $one, reset => 1);
	$r->set(leaf => $one, next_update => rand() < .6 ? 3 : 86400);
	my $what = int rand 6;
	$r->status($one, 'revoked') if $what == 0;
	$r->status($one, 'unknown') if $what == 1;
	$r->fault('expired', leaf => $one) if $what == 2;
	$r->fault('http_500', leaf => $one) if $what == 3;
	http_post('/control?refresh=' . $one->id(), '');
}

sub shake {
	my ($name, %opt) = @_;
	return handshake_fast($loaded{$name} ? 8444 : 8443, $name, %opt);
}

# how often each was stapled, by its id
sub counted {
	return map { $_->{id} => $_->{stapled} }
		map { @{http_json("/$_")->{certificates}} } '', '?loaded=1';
}

# what a staple says, and until when
my %known;
sub response {
	my ($der) = @_;
	return @{$known{$der} ||= do {
		my $response = Net::SSLeay::d2i_OCSP_RESPONSE($der);
		my (undef, undef, $single) =
			@{(Net::SSLeay::OCSP_response_results($response))[0]};
		Net::SSLeay::OCSP_RESPONSE_free($response);
		[ (qw/ good revoked unknown /)[$single->{statusType}],
			$single->{nextUpdate} ];
	}};
}
