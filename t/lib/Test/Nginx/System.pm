package Test::Nginx::System;

# What tests and the modules of the harness need of the system: ports, waiting,
# processes by their ids.  Functions; all are exported.
#
#   port(8080)             the real port behind a number from 8000 to 8999, held
#                          for this process; other numbers as they are
#   wait_for(sub, seconds, what)   polls, and says so where it was in vain
#   poll(seconds, sub)     the same without a word; seconds are not stretched
#   pid_of(file), alive(pid), is_nginx(pid), is_stopped(pid), cmdline(pid),
#   children(pid)
#   as_nginx(text)         what a server made of nginx says, under nginx's name
#   child_signals()        the default ones again, after a fork
#   die_with_parent(pid)   after a fork
#   log_core(prefix, text), log_in, log_out    for TEST_NGINX_VERBOSE
#   $SLOW                  by what deadlines are stretched

use warnings;
use strict;

use Exporter qw/ import /;
use IO::Socket::INET;
use POSIX ();
use Socket qw/ AF_UNIX SOCK_STREAM sockaddr_un /;
use Test::More qw//;
use Time::HiRes qw/ time /;

our @EXPORT = qw/ $SLOW port wait_for poll pid_of alive is_nginx is_stopped
	cmdline as_nginx children child_signals die_with_parent log_core
	log_in log_out /;

# Deadlines are stretched where everything is slower.
our $SLOW = $ENV{OCSP_PLUS_SANITIZE} ? 3 : 1;

my %ports;			# 8080 => real port
my @port_locks;

###############################################################################
# ports

sub port {
	shift if ref $_[0];
	my ($number) = @_;
	return $number if $number < 8000 || $number > 8999;
	return $ports{$number} ||= _free_port();
}

# Below the range the kernel gives to outgoing connections.  A name in the
# abstract socket space holds the port for this process, so that tests that
# run side by side do not choose the same.
sub _free_port {
	my $base = 10000;
	my $span = 20000;
	my $try = int(rand($span));
	for (1 .. $span) {
		my $port = $base + $try++ % $span;
		socket(my $lock, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
		bind($lock, sockaddr_un("\0ocsp-plus-test-port-$port")) or next;
		next unless _can_bind($port, 'tcp') && _can_bind($port, 'udp');
		push @port_locks, $lock;
		return $port;
	}
	die "no free port\n";
}

sub _can_bind {
	my ($port, $proto) = @_;
	return IO::Socket::INET->new(
		Proto => $proto, LocalAddr => '127.0.0.1', LocalPort => $port,
		$proto eq 'tcp' ? (Listen => 1) : ()
	);
}

###############################################################################
# waiting

sub poll {
	my ($seconds, $code) = @_;
	my $deadline = time() + $seconds;
	while () {
		my $value = $code->();
		return $value if $value;
		return if time() >= $deadline;
		select undef, undef, undef, 0.01;
	}
}

sub wait_for {
	shift if ref $_[0] && ref $_[0] ne 'CODE';
	my ($code, $seconds, $what) = @_;
	my $value = poll(($seconds || 5) * $SLOW, $code);
	Test::More::diag("waited in vain for $what") if !$value && $what;
	return $value;
}

###############################################################################
# processes by id

sub pid_of {
	my ($file) = @_;
	open my $fh, '<', $file or return;
	my $line = <$fh>;
	return defined $line && $line =~ /^(\d+)$/ ? $1 : undef;
}

# Ids are used again: never signal what is something else by now.
sub is_nginx {
	my ($pid) = @_;
	# empty while the system takes a process apart, which is long with a
	# sanitizer's memory
	return alive($pid) && cmdline($pid) =~ /nginx|\A\z/;
}

# Where nobody reaps orphans an ended process stays as a zombie.
sub alive {
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or return 0;
	my $stat = <$fh>;
	return defined $stat && $stat =~ /\)\s+([A-Za-z])/ && $1 !~ /[ZXx]/;
}

sub is_stopped {
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or return 1;
	return (<$fh> // '') !~ /\)\s+[^T\s]/;
}

sub cmdline {
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/cmdline" or return '';
	my $line = <$fh>;
	return '' unless defined $line;
	$line =~ tr/\0/ /;
	return as_nginx($line);
}

# Angie is nginx under another name of its own, in messages and processes.
sub as_nginx {
	my ($text) = @_;
	return $text =~ s/^angie: /nginx: /mgr;
}

sub children {
	my ($pid) = @_;
	if (open my $fh, '<', "/proc/$pid/task/$pid/children") {
		my $line = <$fh>;
		return defined $line ? split ' ', $line : ();
	}
	my @found;
	for my $file (glob '/proc/[0-9]*/stat') {
		open my $fh, '<', $file or next;
		my $stat = <$fh> // '';
		push @found, $1 if $stat =~ /^(\d+) .*\) \S (\d+) /
			&& $2 == $pid;
	}
	return @found;
}

# A shell that starts this in the background has it ignore INT and QUIT.
sub child_signals {
	alarm(0);
	$SIG{$_} = 'DEFAULT' for qw/ INT QUIT TERM HUP ALRM PIPE CHLD /;
}

# Linux: prctl(PR_SET_PDEATHSIG, SIGTERM), kept over exec.
sub die_with_parent {
	my %number = (x86_64 => 157, aarch64 => 167, i686 => 172,
		riscv64 => 167, ppc64le => 171, s390x => 172);
	my ($parent) = @_;
	my $prctl = $number{(POSIX::uname())[4]} or return;
	syscall($prctl, 1, 15, 0, 0, 0);
	POSIX::_exit(0) if getppid() != $parent;	# ended before
}

###############################################################################
# what goes in and out

sub log_core {
	my ($prefix, $message) = @_;
	return unless $ENV{TEST_NGINX_VERBOSE};
	$message =~ s/^/# $prefix /gm;
	$message =~ s/([^\n\x20-\x7e])/sprintf('\\x%02x', ord $1)/ge;
	print STDERR $message, $message =~ /\n\z/ ? '' : "\n";
}

sub log_out { log_core('>>', @_) }
sub log_in { log_core('<<', @_) }

1;
