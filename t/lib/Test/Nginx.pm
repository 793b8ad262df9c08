package Test::Nginx;

# Integration tests that read like nginx's own: a configuration, a running
# nginx, one assertion a line.  Loopback only, every wait has a deadline, and
# whatever a test started is ended by its process id.
#
#   my $t = Test::Nginx->new(%opt)   module => 0: without ocsp_plus
#                                    timeout => s: for the whole file (120)
#   $t->has(qw/http_ssl http_v2/)    skip the file where nginx lacks these;
#                                    also ipv6, root, debug, stream
#   $t->has_daemon('curl')           likewise for a program
#   $t->plan($n)                     $n tests and three of the harness: no
#                                    alerts, no sanitizer errors, nothing left
#   $t->done_testing()               the same without a number
#   $t->todo_alerts(qr/../, ...)     alerts to tolerate (none: all)
#
# Files, below a new directory of this test:
#
#   $t->testdir()
#   $t->write_file($name, $content), read_file, find_in_file($name, $re)
#   $t->write_file_expand($name, $content)
#        %%TESTDIR%%, %%TEST_GLOBALS%%, %%TEST_GLOBALS_HTTP%%, %%PORT_8080%%,
#        and the ports 8000 to 8999 after 127.0.0.1: (or any 127.*, [::1],
#        localhost, *), which become ports that are really free
#   port(8080)                       the real one
#   $t->log_level('debug')           before write_file_expand; default info
#   $t->globals('..'), globals_http  more lines for %%TEST_GLOBALS...%%
#   $t->env(NAME => value)           environment of nginx
#
# Processes:
#
#   $t->run(), try_run()             try_run returns false where run dies;
#                                    what nginx said is in $t->output()
#   $t->config_test()                nginx -t: true if fine, and output()
#   $t->stop([signal]), restart()
#   $t->reload(%opt)                 true once new workers serve, false when
#                                    nginx refused (refused => 1: as the test
#                                    wants, so no alert); old_gone => 1: wait
#                                    until the old workers have left
#   $t->upgrade()                    USR2; returns the pids (old, new master)
#   $t->master_pid(), workers(), old_workers()
#   $t->signal($pid, 'KILL')         a worker killed so raises no alert
#   $t->run_daemon($sub|$program, @args), stop_daemons()
#   $t->waitforsocket('127.0.0.1:8080'), waitforfile($path)
#   $t->command([program, args], %opt)   ->{status}, ->{output}; timeout,
#                                    stdin, until => sub ($output)
#
# The error log:
#
#   $t->log_lines(qr/../ [, $mark])  matching lines
#   $t->wait_log(qr/../, seconds [, $mark])
#   $t->log_mark()                   where it ends now
#
# Functions: port, wait_for(sub, seconds, what), and those of
# Test::Nginx::Client: http_get, staple, wait_staple, staple_fast, ...
#
# Environment: TEST_NGINX_BINARY, OCSP_PLUS_BUILD (folder of the module and of
# the test tools), OCSP_PLUS_TOOLS (of the tools alone), OCSP_PLUS_SANITIZE=1
# (the module is built with sanitizers), OCSP_PLUS_LEAKS=1 (look for leaks as
# well), TEST_NGINX_LEAVE (keep the directory), TEST_NGINX_VERBOSE,
# TEST_NGINX_CATLOG (print the error log), TEST_NGINX_LOG_LEVEL.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use Errno qw/ EINTR /;
use Exporter qw/ import /;
use Fcntl qw/ F_SETFD FD_CLOEXEC /;
use File::Basename qw/ dirname /;
use File::Path qw/ remove_tree /;
use File::Temp ();
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Scalar::Util qw/ weaken /;
use Socket qw/ AF_UNIX SOCK_STREAM sockaddr_un /;
use Test::More qw//;
use Time::HiRes qw/ time /;

our @EXPORT = qw/
	port wait_for log_core log_in log_out
	http http_get http_head http_post
	staple wait_staple staple_fast handshake_fast
/;

my $REPO = abs_path(dirname(__FILE__) . '/../../..');
my $SANITIZE = $ENV{OCSP_PLUS_SANITIZE};

# Deadlines are stretched where everything is slower.
our $SLOW = $SANITIZE ? 3 : 1;

my @live;			# objects to finish at the end
my %ports;			# 8080 => real port
my @port_locks;
my $current;

###############################################################################
# life of a test

sub new {
	my ($class, %opt) = @_;

	my $dir = File::Temp::tempdir('ocsp-plus-test-XXXXXXXXXX',
		TMPDIR => 1, CLEANUP => 0);
	chmod 0755, $dir;	# workers run as another user

	my $self = bless {
		dir => abs_path($dir), owner => $$, module => 1,
		daemons => [], allowed => [], tested => {}, killed => {},
		globals => [], globals_http => [], env => {}, seen => {},
		log_level => $ENV{TEST_NGINX_LOG_LEVEL} || 'info',
		binary => $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx',
		%opt
	}, $class;

	mkdir "$self->{dir}/sanitizer";
	chmod 01777, "$self->{dir}/sanitizer";

	push @live, $self;
	weaken($live[-1]);
	weaken($current = $self);

	$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit(1) };
	$SIG{PIPE} = 'IGNORE';
	$SIG{ALRM} = sub { die "the test took too long\n" };
	alarm(($opt{timeout} || 120) * $SLOW);

	$self->_start_watchdog();

	return $self;
}

sub plan {
	my ($self, $tests) = @_;
	Test::More::plan(tests => $tests + 3);
	$self->{planned} = 1;
	return $self;
}

sub done_testing {
	my ($self) = @_;
	$self->{planned} = 1;
	$self->_finish();
	Test::More::done_testing();
}

sub todo_alerts {
	my ($self, @patterns) = @_;
	push @{$self->{allowed}}, @patterns ? @patterns : qr/./;
	return $self;
}

sub has {
	my ($self, @features) = @_;
	for my $feature (@features) {
		$self->_has_feature($feature)
			or Test::More::plan(skip_all => "no $feature available");
	}
	return $self;
}

sub has_daemon {
	my ($self, $program) = @_;
	for my $path (split /:/, $ENV{PATH} . ':/usr/sbin:/sbin') {
		return $self if -x "$path/$program";
	}
	Test::More::plan(skip_all => "$program not found");
}

sub _has_feature {
	my ($self, $feature) = @_;

	return $> == 0 if $feature eq 'root';
	if ($feature eq 'ipv6') {
		require IO::Socket::IP;
		return !! IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
	}

	my $built = $self->_build_options();
	return $built =~ /--with-debug\b/ if $feature eq 'debug';

	my $option = $feature eq 'stream' || $feature eq 'mail'
		? "--with-$feature" : "--with-${feature}_module";
	return 1 if $built =~ /\Q$option\E(?:\s|$)/;
	if ($built =~ /\Q$option\E=dynamic/) {
		return -f $self->_modules_path() . "/ngx_${feature}_module.so";
	}
	# part of nginx unless taken out
	return $feature =~ /^http_(?:proxy|rewrite|access|auth_basic|map
		|limit_conn|limit_req|gzip|upstream_\w+|split_clients)$/x
		&& $built !~ /--without-\Q$feature\E_module/;
}

sub _build_options {
	my ($self) = @_;
	return $self->{built} ||= $self->command([ $self->{binary}, '-V' ])
		->{output};
}

sub _modules_path {
	my ($self) = @_;
	return $self->_build_options() =~ /--modules-path=(\S+)/
		? $1 : '/usr/lib/nginx/modules';
}

# Ends what was started and looks at what it left behind.
sub _finish {
	my ($self) = @_;
	return if $self->{finished} || $self->{owner} != $$;
	$self->{finished} = 1;

	my @left;
	eval {
		push @left, 'nginx did not end in time'
			unless $self->stop();
		push @left, $self->stop_daemons();
	};
	push @left, $@ if $@;

	if ($self->{planned}) {
		my @alerts = $self->_alerts();
		my @reports = $self->_sanitizer_reports();
		Test::More::is(join("\n", @alerts), '', 'no alerts');
		Test::More::is(join("\n", @reports), '',
			'no sanitizer errors');
		Test::More::is(join("\n", @left), '', 'no process left');
	}

	close $self->{watchdog} if $self->{watchdog};
	waitpid($self->{watchdog_pid}, 0) if $self->{watchdog_pid};
}

sub _clean_up {
	my ($self, $ok) = @_;
	return if $self->{owner} != $$;
	if ($ENV{TEST_NGINX_CATLOG} && -e "$self->{dir}/error.log") {
		Test::More::diag($self->read_file('error.log'));
	}
	if ($ok && !$ENV{TEST_NGINX_LEAVE}) {
		remove_tree($self->{dir}, { safe => 0, error => \my $ignored });
		return;
	}
	Test::More::diag("files of this test: $self->{dir}");
	my @lines = grep { /\[(?:warn|error|crit|alert|emerg)\]/ }
		$self->log_lines(qr/./);
	splice @lines, 0, -20 if @lines > 20;
	Test::More::diag("error.log: $_") for @lines;
}

END {
	my $status = $?;
	my @mine = grep { defined && $_->{owner} == $$ } @live;
	if (@mine) {
		alarm(0);
		local $?;
		$_->_finish() for @mine;
		my $ok = $status == 0 && Test::More->builder->is_passing();
		$_->_clean_up($ok) for @mine;
	}
	$? = $status;
}

sub DESTROY {
	my ($self) = @_;
	return if $self->{finished} || $self->{owner} != $$;
	$self->_finish();
	$self->_clean_up(Test::More->builder->is_passing());
}

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

# Ends nginx should this process be killed without a chance to do so.
sub _start_watchdog {
	my ($self) = @_;

	pipe(my $end, my $hold) or die "pipe: $!";
	defined(my $pid = fork()) or die "fork: $!";
	if (!$pid) {
		_child_signals();
		$SIG{INT} = $SIG{HUP} = 'IGNORE';
		# nor keep the watchdogs of other objects from their end
		close $_ for $hold, map { $_ && $_->{watchdog} || () } @live;
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		sysread $end, my $byte, 1;
		for my $file ('nginx.pid', 'nginx.pid.oldbin') {
			my $master = _pid_of("$self->{dir}/$file") or next;
			kill TERM => $master if _cmdline($master) =~ /nginx/;
		}
		POSIX::_exit(0);
	}
	close $end;
	$self->{watchdog} = $hold;
	$self->{watchdog_pid} = $pid;
}

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
# files

sub testdir {
	my ($self) = @_;
	return $self->{dir};
}

sub write_file {
	my ($self, $name, $content) = @_;
	my $path = $name =~ m!^/! ? $name : "$self->{dir}/$name";
	open my $fh, '>', $path or die "Can't open $path: $!\n";
	binmode $fh;
	print $fh $content;
	close $fh or die "Can't write $path: $!\n";
	return $path;
}

sub write_file_expand {
	my ($self, $name, $content) = @_;
	return $self->write_file($name, $self->expand($content, $name));
}

sub expand {
	my ($self, $content, $name) = @_;

	$content =~ s/%%TEST_GLOBALS%%/$self->_globals($content)/ge;
	$content =~ s/%%TEST_GLOBALS_HTTP%%/$self->_globals_http($content)/ge;
	$content =~ s/%%TESTDIR%%/$self->{dir}/g;
	$content =~ s/%%PORT_(\d+)%%/port($1)/ge;
	$content =~ s/(127(?:\.\d+){3}:|\[::1\]:|localhost:|\*:)(8\d\d\d)\b/
		$1 . port($2)/gex;

	if ($name && $name eq 'nginx.conf') {
		$self->{foreground} = $content =~ /^\s*daemon\s+off;/m;
		$self->{single} = $content =~ /^\s*master_process\s+off;/m;
		$self->{processes} = $content =~
			/^\s*worker_processes\s+(\d+);/m ? $1 : 1;
	}
	return $content;
}

sub read_file {
	my ($self, $name) = @_;
	my $path = $name =~ m!^/! ? $name : "$self->{dir}/$name";
	open my $fh, '<', $path or die "Can't open $path: $!\n";
	binmode $fh;
	local $/;
	return scalar <$fh>;
}

sub find_in_file {
	my ($self, $name, $re) = @_;
	my $path = $name =~ m!^/! ? $name : "$self->{dir}/$name";
	return '' unless -e $path;
	my $content = $self->read_file($path);
	return $content =~ $re ? (defined $1 ? $1 : $&) : '';
}

sub log_level {
	my ($self, $level) = @_;
	$self->{log_level} = $level;
	return $self;
}

sub globals {
	my ($self, @lines) = @_;
	push @{$self->{globals}}, @lines;
	return $self;
}

sub globals_http {
	my ($self, @lines) = @_;
	push @{$self->{globals_http}}, @lines;
	return $self;
}

sub env {
	my ($self, %env) = @_;
	%{$self->{env}} = (%{$self->{env}}, %env);
	return $self;
}

sub build_dir {
	return $ENV{OCSP_PLUS_BUILD}
		|| $REPO . ($SANITIZE ? '/build-asan' : '/build');
}

# A program of t/lib/tools.
sub tool {
	my ($name) = @_;
	for my $dir ($ENV{OCSP_PLUS_TOOLS}, $ENV{OCSP_PLUS_BUILD},
		"$REPO/build", "$REPO/build-asan")
	{
		return "$dir/$name" if defined $dir && -x "$dir/$name";
	}
	die "$name is not built: cmake -S $REPO -B $REPO/build"
		. " -DOCSP_PLUS_TESTS=ON && cmake --build $REPO/build"
		. " --target $name\n";
}

sub _globals {
	my ($self, $content) = @_;

	my @lines = ("pid $self->{dir}/nginx.pid;",
		"error_log $self->{dir}/error.log $self->{log_level};");

	my $stream = $content =~ /^\s*stream\s*\{/m;
	if ($stream && $self->_build_options() =~ /--with-stream=dynamic/) {
		push @lines, 'load_module ' . $self->_modules_path()
			. '/ngx_stream_module.so;';
	}
	if ($self->{module}) {
		my @modules = 'http';
		push @modules, 'stream' if $stream;
		push @lines, map { 'load_module ' . build_dir()
			. "/ngx_${_}_ocsp_plus_module.so;" } @modules;
	}
	# a new binary started by USR2 gets nothing but these
	my %env = $self->_environment();
	push @lines, map { "env $_;" } sort keys %env;

	return join "\n", @lines, @{$self->{globals}};
}

sub _globals_http {
	my ($self, $content) = @_;

	my @lines = ("root $self->{dir};",
		"access_log $self->{dir}/access.log;");

	my $built = $self->_build_options();
	for my $temp (qw/ client_body proxy fastcgi scgi uwsgi /) {
		next if $built =~ /--without-http_${temp}_module/;
		push @lines, "${temp}_temp_path $self->{dir}/${temp}_temp;";
	}
	# never the folder that an nginx of this machine may use
	if ($self->{module} && $content !~ /\bocsp_plus_cache\b/
		&& $self->_module_knows('ocsp_plus_cache'))
	{
		push @lines, "ocsp_plus_cache $self->{dir}/cache;";
	}
	return join "\n", @lines, @{$self->{globals_http}};
}

sub _module_knows {
	my ($self, $directive) = @_;
	return $self->{knows}{$directive} //= do {
		my $file = build_dir() . '/ngx_http_ocsp_plus_module.so';
		-e $file && $self->read_file($file) =~ /\Q$directive\E\0/
			? 1 : 0;
	};
}

sub _environment {
	my ($self) = @_;
	my %env = %{$self->{env}};
	if ($SANITIZE) {
		our @preload;
		@preload = map { chomp(my $path = `gcc -print-file-name=$_`);
			$path } qw/ libasan.so libstdc++.so.6 / unless @preload;
		my $leaks = $ENV{OCSP_PLUS_LEAKS} ? 1 : 0;
		my $log = "$self->{dir}/sanitizer";
		$env{LD_PRELOAD} = join ':', @preload, $env{LD_PRELOAD} // ();
		$env{ASAN_OPTIONS} = join ':', "detect_leaks=$leaks",
			'abort_on_error=0', "log_path=$log/asan",
			$ENV{ASAN_OPTIONS} // ();
		$env{UBSAN_OPTIONS} = join ':', 'print_stacktrace=1',
			"log_path=$log/ubsan", $ENV{UBSAN_OPTIONS} // ();
	}
	return %env;
}

###############################################################################
# running nginx

sub run {
	my ($self, %opt) = @_;
	$self->try_run(%opt)
		or die "nginx did not start:\n" . $self->output() . "\n";
	return $self;
}

sub try_run {
	my ($self, %opt) = @_;

	die "nginx runs already\n" if $self->master_pid();
	die "no nginx.conf\n" unless -e "$self->{dir}/nginx.conf";

	my $timeout = ($opt{timeout} || 20) * $SLOW;
	my $pid = $self->_exec_nginx();
	my ($code, $up);

	my $done = _poll($timeout, sub {
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
	if (!defined $code && !_poll(5, sub {
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
	_poll(($opt{timeout} || 20) * $SLOW, sub {
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
	return -e $path ? $self->read_file($path) : '';
}

sub _append_output {
	my ($self, $text) = @_;
	open my $fh, '>>', "$self->{dir}/start.out" or return;
	print $fh $text;
}

sub _exec_nginx {
	my ($self, @args) = @_;
	my $dir = $self->{dir};
	my %env = $self->_environment();
	defined(my $pid = fork()) or die "fork: $!";
	return $pid if $pid;

	_child_signals();
	_die_with_parent($self->{owner}) if $self->{foreground};
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
	my @masters = grep { $_ && _is_nginx($_) }
		map { _pid_of("$self->{dir}/$_") }
		qw/ nginx.pid nginx.pid.oldbin /;
	$self->_remember();

	my $first = 1;
	for my $step ([ $signal || 'QUIT', 10 ], [ TERM => 5 ], [ KILL => 5 ]) {
		my ($name, $seconds) = @$step;
		my @alive = grep { _is_nginx($_) } keys %{$self->{seen}};
		last unless @alive;
		$ok = 0 unless $first;
		$first = 0;
		my @left = grep { _is_nginx($_) } @masters;
		kill $name => $name eq 'KILL' || !@left ? @alive : @left;
		_poll($seconds * $SLOW, sub {
			$self->_reap();
			return !grep { _is_nginx($_) } @alive;
		});
	}

	unlink "$self->{dir}/nginx.pid" if !$ok;
	$self->{seen} = {};
	delete $self->{child};
	return $ok;
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
	_poll($timeout, sub {
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
		_poll($timeout, sub { !grep { _alive($_) } keys %old })
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
	_poll(($opt{timeout} || 20) * $SLOW, sub {
		$new = $self->master_pid();
		return $new && $new != $old && $self->workers($new);
	}) or die "no new binary\n";
	$self->_remember();
	return ($old, $new);
}

sub master_pid {
	my ($self) = @_;
	my $pid = _pid_of("$self->{dir}/nginx.pid");
	return $pid && _alive($pid) ? $pid : undef;
}

# Workers that serve; while nginx starts, those that are ready.
sub workers {
	my ($self, $master) = @_;
	$master ||= $self->master_pid() or return;
	return $master if $self->{single};
	return grep { _cmdline($_) =~ /^nginx: worker process(?! is shut)/ }
		_children($master);
}

# Workers of an earlier configuration that still drain.
sub old_workers {
	my ($self, $master) = @_;
	$master ||= $self->master_pid() or return;
	return grep { _cmdline($_) =~ /^nginx: worker process is shutting/ }
		_children($master);
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
		my $master = _pid_of("$self->{dir}/$file") or next;
		next unless _alive($master);
		$self->{seen}{$_} = 1 for $master, _children($master);
	}
}

sub _reap {
	my ($self) = @_;
	waitpid($self->{child}, POSIX::WNOHANG) if $self->{child};
}

###############################################################################
# other processes

sub run_daemon {
	my ($self, $code, @args) = @_;

	my $parent = $$;
	defined(my $pid = fork()) or die "fork: $!";
	if (!$pid) {
		_child_signals();
		_die_with_parent($parent);
		close $self->{watchdog} if $self->{watchdog};
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
		next if _poll(5, sub { waitpid($pid, POSIX::WNOHANG) != 0 });
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
	return _poll($seconds || 5 * $SLOW, sub {
		IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $peer) });
}

sub waitforfile {
	my ($self, $path, $pid, $seconds) = @_;
	$path = "$self->{dir}/$path" unless $path =~ m!^/!;
	return _poll($seconds || 5 * $SLOW, sub {
		-e $path || ($pid && !_alive($pid)) }) && -e $path;
}

sub command {
	my ($self, $command, %opt) = @_;

	my $timeout = ($opt{timeout} || 10) * $SLOW;
	pipe(my $in, my $feed) or die "pipe: $!";
	pipe(my $out, my $write) or die "pipe: $!";
	my $parent = $$;
	defined(my $pid = fork()) or die "fork: $!";
	if (!$pid) {
		_child_signals();
		_die_with_parent($parent);
		open STDIN, '<&', $in;
		open STDOUT, '>&', $write;
		open STDERR, '>&', $write;
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
		timed_out => $timed_out };
}

###############################################################################
# waiting, logs

sub _poll {
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
	my $value = _poll(($seconds || 5) * $SLOW, $code);
	Test::More::diag("waited in vain for $what") if !$value && $what;
	return $value;
}

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

sub log_core {
	my ($prefix, $message) = @_;
	return unless $ENV{TEST_NGINX_VERBOSE};
	$message =~ s/^/# $prefix /gm;
	$message =~ s/([^\n\x20-\x7e])/sprintf('\\x%02x', ord $1)/ge;
	print STDERR $message, $message =~ /\n\z/ ? '' : "\n";
}

sub log_out { log_core('>>', @_) }
sub log_in { log_core('<<', @_) }

###############################################################################
# processes by id

sub _pid_of {
	my ($file) = @_;
	open my $fh, '<', $file or return;
	my $line = <$fh>;
	return defined $line && $line =~ /^(\d+)$/ ? $1 : undef;
}

# Ids are used again: never signal what is something else by now.
sub _is_nginx {
	my ($pid) = @_;
	return _alive($pid) && _cmdline($pid) =~ /nginx/;
}

# Where nobody reaps orphans an ended process stays as a zombie.
sub _alive {
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/stat" or return 0;
	my $stat = <$fh>;
	return defined $stat && $stat =~ /\)\s+([A-Za-z])/ && $1 !~ /[ZXx]/;
}

sub _cmdline {
	my ($pid) = @_;
	open my $fh, '<', "/proc/$pid/cmdline" or return '';
	my $line = <$fh>;
	return '' unless defined $line;
	$line =~ tr/\0/ /;
	return $line;
}

sub _children {
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

sub _child_signals {
	alarm(0);
	$SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP ALRM PIPE CHLD /;
}

# Linux: prctl(PR_SET_PDEATHSIG, SIGTERM), kept over exec.
sub _die_with_parent {
	my %number = (x86_64 => 157, aarch64 => 167, i686 => 172,
		riscv64 => 167, ppc64le => 171, s390x => 172);
	my ($parent) = @_;
	my $prctl = $number{(POSIX::uname())[4]} or return;
	syscall($prctl, 1, 15, 0, 0, 0);
	POSIX::_exit(0) if getppid() != $parent;	# ended before
}

###############################################################################

require Test::Nginx::Client;
Test::Nginx::Client->import();

1;
