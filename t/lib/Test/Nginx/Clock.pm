package Test::Nginx::Clock;

# The time that nginx sees, by libfaketime.  The test is skipped where that is
# not installed, and with sanitizers, which it does not go together with.
#
#   my $clock = Test::Nginx::Clock->start($t)       time that passes: the wall
#                           clock and the monotonic one, timers with them
#   my $clock = Test::Nginx::Clock->start($t, jumps => 1)    the wall clock
#                           alone, as when somebody sets it
#   Test::Nginx::Clock->available()    where only a part of a test wants it
#   $clock->set($seconds)   so far from the real time; from the next look on
#   $clock->pass($seconds)  so much farther
#   $clock->now()           what nginx takes for the time
#
# Modification times of files are what they are.

use warnings;
use strict;

use Test::More qw//;

my ($library) = glob '/usr/lib/*/faketime/libfaketime.so.1';

sub available { return $library && !$ENV{OCSP_PLUS_SANITIZE} }

sub start {
	my ($class, $t, %opt) = @_;
	Test::More::plan(skip_all => $library
		? 'libfaketime and AddressSanitizer do not go together'
		: 'libfaketime is not installed') unless available();

	my $self = bless { t => $t, file => $t->testdir() . '/clock' }, $class;
	$self->set($opt{offset} // 0);
	$t->env(LD_PRELOAD => $library,
		FAKETIME_TIMESTAMP_FILE => $self->{file}, FAKETIME_NO_CACHE => 1,
		FAKETIME_DISABLE_SHM => 1, NO_FAKE_STAT => 1, $opt{jumps}
			? (FAKETIME_DONT_FAKE_MONOTONIC => 1,
				DONT_FAKE_MONOTONIC => 1) : ());
	return $self;
}

# The file is replaced at once; libfaketime reads it at each look at the clock.
sub set {
	my ($self, $offset) = @_;
	$self->{t}->write_file("$self->{file}.new", sprintf "%+d\n", $offset);
	rename "$self->{file}.new", $self->{file} or die "rename: $!\n";
	$self->{offset} = $offset;
	return $self;
}

sub pass {
	my ($self, $seconds) = @_;
	return $self->set($self->{offset} + $seconds);
}

sub now { return time() + $_[0]{offset} }

1;
