package Test::Bench;

# What the parts of scripts/bench share: rounds in which the ways that are
# compared take turns, ratios beside their targets, the tools.
#
#   my $b = Test::Bench->new(size => 'full' | 'quick' | 'tiny')
#   $b->versions()                   of nginx, and of the OpenSSL that it runs with
#   $b->size(full, quick, tiny)      that of the three which fits this run
#   $b->rounds($n, { way => sub, .. })   calls each in each round, in an order
#                                    that turns; { way => [ results ] }
#   $b->at_most($name, $ratio, $target), at_least
#                                    prints it with "ok" or "missed"
#   $b->tell($name, $value)          a figure without a target
#   $b->results()                    all of them, as they go into the JSON
#   $b->handshakes(%options)         bench_handshakes, what it printed; dies
#                                    where a handshake failed
#   $b->begin_handshakes(%options)   the same in the background: a sub that waits
#                                    for its end and returns what it printed,
#                                    failed handshakes included
#   $b->instructions(sub { start }, sub { handshakes })
#                                    those of one handshake; see below
#   $b->rate_of($share, $pid, %options)
#                                    handshakes a second that fill this share of
#                                    the processor time of a worker
#
# Functions: median(@numbers), processor(@pids): seconds of the processor that
# these have used, wait_staples($t, $port, $count, $pattern).

use warnings;
use strict;

use Exporter qw/ import /;
use File::Temp ();
use JSON::PP ();

use Test::Nginx ();
use Test::Nginx::Config ();

our @EXPORT_OK = qw/ median processor /;

my %SIZE = (full => 0, quick => 1, tiny => 2);

sub new {
	my ($class, %opt) = @_;
	die "size?\n" unless defined $SIZE{$opt{size}};
	return bless { size => $opt{size}, results => [] }, $class;
}

sub versions {
	my $nginx = Test::Nginx::Config::nginx();
	my $told = `$nginx -V 2>&1`;
	my ($version) = $told =~ m!^nginx version: \S+?/(\S+)!m;
	my ($openssl) = $told =~ /running with OpenSSL (\S+)/;
	($openssl) = $told =~ /built with OpenSSL (\S+)/ unless $openssl;
	return ($version // '?', $openssl // '?');
}

sub size {
	my ($self, @sizes) = @_;
	return $sizes[$SIZE{$self->{size}}];
}

sub rounds {
	my ($self, $rounds, $ways) = @_;
	my @order = sort keys %$ways;
	my %results;
	for (1 .. $rounds) {
		push @{$results{$_}}, $ways->{$_}->() for @order;
		push @order, shift @order;
	}
	return \%results;
}

sub at_most {
	my ($self, $name, $value, $target) = @_;
	$self->_target($name, $value, $target, 'at most', $value <= $target);
}

sub at_least {
	my ($self, $name, $value, $target) = @_;
	$self->_target($name, $value, $target, 'at least', $value >= $target);
}

sub _target {
	my ($self, $name, $value, $target, $bound, $fine) = @_;
	printf "%-74s %9s  %-8s %6s  %s\n", $name, _figure($value), $bound,
		$target, $fine ? 'ok' : 'missed';
	push @{$self->{results}}, { name => $name, value => $value + 0,
		bound => $bound, target => $target + 0,
		ok => $fine ? JSON::PP::true() : JSON::PP::false() };
}

sub tell {
	my ($self, $name, $value) = @_;
	printf "%-74s %9s\n", $name, _figure($value);
	push @{$self->{results}}, { name => $name, value => $value + 0 };
}

sub _figure {
	my ($value) = @_;
	return sprintf $value >= 100 ? '%.0f' : '%.3f', $value;
}

sub results {
	my ($self) = @_;
	return $self->{results};
}

sub median {
	my @sorted = sort { $a <=> $b } @_;
	return @sorted % 2 ? $sorted[$#sorted / 2]
		: ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

sub processor {
	my $sum = 0;
	for my $pid (@_) {
		open my $fh, '<', "/proc/$pid/schedstat"
			or die "/proc/$pid/schedstat: $!\n";
		$sum += (split ' ', scalar <$fh>)[0];
	}
	return $sum / 1e9;
}

sub handshakes {
	my ($self, %opt) = @_;
	my $seen = $self->begin_handshakes(%opt)->();
	die "$seen->{failed} of $opt{name} failed\n" if $seen->{failed};
	return $seen;
}

sub begin_handshakes {
	my ($self, %opt) = @_;
	$opt{port} = Test::Nginx::port($opt{port});
	my @command = (Test::Nginx::Config::tool('bench_handshakes'),
		map { ("--$_", $opt{$_}) } sort keys %opt);
	open my $out, '-|', @command or die "$command[0]: $!\n";
	return sub {
		my $line = <$out> // '';
		close $out or die "@command failed\n";
		return JSON::PP::decode_json($line);
	};
}

# Instructions of one handshake: callgrind's of 2 N less those of N, by N.
# Counting can be switched on and off while callgrind runs, but what is counted
# then depends on when; the difference of two runs does not.  $start->(main
# lines, %options of Test::Nginx) returns a running nginx; $shake->(N) makes N
# handshakes.
sub instructions {
	my ($self, $start, $shake) = @_;
	my $count = $self->size(400, 150, 5);
	my ($once, $twice) = map { _counted($start, $shake, $_) }
		$count, 2 * $count;
	return ($twice - $once) / $count;
}

sub _counted {
	my ($start, $shake, $count) = @_;

	my $out = File::Temp::tempdir(CLEANUP => 1);
	chmod 0755, $out;
	my $nginx = Test::Nginx::Config::nginx();
	my $wrapper = "$out/nginx";
	open my $fh, '>', $wrapper or die "$wrapper: $!\n";
	print $fh <<"END";
#!/bin/sh
case "\$*" in
    -V) exec $nginx -V ;;
esac
exec valgrind -q --tool=callgrind --callgrind-out-file=$out/counted.%p \\
	$nginx "\$@"
END
	close $fh;
	chmod 0755, $wrapper;

	my $t = $start->([ 'daemon off;', 'master_process off;' ],
		binary => $wrapper);
	my $pid = $t->master_pid();
	$shake->($count);
	$t->stop('TERM');

	# written as nginx ends
	open my $counted, '<', "$out/counted.$pid"
		or die "callgrind left no $out/counted.$pid\n";
	my ($sum) = map { /^(?:summary|totals): (\d+)/ ? $1 : () } <$counted>;
	return $sum;
}

sub rate_of {
	my ($self, $share, $pid, %opt) = @_;
	my $sample = $self->size(2000, 1000, 20);
	my $before = processor($pid);
	$self->handshakes(%opt, count => $sample);
	return $share * $sample / (processor($pid) - $before);
}

1;
