#!/usr/bin/perl

# Tests for the deploy hook of ACME clients: nginx takes a new certificate once
# its response is there; one with Must-Staple and without a response stays out.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Copy qw/ copy /;
use IO::Socket::INET;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $is_root = $> == 0;
my ($uid, $gid) = $is_root ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);
my $number = 0;
my $live = "$d/live";
mkdir $_ for $live, "$d/cache";
chown $uid, $gid, "$d/cache";
my $port = $t->port(8443);

my %env = (OCSP_PLUS_CACHE => "$d/cache", OCSP_PLUS_STATE => "$d/state",
	OCSP_PLUS_CONNECT => "127.0.0.1:$port", OCSP_PLUS_WAIT => '1s',
	OCSP_PLUS_TOOL => $t->build_dir() . '/ocsp-plus',
	PATH => "$d/bin:$ENV{PATH}");

# units of the machine's service manager are not for tests
mkdir $_ for "$d/bin", "$d/fails";
$t->write_file('bin/systemd-run', "#!/bin/sh\n"
	. qq{while [ "\${1#--}" != "\$1" ]; do case "\$1" in --setenv=*) }
	. qq{export "\${1#--setenv=}" ;; esac; shift; done\n}
	. qq{setsid "\$@" </dev/null >/dev/null 2>&1 &\n});
$t->write_file('bin/logger', qq{#!/bin/sh\necho "\$@" >>'$d/syslog'\n});
chmod 0755, map { "$d/bin/$_" } qw/ systemd-run logger /;

$t->write_conf(main => [ $is_root ? 'user nobody nogroup;' : () ],
	http => [ 'ocsp_plus on;', "ocsp_plus_cache $d/cache;",
		'ocsp_plus_startup_wait 0;', [ '8443 ssl', undef,
		'server_name example.com;',
		"ssl_certificate $live/fullchain.pem;",
		"ssl_certificate_key $live/privkey.pem;" ] ]);

# installed as docs/acme-clients.md says

my ($install) = $t->read_file("$FindBin::Bin/../docs/acme-clients.md")
	=~ m!^```sh t/acme_hook\.t\n(.*?)^```!ms;
mkdir "$d/local";
$install =~ s!/usr/local/bin/!$d/local/!;
is($t->command([ 'sh', '-c', "cd '$FindBin::Bin/..' && $install" ])->{status},
	0, 'the hook is installed');
my $hook = "$d/local/ocsp-plus-deploy";

my $old = renew();
$t->run();
# it ends once nginx has read the files: a signal alone may be heeded after the
# next of them is there
$t->write_file('bin/reload', "#!/bin/sh\n"
	. "begun() { grep -c 'ocsp_plus: version' $d/error.log; }\n"
	. 'before=$(begun); kill -HUP ' . $t->master_pid() . "\n"
	. 'for i in $(seq 400); do [ "$(begun)" = "$before" ] || exit 0; '
	. "sleep 0.05; done; exit 1\n");
chmod 0755, "$d/bin/reload";
$env{OCSP_PLUS_RELOAD} = "$d/bin/reload";
is(shown(), $old->serial(), 'nginx has a certificate');

###############################################################################

# as each client calls it

for my $client (
	[ 'certbot', sub { ({ RENEWED_LINEAGE => $live }) } ],
	[ 'lego', sub { ({ LEGO_CERT_PATH => "$live/fullchain.pem" }) } ],
	[ 'lego 5', sub { ({ LEGO_HOOK_CERT_PATH => "$live/fullchain.pem" }) } ],
	[ 'dehydrated', sub { ({}, 'deploy_cert', 'example.com',
		"$live/privkey.pem", "$live/cert.pem", "$live/fullchain.pem",
		"$live/chain.pem", time()) } ],
	[ 'acme.sh', sub { ({}, "$live/fullchain.pem") } ])
{
	my ($name, $call) = @$client;
	my $new = renew();
	my $run = hook($call->());
	is($run->{status}, 0, "$name: exit status") or diag($run->{output});
	takes($new, $name);
	is(staple(8443)->{status}, 'good',
		"$name: the new certificate is stapled");
}
is(hook({}, 'clean_challenge', 'example.com', 'x', 'y')->{status}, 0,
	"dehydrated: other calls are none of the hook's business");
copy("$live/fullchain.pem", "$d/chain");
is($t->command([ 'sh', '-c', "cd $d && OCSP_PLUS_CACHE=$d/none "
	. "OCSP_PLUS_WAIT=0 OCSP_PLUS_RELOAD=true OCSP_PLUS_STATE=$d/elsewhere "
	. "'$hook' chain" ], env => { %env })->{status}, 0,
	'a file without a suffix is a file');
ok(-d "$d/elsewhere", 'a file without a suffix: its state is noted');
is_deeply([ notes() ], [], 'nothing is left to be done');

# a slow responder

$r->fault('unauthorized');
my $new = renew();
my $run = hook({ RENEWED_LINEAGE => $live, OCSP_PLUS_WAIT => '60s' });
is($run->{status}, 0, 'certbot and a slow responder: the hook returns');
is(shown(), $run->{before}, 'nginx keeps the certificate that it has');
is(hook({ RENEWED_LINEAGE => $live }, '--foreground')->{status}, 0,
	'a second run for the same certificate does nothing');
like($t->read_file('syslog'), qr/another run waits for it already/,
	'a second run for the same certificate says that another waits');
$r->reset();
takes($new, 'certbot, once the responder knows the certificate', 40);
ok(wait_for(sub { !notes() }, 20), 'nothing is left to be done');

# without a response

$r->fault('http_500');
$new = renew();
$run = hook({}, "$live/fullchain.pem");
is($run->{status}, 0, 'without Must-Staple: exit status');
like($run->{output}, qr/warning: .*nginx takes it without an OCSP response/,
	'without Must-Staple: a warning');
takes($new, 'without Must-Staple');

$new = renew(must_staple => 1);
$run = hook({}, "$live/fullchain.pem");
is($run->{status}, 1, 'Must-Staple: exit status 1');
like($run->{output}, qr/err:\ .*it\ demands\ a\ staple\ and\ has\ none,\ so
	\ nginx\ keeps\ the\ one\ in\ use/x, 'Must-Staple: the error');
is(shown(), $run->{before}, 'Must-Staple: nginx keeps the certificate');
is(scalar notes(), 1, 'Must-Staple: it is noted');
is(hook({}, '--retry')->{status}, 1, 'Must-Staple: a retry in vain');
is(shown(), $run->{before}, 'Must-Staple: nginx still keeps it');
$r->reset();
is(hook({}, '--retry')->{status}, 0, 'Must-Staple: a retry');
takes($new, 'Must-Staple, with a response');
is(staple(8443)->{status}, 'good', 'Must-Staple: it is stapled');
is_deeply([ notes() ], [], 'Must-Staple: nothing is left to be done');

# the next run tries what an earlier one has left out

$r->fault('http_500');
$new = renew(must_staple => 1);
is(hook({}, "$live/fullchain.pem")->{status}, 1, 'Must-Staple again');
copy("$live/fullchain.pem", "$d/other.pem");
$r->reset();
is(hook({}, "$d/other.pem")->{status}, 0, 'a run for another certificate');
takes($new, 'with that run, the first one');

# the certificate in use ends

$new = renew(not_after => 3600);
is(hook({}, "$live/fullchain.pem")->{status}, 0, 'one that ends in an hour');
takes($new, 'one that ends in an hour');
$r->fault('http_500');
$new = renew(must_staple => 1);
$run = hook({}, "$live/fullchain.pem");
is($run->{status}, 0, 'the one in use ends within a day: exit status 0');
like($run->{output}, qr/err: .*the certificate in use ends within a day/,
	'the one in use ends within a day: an error');
takes($new, 'the one in use ends within a day');

# what nginx shows cannot be told

$new = renew(must_staple => 1);
$run = hook({ OCSP_PLUS_CONNECT => '127.0.0.1:' . $t->port(8089) },
	"$live/fullchain.pem");
is($run->{status}, 1, 'nobody knows which one is in use: exit status 1');
like($run->{output}, qr/set OCSP_PLUS_CONNECT/,
	'nobody knows which one is in use: the remedy is named');
is(shown(), $run->{before}, 'nginx keeps the certificate');
$r->reset();

# nobody can be asked

$new = renew(aia => undef);
is(hook({}, "$live/fullchain.pem")->{status}, 0,
	'a certificate without responder: exit status 0');
takes($new, 'a certificate without responder');

# what goes wrong

$new = renew();
$run = hook({ OCSP_PLUS_RELOAD => 'false' }, "$live/fullchain.pem");
is($run->{status}, 1, 'a reload that fails: exit status 1');
like($run->{output}, qr/err: .*"false" failed/, 'a reload that fails: an error');
is(hook({}, '--retry')->{status}, 0, 'a retry of the reload');
takes($new, 'a retry of the reload');

# a name without its directory, which cron does not know

$new = renew();
is($t->command([ 'sh', '-c', 'cd "$1" && "$2" fullchain.pem', 'sh', $live,
	$hook ], env => { %env, OCSP_PLUS_RELOAD => 'false' })->{status}, 1,
	'a name without its directory: the reload fails');
is(hook({}, '--retry')->{status}, 0, 'a retry from another directory');
takes($new, 'a retry from another directory');

# a name that looks like a lock's

$new = renew();
$t->write_file('chain.lock', $t->read_file("$live/fullchain.pem"));
$run = hook({ OCSP_PLUS_RELOAD => 'false' }, "$d/chain.lock");
is("$run->{status} " . notes(), '1 1', 'a name that ends in .lock: it is noted');
is(hook({}, '--retry')->{status}, 0, 'a name that ends in .lock: a retry');
is(scalar notes(), 0, 'a name that ends in .lock: nothing is left to be done');
takes($new, 'a name that ends in .lock');

# a reload that starts what goes on: it does not keep the lock

$t->write_file('bin/start', "#!/bin/sh\n$d/bin/reload\n"
	. "tail -f /dev/null & echo \$! >$d/started\n");
chmod 0755, "$d/bin/start";
$r->fault('http_500');
$new = renew();
is($t->command([ 'sh', '-c', '"$0" "$1" >/dev/null 2>&1', $hook,
	"$live/fullchain.pem" ], timeout => 60,
	env => { %env, OCSP_PLUS_RELOAD => "$d/bin/start" })->{status}, 0,
	'a reload that starts a daemon');
takes($new, 'a reload that starts a daemon');
$new = renew();
is(hook({}, "$live/fullchain.pem")->{status}, 0, 'while the daemon runs');
takes($new, 'while the daemon runs');
kill TERM => $t->read_file('started');

# a server that takes a connection and says nothing

my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1');
$new = renew(must_staple => 1);
$run = hook({ OCSP_PLUS_CONNECT => '127.0.0.1:' . $silent->sockport() },
	"$live/fullchain.pem");
is($run->{status}, 1, 'a silent server: exit status 1');
like($run->{output}, qr/set OCSP_PLUS_CONNECT/, 'a silent server: the remedy');
$r->reset();
is(hook({}, '--retry')->{status}, 0, 'a silent server: a retry');

# a service manager that starts nothing

SKIP: {
	my @alone = ('unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /run && '
		. 'mkdir -p /run/systemd/system && exec "$@"', 'sh');
	skip 'needs a mount namespace', 3
		if $t->command([ @alone, 'true' ])->{status} != 0;
	$t->write_file('fails/systemd-run', "#!/bin/sh\nexit 1\n");
	chmod 0755, "$d/fails/systemd-run";
	$r->fault('http_500');
	$new = renew();
	$run = $t->command([ @alone, $hook ], timeout => 60, env => { %env,
		RENEWED_LINEAGE => $live, PATH => "$d/fails:$env{PATH}" });
	is($run->{status}, 0, 'no unit for the wait: exit status');
	like($run->{output}, qr/nginx takes it without an OCSP response/,
		'no unit for the wait: the hook itself waits');
	takes($new, 'no unit for the wait');
	$r->reset();
}

# the cache directory that nobody names is the one that nginx has by default

mkdir "$d/other";
$t->write_file('other/nginx', "#!/bin/sh\n"
	. qq{[ -z "\$BUILT" ] || echo "configure arguments: \$BUILT" >&2\n});
$t->write_file('other/tool', qq{#!/bin/sh\necho "\$@" >'$d/asked'\n});
chmod 0755, map { "$d/other/$_" } qw/ nginx tool /;
for my $case (
	[ "nginx.org's", '/var/cache/nginx', '--prefix=/etc/nginx '
		. '--http-client-body-temp-path=/var/cache/nginx/client_temp '
		. '--http-proxy-temp-path=/var/other/proxy_temp --user=nginx' ],
	[ "one with one of these paths", '/srv',
		'--http-client-body-temp-path=/srv/body' ],
	[ 'one that does not say', '/var/lib/nginx', '--prefix=/etc/nginx' ],
	[ 'none', '/var/lib/nginx', '' ])
{
	my ($what, $beside, $built) = @$case;
	hook({ OCSP_PLUS_CACHE => '', OCSP_PLUS_TOOL => "$d/other/tool",
		OCSP_PLUS_RELOAD => 'true', BUILT => $built,
		PATH => "$d/other:$env{PATH}" }, '--foreground',
		"$live/fullchain.pem");
	like($t->read_file('asked'), qr! --cache \Q$beside\E/ocsp_plus !,
		"the default of the cache directory: nginx is $what");
}

# what is missing

my $few = "$d/few";
mkdir $few;
for my $program (qw/ realpath flock timeout /) {
	my ($path) = grep { -x } map { "$_/$program" } split /:/, $ENV{PATH};
	symlink $path, "$few/$program";
}
$run = hook({ PATH => $few }, "$live/fullchain.pem");
is($run->{status}, 2, 'without openssl: exit status 2');
like($run->{output}, qr/err: openssl is not in PATH/,
	'without openssl: the missing program is named');

$run = hook({}, "$live/privkey.pem");
is($run->{status}, 2, 'a key: exit status 2');
like($run->{output}, qr!err: \S*/privkey\.pem holds no certificate!,
	'a key: the file is named');

$run = hook({}, 'example.com');
is($run->{status}, 2, 'a name instead of a file: exit status 2');
like($run->{output}, qr!err: \S*/example\.com cannot be read!,
	'a name instead of a file: the file is named');

$run = hook({}, "$d/none.pem");
is($run->{status}, 2, 'no such file: exit status 2');
like($run->{output}, qr!err: \S*/none\.pem cannot be read!,
	'no such file: the file is named');
is(hook({})->{status}, 2, 'nobody says what is new: exit status 2');
is(hook({}, '--nonsense')->{status}, 2, 'wrong use: exit status 2');
like(hook({}, '--help')->{output}, qr/^Usage: ocsp-plus-deploy/, '--help');

$t->done_testing();

###############################################################################

# A new certificate, as a client leaves it.
sub renew {
	my (%opt) = @_;
	my $leaf = $int->leaf('example.com', file => 'renewed' . ++$number,
		aia => $r->url(1), %opt);
	copy($leaf->chain(), "$live/fullchain.pem") or die $!;
	copy($leaf->key(), "$live/privkey.pem") or die $!;
	return $leaf;
}

sub hook {
	my ($env, @arguments) = @_;
	my $before = defined $t->master_pid() ? shown() : undef;
	my $run = $t->command([ $hook, @arguments ], timeout => 60,
		env => { %env, %$env });
	return { %$run, before => $before };
}

# The serial number of the certificate that nginx shows.
sub shown {
	my $text = $t->command([ 'sh', '-c', "openssl s_client -connect "
		. "127.0.0.1:$port -servername example.com </dev/null 2>/dev/null"
		. ' | openssl x509 -noout -serial' ])->{output};
	return $text =~ /serial=(\w+)/ ? lc $1 : undef;
}

sub takes {
	my ($leaf, $what, $seconds) = @_;
	ok(wait_for(
		sub { (shown() // "") eq lc $leaf->serial() }, $seconds || 20),
		"$what: nginx takes the certificate");
}

sub notes {
	return grep { !/%lock$/ } glob "$d/state/*";
}

###############################################################################
