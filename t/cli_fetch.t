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
	[ 'good response', {}, 0, 'ok', 'good', 1 ],
	[ 'good response with a key hash as responder',
		{ rid => 'key' }, 0, 'ok', 'good', 1 ],
	[ 'revoked response', { status => 'revoked', revoked_at => time() - 60 },
		1, 'revoked', 'revoked', 1 ],
	[ 'unknown response', { status => 'unknown' }, 1, 'unknown', 'unknown', 0 ],
	[ 'expired response', { fault => 'expired' }, 1, 'expired', undef, 0 ],
	[ 'response from the future',
		{ fault => 'future' }, 1, qr/_in_future$/, undef, 0 ],
	[ "another certificate's response",
		{ fault => 'other_serial' }, 1, 'other_serial', undef,
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
	[ 'response that is too large',
		{ fault => 'too_large' }, 1, 'too_large', undef, 0 ],
	[ 'refused connection',
		{ fault => 'refuse' }, 1, 'connect_refused', undef, 0 ],
	[ 'no answer in time', { fault => 'hang_after_request' }, 1, 'timeout',
		undef, 0 ],
);

for my $answer (@answers) {
	my ($what, $settings, $code, $reason, $status, $file) = @$answer;

	$r->reset();
	$r->set(%$settings) if %$settings;
	unlink "$d/out.der";
	my ($run, $json) = fetch(@cert, '--out', "$d/out.der", '--timeout',
		$what =~ /in time/ ? '1s' : '30s');
	is($run->{status}, $code, "$what: the exit code is $code");
	is($json->{verdict}, $code ? 'reject' : 'accept',
		"$what: the verdict agrees with the exit code");
	ref $reason ? like($json->{reason}, $reason,
		"$what: the reason matches $reason")
		: is($json->{reason}, $reason, "$what: the reason is $reason");
	is($json->{cert_status}, $status,
		"$what: cert_status is " . ($status // 'null'));
	is(-e "$d/out.der" ? 1 : 0, $file,
		"$what: the file is written only if the response can be used");
	is($json->{file}, $file ? "$d/out.der" : undef,
		"$what: the JSON names the written file");
	is($json->{responder}, $r->url(1),
		"$what: the JSON names the responder");
	is($json->{certificate_id}, $leaf->id(),
		"$what: the JSON has the certificate id");
	$code ? like($run->{errors}, qr/\Aocsp-plus: "example\.com": .+; .+\n\z/,
			"$what: standard error has one line that says what to do")
		: is($run->{errors}, '', "$what: standard error is empty");
	is(scalar(glob "$d/out.der.*"), undef,
		"$what: no temporary file is left");
}

# the file is what the responder said

$r->reset();
$r->set(cache => 60);
is(fetch(@cert, '--out', "$d/out.der")->{status}, 0, 'fetch --out succeeds');
is(unpack('H*', $t->read_file('out.der')), unpack('H*', $r->response($leaf)),
	'the written file is the response byte for byte');
is($t->command([ $tool, 'verify', '--cert', $leaf->cert(), '--issuer',
	$int->cert(), '--response', "$d/out.der" ])->{status}, 0,
	'"verify" accepts the written file');

# neither links to devices nor FIFOs are written to: somebody else may have put
# them there

symlink '/dev/null', "$d/device";
symlink "$d/pipe", "$d/to-pipe";
POSIX::mkfifo("$d/pipe", 0600) or die "mkfifo: $!\n";
mkdir "$d/directory";
for my $name (qw/ device pipe to-pipe directory /, '/dev/null') {
	my $path = $name =~ /^\// ? $name : "$d/$name";
	my $run = run(@cert, '--out', $path);
	is($run->{status}, 2, "--out $name: exit code 2");
	ok(!$run->{timed_out}, "--out $name: fetch does not wait for a reader");
	like($run->{errors}, qr!\Aocsp-plus:\ cannot\ write\ "\Q$path\E":\ it\ is
		\ no\ regular\ file;\ name\ a\ file,\ give\ no\ --out\ .*
		\ or\ /dev/stdout,\ .*\n\z!x,
		"--out $name: one line says what to do");
	is($run->{output}, '', "--out $name: standard output is empty");
	is(scalar(glob "$path.*"), undef,
		"--out $name: no temporary file is left");
}
ok(-l "$d/device" && -p "$d/pipe" && -c '/dev/null',
	'links, pipes and devices given to --out are left as they were');

# what to do instead, where the response is not wanted

is(fetch(@cert)->{status}, 0, 'fetch without --out succeeds');
is($t->command([ 'sh', '-c', 'exec "$@" --out /dev/stdout >/dev/null', 'sh',
	$tool, 'fetch', @cert ])->{status}, 0,
	'fetch --out /dev/stdout succeeds with output to /dev/null');

# a link to a file, or to nowhere, is replaced

$t->write_file('elsewhere', 'as it was');
for my $name (qw/ elsewhere nowhere /) {
	symlink "$d/$name", "$d/link-$name";
	is(fetch(@cert, '--out', "$d/link-$name")->{status}, 0,
		"--out with a link to $name succeeds");
	ok(!-l "$d/link-$name" && -f "$d/link-$name",
		"--out replaces the link to $name by a file");
}
is($t->read_file('elsewhere'), 'as it was',
	'--out does not write to the target of a link');
ok(!-e "$d/nowhere", '--out does not create the target of a dangling link');

# what is open is written to, whatever it is

for my $case (
	[ '/dev/stdout', "exec \"\$@\" | cat >$d/copy", 'a pipe' ],
	[ '/dev/stdout', "exec \"\$@\" >$d/copy", 'a file' ],
	[ '/dev/stderr', "exec \"\$@\" 2>$d/copy >/dev/null", 'standard error' ],
	[ '/dev/fd/7', "exec \"\$@\" 7>$d/copy >/dev/null", 'any descriptor' ],
	[ '/proc/self/fd/7', "exec \"\$@\" 7>$d/copy >/dev/null", 'by /proc' ],
) {
	my ($path, $shell, $name) = @$case;
	$r->set(cache => 60);
	ok(!$t->command([ 'sh', '-c', $shell, 'sh', $tool, 'fetch', @cert, '--out',
		$path ])->{timed_out}, "--out $path does not hang: $name");
	my $answered = unpack 'H*', $r->response($leaf);
	is(substr(unpack('H*', $t->read_file('copy')), 0, length $answered),
		$answered,
		"--out $path writes the response byte for byte: $name");
}
my $closed = run(@cert, '--out', '/dev/fd/77');
is($closed->{status}, 2, '--out with a closed descriptor exits with 2');
like($closed->{errors}, qr/cannot write "\/dev\/fd\/77": Bad file/,
	'--out with a closed descriptor is explained');

is(fetch(@cert)->{status}, 0, 'fetch without any file succeeds');
$r->reset();

###############################################################################

# whom it asks

my ($run, $json) = fetch(@cert, '--responder', $r->url(2));
is($json->{responder}, $r->url(2),
	"--responder replaces the certificate's responder");
$r->fault('refuse', on => 1);
($run, $json) = fetch(@cert, '--responder', $r->url(1), '--responder',
	$r->url(2));
is("$run->{status} $json->{responder}", '0 ' . $r->url(2),
	'the second --responder is asked where the first fails');
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
	is($run->{status}, $code, "$what: the exit code is $code");
	ref $reason ? like($json->{reason}, $reason,
		"$what: the reason matches $reason")
		: is($json->{reason}, $reason, "$what: the reason is $reason");
}
$r->fault('reset_on_connect', on => 1);
($run, $json) = fetch(@cert, '--responder', "https://127.0.0.1:$port/");
like("$run->{status} $json->{reason}", qr/^1 (?:tls_failed|connection_reset)$/,
	'an https responder that speaks no TLS fails');
$r->set(reset => 1, on => 1);

###############################################################################

# what it says meanwhile

$run = run(@cert, @dns, '--responder', "http://four.test:$port/", '-v');
is($run->{status}, 0, 'fetch -v succeeds');
like($run->{output}, qr/\Averdict: +accept\n/,
	'fetch -v prints the verdict on standard output');
for my $step (qr/resolving four\.test/, qr/four\.test is 127\.0\.0\.1:$port/,
	qr/connecting to 127\.0\.0\.1:$port/, qr!> GET /\S+ HTTP/1\.1!,
	qr/> Host: four\.test:$port/, qr/< HTTP 200/,
	qr!< Content-Type: "application/ocsp-response"!,
	qr/\d+ bytes from 127\.0\.0\.1:$port in \d+ ms by GET: ok/)
{
	like($run->{errors}, qr/^ *\d+ ms  $step/m,
		"fetch -v prints the step $step");
}
$r->fault('http_503', arg => '120');
$run = run(@cert, '-v');
like($run->{errors}, qr/< HTTP 503/, 'fetch -v prints an HTTP error status');
like($run->{errors}, qr/< Retry-After: \d{4}-/, 'fetch -v prints Retry-After');
$r->reset();

is(run(@cert)->{errors}, '', 'fetch prints no progress without a terminal');
SKIP: {
	skip 'no script(1)', 3 unless -x '/usr/bin/script';
	my $line = join ' ', $tool, 'fetch', @cert;
	$run = $t->command([ 'script', '-qec', $line, '/dev/null' ]);
	like($run->{output}, qr/\r\e\[Kconnecting to /,
		'fetch prints progress on a terminal');
	like($run->{output}, qr/\r\e\[Kverdict: /,
		'fetch erases the progress before the verdict');
	$run = $t->command([ 'script', '-qec', "$line 2>/dev/null",
		'/dev/null' ]);
	unlike($run->{output}, qr/connecting/,
		'fetch prints progress on standard error only');
}

###############################################################################

# into a cache directory

my $cache = "$d/kept";
my $file = "$cache/" . $leaf->id() . '.der';
my ($uid, $gid) = ($>, $) + 0);
if ($> == 0) {
	$run = run(@cert, '--cache', $cache);
	is($run->{status}, 2,
		'fetch --cache as root does not create the directory');
	like($run->{errors}, qr/does\ not\ exist;\ create\ it\ for.*
		install\ -d\ -m\ 0700\ -o\ \S+\ \Q$cache\E$/x,
		'fetch --cache as root prints how to create the directory');
	($uid, $gid) = (getpwnam 'nobody')[2, 3];
	mkdir $cache, 0700;
	chown $uid, $gid, $cache;
}

$r->validity(this_update => -1000);
($run, $json) = fetch(@cert, '--cache', $cache);
is("$run->{status} $json->{written} $json->{file}", "0 1 $file",
	'fetch --cache writes the response');
my @stat = stat $file;
is(join(' ', @stat[4, 5], sprintf '%04o', $stat[2] & 07777), "$uid $gid 0644",
	'the cache file belongs to the owner of the directory');
is(sprintf('%04o', (stat $cache)[2] & 07777), '0700',
	'the cache directory stays private');

# by the rules of the gate

my $held = $t->read_file($file);
for my $case (
	[ 'older', { this_update => -2000 }, 0, 'ok', 0 ],
	[ 'the same', { fault => 'older', arg => 0 }, 0, 'ok', undef ],
	[ 'unknown', { status => 'unknown', this_update => 0 }, 1, 'unknown',
		0 ],
	[ 'forged', { fault => 'broken_signature' }, 1, 'bad_signature', 0 ],
	[ 'missing', { fault => 'refuse' }, 1, 'connect_refused', 0 ])
{
	my ($what, $settings, $code, $reason, $written) = @$case;
	next unless defined $written;
	$r->reset();
	$r->set(%$settings);
	($run, $json) = fetch(@cert, '--cache', $cache);
	is("$run->{status} $json->{reason} " . ($json->{written} ? 1 : 0),
		"$code $reason $written",
		"--cache, $what response: fetch says \"$code $reason\", written: $written");
	is(unpack('H*', $t->read_file($file)), unpack('H*', $held),
		"--cache, $what response: the cached one is kept");
}
$r->reset();
$r->validity(this_update => -2000);
like(run(@cert, '--cache', $cache)->{output},
	qr/^file: +\Q$file\E \(goes on, as it is\)$/m,
	'--cache, older response: the text says that the file stays');

# nginx starts from it, with nobody to ask

$r->fault('refuse');
$t->write_conf(main => [ $> == 0 ? 'user nobody nogroup;' : () ],
	http => [ 'ocsp_plus on;', "ocsp_plus_cache $cache;", [ 8443, $leaf ] ]);

$t->run();
is(unpack('H*', staple_fast(8443) // ''), unpack('H*', $held),
	'nginx staples the fetched file in the first handshake');
$t->stop();

# a newer one, and a revocation

$r->reset();
($run, $json) = fetch(@cert, '--cache', $cache);
is("$run->{status} $json->{written}", '0 1',
	'--cache accepts a newer response');
isnt($t->read_file($file), $held,
	'--cache replaces the file by a newer response');
$r->status($leaf, 'revoked');
$r->validity(this_update => -1500);
($run, $json) = fetch(@cert, '--cache', $cache);
is("$run->{status} $json->{reason} $json->{written}", '1 revoked 1',
	'--cache replaces the file by an older revocation');
$r->reset();
$r->fault('refuse');
$t->run();
is(staple(8443)->{status}, 'revoked', 'nginx staples the fetched revocation');
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
	is($run->{status}, 2, "--cache $path: exit code 2");
	like($run->{errors}, qr/\Aocsp-plus: [^\n]*$says[^\n]*\n\z/,
		"--cache $path: one line says why");
}

###############################################################################

# wrong use

my $bare = $int->leaf('bare.example', aia => $r->url(1), chain => 0);
my $leap = $int->leaf('leap.example', aia => $r->url(1),
	raw_not_after => '290229000000Z');
$t->write_file('text', "no certificate\n");

for my $misuse (
	[ 'no --cert', qr/--cert is required/ ],
	[ 'two places for the response',
		qr/--out|--cache/, @cert, '--out', 'x', '--cache',
		'y' ],
	[ 'two address families', qr/-4|-6/, @cert, '-4', '-6' ],
	[ 'a missing certificate file',
		qr!\Q$d\E/none.*No such file!, '--cert', "$d/none" ],
	[ 'a file without a certificate',
		qr!\Q$d\E/text: .*PEM!, '--cert', "$d/text" ],
	[ 'a chain without issuer',
		qr/no issuer of "bare\.example".*--issuer/, '--cert',
		$bare->chain() ],
	[ 'an issuer that is none', qr/--issuer \S+ has not issued "bare\.example"/,
		'--cert', $bare->chain(), '--issuer', $root->cert() ],
	[ 'an impossible date', qr/notAfter of CN=leap\.example is malformed/,
		'--cert', $leap->chain() ],
	[ 'a responder that is none', qr/nonsense/, @cert, '--responder',
		'nonsense' ],
	[ 'a resolver that is none', qr/nonsense/, @cert, '--resolver',
		'nonsense' ],
	[ 'a time that is none', qr/1x is no time; give it like 30s/, @cert,
		'--timeout', '1x' ],
	[ 'a directory that is missing', qr!\Q$d\E/none/out.*No such file!, @cert,
		'--out', "$d/none/out" ])
{
	my ($what, $says, @arguments) = @$misuse;
	$run = run(@arguments);
	is($run->{status}, 2, "$what: exit code 2");
	like($run->{errors}, qr/\Aocsp-plus: [^\n]+\n\z/,
		"$what: one line on standard error");
	like($run->{errors}, $says, "$what: the line says why");
	is($run->{output}, '', "$what: standard output is empty");
}
is(fetch('--cert', $bare->chain(), '--issuer', $int->cert())->{status}, 0,
	'--issuer supplies an issuer that is missing in the chain');

$t->done_testing();

###############################################################################

sub run {
	return $t->command([ $tool, 'fetch', @_ ], timeout => 40, apart => 1);
}

sub fetch {
	my $run = run(@_, '--json');
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	return wantarray ? ($run, $json) : $run;
}

###############################################################################
