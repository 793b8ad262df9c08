package Test::Nginx::Process;

# The part of Test::Nginx that has to do with processes: nginx, daemons beside
# it, and programs that run to their end.  Test::Nginx tells the methods.

use warnings;
use strict;

use Errno qw/ EINTR /;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw/ time /;

use Test::Nginx::System;

###############################################################################
# nginx

sub run {
	my ($self, %opt) = @_;
	$self->try_run(%opt)
		or die "nginx did not start:\n" . $self->output() . "\n";
	return $self;
}

# Starts nginx without waiting for it: run() or try_run() does that later.
sub begin {
	my ($self) = @_;
	die "nginx runs already\n" if $self->master_pid();
	die "no nginx.conf\n" unless -e "$self->{dir}/nginx.conf";
	$self->{begun} = $self->_exec_nginx();
}

sub try_run {
	my ($self, %opt) = @_;

	$self->begin() unless $self->{begun};
	my $timeout = ($opt{timeout} || 20) * $SLOW;
	my $pid = delete $self->{begun};
	my ($code, $up);

	my $done = poll($timeout, sub {
		if (!defined $code && waitpid($pid, POSIX::WNOHANG) == $pid) {
			$code = $?;
		}
		return 1 if defined $code && ($code || $self->{foreground});
		return 0 unless defined $code || $self->{foreground};
		my $master = $self->master_pid() or return 0;
		return $up = $self->{single}
			|| $self->workers() >= ($self->{processes} || 1);
	});

	if ($up) {
		$self->{child} = $pid if $self->{foreground};
		$self->_remember();
		return 1;
	}

	if (!$done) {
		kill TERM => $pid unless defined $code;
		$self->_append_output("no answer within $timeout seconds\n");
	}
	if (!defined $code && !poll(5, sub {
		waitpid($pid, POSIX::WNOHANG) == $pid }))
	{
		kill KILL => $pid;
		waitpid($pid, 0);
	}
	$self->{tested}{$pid} = 1;
	return 0;
}

sub config_test {
	my ($self, %opt) = @_;
	my $pid = $self->_exec_nginx('-t');
	$self->{tested}{$pid} = 1;
	my $status;
	poll(($opt{timeout} || 20) * $SLOW, sub {
		return 0 unless waitpid($pid, POSIX::WNOHANG) == $pid;
		$status = $?;
		return 1;
	});
	if (!defined $status) {
		kill KILL => $pid;
		waitpid($pid, 0);
		$status = -1;
	}
	# what zone init and init_module say goes to the error log alone
	$self->_append_output(join '', map { "$_\n" }
		grep { /\] $pid#/ && index($self->output(), $_) < 0 }
		$self->log_lines(qr/\[(?:warn|error|crit|alert|emerg)\]/));
	return $status == 0;
}

# What nginx printed when it was last started or tested.
sub output {
	my ($self) = @_;
	my $path = "$self->{dir}/start.out";
	return -e $path ? as_nginx($self->read_file($path)) : '';
}

sub _append_output {
	my ($self, $text) = @_;
	open my $fh, '>>', "$self->{dir}/start.out" or return;
	print $fh $text;
}

sub _exec_nginx {
	my ($self, @args) = @_;
	my $dir = $self->{dir};
	my %env = $self->environment();
	defined(my $pid = fork()) or die "fork: $!";
	return $pid if $pid;

	child_signals();
	die_with_parent($self->{owner}) if $self->{foreground};
	open STDIN, '<', '/dev/null';
	open STDOUT, '>', "$dir/start.out";
	open STDERR, '>&', \*STDOUT;
	%ENV = (%ENV, %env);
	no warnings 'exec';
	exec { $self->{binary} } $self->{binary}, '-p', "$dir/",
		'-c', "$dir/nginx.conf", '-e', "$dir/error.log", @args;
	print STDERR "cannot run $self->{binary}: $!\n";
	POSIX::_exit(127);
}

sub stop {
	my ($self, $signal) = @_;

	my $ok = 1;
	my @masters = grep { $_ && is_nginx($_) }
		map { pid_of("$self->{dir}/$_") }
		qw/ nginx.pid nginx.pid.oldbin /;
	$self->_remember();

	my $first = 1;
	for my $step ([ $signal || 'QUIT', 10 ], [ TERM => 5 ], [ KILL => 5 ]) {
		my ($name, $seconds) = @$step;
		$self->_freeze(grep { is_nginx($_) } @masters)
			if $name eq 'KILL';
		my @alive = grep { is_nginx($_) } keys %{$self->{seen}};
		last unless @alive;
		$ok = 0 unless $first;
		$first = 0;
		my @left = grep { is_nginx($_) } @masters;
		kill $name => $name eq 'KILL' || !@left ? @alive : @left;
		poll($seconds * $SLOW, sub {
			$self->_reap();
			return !grep { is_nginx($_) } @alive;
		});
	}

	unlink "$self->{dir}/nginx.pid" if !$ok;
	$self->{seen} = {};
	delete $self->{child};
	return $ok;
}

# A master that sees a worker killed makes another before it is killed itself.
sub _freeze {
	my ($self, @masters) = @_;
	kill STOP => @masters;
	poll(5, sub { !grep { !is_stopped($_) } @masters });
	$self->_remember();
}

sub restart {
	my ($self, $signal) = @_;
	$self->stop($signal) or die "nginx did not end\n";
	return $self->run();
}

sub reload {
	my ($self, %opt) = @_;

	my $master = $self->master_pid() or die "nginx does not run\n";
	my %old = map { $_ => 1 } $self->workers();
	my $mark = $self->log_mark();
	$self->_remember();
	kill HUP => $master;

	my $answer;
	my $timeout = ($opt{timeout} || 20) * $SLOW;
	poll($timeout, sub {
		my @workers = $self->workers();
		my @new = grep { !$old{$_} } @workers;
		# nginx tells the old workers to go once the new ones are made
		return $answer = 1 if @new == @workers
			&& @new >= ($self->{processes} || 1);
		my @refusals = grep { /\[emerg\] $master#/ }
			$self->log_lines(qr/\[emerg\]/, $mark);
		if (@refusals) {
			$answer = 0;
			push @{$self->{allowed}}, map { qr/\A\Q$_\E\z/ }
				@refusals if $opt{refused};
			return 1;
		}
		return 0;
	});
	die "nginx did not reload within $timeout seconds\n"
		unless defined $answer;
	$self->_remember();

	if ($answer && $opt{old_gone}) {
		poll($timeout, sub { !grep { alive($_) } keys %old })
			or die "old workers did not leave\n";
	}
	return $answer;
}

sub upgrade {
	my ($self, %opt) = @_;

	my $old = $self->master_pid() or die "nginx does not run\n";
	$self->_remember();
	kill USR2 => $old;
	my $new;
	poll(($opt{timeout} || 20) * $SLOW, sub {
		$new = $self->master_pid();
		return $new && $new != $old && $self->workers($new);
	}) or die "no new binary\n";
	$self->_remember();
	return ($old, $new);
}

sub master_pid {
	my ($self) = @_;
	my $pid = pid_of("$self->{dir}/nginx.pid");
	return $pid && alive($pid) ? $pid : undef;
}

# Workers that serve; while nginx starts, those that are ready.
sub workers {
	my ($self, $master) = @_;
	$master ||= $self->master_pid() or return;
	return $master if $self->{single};
	return grep { cmdline($_) =~ /^nginx: worker process(?! is shut)/ }
		children($master);
}

# Workers of an earlier configuration that still drain.
sub old_workers {
	my ($self, $master) = @_;
	$master ||= $self->master_pid() or return;
	return grep { cmdline($_) =~ /^nginx: worker process is shutting/ }
		children($master);
}

sub signal {
	my ($self, $pid, $signal) = @_;
	$self->_remember();
	$self->{killed}{$pid} = 1 if $signal =~ /^(?:KILL|ABRT|SEGV|9|6|11)$/;
	return kill $signal => $pid;
}

# Keeps the pids of all processes of nginx, to find them should the master die.
sub _remember {
	my ($self) = @_;
	for my $file ('nginx.pid', 'nginx.pid.oldbin') {
		my $master = pid_of("$self->{dir}/$file") or next;
		next unless alive($master);
		$self->{seen}{$_} = 1 for $master, children($master);
	}
}

sub _reap {
	my ($self) = @_;
	waitpid($self->{child}, POSIX::WNOHANG) if $self->{child};
}

###############################################################################
# others

sub run_daemon {
	my ($self, $code, @args) = @_;

	my $parent = $$;
	defined(my $pid = fork()) or die "fork: $!";
	if (!$pid) {
		child_signals();
		die_with_parent($parent);
		Test::Nginx::let_go();
		if (ref $code eq 'CODE') {
			eval { $code->(@args); 1 } or print STDERR $@;
			POSIX::_exit($@ ? 1 : 0);
		}
		open STDIN, '<', '/dev/null';
		open STDOUT, '>&', \*STDERR
			unless $ENV{TEST_NGINX_VERBOSE};
		no warnings 'exec';
		exec { $code } $code, @args;
		print STDERR "cannot run $code: $!\n";
		POSIX::_exit(127);
	}
	push @{$self->{daemons}}, $pid;
	return $pid;
}

# Ends those given, or all; returns what went wrong.
sub stop_daemons {
	my ($self, @only) = @_;
	my @pids = @only ? @only : @{$self->{daemons}};
	my @wrong;
	kill TERM => @pids if @pids;
	for my $pid (@pids) {
		next if poll(5, sub { waitpid($pid, POSIX::WNOHANG) != 0 });
		push @wrong, "daemon $pid did not end";
		kill KILL => $pid;
		waitpid($pid, 0);
	}
	my %gone = map { $_ => 1 } @pids;
	@{$self->{daemons}} = grep { !$gone{$_} } @{$self->{daemons}};
	return @wrong;
}

sub waitforsocket {
	my ($self, $peer, $seconds) = @_;
	$peer =~ s/:(\d+)$/':' . port($1)/e;
	return poll($seconds || 5 * $SLOW, sub {
		IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $peer) });
}

sub waitforfile {
	my ($self, $path, $pid, $seconds) = @_;
	$path = "$self->{dir}/$path" unless $path =~ m!^/!;
	return poll($seconds || 5 * $SLOW, sub {
		-e $path || ($pid && !alive($pid)) }) && -e $path;
}

sub command {
	my ($self, $command, %opt) = @_;

	my $timeout = ($opt{timeout} || 10) * $SLOW;
	pipe(my $in, my $feed) or die "pipe: $!";
	pipe(my $out, my $write) or die "pipe: $!";
	my $parent = $$;
	defined(my $pid = fork()) or die "fork: $!";
	if (!$pid) {
		child_signals();
		die_with_parent($parent);
		open STDIN, '<&', $in;
		open STDOUT, '>&', $write;
		if ($opt{apart}) {
			open STDERR, '>', "$self->{dir}/errors";
		} else {
			open STDERR, '>&', $write;
		}
		close $_ for $in, $feed, $out, $write;
		%ENV = (%ENV, %{$opt{env}}) if $opt{env};
		no warnings 'exec';
		exec { $command->[0] } @$command;
		print STDERR "cannot run $command->[0]: $!\n";
		POSIX::_exit(127);
	}
	close $in;
	close $write;
	syswrite $feed, $opt{stdin} if defined $opt{stdin};
	close $feed unless $opt{until};

	my $text = '';
	my $deadline = time() + $timeout;
	my $timed_out = 1;
	my $select = IO::Select->new($out);
	while ((my $left = $deadline - time()) > 0) {
		if (defined $feed && fileno($feed) && $opt{until}
			&& $opt{until}->($text))
		{
			close $feed;
		}
		$left = 0.02 if $left > 0.02 && defined fileno($feed);
		next unless $select->can_read($left);
		my $got = sysread $out, $text, 65536, length $text;
		next if !defined $got && $! == EINTR;
		if (!$got) {
			$timed_out = 0;
			last;
		}
	}
	close $feed;
	kill KILL => $pid if $timed_out;
	waitpid($pid, 0);
	return { status => $timed_out ? -1 : $? >> 8, output => $text,
		timed_out => $timed_out,
		$opt{apart} ? (errors => $self->read_file('errors')) : () };
}

1;
