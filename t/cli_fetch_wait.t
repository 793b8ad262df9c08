#!/usr/bin/perl

# Tests for "ocsp-plus fetch" in hooks: it waits for a response, takes several
# certificates, and tells those that have no responder from those that failed.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP ();
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new();
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $namesake = $root->intermediate('namesake', subject_of => $int);
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
	addresses => [ '127.0.0.1' ]);

my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url()) }
	qw/ good later busy revoked away /;
$leaf{new} = $int->leaf('new.example', aia => $r->url(), not_before => -60);
$leaf{past} = $int->leaf('past.example', aia => $r->url(),
	not_before => -7200, not_after => -60);
$leaf{none} = $int->leaf('none.example');
$leaf{ftp} = $int->leaf('ftp.example', aia => 'ftp://ftp.example/');

###############################################################################

# one process waits for all of them, each as its failure asks for

$r->fault('try_later', leaf => $leaf{later}, times => 1);
$r->fault('http_503', arg => 7, leaf => $leaf{busy}, times => 1);
$r->status($leaf{revoked}, 'revoked');
$r->clear();
my $cache = cache('all');
my @names = qw/ later busy good revoked past none /;
my ($run, $json) = fetch(certs(@names), '--cache', $cache, '--wait', '2m');
is($run->{status}, 1, 'the exit status is that of the gravest certificate');
is(join(' ', sort keys %$json), 'certificates',
	'several certificates are one JSON document');
my %of;
$of{$names[$_]} = $json->{certificates}[$_] for 0 .. $#names;
is(scalar @{$json->{certificates}}, scalar @names,
	'the JSON has each certificate');
for my $case ([ later => 'ok', 2 ], [ busy => 'ok', 2 ], [ good => 'ok', 1 ],
	[ revoked => 'revoked', 1 ], [ past => 'certificate_expired', 1 ],
	[ none => 'no_responder', 0 ])
{
	my ($name, $reason, $attempts) = @$case;
	is("$of{$name}{reason} $of{$name}{attempts}", "$reason $attempts",
		"$name: the result is $reason after $attempts attempts");
	is($of{$name}{certificate_file}, $leaf{$name}->chain(),
		"$name: the JSON names the file of --cert");
	is($of{$name}{certificate_id}, $leaf{$name}->id(),
		"$name: the JSON has the certificate id");
	is($of{$name}{subject}, "CN=$name.example",
		"$name: the JSON has the subject");
	is(-e "$cache/" . $leaf{$name}->id() . '.der' ? 1 : 0,
		$reason =~ /^(?:ok|revoked)$/ ? 1 : 0,
		"$name: the response is kept if there is one");
}
my @busy = map { $_->{time} } $r->requests(leaf => $leaf{busy});
cmp_ok($busy[1] - $busy[0], '>=', 6, 'Retry-After is honoured');
is(scalar(my @lines = split /\n/, $run->{errors}), 3,
	'standard error has a line for each failure');
like($run->{errors}, qr/^ocsp-plus:\ "none\.example":\ the\ certificate\ names
	\ no\ OCSP\ responder;\ .*--responder$/mx,
	'a certificate without responder is explained');

# what is not waited for

$r->reset();
$r->fault('http_503', arg => 3600);
($run, $json) = fetch(certs('good'), '--wait', '5m');
is("$run->{status} $json->{attempts} $json->{reason}", '1 1 http_status',
	'Retry-After beyond --wait ends the wait');
like($json->{detail}, qr/not to be asked again before \d{4}-.*after --wait/,
	'Retry-After beyond --wait is told');

$r->reset();
$r->fault('refuse');
($run, $json) = fetch(certs('good'));
is("$run->{status} $json->{attempts}", '1 1', 'without --wait it asks once');
($run, $json) = fetch(certs('good'), '--wait', '3s');
is("$run->{status} $json->{attempts} $json->{reason}", '1 2 connect_refused',
	'with --wait it asks for the last time when the time is over');

# a certificate that the responder does not know yet

$r->reset();
$r->fault('unauthorized', times => 9);
$run = run(certs('new'), '--wait', '5s', '-v');
is($run->{status}, 1, 'unauthorized is no response');
like($run->{errors}, qr/unauthorized; next attempt in [45] s$/m,
	'-v prints when the next attempt is');
my $planned = qr/unauthorized; next attempt in (\d+) s\n/;
$r->reset();
$r->fault('unauthorized');
$run = $t->command([ 'sh', '-c', 'exec 3<&0; "$@" 0<&3 & read line <&3; '
	. 'kill $!; wait', 'sh', $tool, 'fetch', certs('new'), '--wait', '1h',
	'-v' ], until => sub { return $_[0] =~ $planned });
my ($wait) = $run->{output} =~ $planned;
ok($wait >= 29 && $wait <= 60,
	'a new certificate is asked for again after 30 to 60 s')
	or diag($run->{output});

# steps of several certificates

$r->reset();
$r->set(delay => 700);
$r->clear();
$run = run(certs(qw/ good later /), '-v');
is($run->{status}, 0, 'fetch of two certificates succeeds');
like($run->{errors}, qr/^ *\d+ ms  "$_\.example": connecting to 127/m,
	"-v names the certificate $_") for qw/ good later /;
cmp_ok($r->stats()->{all}{working_peak}, '>=', 2,
	'certificates are fetched at the same time');
my @many = map { ('--cert', $_->chain()) }
	$int->leaves(20, 'many%d.example', aia => $r->url());
$r->clear();
is(run(@many, '-q')->{status}, 0, 'fetch of 20 certificates succeeds');
cmp_ok($r->stats()->{all}{working_peak}, '<=', 16,
	'16 certificates at most are fetched at the same time');
like($run->{output}, qr/\Acertificate:\ \Q@{[ $leaf{good}->chain() ]}\E\n
	verdict:.*\n\n certificate:\ \Q@{[ $leaf{later}->chain() ]}\E\n/xs,
	'the text has a paragraph for each certificate');
$r->reset();

###############################################################################

# no responder

for my $name (qw/ none ftp /) {
	($run, $json) = fetch(certs($name), '--wait', '5m');
	is($run->{status}, 4, "$name: exit status 4");
	is("$json->{verdict} $json->{reason} $json->{attempts}",
		'reject no_responder 0', "$name: the JSON says no_responder");
	is($json->{file}, undef, "$name: there is no file");
}
like($json->{detail}, qr!ftp://ftp\.example!,
	'ftp: the detail names the responder that is of no use');
$run = run(certs('none'));
is($run->{status}, 4, 'no responder, as text: exit status 4');
like($run->{output}, qr/^reason: +no_responder /m,
	'no responder, as text: the reason');
is(run(certs('none'), '--responder', $r->url())->{status}, 0,
	'--responder is asked where the certificate names none');

$t->write_file('text', "no certificate\n");
$r->status($leaf{revoked}, 'revoked');
for my $case ([ 4, qw/ good none / ], [ 1, qw/ none revoked good / ],
	[ 2, qw/ revoked none text good / ], [ 0, qw/ good later / ])
{
	my ($status, @names) = @$case;
	$cache = cache("of-$status");
	($run, $json) = fetch(certs(@names), '--cache', $cache);
	is($run->{status}, $status, "@names: exit status $status");
	ok(-e "$cache/" . $leaf{good}->id() . '.der',
		"@names: the good one is kept all the same");
	next if $status != 2;
	is("$json->{certificates}[2]{reason}", 'unreadable',
		'the JSON says which certificate cannot be read');
	is($json->{certificates}[2]{certificate_id}, undef,
		'what cannot be read has no certificate id');
	like($run->{errors}, qr!^ocsp-plus: --cert \Q$d\E/text: .*PEM!m,
		'standard error says which certificate cannot be read');
}

###############################################################################

# -q

$run = run(certs(qw/ good later /), '-q');
is("$run->{status}$run->{output}$run->{errors}", '0',
	'-q prints nothing about success');
$run = run(certs('revoked'), '--quiet');
is("$run->{status}$run->{output}", '1', '--quiet prints no verdict');
like($run->{errors}, qr/\Aocsp-plus: "revoked\.example": .*revoked.*\n\z/,
	'--quiet prints an error in one line');
SKIP: {
	skip 'no script(1)', 1 unless -x '/usr/bin/script';
	$run = $t->command([ 'script', '-qec',
		join(' ', $tool, 'fetch', certs('good'), '-q'), '/dev/null' ]);
	is($run->{output}, '', '-q prints no progress on a terminal');
}

###############################################################################

# a directory that nginx will refuse

SKIP: {
	skip 'not root', 3 unless $> == 0;
	mkdir "$d/roots", 0700;
	$run = run(certs('good'), '--cache', "$d/roots", '-q');
	is($run->{status}, 0, "root's directory: the response is kept");
	like($run->{errors}, qr!\Aocsp-plus:\ warning:\ \Q$d\E/roots\ belongs
		\ to\ root,\ so\ nginx\ will\ not\ use\ it.*chown.*\n\z!x,
		"root's directory: one line warns of it");
	$run = run(certs('good'), '--cache', cache('others'), '-q');
	is($run->{errors}, '', "another user's directory: no warning");
}

###############################################################################

# wrong use

$r->clear();
for my $misuse (
	[ 'an issuer of another name', qr/--issuer\ \Q$d\E\S+\ has\ not\ issued
		\ "good\.example":\ its\ name\ is\ another;
		\ give\ the\ certificate\ of\ "CN=int"/x,
		certs('good'), '--issuer', $root->cert() ],
	[ 'an issuer of the same name', qr/has\ not\ issued\ "good\.example":
		\ its\ key\ .*;\ give/x,
		certs('good'), '--issuer', $namesake->cert() ],
	[ 'several certificates and --out', qr/--out is for one response/,
		certs(qw/ good later /), '--out', "$d/out" ],
	[ '--quiet with --json', qr/--quiet.*--json|--json.*--quiet/,
		certs('good'), '-q', '--json' ],
	[ 'a wait that is none', qr/soon is no time/, certs('good'),
		'--wait', 'soon' ])
{
	my ($what, $says, @arguments) = @$misuse;
	$run = run(@arguments);
	is($run->{status}, 2, "$what: exit status 2");
	like($run->{errors}, qr/\Aocsp-plus: [^\n]+\n\z/,
		"$what: one line on standard error");
	like($run->{errors}, $says, "$what: the line says why");
	is($run->{output}, '', "$what: standard output is empty");
}
is(scalar(() = $r->requests()), 0, 'nobody is asked after wrong use');
$t->write_file('both', $t->read_file($namesake->cert())
	. $t->read_file($int->cert()));
is(run(certs('good'), '--issuer', "$d/both")->{status}, 0,
	'--issuer may hold others beside the issuer');

$t->done_testing();

###############################################################################

sub certs {
	return map { ('--cert', $leaf{$_} ? $leaf{$_}->chain() : "$d/$_") } @_;
}

# Root cannot keep responses for nginx in a directory of its own.
sub cache {
	my ($name) = @_;
	mkdir "$d/$name", 0700;
	chown((getpwnam 'nobody')[2, 3], "$d/$name") if $> == 0;
	return "$d/$name";
}

sub run {
	return $t->command([ $tool, 'fetch', @_ ], timeout => 60, apart => 1);
}

sub fetch {
	my $run = run(@_, '--json');
	my $json = eval { JSON::PP::decode_json($run->{output}) } || {};
	return ($run, $json);
}

###############################################################################
