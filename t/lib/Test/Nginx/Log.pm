package Test::Nginx::Log;

# The part of Test::Nginx that reads logs: nginx's own, and what sanitizers
# leave behind.  Test::Nginx tells the methods.

use warnings;
use strict;

use Test::Nginx::System;

sub log_mark {
	my ($self) = @_;
	return -s "$self->{dir}/error.log" || 0;
}

sub log_lines {
	my ($self, $re, $mark) = @_;
	open my $fh, '<', "$self->{dir}/error.log" or return;
	seek $fh, $mark, 0 if $mark;
	my @lines = grep { $_ =~ $re } <$fh>;
	chomp @lines;
	return @lines;
}

sub wait_log {
	my ($self, $re, $seconds, $mark) = @_;
	my $line;
	wait_for(sub { ($line) = $self->log_lines($re, $mark); defined $line },
		$seconds, "a log line $re");
	return $line;
}

# What no test may leave behind.
sub _alerts {
	my ($self) = @_;
	my @found;
	for my $line ($self->log_lines(qr/\[(?:alert|emerg)\]/)) {
		next if $line =~ /\] (\d+)#/ && $self->{tested}{$1};
		next if $line =~ /process (\d+) exited on signal/
			&& $self->{killed}{$1};
		next if grep { $line =~ $_ } @{$self->{allowed}};
		push @found, $line;
	}
	return @found;
}

sub _sanitizer_reports {
	my ($self) = @_;
	my $re = qr/ERROR: \w+Sanitizer|runtime error:|SUMMARY: \w+Sanitizer/;
	my @found;
	for my $file (glob("$self->{dir}/sanitizer/*"),
		glob("$self->{dir}/*.log"), "$self->{dir}/start.out")
	{
		open my $fh, '<', $file or next;
		my @lines = <$fh>;
		next unless grep { $_ =~ $re } @lines;
		splice @lines, 40 if $file =~ m!/sanitizer/! && @lines > 40;
		push @found, $file =~ m!/sanitizer/! ? @lines
			: grep { $_ =~ $re } @lines;
	}
	chomp @found;
	return @found;
}

1;
