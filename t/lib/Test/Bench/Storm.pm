package Test::Bench::Storm;

# The designated worker with an empty cache and thousands of certificates: how
# many responses a second it fetches, verifies and publishes, and what becomes
# meanwhile of handshakes in that same worker, the only one, that is under 30 %
# of the load it can bear.

use warnings;
use strict;

use Time::HiRes qw/ time /;

use Test::Bench qw/ median processor /;
use Test::Bench::Many;
use Test::Nginx ();

sub run {
	my ($b) = @_;

	# of everything that is started below, where that is allowed: what
	# else runs on the machine is not what is asked about
	setpriority(0, $$, -10);

	my $many = Test::Bench::Many->new($b->size(10000, 3000, 40));
	for my $signer (qw/ direct delegated /) {
		$many->responder()->signer($signer);
		$many->warm();
		my %rates = %{$b->rounds($b->size(3, 1, 1), { map {
			my $cache = $_;
			($cache => sub { _rate($many, $cache) })
			} qw/ off on / })};
		for my $cache (qw/ off on /) {
			my ($wall, $used, $fresh) = map { my $i = $_;
				median(map { $_->[$i] } @{$rates{$cache}}) }
				0 .. 2;
			my $what = "d: responses a second, $signer signatures,"
				. " cache $cache";
			if ($signer eq 'direct' && $cache eq 'off') {
				$b->at_least($what, $wall, 2500);
			} else {
				$b->tell($what, $wall);
			}
			$b->tell("$what, a second of the processor", $used);
			$b->at_most("d: connections a response, $signer"
				. " signatures, cache $cache", $fresh, 0.05);
		}
	}
	# still delegated: what is done between two handshakes is more
	_pace($b, $many, $_) for qw/ 1.2 1.3 /;
	setpriority(0, $$, 0);
}

sub _start {
	my ($many, $cache) = @_;
	my $t = $many->nginx();
	my $directory = $many->directory();
	system('rm', '-rf', $directory);
	$many->configure('ocsp_plus on; ocsp_plus_startup_wait 0;'
		. ' ocsp_plus_cache ' . ($cache eq 'on' ? $directory : 'off') . ';');
	$many->responder()->clear();
	$t->run(timeout => 300);
	return $t;
}

# Until the last response is in; returns what the clock, the worker's processor
# and the responder's count of connections say.
sub _rate {
	my ($many, $cache) = @_;
	my $t = _start($many, $cache);
	my @pids = $t->workers();
	my $count = $many->count();
	Test::Nginx::wait_for(sub { $many->fetched() >= $count }, 120,
		'all to be fetched') or die "not all were fetched\n";
	my $used = processor(@pids);
	my @times = map { $_->{time} } $many->responder()->requests();
	my $connections = $many->responder()->stats()->{all}{connections};
	$t->stop();
	return [ $count / ($times[-1] - $times[0]), $count / $used,
		$connections / $count ];
}

sub _pace {
	my ($b, $many, $tls) = @_;

	my $count = $many->count();
	my $seconds = $b->size(2, 0.6, 0.05);
	my %load = (port => 8443, name => 'h%d.example', names => $count,
		tls => $tls);
	my %p99;
	my $rate;
	for (1 .. $b->size(7, 3, 1)) {
		my $t = _start($many, 'off');
		my ($pid) = $t->workers();
		if (!defined $rate) {
			Test::Nginx::wait_for(sub {
				$many->fetched() >= $count }, 120, 'quiet');
			$rate = $b->rate_of(0.3, $pid, %load);
			$t->stop();
			$t = _start($many, 'off');
		}
		my $storm = $b->handshakes(%load, rate => $rate,
			seconds => $seconds);
		my $over = $many->fetched() >= $count;
		Test::Nginx::wait_for(sub { $many->fetched() >= $count }, 120,
			'quiet');
		my $quiet = $b->handshakes(%load, rate => $rate,
			seconds => $seconds);
		$t->stop();
		push @{$p99{storm}}, $storm->{p99_us};
		push @{$p99{quiet}}, $quiet->{p99_us};
		warn "the storm was over before the handshakes were\n"
			if $over && $b->size(1, 1, 0);
	}
	my @ratios = map { $p99{storm}[$_] / $p99{quiet}[$_] }
		0 .. $#{$p99{quiet}};
	$b->at_most("d: p99 of handshakes, TLS $tls, in the storm / quiet",
		median(@ratios), 1.5);
}

1;
