package Test::Nginx;

# Integration tests that read like nginx's own: a configuration, a running
# nginx, one assertion a line.  Loopback only, every wait has a deadline, and
# whatever a test started is ended by its process id.
#
#   my $t = Test::Nginx->new(%opt)   module => 0: without ocsp_plus
#                                    timeout => s: for the whole file (120)
#   $t->has(qw/http_ssl http_v2/)    skip the file where nginx lacks these;
#                                    also ipv6, root, debug, stream; preload:
#                                    LD_PRELOAD is not the sanitizers' alone;
#                                    shared_openssl: and reaches its OpenSSL
#                                    lua: Lua's module and lua-resty-core
#   $t->feature('preload')           the same for a part of a file: whether
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
#   $t->write_conf(workers => 2, http => [ 'ocsp_plus on;', [ 8443, $leaf ] ])
#        nginx.conf, expanded, from main, events, stream and http, each a list
#        of lines and servers.  A server is [ $listen, $certificate, @lines ]:
#        what follows "listen 127.0.0.1:" (a port alone gets "ssl"); a leaf of
#        a CA, a NAME for NAME.pem and NAME.key, [ several ] of them, or undef
#        for none; lines.  server_name is the leaf's name or NAME, unless the
#        lines give one.
#   $t->write_program($name, $path)  runs it in nginx's environment
#   port(8080)                       the real one
#   $t->log_level('debug')           before write_conf; default info
#   $t->env(NAME => value)           environment of nginx
#   $t->kept([$directory])              names of the responses in a cache directory
#                                    (cache), in order
#
# Processes:
#
#   $t->run(), try_run()             try_run returns false where run dies;
#                                    what nginx said is in $t->output()
#   $t->begin()                      starts it; run() waits for it later
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
#                                    stdin, until => sub ($output), apart => 1:
#                                    standard error apart, in ->{errors}
#
# The error log:
#
#   $t->log_lines(qr/../ [, $mark])  matching lines
#   $t->wait_log(qr/../, seconds [, $mark])
#   $t->log_mark()                   where it ends now
#
# Functions: port, wait_for(sub, seconds, what), and those of
# Test::Nginx::Client: http_get, http_json, staple, wait_staple, staple_fast, ...
#
# Environment: TEST_NGINX_BINARY, OCSP_PLUS_BUILD (directory of the module and of
# the test tools), OCSP_PLUS_TOOLS (of the tools alone), OCSP_PLUS_SANITIZE=1
# (the module is built with sanitizers), OCSP_PLUS_LEAKS=1 (look for leaks as
# well), TEST_NGINX_LEAVE (keep the directory), TEST_NGINX_VERBOSE,
# TEST_NGINX_CATLOG (print the error log), TEST_NGINX_LOG_LEVEL.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use Exporter qw/ import /;
use File::Path qw/ remove_tree /;
use File::Temp ();
use POSIX ();
use Scalar::Util qw/ weaken /;
use Test::More qw//;

use Test::Nginx::Client;
use Test::Nginx::System;

use parent qw/ Test::Nginx::Config Test::Nginx::Log Test::Nginx::Process /;

our @EXPORT = qw/
	port wait_for log_core log_in log_out
	http http_get http_head http_post http_json seconds_of
	staple wait_staple staple_fast without handshake_fast
/;

my @live;			# objects to finish at the end
my $deadline = 0;		# the latest of theirs

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
		env => {}, seen => {},
		log_level => $ENV{TEST_NGINX_LOG_LEVEL} || 'info',
		binary => Test::Nginx::Config::nginx(),
		%opt
	}, $class;

	mkdir "$self->{dir}/sanitizer";
	chmod 01777, "$self->{dir}/sanitizer";

	push @live, $self;
	weaken($live[-1]);

	$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit(1) };
	$SIG{PIPE} = 'IGNORE';
	$SIG{ALRM} = sub { die "the test took too long\n" };
	# a node of a fleet has a deadline of its own, and does not shorten the
	# test's
	my $end = time() + ($opt{timeout} || 120) * $SLOW;
	$deadline = $end if $end > $deadline;
	alarm($deadline - time());

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
		$self->feature($feature)
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

sub feature {
	my ($self, $feature) = @_;

	return $> == 0 if $feature eq 'root';
	return !$ENV{OCSP_PLUS_SANITIZE} if $feature eq 'preload';
	return $self->feature('preload')
		&& $self->command([ 'ldd', $self->{binary} ])->{output} =~ /libssl/
		if $feature eq 'shared_openssl';
	return $self->feature('preload') && !$self->is_static()
		&& -f $self->_modules_path() . '/ngx_http_lua_module.so'
		&& -f '/usr/share/lua/5.1/ngx/ocsp.lua' if $feature eq 'lua';
	if ($feature eq 'ipv6') {
		require IO::Socket::IP;
		return !! IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
	}

	if ($feature =~ /^directive (\w+)$/) {
		return $self->read_file($self->{binary}) =~ /\0$1\0/;
	}

	my $built = $self->_build_options();
	# "built with OpenSSL 3.0.2 (running with OpenSSL 3.0.19)": the last one
	if (my ($major, $minor) = $feature =~ /^openssl (\d+)\.(\d+)$/) {
		my @runs = ($built =~ /with OpenSSL (\d+)\.(\d+)/g)[-2, -1];
		return $runs[0] > $major || $runs[0] == $major && $runs[1] >= $minor;
	}
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

	return unless $self->{watchdog_pid};
	close $self->{watchdog};
	# whoever was started since may still hold the other end
	kill TERM => $self->{watchdog_pid};
	waitpid($self->{watchdog_pid}, 0);
}

sub _clean_up {
	my ($self, $ok) = @_;
	return if $self->{cleaned} || $self->{owner} != $$;
	$self->{cleaned} = 1;
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

# Perl ends a test's own variables before it comes to END.
sub DESTROY {
	my ($self) = @_;
	return if $self->{cleaned} || $self->{owner} != $$;
	local ($?, $@);
	$self->_finish();
	$self->_clean_up(Test::More->builder->is_passing());
}

# In a child: the watchdogs wait for the test alone.
sub let_go {
	close $_ for map { $_ && $_->{watchdog} || () } @live;
}

# Ends nginx should this process be killed without a chance to do so.
sub _start_watchdog {
	my ($self) = @_;

	pipe(my $end, my $hold) or die "pipe: $!";
	defined(my $pid = fork()) or die "fork: $!";
	if (!$pid) {
		child_signals();
		$SIG{INT} = $SIG{HUP} = 'IGNORE';
		close $hold;
		let_go();
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		my $end_nginx = sub {
			for my $file ('nginx.pid', 'nginx.pid.oldbin') {
				my $master = pid_of("$self->{dir}/$file") or next;
				kill TERM => $master if cmdline($master) =~ /nginx/;
			}
			POSIX::_exit(0);
		};
		$SIG{TERM} = $end_nginx;
		sysread $end, my $byte, 1;
		$end_nginx->();
	}
	close $end;
	$self->{watchdog} = $hold;
	$self->{watchdog_pid} = $pid;
}

1;
