#!/usr/bin/perl

# The modules built by nginx's own configure and make: config and config.make.
# CMake is a stand-in that makes an empty core from one file and keeps what it
# was told; scripts/test-nginx builds the real one.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd qw/ abs_path /;
use File::Path qw/ make_path /;
use Test::More;

use Test::Nginx;

###############################################################################

# nginx's configure compiles a hundred small programs
my $t = Test::Nginx->new(timeout => 600);
my $headers = '/usr/share/nginx/src';
plan(skip_all => "no $headers") unless -e "$headers/configure";

my $repo = abs_path("$FindBin::Bin/..");
my $dir = $t->testdir();
# nginx's tree as nginx-dev has it, in a directory with a space in its name
my $tree = "$dir/nginx source";
make_path("$dir/bin", $tree);
symlink "$headers/$_", "$tree/$_" for qw/ auto configure src /;
$t->write_file('core.cc', "one\n");
program("$dir/bin/cmake", <<"END");
[ -z "\$CMAKE_FAILS" ] || { echo "it is broken"; exit 1; }
echo "CXX=\$CXX \$*" >>"$dir/cmake.log"
while [ "\$1" != -B ]; do shift; done
cat >"\$2/Makefile" <<'CORE'
ocsp_plus_core: libocsp_plus_core.a
libocsp_plus_core.a: $dir/core.cc
	echo "core \$(MAKELEVEL)" >>$dir/order.log
	rm -f \$@; ar rcs \$@
CORE
END

# an OpenSSL that nginx's make "builds": the headers of this machine
my $openssl = "$dir/openssl";
make_path($openssl);
program("$openssl/config", <<"END");
cat >Makefile <<'OPENSSL'
all:
	echo openssl >>$dir/order.log
install_sw:
	mkdir -p .openssl/include
	cp -R /usr/include/openssl .openssl/include
clean:
OPENSSL
END

my @stream = qw/ --with-stream=dynamic --with-stream_ssl_module /;
my @ssl = ('--with-compat', '--with-http_ssl_module', @stream,
	'--without-http_rewrite_module', '--without-http_gzip_module');
my @modules = map { "$tree/objs/ngx_${_}_ocsp_plus_module.so" }
	qw/ http stream /;

# --- modules -----------------------------------------------------------------

my $run = configure(@ssl, "--add-dynamic-module=$repo", '--with-cc=gcc',
	"--with-openssl=$openssl", '--with-cc-opt=-DMINE=1 -std=gnu11 -flto -Werror');
is($run->{status}, 0, 'modules: configure succeeds') or diag($run->{output});
like($run->{output}, qr/\+ ngx_http_ocsp_plus_module was configured/,
	'modules: configure reports the http module');
unlike($run->{output}, qr/no ngx_stream_ocsp_plus_module/,
	'modules: configure does not report a missing stream module');
my $told = $t->read_file('cmake.log');
like($told, qr/^CXX=g\+\+ /,
	'modules: the core is built by the g++ beside gcc');
like($told, qr/-O2 -DNDEBUG\s+-DMINE=1(?!\S)/,
	"modules: the core is built with nginx's optimisation and defines");
unlike($told, qr/-std=|-flto|-Werror/,
	'modules: flags of C and of the linker are not passed to the core');
like($told, qr!=\Q$openssl\E/\.openssl/include(?:\s|$)!m,
	'modules: the core is built with the headers of --with-openssl');

$run = make();
is($run->{status}, 0, 'modules: make succeeds') or diag($run->{output});
ok(-e $_, "modules: make builds " . s!.*/!!r) for @modules;
like($t->read_file('order.log'), qr/^openssl\ncore \d\n$/,
	'modules: OpenSSL is built before the core');
unlike($run->{output}, qr/jobserver unavailable/,
	"modules: the core shares make's jobserver");

# what has not changed is left alone, what has is not

my $before = (stat $modules[0])[9];
$run = make();
is($run->{status}, 0, 'make without changes succeeds');
is((stat $modules[0])[9], $before,
	'make without changes does not build a module again');
utime time() + 10, time() + 10, "$dir/core.cc";
utime $before - 10, $before - 10, $modules[0];
$run = make();
is($run->{status}, 0, 'make after a change of the core succeeds');
like($t->read_file('order.log'), qr/core \d\ncore \d\n$/,
	'make after a change of the core builds the core again');
cmp_ok((stat $modules[0])[9], '>=', $before,
	'make after a change of the core links the module again');

# --- a part of nginx ---------------------------------------------------------

$run = configure('--with-http_ssl_module', '--with-stream',
	'--with-stream_ssl_module', "--add-module=$repo", '--with-debug',
	'--without-http_rewrite_module', '--without-http_gzip_module');
is($run->{status}, 0, 'static: configure succeeds') or diag($run->{output});
my $makefile = $t->read_file("$tree/objs/Makefile");
like($makefile, qr/--exclude-libs,libocsp_plus_core\.a/,
	'static: the symbols of the core are hidden');
unlike($makefile, qr/nodelete|version-script/,
	'static: nginx gets no linker option of a module');
like($makefile, qr!^objs/nginx:(?:.*\\\n)*.*libocsp_plus_core\.a!m,
	'static: nginx depends on the core');
like((split /\n/, $t->read_file('cmake.log'))[-1], qr/-DNDEBUG -g /,
	'--with-debug builds the core with debug information');

# --- what is missing ---------------------------------------------------------

$run = configure(@ssl[0, 1], "--add-dynamic-module=$repo",
	'--without-http_rewrite_module', '--without-http_gzip_module');
is($run->{status}, 0,
	'configure without stream succeeds') or diag($run->{output});
like($run->{output}, qr/ \+ no ngx_stream_ocsp_plus_module, which needs --with-/,
	'configure without stream says which module is left out');

# these end before nginx's configure would have made anything of them
for my $case (
	[ 'no SSL', { HTTP_SSL => 'NO', ngx_module_link => 'ADDON' },
		qr/error: ocsp_plus needs --with-http_ssl_module$/ ],
	[ 'no SSL in a module', { HTTP_SSL => 'NO', NGX_COMPAT => 'NO' },
		qr/error: ocsp_plus needs --with-http_ssl_module$/ ],
	[ 'no http', { HTTP => 'NO' },
		qr/error: ocsp_plus needs --with-http_ssl_module$/ ],
	[ 'a core that CMake refuses', { CMAKE_FAILS => 1 },
		qr/it\ is\ broken\n.*error:\ the\ core\ of\ ocsp_plus
			\ cannot\ be\ built,\ see\ above$/x ],
	[ 'no CMake', { PATH => path_without('cmake') },
		qr/error: ocsp_plus needs cmake: apt-get install cmake$/ ],
) {
	my ($name, $env, $said) = @$case;
	local %ENV = (%ENV, PATH => "$dir/bin:$ENV{PATH}", HTTP => 'YES',
		HTTP_SSL => 'YES', NGX_COMPAT => 'YES', NGX_OBJS => 'objs',
		ngx_module_link => 'DYNAMIC', ngx_addon_dir => $repo,
		OPENSSL => 'NONE', %$env);
	$run = in_tree('sh', '-c', ". $repo/config");
	isnt($run->{status}, 0, "$name: configure refuses");
	like($run->{output}, $said, "$name: configure says why");
}

$t->done_testing();

###############################################################################

sub program {
	my ($path, $text) = @_;
	$t->write_file($path, "#!/bin/sh\nset -e\n$text");
	chmod 0755, $path;
}

sub configure {
	my (@args) = @_;
	local $ENV{PATH} = "$dir/bin:$ENV{PATH}";
	return in_tree('sh', './configure', @args);
}

# Our modules alone: nginx-dev has no sources of nginx's own.
sub make {
	return in_tree(qw! make -j 2 -f objs/Makefile !,
		map { "objs/ngx_${_}_ocsp_plus_module.so" } qw/ http stream /);
}

sub in_tree {
	my (@command) = @_;
	return $t->command([ 'env', '-C', $tree, '-u', 'OCSP_PLUS_CORE_BUILD',
		'-u', 'CXX', @command ], timeout => 300);
}

# A directory of all programs but this one.
sub path_without {
	my ($program) = @_;
	my $bin = "$dir/without";
	make_path($bin);
	for my $from (grep { -d } split /:/, $ENV{PATH}) {
		opendir my $list, $from or next;
		symlink "$from/$_", "$bin/$_" for grep { $_ ne $program
			&& !/^\./ && !-e "$bin/$_" } readdir $list;
	}
	return $bin;
}
