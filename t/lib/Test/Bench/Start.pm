package Test::Bench::Start;

# What a start and a reload cost with many certificates whose responses are
# kept, beside the same nginx without us, in turn.  By the clock; and by the
# processor, which other programs disturb less: of the first process of a start
# with all it waits for, our start helper among it, and of the master and what
# it has waited for over a reload.

use warnings;
use strict;

use Time::HiRes qw/ time /;

use Test::Bench qw/ median /;
use Test::Bench::Many;
use Test::Nginx ();

my %TARGET = (start => 1.2, reload => 1.05);

sub run {
	my ($b) = @_;
	_with($b, $_) for @{$b->size([ 1000, 10000 ], [ 1000 ], [ 20 ])};
}

sub _with {
	my ($b, $count) = @_;

	my $many = Test::Bench::Many->new($count);
	my $t = $many->nginx();
	_configure($many, 'on');
	$t->run(timeout => 300);
	Test::Nginx::wait_for(sub { $t->kept() == $count }, 120,
		'all to be kept') or die "not all were kept\n";
	$t->stop();

	my $took = $b->rounds($b->size($count > 5000 ? 3 : 7, 3, 1),
		{ map { my $state = $_;
			($state => sub { _measure($many, $state) })
		} qw/ on off / });
	for my $what (qw/ start reload /) {
		for my $by (qw/ processor clock /) {
			my @ratios = map { $took->{on}[$_]{"$what $by"}
				/ ($took->{off}[$_]{"$what $by"} || 0.01) }
				0 .. $#{$took->{on}};
			$b->at_most("c: $what by the $by, $count kept"
				. " responses / without ocsp_plus",
				median(@ratios), $TARGET{$what});
		}
	}
}

sub _configure {
	my ($many, $state) = @_;
	$many->configure("ocsp_plus $state; ocsp_plus_concurrency 64;");
}

sub _measure {
	my ($many, $state) = @_;
	my $t = $many->nginx();
	_configure($many, $state);
	my %took;
	_time(\%took, 'start', sub { $t->run(timeout => 300) }, sub {
		my @used = times;
		return $used[2] + $used[3];
	});
	_time(\%took, 'reload', sub {
		$t->reload(timeout => 300, old_gone => 1);
	}, sub { _used($t->master_pid()) });
	$t->stop();
	return \%took;
}

sub _time {
	my ($took, $what, $work, $used) = @_;
	my ($began, $before) = (time(), $used->());
	$work->();
	$took->{"$what clock"} = time() - $began;
	$took->{"$what processor"} = $used->() - $before;
}

# Of a process and the children it has reaped, in seconds.
sub _used {
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or die "/proc/$pid/stat: $!\n";
	my @field = split ' ', scalar(<$fh>) =~ s/.*\) //r;
	return ($field[11] + $field[12] + $field[13] + $field[14]) / 100;
}

1;
