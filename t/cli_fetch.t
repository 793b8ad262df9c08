#!/usr/bin/perl

# Tests for "ocsp-plus fetch": what it says of a responder's answers, where it
# leaves what it got, and that nginx starts from it.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use POSIX ();
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ],
	addresses => [ '127.0.0.1' ]);
my $leaf = $int->leaf('example.com', aia => $r->url(1));
my @cert = ('--cert', $leaf->chain());

# what a responder may say: exit code, reason, cert_status, whether a file is
# left behind

my @answers = (
	[ 'good', {}, 0, 'ok', 'good', 1 ],
	[ 'good by a digest of a key', { rid => 'key' }, 0, 'ok', 'good', 1 ],
	[ 'revoked', { status => 'revoked', revoked_at => time() - 60 },
		1, 'revoked', 'revoked', 1 ],
	[ 'unknown', { status => 'unknown' }, 1, 'unknown', 'unknown', 0 ],
	[ 'ended', { fault => 'expired' }, 1, 'expired', undef, 0 ],
	[ 'early', { fault => 'future' }, 1, qr/_in_future$/, undef, 0 ],
	[ 'of another', { fault => 'other_serial' }, 1, 'other_serial', undef,
		0 ],
	[ 'forged', { fault => 'broken_signature' }, 1, 'bad_signature',
		undef, 0 ],
	[ 'try later', { fault => 'try_later' }, 1, 'try_later', undef, 0 ],
	[ 'unauthorized', { fault => 'unauthorized' }, 1, 'unauthorized',
		undef, 0 ],
	[ 'garbage', { fault => 'garbage' }, 1, 'malformed_response', undef,
		0 ],
	[ 'an HTTP error', { fault => 'http_500' }, 1, 'http_status', undef,
		0 ],
	[ 'too much', { fault => 'too_large' }, 1, 'too_large', undef, 0 ],
	[ 'nothing', { fault => 'refuse' }, 1, 'connect_refused', undef, 0 ],
	[ 'nothing in time', { fault => 'hang_after_request' }, 1, 'timeout',
		undef, 0 ],
);

for my $answer (@answers) {
	my ($what, $settings, $code, $reason, $status, $file) = @$answer;

	$r->reset();
	$r->set(%$settings) if %$settings;
	unlink "$d/out.der";
	my ($run, $json) = fetch(@cert, '--out', "$d/out.der", '--timeout',
		$what =~ /in time/ ? '1s' : '30s');
	is($run->{status}, $code, "$what: exit code");
	is($json->{verdict}, $code ? 'reject' : 'accept', "$what: verdict");
	ref $reason ? like($json->{reason}, $reason, "$what: reason")
		: is($json->{reason}, $reason, "$what: reason");
	is($json->{cert_status}, $status, "$what: cert_status");
	is(-e "$d/out.der" ? 1 : 0, $file, "$what: the file");
	is($json->{file}, $file ? "$d/out.der" : undef, "$what: is named");
	is($json->{responder}, $r->url(1), "$what: the responder");
	is($json->{certificate_id}, $leaf->id(), "$what: the certificate");
	$code ? like($run->{errors}, qr/\Aocsp-plus: "example\.com": .+; .+\n\z/,
			"$what: one line that says what to do")
		: is($run->{errors}, '', "$what: not a word on standard error");
	is(scalar(glob "$d/out.der.*"), undef, "$what: nothing else is left");
}

# the file is what the responder said

$r->reset();
$r->set(cache => 60);
is(fetch(@cert, '--out', "$d/out.der")->{status}, 0, 'a file');
is(unpack('H*', $t->read_file('out.der')), unpack('H*', $r->response($leaf)),
	'byte for byte');
is($t->command([ $tool, 'verify', '--cert', $leaf->cert(), '--issuer',
	$int->cert(), '--response', "$d/out.der" ])->{status}, 0,
	'fit in the eyes of verify');

# neither links to devices nor FIFOs are written to: somebody else may have put
# them there

symlink '/dev/null', "$d/device";
symlink "$d/pipe", "$d/to-pipe";
POSIX::mkfifo("$d/pipe", 0600) or die "mkfifo: $!\n";
mkdir "$d/directory";
for my $name (qw/ device pipe to-pipe directory /, '/dev/null') {
	my $path = $name =~ /^\// ? $name : "$d/$name";
	my $run = run(@cert, '--out', $path);
	is($run->{status}, 2, "$name: exit code");
	ok(!$run->{timed_out}, "$name: nobody is waited for");
	like($run->{errors}, qr!\Aocsp-plus:\ cannot\ write\ "\Q$path\E":\ it\ is
		\ no\ regular\ file;\ name\ a\ file,\ give\ no\ --out\ .*
		\ or\ /dev/stdout,\ .*\n\z!x,
		"$name: one line that says what to do");
	is($run->{output}, '', "$name: nothing is written");
	is(scalar(glob "$path.*"), undef, "$name: nothing else is left");
}
ok(-l "$d/device" && -p "$d/pipe" && -c '/dev/null', 'all are as they were');

# what to do instead, where the response is not wanted

is(fetch(@cert)->{status}, 0, 'no --out: the verdict alone');
is($t->command([ 'sh', '-c', 'exec "$@" --out /dev/stdout >/dev/null', 'sh',
	$tool, 'fetch', @cert ])->{status}, 0, '/dev/stdout led to /dev/null');

# a link to a file, or to nowhere, is replaced

$t->write_file('elsewhere', 'as it was');
for my $name (qw/ elsewhere nowhere /) {
	symlink "$d/$name", "$d/link-$name";
	is(fetch(@cert, '--out', "$d/link-$name")->{status}, 0,
		"a link to $name");
	ok(!-l "$d/link-$name" && -f "$d/link-$name", 'is replaced');
}
is($t->read_file('elsewhere'), 'as it was', 'not followed');
ok(!-e "$d/nowhere", 'nor made');

# what is open is written to, whatever it is

for my $case (
	[ '/dev/stdout', "exec \"\$@\" | cat >$d/copy", 'a pipe' ],
	[ '/dev/stdout', "exec \"\$@\" >$d/copy", 'a file' ],
	[ '/dev/stderr', "exec \"\$@\" 2>$d/copy >/dev/null", 'standard error' ],
	[ '/dev/fd/7', "exec \"\$@\" 7>$d/copy >/dev/null", 'any' ],
	[ '/proc/self/fd/7', "exec \"\$@\" 7>$d/copy >/dev/null", 'by /proc' ],
) {
	my ($path, $shell, $name) = @$case;
	$r->set(cache => 60);
	ok(!$t->command([ 'sh', '-c', $shell, 'sh', $tool, 'fetch', @cert, '--out',
		$path ])->{timed_out}, "$path: $name");
	my $answered = unpack 'H*', $r->response($leaf);
	is(substr(unpack('H*', $t->read_file('copy')), 0, length $answered),
		$answered, "$path: byte for byte");
}
my $closed = run(@cert, '--out', '/dev/fd/77');
is($closed->{status}, 2, 'one that is not open');
like($closed->{errors}, qr/cannot write "\/dev\/fd\/77": Bad file/, 'is told');

is(fetch(@cert)->{status}, 0, 'no file at all');
$r->reset();

###############################################################################

# whom it asks

my ($run, $json) = fetch(@cert, '--responder', $r->url(2));
is($json->{responder}, $r->url(2), 'another responder');
$r->fault('refuse', on => 1);
($run, $json) = fetch(@cert, '--responder', $r->url(1), '--responder',
	$r->url(2));
is("$run->{status} $json->{responder}", '0 ' . $r->url(2),
	'the next one where one fails');
$r->reset();

my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	'four.test' => { a => '127.0.0.1' },
	'both.test' => { a => '127.0.0.1', aaaa => '::1' },
});
my @dns = ('--resolver', '127.0.0.1:' . port(8053));
my $port = port(8081);
for my $name (
	[ 'four.test', 0, 'ok' ], [ 'four.test', 0, 'ok', '-4' ],
	[ 'four.test', 1, 'dns_no_address', '-6' ],
	[ 'both.test', 0, 'ok', '-4' ],
	[ 'both.test', 1, qr/^connect_/, '-6' ],
	[ 'none.test', 1, 'dns_not_found' ])
{
	my ($host, $code, $reason, @options) = @$name;
	my $what = join ' ', $host, @options;
	($run, $json) = fetch(@cert, @dns, '--responder',
		"http://$host:$port/", @options);
	is($run->{status}, $code, "$what: exit code");
	ref $reason ? like($json->{reason}, $reason, "$what: reason")
		: is($json->{reason}, $reason, "$what: reason");
}
$r->fault('reset_on_connect', on => 1);
($run, $json) = fetch(@cert, '--responder', "https://127.0.0.1:$port/");
like("$run->{status} $json->{reason}", qr/^1 (?:tls_failed|connection_reset)$/,
	'https, and no TLS');
$r->set(reset => 1, on => 1);

###############################################################################

# what it says meanwhile

$run = run(@cert, @dns, '--responder', "http://four.test:$port/", '-v');
is($run->{status}, 0, '-v');
like($run->{output}, qr/\Averdict: +accept\n/, '-v: the answer as ever');
for my $step (qr/resolving four\.test/, qr/four\.test is 127\.0\.0\.1:$port/,
	qr/connecting to 127\.0\.0\.1:$port/, qr!> GET /\S+ HTTP/1\.1!,
	qr/> Host: four\.test:$port/, qr/< HTTP 200/,
	qr!< Content-Type: "application/ocsp-response"!,
	qr/\d+ bytes from 127\.0\.0\.1:$port in \d+ ms by GET: ok/)
{
	like($run->{errors}, qr/^ *\d+ ms  $step/m, "-v: $step");
}
$r->fault('http_503', arg => '120');
$run = run(@cert, '-v');
like($run->{errors}, qr/< HTTP 503/, '-v: a status');
like($run->{errors}, qr/< Retry-After: \d{4}-/, '-v: and what comes with it');
$r->reset();

is(run(@cert)->{errors}, '', 'no terminal: not a word');
SKIP: {
	skip 'no script(1)', 3 unless -x '/usr/bin/script';
	my $line = join ' ', $tool, 'fetch', @cert;
	$run = $t->command([ 'script', '-qec', $line, '/dev/null' ]);
	like($run->{output}, qr/\r\e\[Kconnecting to /, 'terminal: progress');
	like($run->{output}, qr/\r\e\[Kverdict: /, 'terminal: gone at the end');
	$run = $t->command([ 'script', '-qec', "$line 2>/dev/null",
		'/dev/null' ]);
	unlike($run->{output}, qr/connecting/, 'on standard error');
}

###############################################################################

# into a cache directory

my $cache = "$d/kept";
my $file = "$cache/" . $leaf->id() . '.der';
my ($uid, $gid) = ($>, $) + 0);
if ($> == 0) {
	$run = run(@cert, '--cache', $cache);
	is($run->{status}, 2, 'root does not make a directory');
	like($run->{errors}, qr/does\ not\ exist;\ create\ it\ for.*
		install\ -d\ -m\ 0700\ -o\ \S+\ \Q$cache\E$/x,
		'but says how');
	($uid, $gid) = (getpwnam 'nobody')[2, 3];
	mkdir $cache, 0700;
	chown $uid, $gid, $cache;
}

$r->validity(this_update => -1000);
($run, $json) = fetch(@cert, '--cache', $cache);
is("$run->{status} $json->{written} $json->{file}", "0 1 $file", 'kept');
my @stat = stat $file;
is(join(' ', @stat[4, 5], sprintf '%04o', $stat[2] & 07777), "$uid $gid 0644",
	'as a file of the owner of the directory');
is(sprintf('%04o', (stat $cache)[2] & 07777), '0700', 'in a private directory');

# by the rules of the gate

my $held = $t->read_file($file);
for my $case (
	[ 'older', { this_update => -2000 }, 0, 'ok', 0 ],
	[ 'the same', { fault => 'older', arg => 0 }, 0, 'ok', undef ],
	[ 'unknown', { status => 'unknown', this_update => 0 }, 1, 'unknown',
		0 ],
	[ 'forged', { fault => 'broken_signature' }, 1, 'bad_signature', 0 ],
	[ 'nothing', { fault => 'refuse' }, 1, 'connect_refused', 0 ])
{
	my ($what, $settings, $code, $reason, $written) = @$case;
	next unless defined $written;
	$r->reset();
	$r->set(%$settings);
	($run, $json) = fetch(@cert, '--cache', $cache);
	is("$run->{status} $json->{reason} " . ($json->{written} ? 1 : 0),
		"$code $reason $written", "$what: what it says");
	is(unpack('H*', $t->read_file($file)), unpack('H*', $held),
		"$what: what is held goes on");
}
$r->reset();
$r->validity(this_update => -2000);
like(run(@cert, '--cache', $cache)->{output},
	qr/^file: +\Q$file\E \(goes on, as it is\)$/m, 'older: said in words');

# nginx starts from it, with nobody to ask

$r->fault('refuse');
$t->globals('user nobody nogroup;') if $> == 0;
$t->write_http_conf(<<"EOC");
    ocsp_plus        on;
    ocsp_plus_cache  $cache;

    server {
        listen               127.0.0.1:8443 ssl;
        ssl_certificate      example.com.pem;
        ssl_certificate_key  example.com.key;
    }
EOC

$t->run();
is(unpack('H*', staple_fast(8443) // ''), unpack('H*', $held),
	'the first handshake after the start has it');
$t->stop();

# a newer one, and a revocation

$r->reset();
($run, $json) = fetch(@cert, '--cache', $cache);
is("$run->{status} $json->{written}", '0 1', 'a newer one');
isnt($t->read_file($file), $held, 'takes its place');
$r->status($leaf, 'revoked');
$r->validity(this_update => -1500);
($run, $json) = fetch(@cert, '--cache', $cache);
is("$run->{status} $json->{reason} $json->{written}", '1 revoked 1',
	'a revocation does, however old');
$r->reset();
$r->fault('refuse');
$t->run();
is(staple(8443)->{status}, 'revoked', 'and is what is stapled');
$t->stop();
$r->reset();

# directories that are of no use

$t->write_file('plain', 'x');
symlink $cache, "$d/link";
mkdir "$d/open";
chmod 0777, "$d/open";
for my $bad ([ "$d/plain", qr/is not a directory/ ],
	[ "$d/link", qr/is a symbolic link/ ],
	[ "$d/open", qr/is writable by others/ ],
	[ "$d/none/here", $> == 0 ? qr/does not exist/ : qr/cannot be created/ ])
{
	my ($path, $says) = @$bad;
	$run = run(@cert, '--cache', $path);
	is($run->{status}, 2, "$path: exit code");
	like($run->{errors}, qr/\Aocsp-plus: [^\n]*$says[^\n]*\n\z/,
		"$path: why");
}

###############################################################################

# wrong use

my $bare = $int->leaf('bare.example', aia => $r->url(1), chain => 0);
my $mute = $int->leaf('mute.example');
my $leap = $int->leaf('leap.example', aia => $r->url(1),
	raw_not_after => '290229000000Z');
my $ftp = $int->leaf('ftp.example', aia => 'ftp://ftp.example/');
$t->write_file('text', "no certificate\n");

for my $misuse (
	[ 'no --cert', qr/--cert is required/ ],
	[ 'two places', qr/--out|--cache/, @cert, '--out', 'x', '--cache',
		'y' ],
	[ 'two families', qr/-4|-6/, @cert, '-4', '-6' ],
	[ 'no file', qr!\Q$d\E/none.*No such file!, '--cert', "$d/none" ],
	[ 'no certificate', qr!\Q$d\E/text: .*PEM!, '--cert', "$d/text" ],
	[ 'no issuer', qr/no issuer of "bare\.example".*--issuer/, '--cert',
		$bare->chain() ],
	[ 'an issuer that is none', qr/no issuer of "bare\.example"/,
		'--cert', $bare->chain(), '--issuer', $root->cert() ],
	[ 'no responder', qr/"mute\.example"\ names\ no.*
		give\ one\ with\ --responder/x, '--cert', $mute->chain() ],
	[ 'a responder of no use', qr/"ftp\.example".*--responder/, '--cert',
		$ftp->chain() ],
	[ 'an impossible date', qr/notAfter of CN=leap\.example is malformed/,
		'--cert', $leap->chain() ],
	[ 'a responder that is none', qr/nonsense/, @cert, '--responder',
		'nonsense' ],
	[ 'a resolver that is none', qr/nonsense/, @cert, '--resolver',
		'nonsense' ],
	[ 'a time that is none', qr/1x is no time; give it like 30s/, @cert,
		'--timeout', '1x' ],
	[ 'nowhere to write', qr!\Q$d\E/none/out.*No such file!, @cert,
		'--out', "$d/none/out" ])
{
	my ($what, $says, @arguments) = @$misuse;
	$run = run(@arguments);
	is($run->{status}, 2, "$what: exit code");
	like($run->{errors}, qr/\Aocsp-plus: [^\n]+\n\z/, "$what: one line");
	like($run->{errors}, $says, "$what: it says why");
	is($run->{output}, '', "$what: nothing on standard output");
}
is(fetch('--cert', $bare->chain(), '--issuer', $int->cert())->{status}, 0,
	'--issuer');

$t->done_testing();

###############################################################################

# Like command(), with standard error apart.
sub run {
	my $run = $t->command([ 'sh', '-c', "exec \"\$@\" 2>$d/errors", 'sh',
		$tool, 'fetch', @_ ], timeout => 40);
	$run->{errors} = $t->read_file('errors');
	return $run;
}

sub fetch {
	my $run = run(@_, '--json');
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	return wantarray ? ($run, $json) : $run;
}

###############################################################################
