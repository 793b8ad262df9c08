#!/usr/bin/perl

# Tests for what scripts/test and scripts/test-on say and take.  For the latter
# a tree of its own and stand-ins for whatever needs root or a network: the
# arguments, what it refuses, where packages come from, and the table that it
# writes.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Copy qw/ copy /;
use Test::More;

use Test::Nginx;

###############################################################################

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $repo = "$FindBin::Bin/..";

# scripts/test

my $run = $t->command([ "$repo/scripts/test", '--help' ]);
is($run->{status}, 0, 'scripts/test --help succeeds');
like($run->{output}, qr/--all .* TEST\.t/s,
	'scripts/test --help names its arguments');
for my $case (
	[ [ '--quick' ], 'unknown argument: --quick' ],
	[ [ 't/no_such.t' ], 'no such test: t/no_such.t' ],
	[ [ '--all', "$repo/t/scripts.t" ], '--all and --tidy are for all files' ])
{
	my ($arguments, $says) = @$case;
	$run = $t->command([ "$repo/scripts/test", @$arguments ]);
	is($run->{status}, 1, "scripts/test @$arguments: refused");
	like($run->{output}, qr/^test: \Q$says\E$/m,
		"scripts/test @$arguments: says why");
}

$run = $t->command([ 'bash', '-c',
	". $repo/scripts/lib.sh; printf '%s\\n' \"\${long_tests[@]}\"" ]);
my @long = split /\n/, $run->{output};
cmp_ok(scalar @long, '>', 0, 'scripts/lib.sh names the tests that start first');
is(join(' ', grep { !-f "$repo/t/$_.t" } @long), '',
	'the tests that start first exist');

# scripts/test-on: a tree, and stand-ins

mkdir "$d/$_" for qw/ bin tree tree\/scripts tree\/docs tree\/t said /;
for my $name (qw/ test-on lib.sh roots.sh /) {
	copy("$repo/scripts/$name", "$d/tree/scripts/$name") or die "$name: $!";
}
chmod 0755, "$d/tree/scripts/test-on";
$t->write_file("tree/t/$_.t", '') for qw/ one hang /;
document();

stand_in('id', 'echo ${WHO:-0}');
stand_in('dpkg-query', 'printf "install ok installed"');
stand_in('git', 'printf "scripts/lib.sh\\0docs/gone.md\\0"');
stand_in('apt-get', <<'EOC');
case "$1" in
    indextargets) cat "$SAID/targets" ;;
    *) echo "apt-get $*" >>"$SAID/calls" ;;
esac
EOC
stand_in('apt-config', <<'EOC');
case "$1" in
    dump) echo 'Acquire::Check-Valid-Until "false";'
        echo 'Acquire::IndexTargets::deb::Packages::flatMetaKey "Packages";' ;;
    shell) echo "http_proxy='http://proxy.test:3128'" ;;
esac
EOC

# the namespaces, and what runs in them
stand_in('unshare', <<'EOC');
while [ "${1#-}" != "$1" ] || [ "$1" = private ]; do shift; done
printf "%s\n" "$(printf %s "$*" | tr "\n" " ")" >>"$SAID/calls"
case "$*" in
    mount*) exit ${NO_MOUNT:-0} ;;
    *debootstrap*)
        [ ! -e "$SAID/no_debootstrap" ] || { echo "E: it fails"; exit 1; }
        for word; do case "$word" in *.new) mkdir -p "$word/usr/sbin" \
            "$word/etc/apt/apt.conf.d" ;; esac; done ;;
    *scripts/demo*) exit ${NO_DEMO:-0} ;;
    *hang.t) echo $$ >"$SAID/pid.new"; mv "$SAID/pid.new" "$SAID/pid"
        exec tail -f /dev/null ;;
    *scripts/test*) cat "$SAID/round"; exit ${NO_ROUND:-0} ;;
    *dumpfullversion*) printf '%s\n' 1.2.3 3.4.5 1.34.5 1.83 14.2.0 ;;
esac
EOC

targets('Debian|http://mirror.test/debian/',
	'Debian|http://other.test/debian/',
	'Debian-Security|http://mirror.test/debian-security/');
round(<<'EOC');
99% tests passed, 2 tests failed out of 420
[00:00:00] /usr/src/ocsp_plus/t/http3.t ... skipped: no gtlsclient
[00:00:00] /usr/src/ocsp_plus/t/dns.t .....
[00:00:00] /usr/src/ocsp_plus/t/file.t .... ok      812 ms
Test Summary Report
/usr/src/ocsp_plus/t/dns.t   (Wstat: 256 (exited 1) Tests: 9 Failed: 1)
  Failed test:  7
Files=76, Tests=1832, 94 wallclock secs
Result: FAIL
EOC

# what it takes and refuses

$run = on('--help');
is($run->{status}, 0, 'test-on --help succeeds');
like($run->{output}, qr/bookworm, trixie or sid.*--fresh.*--record/s,
	'test-on --help names its arguments');
for my $case (
	[ [], 'no release is named' ],
	[ [ 'potato' ], 'unknown release: potato; there are bookworm trixie sid' ],
	[ [ '--quick', 'trixie' ], 'unknown argument: --quick' ],
	[ [ 'trixie', 'sid' ], 'no such test: sid' ],
	[ [ 'trixie', 't/two.t' ], 'no such test: t/two.t' ],
	[ [ '--record', 'trixie', 't/one.t' ], '--record is for the whole round' ])
{
	my ($arguments, $says) = @$case;
	refused($arguments, {}, $says);
}
refused([ 'trixie' ], { WHO => 1000 }, 'needs root');
is(calls(), '', 'test-on without root runs no command');
refused([ 'trixie' ], { NO_MOUNT => 1 }, 'no right to mount here');
is(calls(), "mount -t tmpfs tmpfs /tmp\n",
	'test-on without the right to mount tries to mount only');
my $file = $t->read_file('said/targets');
targets('Ubuntu|http://mirror.test/ubuntu/');
refused([ 'trixie' ], {}, 'apt is configured with no mirror of Debian');
like(calls(), qr/^apt-get update$/m,
	'test-on without a Debian mirror runs apt-get update first');
$t->write_file('said/targets', $file);
$t->write_file('said/no_debootstrap', '');
$run = refused([ 'trixie' ], {}, 'failed, the end of');
like($run->{output}, qr/^E: it fails$/m,
	'test-on prints the output of a failed debootstrap');
unlink "$d/said/no_debootstrap";
ok(!-e "$d/roots/trixie",
	'test-on leaves no directory after a failed debootstrap');

# the whole round

$run = on('--record', 'trixie');
is($run->{status}, 0,
	'test-on --record trixie succeeds') or diag($run->{output});
my $calls = calls();
like($calls, qr!debootstrap .* trixie \S+/trixie\.new http://mirror\.test/debian /!,
	'test-on runs debootstrap with the mirror of apt');
like($calls, qr!http_proxy=http://proxy\.test:3128.* debootstrap!,
	'test-on runs debootstrap with the proxy of apt');
like($calls, qr/scripts\/demo --once.*scripts\/test$/ms,
	'test-on runs the demo before the tests');
is($t->read_file('roots/trixie/etc/apt/sources.list'),
	<<'EOC', 'test-on writes the sources of trixie');
deb http://mirror.test/debian trixie main
deb http://mirror.test/debian trixie-updates main
deb http://mirror.test/debian-security trixie-security main
EOC
is($t->read_file('roots/trixie/etc/apt/apt.conf.d/90test-on'),
	qq(Acquire::Check-Valid-Until "false";\n),
	'test-on copies the Acquire settings of apt');
ok(-f "$d/roots/trixie/usr/src/ocsp_plus/scripts/lib.sh",
	'test-on copies the tree');
is($t->read_file('roots/trixie/usr/sbin/policy-rc.d'), "#!/bin/sh\nexit 101\n",
	'test-on keeps services from starting');
like($t->read_file('tree/docs/nginx-versions.md'), qr!^before
<\!-- scripts/test-on writes from here -->
\| Debian \| nginx \|.*
\|(?:---\|)+
\| trixie \| 1\.2\.3 \| 3\.4\.5 \| 1\.34\.5 \| 1\.83 \| 14\.2\.0 \| passes \| 418 of 420 \| 74 of 76, 1 skipped, failed: dns\.t \| \d{4}-\d\d-\d\d \|
<\!-- scripts/test-on ends -->
after$!, 'test-on writes the row of the document');
like($run->{output}, qr/Result: FAIL.*\| trixie \|/s,
	'test-on prints the row as well');

# sid is brought up to date from nothing but itself; the list of a cloud image

$t->write_file('mirrors', "# a list\nhttp://cloud.test/debian/\thigh\n");
targets("Debian|mirror+file:$d/mirrors/");
round("100% tests passed, 0 tests failed out of 420\n"
	. "Files=76, Tests=1832, 94 wallclock secs\nResult: PASS\n");
$run = on('--record', 'sid');
is($run->{status}, 0, 'test-on --record sid succeeds');
is($t->read_file('roots/sid/etc/apt/sources.list'),
	"deb http://cloud.test/debian sid main\n",
	'test-on writes the sources of sid');
like(calls(), qr/dpkg --configure -a .* apt-get -y dist-upgrade/,
	'test-on brings sid up to date');
$run = on('--record', 'trixie');
like(rows(), qr/\A\| trixie .* 420 of 420 \| 76 of 76 \|.*\n\| sid .*\n\z/,
	'test-on replaces a row of the document');
unlike(calls(), qr/debootstrap/, 'test-on uses an existing root again');
on('--fresh', 'trixie', 't/one.t');
$calls = calls();
like($calls, qr/debootstrap/, 'test-on --fresh runs debootstrap again');
like($calls, qr/scripts\/test t\/one\.t$/m,
	'test-on with one test runs that test');
unlike($calls, qr/scripts\/demo/,
	'test-on with one test does not run the demo');
on('--clients', 'trixie', 't/one.t');
like(calls(), qr/scripts\/test --clients t\/one\.t$/m,
	'test-on --clients passes it on');

# failures

my $before = rows();
for my $case (
	[ { NO_DEMO => 1 }, 'scripts/demo --once', qr/\| FAILS \| 420 of 420/ ],
	[ { NO_ROUND => 1 }, 'scripts/test', qr/\| passes \| none \| none/ ])
{
	my ($env, $what, $row) = @$case;
	round('') if $env->{NO_ROUND};
	$run = on('trixie', env => $env);
	is($run->{status}, 1, "test-on: a failing $what gives exit code 1");
	like($run->{output}, qr/^FAILED on trixie: \Q$what\E$/m,
		"test-on: a failing $what is named");
	like($run->{output}, $row, "test-on: a failing $what is in the row");
}
is(rows(), $before, 'test-on without --record leaves the document alone');

# one at a time; and what is killed leaves nothing behind

my $killed = do {
	local %ENV = (%ENV, %{environment()});
	$t->run_daemon("$d/tree/scripts/test-on", 'trixie', 't/hang.t');
};
ok($t->waitforfile("$d/said/pid"), 'test-on runs a test that hangs');
refused([ 'trixie' ], {}, 'another scripts/test-on trixie is running');
my $pid = $t->read_file('said/pid');
is(join('', $t->stop_daemons($killed)), '', 'test-on ends when it is killed');
ok(wait_for(sub { !Test::Nginx::alive($pid) }, 10, 'processes'),
	'test-on ends its processes when it is killed')
	or kill KILL => $pid;

$t->done_testing();

###############################################################################

sub stand_in {
	my ($name, $body) = @_;
	$t->write_file("bin/$name", "#!/bin/sh\n$body\n");
	chmod 0755, "$d/bin/$name";
}

sub on {
	my (@arguments) = @_;
	my %opt = ref $arguments[-1] ? splice(@arguments, -2) : ();
	unlink "$d/said/calls";
	return $t->command([ "$d/tree/scripts/test-on", @arguments ],
		timeout => 60, env => { %{environment()}, %{$opt{env} || {}} });
}

sub environment {
	return { PATH => "$d/bin:$ENV{PATH}", SAID => "$d/said",
		OCSP_PLUS_ROOTS => "$d/roots", http_proxy => '' };
}

sub refused {
	my ($arguments, $env, $says) = @_;
	my $name = join ' ', @$arguments, map { "$_=$env->{$_}" } sort keys %$env;
	my $run = on(@$arguments, env => $env);
	is($run->{status}, 1, "test-on '$name': refused");
	like($run->{output}, qr/^test-on: \Q$says\E/m,
		"test-on '$name': says why");
	return $run;
}

sub calls {
	return -e "$d/said/calls" ? $t->read_file('said/calls') : '';
}

sub targets { $t->write_file('said/targets', join "\n", @_, '') }

sub round { $t->write_file('said/round', $_[0]) }

sub document {
	$t->write_file('tree/docs/nginx-versions.md', "before\n"
		. "<!-- scripts/test-on writes from here -->\n"
		. "<!-- scripts/test-on ends -->\nafter\n");
}

sub rows {
	return join '', grep { /^\| [a-z]/ } split /^/,
		$t->read_file('tree/docs/nginx-versions.md');
}

###############################################################################
