package Test::Bench::Shared;

# A fleet that shares responses through Redis: requests that reach the responder
# at a cold start and by refreshes, the start of a node from a store beside one
# from a cache directory, what handshakes notice while a thousand responses
# arrive or the store is stopped, and what a node asks of the store when nothing
# happens.

use warnings;
use strict;

use JSON::PP ();
use Time::HiRes qw/ time /;

use Test::Bench qw/ median /;
use Test::Bench::Many;
use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Config ();
use Test::Nginx::Fleet;
use Test::Nginx::Redis;
use Test::Nginx::Responder;

sub run {
	my ($b) = @_;
	if (!Test::Nginx::Redis->installed()) {
		print "g: neither redis-server nor valkey-server is installed\n";
		return;
	}
	_fleet($b);
	_many($b);
	_node($b);
	_memory($b);
}

###############################################################################
# requests

sub _fleet {
	my ($b) = @_;

	my $t = Test::Nginx->new(timeout => 7200);
	my $int = Test::Nginx::CA->new($t)->intermediate('int');
	my $r = Test::Nginx::Responder->start($t, ca => $int);
	my @leaves = $int->leaves($b->size(100, 40, 4), 'h%d.example',
		aia => $r->url());
	my $redis = Test::Nginx::Redis->start($t);
	my $fleet = Test::Nginx::Fleet->new($t, nodes => $b->size(10, 5, 2),
		leaves => \@leaves);
	my ($nodes, $count) = (scalar $fleet->nodes(), scalar @leaves);
	my $validity = $b->size(120, 60, 10);
	$r->set(delay => 300);
	$r->validity(next_update => $validity);
	$fleet->configure('access_log off;', 'ocsp_plus_cache off;',
		'ocsp_plus_retry 1s 10s;',
		'ocsp_plus_share ' . $redis->place() . ';');

	$fleet->start();
	my $without = $fleet->without();
	my $what = "g: $nodes nodes, $count certificates, an empty store";
	$b->at_most("$what: first handshakes without a staple", $without, 0);
	$b->at_most("$what: requests a certificate",
		$r->requests() / $count, 1);

	$r->clear();
	my $end = time() + $validity * $b->size(1.5, 1, 0.6);
	Test::Nginx::wait_for(sub { time() >= $end }, 2 * $validity);
	my ($requests, $rounds) = (0, 0);
	for my $leaf (@leaves) {
		my $last = 0;
		for my $time (map { $_->{time} } $r->requests(leaf => $leaf)) {
			$requests++;
			$rounds++ if $time - $last > 0.25 * $validity;
			$last = $time;
		}
	}
	$b->at_most('g: the same nodes: requests a certificate and refresh',
		$requests / ($rounds || 1), 1.05);
	$b->at_most('g: the same nodes: handshakes without a staple after it',
		$fleet->without(), 0);
	$_->stop() for $fleet->nodes();
}

# The engine of many nodes in one process, cold at once; then a tenth of them
# never get an answer from the responder.
sub _many {
	my ($b) = @_;

	my $t = Test::Nginx->new(timeout => 7200);
	my $redis = Test::Nginx::Redis->start($t);
	my ($nodes, $count) = @{$b->size([ 100, 200 ], [ 40, 50 ], [ 4, 5 ])};
	for my $hanging (0, $nodes / 10) {
		$redis->ask('FLUSHALL');
		my $run = $t->command([ Test::Nginx::Config::tool('bench_fleet'),
			'--place', $redis->place(), '--nodes', $nodes,
			'--certificates', $count, '--hanging', int $hanging ],
			timeout => 180);
		my $seen = eval { JSON::PP::decode_json($run->{output}) }
			or die "bench_fleet: $run->{output}\n";
		my $what = "g: $nodes engines, $count certificates"
			. ($hanging ? ', a tenth of the nodes hang' : '');
		$b->at_most("$what: requests", $seen->{requests}, $count)
			unless $hanging;
		$b->tell("$what: requests", $seen->{requests}) if $hanging;
		$b->at_most("$what: requests for one certificate",
			$seen->{most}, $hanging ? 2 : 1);
		$b->at_most("$what: certificates without a staple",
			$seen->{missing}, 0);
		$b->tell("$what: seconds", $seen->{seconds});
	}
}

###############################################################################
# one node among others

sub _node {
	my ($b) = @_;

	my $many = Test::Bench::Many->new($b->size(1000, 1000, 20));
	my ($t, $count) = ($many->nginx(), $many->count());
	my $redis = Test::Nginx::Redis->start($t);
	my $share = 'ocsp_plus_share ' . $redis->place() . ';';
	my %way = (store => "ocsp_plus_cache off; $share", directory => '');
	$many->warm();
	_fill($many, $way{store}, sub { $redis->ask('DBSIZE') >= $count });
	_fill($many, $way{directory}, sub { $t->kept() == $count });

	my $took = $b->rounds($b->size(7, 3, 1), { map { my $way = $_;
		($way => sub {
			_configure($many, $way{$way});
			my $began = time();
			$t->run(timeout => 300);
			my $seconds = time() - $began;
			$t->stop();
			return $seconds;
		}) } qw/ store directory / });
	$b->at_most("g: start, $count responses from the store / from a"
		. ' directory', median(map { $took->{store}[$_]
			/ $took->{directory}[$_] } 0 .. $#{$took->{store}}), 1.3);

	_handshakes($b, $many, $redis, $share);
}

sub _configure {
	my ($many, $lines, %opt) = @_;
	$many->configure("ocsp_plus on; ocsp_plus_concurrency 64; $lines",
		status => 'ocsp_plus_status;', %opt);
}

# All responses are fetched, and kept where they are to be.
sub _fill {
	my ($many, $lines, $kept) = @_;
	_configure($many, $lines);
	$many->nginx()->run(timeout => 300);
	Test::Nginx::wait_for(sub { $many->fetched() >= $many->count() }, 120,
		'all to be fetched') or die "not all were fetched\n";
	Test::Nginx::wait_for($kept, 60, 'all to be kept')
		or die "not all were kept\n";
	$many->nginx()->stop();
}

# Bytes of the designated worker's own, of which the zone is no part, by the
# certificate, beside the same without a store.  What the first third costs
# besides is not theirs: an answer of the store has 256 entries of the news at
# most, and wherever the heap has room for a moment's bytes, a page becomes the
# worker's own.
sub _memory {
	my ($b) = @_;
	my $many = Test::Bench::Many->new($b->size(3000, 3000, 30));
	my ($t, $count) = ($many->nginx(), $many->count());
	my $redis = Test::Nginx::Redis->start($t);
	my %way = (store => 'ocsp_plus_cache off; ocsp_plus_share '
		. $redis->place() . ';', neither => 'ocsp_plus_cache off;');
	$many->warm();
	_fill($many, $way{store}, sub { $redis->ask('DBSIZE') >= $count });
	my $seen = $b->rounds($b->size(5, 3, 1), { map { my $number = $_;
		map { my $way = $_; ("$way $number" => sub {
			_private($many, $way{$way}, $number) }) } keys %way }
		$count / 3, $count });
	my $more = sub { my ($number) = @_;
		median(@{$seen->{"store $number"}})
			- median(@{$seen->{"neither $number"}}) };
	$b->at_most('g: memory of the designated worker a certificate, bytes',
		($more->($count) - $more->($count / 3)) / ($count * 2 / 3), 64);
}

sub _private {
	my ($many, $lines, $number) = @_;
	my $t = $many->nginx();
	_configure($many, $lines, only => $number);
	$t->run(timeout => 300);
	Test::Nginx::wait_for(sub { !Test::Nginx::without(8443,
		map { "h$_.example" } 1 .. $number) }, 60, 'staples');
	my ($pid) = $t->workers();
	open my $fh, '<', "/proc/$pid/smaps" or die "smaps: $!\n";
	my ($own, $bytes);
	while (my $line = <$fh>) {
		$own = $1 eq 'p' if $line =~ /^[0-9a-f]+-\S+ rw.(.) /;
		$bytes += 1024 * $1 if $own && $line =~ /^Private_\w+:\s+(\d+)/;
	}
	$t->stop();
	return $bytes;
}

# p99 of handshakes under 30 % of the load that the worker can bear: while the
# store is stopped, beside quiet seconds; and while another node has all
# responses renewed and this one takes them, beside the same if it shares with
# others: all of them have the same processors here.
sub _handshakes {
	my ($b, $many, $redis, $share) = @_;

	setpriority(0, $$, -10);
	my ($t, $count) = ($many->nginx(), $many->count());
	_configure($many, "ocsp_plus_cache off; $share");
	$t->run(timeout => 300);
	my ($pid) = $t->workers();
	my %load = (port => 8443, name => 'h%d.example', names => $count,
		tls => '1.3');
	$load{rate} = $b->rate_of(0.3, $pid, %load);
	my $seconds = $b->size(15, 15, 1);

	# another node, which refreshes all when it is told to

	my $other = Test::Nginx::Fleet->new(Test::Nginx->new(timeout => 7200),
		nodes => 1, leaves => []);
	my $teller = $other->node(0);
	for my $name (map { $_->name() } $many->leaves()) {
		$teller->write_file("$name.$_", $t->read_file("$name.$_"))
			for qw/ pem key /;
	}
	$teller->write_conf(http => [ 'access_log off;', 'ocsp_plus on;',
		'server_names_hash_max_size 262144;', 'ocsp_plus_cache off;',
		'ocsp_plus_concurrency 64;', $share,
		[ 8081 + 400, undef, 'location /control { ocsp_plus_control; '
			. 'allow 127.0.0.1; deny all; }' ],
		map { [ 8444, $_ ] } $many->leaves() ]);
	$many->responder()->set(cache => 0);
	$teller->run(timeout => 300);

	my $apart = $share =~ s/;/ prefix=apart;/r;
	my $refresh = sub {
		Test::Nginx::http_post('/control?refresh=all', '', port => 8481);
	};
	my %do = (
		quiet => [ $share, sub {} ],
		'the store is stopped' => [ $share,
			sub { $redis->signal('STOP') } ],
		'others renew all responses' => [ $apart, $refresh ],
		'all responses arrive' => [ $share, $refresh ],
	);
	my $seen = $b->rounds($b->size(3, 2, 1), { map { my $what = $_;
		($what => sub {
			my ($lines, $begin) = @{$do{$what}};
			_configure($many, "ocsp_plus_cache off; $lines");
			$t->reload(timeout => 300, old_gone => 1);
			my $load = $b->begin_handshakes(%load, seconds => $seconds);
			$begin->();
			my $told = $load->();
			$redis->signal('CONT');
			return $told;
		}) } keys %do });
	for ([ 'the store is stopped' => 'quiet' ], [ 'all responses arrive',
		'others renew all responses' ])
	{
		my ($what, $beside) = @$_;
		$b->at_most("g: p99 of handshakes while $what / $beside",
			median(map { $seen->{$what}[$_]{p99_us}
				/ $seen->{$beside}[$_]{p99_us} }
				0 .. $#{$seen->{$beside}}), 1.5);
		my $failed = 0;
		$failed += $_->{failed} for @{$seen->{$what}};
		$b->at_most("g: handshakes that failed while $what", $failed, 0);
	}
	$teller->stop();
	setpriority(0, $$, 0);

	# nothing happens, once it has what the others have published meanwhile

	_configure($many, "ocsp_plus_cache off; $share");
	$t->reload(timeout => 300, old_gone => 1);
	my $span = $b->size(60, 30, 2);
	Test::Nginx::wait_for(sub { ($redis->ask('INFO', 'clients')
		=~ /connected_clients:(\d+)/)[0] >= 2 }, 60, 'the node');
	my $end = time() + $b->size(30, 30, 1);
	Test::Nginx::wait_for(sub { time() >= $end }, 60);
	my $before = _commands($redis);
	$end = time() + $span;
	Test::Nginx::wait_for(sub { time() >= $end }, $span + 10);
	$b->at_most('g: commands a second of an idle node',
		(_commands($redis) - $before) / $span, 0.2);
	$t->stop();
}

# Without the one that asks, and what a script calls.
sub _commands {
	my ($redis) = @_;
	my $sum = 0;
	for my $line (split /\r\n/, $redis->ask('INFO', 'commandstats')) {
		$sum += $1 if $line
			=~ /^cmdstat_(?:evalsha|eval|xread|xrevrange|ping):calls=(\d+)/;
	}
	return $sum;
}

1;
