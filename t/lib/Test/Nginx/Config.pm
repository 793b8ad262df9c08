package Test::Nginx::Config;

# The part of Test::Nginx that has to do with files: the directory of a test,
# configurations, and where the programs are.  Test::Nginx tells the methods.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use File::Basename qw/ dirname /;

use Test::Nginx::System;

my $REPO = abs_path(dirname(__FILE__) . '/../../../..');
my $SANITIZE = $ENV{OCSP_PLUS_SANITIZE};

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

# A program that runs another one in nginx's environment, for those who start
# nginx themselves.
sub write_program {
	my ($self, $name, $program) = @_;
	my %env = $self->environment();
	my $path = $self->write_file($name, join '', "#!/bin/sh\n",
		map({ "export $_='$env{$_}'\n" } sort keys %env),
		"exec $program \"\$@\"\n");
	chmod 0755, $path;
	return $path;
}

sub write_conf {
	my ($self, %conf) = @_;
	$conf{http} = [ '%%TEST_GLOBALS_HTTP%%', @{$conf{http}} ] if $conf{http};
	$conf{events} ||= [];
	my @main = ('%%TEST_GLOBALS%%', @{$conf{main} || []});
	push @main, "worker_processes $conf{workers};" if $conf{workers};
	return $self->write_file_expand('nginx.conf', join "\n", @main,
		map({ _block($_, @{$conf{$_}}) }
			grep { $conf{$_} } qw/ events stream http /), '');
}

sub _block {
	my ($name, @items) = @_;
	return join "\n", "$name {", map({ ref $_ ? _server($name, @$_) : "    $_" }
		@items), '}';
}

sub _server {
	my ($block, $listen, $certificates, @lines) = @_;
	my @certificates = ref $certificates eq 'ARRAY' ? @$certificates
		: $certificates // ();
	my ($name) = map { ref $_ ? $_->name() : $_ } @certificates;
	$listen .= ' ssl' if @certificates && $listen =~ /^\d+$/;
	my @own = "listen 127.0.0.1:$listen;";
	# stream knows no names, and a path is none
	push @own, "server_name $name;" if $block eq 'http' && defined $name
		&& $name !~ /[\/\$]/ && !grep { /^\s*server_name\s/m } @lines;
	for my $one (@certificates) {
		my ($chain, $key) = ref $one ? ($one->chain(), $one->key())
			: ("$one.pem", "$one.key");
		push @own, "ssl_certificate $chain;", "ssl_certificate_key $key;";
	}
	return join "\n", '    server {', map({ "        $_" } @own, @lines),
		'    }';
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

sub kept {
	my ($self, $directory) = @_;
	my @names;
	if (opendir my $handle, $directory // "$self->{dir}/cache") {
		@names = sort grep { /^[0-9a-f]{64}\.der$/ } readdir $handle;
	}
	return @names;
}

sub log_level {
	my ($self, $level) = @_;
	$self->{log_level} = $level;
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

sub nginx { return $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx' }

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
	if ($self->{module} && !$self->is_static()) {
		my @modules = 'http';
		push @modules, 'stream' if $stream;
		push @lines, map { 'load_module ' . build_dir()
			. "/ngx_${_}_ocsp_plus_module.so;" } @modules;
	}
	# a server made of nginx may begin with more
	push @lines, 'worker_processes 1;'
		unless $content =~ /^\s*worker_processes\s/m;
	# a new binary started by USR2 gets nothing but these
	my %env = $self->environment();
	push @lines, map { "env $_;" } sort keys %env;

	return join "\n", @lines;
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
	# never the directory that an nginx of this machine may use
	push @lines, "ocsp_plus_cache $self->{dir}/cache;"
		if $self->{module} && $content !~ /\bocsp_plus_cache\b/;
	return join "\n", @lines;
}

# Whether nginx was built with ocsp_plus as a part of it.
sub is_static {
	my ($self) = @_;
	return $self->{static} //=
		$self->read_file(nginx()) =~ /\0ocsp_plus_cache\0/ ? 1 : 0;
}

sub environment {
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

1;
