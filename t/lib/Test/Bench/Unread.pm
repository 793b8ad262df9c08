package Test::Bench::Unread;

# The status location under attack: clients that ask for the JSON of thousands
# of certificates, read nothing of it, and ask again within a second where they
# were refused or cut off.  What becomes of handshakes in that worker, the only
# one, which is under 30 % of the load it can bear, beside the same without such
# clients; and how long whoever has a right to it waits for readiness and for a
# whole scrape of the metrics.

use warnings;
use strict;

use IO::Poll;
use IO::Socket::INET;
use List::Util qw/ max /;
use Time::HiRes qw/ time /;

use Test::Bench qw/ median /;
use Test::Bench::Many;
use Test::Nginx ();

my $POLLRDHUP = 0x2000;
my @CLIENTS = (64, 200);
my $PATIENCE = 20;	# seconds, for what should take less than two

sub run {
	my ($b) = @_;

	# as for the storm: of everything that is started below
	setpriority(0, $$, -10);

	my $many = Test::Bench::Many->new($b->size(10000, 2000, 40));
	my ($t, $count) = ($many->nginx(), $many->count());
	$many->responder()->set(cache => 86400);
	$many->configure('ocsp_plus on; ocsp_plus_startup_wait 0;'
		. ' ocsp_plus_cache off;', status => 'ocsp_plus_status;');
	$t->run(timeout => 300);
	Test::Nginx::wait_for(sub { $many->fetched() >= $count }, 120,
		'all to be fetched') or die "not all were fetched\n";
	my ($pid) = $t->workers();
	my %load = (port => 8443, name => 'h%d.example', names => $count,
		tls => '1.3');
	$load{rate} = $b->rate_of(0.3, $pid, %load);

	my %seen;
	my @ways = (0, @CLIENTS);
	for (1 .. $b->size(5, 3, 1)) {
		push @{$seen{$_}}, _round($b, $t, $count, \%load, $_) for @ways;
		push @ways, shift @ways;
	}
	$t->stop();
	setpriority(0, $$, 0);

	$b->tell('h: quiet, seconds until a scrape is complete',
		max(map { $_->{scrape} } @{$seen{0}}));
	for my $clients (@CLIENTS) {
		my $what = "h: $clients clients that read nothing";
		my %ratio = map { my $part = $_; ($part => median(map {
			$seen{$clients}[$_]{$part} / $seen{0}[$_]{$part}
			} 0 .. $#{$seen{0}})) } qw/ p50_us p99_us /;
		$b->tell("$what, p50 of handshakes / quiet", $ratio{p50_us});
		$b->at_most("$what, p99 of handshakes / quiet", $ratio{p99_us},
			2);
		for my $worst ([ failed => 'handshakes that failed', 0 ],
			[ ready => 'seconds until "ready" is answered', 2 ],
			[ scrape => 'seconds until a scrape is complete', 2 ])
		{
			my ($part, $name, $target) = @$worst;
			$b->at_most("$what, $name", max(map { $_->{$part} }
				@{$seen{$clients}}), $target);
		}
	}
}

sub _round {
	my ($b, $t, $count, $load, $clients) = @_;

	my @attack = $clients ? $t->run_daemon(\&_attack, $clients) : ();
	my $seen = $b->begin_handshakes(%$load,
		seconds => $b->size(5, 2, 0.2))->();

	# among handshakes of their own: what a scrape costs these is another
	# question
	my $others = $b->begin_handshakes(%$load,
		seconds => $b->size(3, 2, 0.2));
	$seen->{ready} = _seconds_for('ready', sub {
		$_[0] =~ m!^HTTP/1\.\d 200 ! });
	$seen->{scrape} = _seconds_for('prometheus', sub {
		$count == (() = $_[0] =~ /^ocsp_plus_staple_valid\{/mg) });
	$others->();
	$t->stop_daemons(@attack) if @attack;
	return $seen;
}

# Asks again until the answer is as it should be.
sub _seconds_for {
	my ($format, $whether) = @_;
	my $began = time();
	while (time() - $began < $PATIENCE) {
		last if $whether->(Test::Nginx::http_get("/?format=$format",
			timeout => $PATIENCE) // '');
	}
	return time() - $began;
}

# Until it is killed.
sub _attack {
	my ($clients) = @_;
	my $port = Test::Nginx::port(8080);
	my @unread;
	while () {
		for my $socket (@unread[0 .. $clients - 1]) {
			next if $socket && !_has_ended($socket);
			$socket = IO::Socket::INET->new(
				PeerAddr => "127.0.0.1:$port") or next;
			print $socket "GET /?format=json HTTP/1.0\r\n\r\n";
		}
		select undef, undef, undef, 1;
	}
}

# Whether the server has closed it; what it has sent is left unread.
sub _has_ended {
	my ($socket) = @_;
	my $poll = IO::Poll->new();
	$poll->mask($socket => $POLLRDHUP);
	return $poll->poll(0) > 0;
}

1;
