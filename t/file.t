#!/usr/bin/perl

# Tests for ocsp_plus_file: responses made elsewhere, DER and PEM, of which the
# right ones are stapled, again when they change, and the newest wins.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use MIME::Base64;
use POSIX qw/ mkfifo /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $other = $root->intermediate('other', subject_of => $int);
# the first port makes files, the second is asked by nginx
my $r = Test::Nginx::Responder->start($t, ca => [ $int, $other ],
	ports => [ 8081, 8082 ]);

my @alone = qw/ der pem crlf padded replaced inplace later revoked second /;
my @bad = qw/ swapped foreign expired garbage cut empty missing fifo directory
	secret large /;
my @mixed = qw/ file-newer network-newer /;
my %leaf = ((map { $_ => $int->leaf("$_.example") } @alone, @bad),
	(map { $_ => $int->leaf("$_.example", aia => $r->url(2)) } @mixed));
my $theirs = $other->leaf('theirs.example');

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_startup_wait 60s;', 'ocsp_plus_retry 1s 1s;',
	map { [ 8443, "$_.example", 'ocsp_plus_file ' . ($_ eq 'second'
		? 'none.der %%TESTDIR%%/second.der;' : "$_.der;") ]
	} @alone, @bad, @mixed ]);

###############################################################################

my %made = map { $_ => made($_, this_update => -3000) } @alone, @bad;
write_response($_) for qw/ der replaced inplace second secret /;
$t->write_file('pem.der', pem($made{pem}));
(my $crlf = "made by an offline CA\n" . pem($made{crlf})) =~ s/\n/\r\n/g;
$t->write_file('crlf.der', $crlf);

write_response('padded', "$made{padded}\r\n");

write_response('swapped', $made{der});
write_response('foreign', made('theirs'));
$r->fault('expired', on => 1);
write_response('expired', made('expired'));
$r->fault('none', on => 1);
write_response('garbage', 'no response');
write_response('cut', substr $made{cut}, 0, 100);
write_response('empty', '');
write_response('large', $made{large} . "\0" x 200000);
mkfifo($t->testdir() . '/fifo.der', 0644) or die "mkfifo: $!\n";
mkdir $t->testdir() . '/directory.der';
chmod 0600, $t->testdir() . '/secret.der';

# of file and network one is newer

$r->validity(this_update => -2000, on => 2);
write_response('file-newer', made('file-newer', this_update => -1000,
	next_update => 25));
write_response('network-newer', made('network-newer', this_update => -3000,
	next_update => 25));

$r->clear();
ok($t->config_test(),
	'the configuration with ocsp_plus_file is accepted') or diag($t->output());
is($t->output() =~ /no OCSP responder|no staple/ ? $& : '', '',
	'a certificate with a file needs no responder');
$t->run();

###############################################################################

# stapled from the first handshake on

for my $name (qw/ der pem crlf padded replaced inplace second /) {
	is(same($name, $made{$name}), 1,
		"$name: the file is stapled from the first handshake on");
}
my $seen = staple(8443, servername => 'der.example');
is("$seen->{status} $seen->{serial}", 'good ' . $leaf{der}->serial(),
	'a client accepts the response from a file');
is(same('file-newer', $t->read_file('file-newer.der')), 1,
	'file newer than network: the file is stapled');
is(same('network-newer', $t->read_file('network-newer.der')), 1,
	'network newer than file: the file is stapled at first');
is(scalar(() = $r->requests()), 0,
	'no responder is asked while files are valid');

# the network is asked in time, as for any response

$seen = wait_staple(8443, sub { ($_[0]{this_update} // 0) > time() - 2500 },
	servername => 'network-newer.example', seconds => 20);
is("$seen->{ok} $seen->{status}", '1 good',
	"network newer than file: the network's response is stapled later");
like($t->wait_log(qr/not newer than.*"file-newer\.\S+ .*responder=/, 20) // '',
	qr/\[info\]/,
	'file newer than network: the older response of the network is logged');
is(same('file-newer', $t->read_file('file-newer.der')), 1,
	'file newer than network: the file is still stapled');

# one error for each that is of no use, as nobody else can be asked

my %why = (swapped => 'other_serial', foreign => 'other_issuer',
	expired => 'expired', garbage => '\w+', cut => '\w+', empty => '\w+',
	missing => 'unreadable detail="No such file', secret =>
	'unreadable detail="Permission denied', fifo =>
	'unreadable detail=".*no regular file', directory =>
	'unreadable detail=".*no regular file', large =>
	'unreadable detail=".*larger than ocsp_plus_max_response');
for my $name (@bad) {
	next if $name eq 'secret' && $> != 0;
	is(same($name), 1, "$name: a bad file is not stapled");
	my $line = $t->wait_log(qr/file ignored: certificate="$name\./, 10);
	like($line // '', qr/\[error\].*\/$name\.der" reason=$why{$name}/,
		"$name: a bad file is logged with its reason");
}

###############################################################################

# they change: by a rename, in place, by coming into being

my $mark = $t->log_mark();
for my $name (qw/ replaced inplace later /) {
	$made{$name} = made($name, this_update => -500);
}
$t->write_file('new.der', pem($made{replaced}));
rename $t->testdir() . '/new.der', $t->testdir() . '/replaced.der';
write_response($_) for qw/ inplace later /;
for my $name (qw/ replaced inplace later /) {
	ok(wait_for(sub { same($name, $made{$name}) }, 15),
		"$name: a changed file is stapled without a reload");
	like($t->wait_log(qr/certificate="$name\./, 5, $mark) // '',
		$name eq 'later' ? qr/\[error\]/ : qr/\[notice\]/,
		"$name: a changed file is logged");
}

# an older one changes nothing, nor does one that is torn

my $held = $made{replaced};
$mark = $t->log_mark();
write_response('replaced', made('replaced', this_update => -5000));
write_response('inplace', substr $made{inplace}, 0, 200);
ok($t->wait_log(qr/not newer.*certificate="replaced\./, 15, $mark),
	'an older file is logged as not newer');
ok($t->wait_log(qr/ignored.*certificate="inplace\./, 15, $mark),
	'a truncated file is logged as ignored');
is(same('replaced', $held), 1, 'an older file does not replace the response');
is(same('inplace', $made{inplace}), 1,
	'a truncated file does not replace the response');
unlink $t->testdir() . '/inplace.der';
ok($t->wait_log(qr/ignored.*certificate="inplace\..*No such/, 15, $mark),
	'a removed file is logged');
is(same('inplace', $made{inplace}), 1,
	'a removed file leaves its response in use');

# beside the network as well

$made{'network-newer'} = made('network-newer', this_update => -100);
write_response('network-newer');
ok(wait_for(sub { same('network-newer', $made{'network-newer'}) }, 15),
	"a changed file that is newest replaces the network's response");

# revoked

$mark = $t->log_mark();
write_response('revoked', made('revoked', this_update => -900));
ok(wait_for(sub { same('revoked', $t->read_file('revoked.der')) }, 15),
	'revoked: the good file is stapled at first');
$r->status($leaf{revoked}, 'revoked');
write_response('revoked', made('revoked', this_update => -950));
is(wait_staple(8443, 'revoked', servername => 'revoked.example',
	seconds => 15)->{status}, 'revoked',
	'revoked: a file that says revoked is stapled though it is older');
like($t->wait_log(qr/REVOKED/, 5, $mark) // '', qr/\[crit\].*replace\ it;
	\ response\ from\ a\ file\ published.*"revoked\.example".*revoked\.der"/x,
	'revoked: a file that says revoked is logged as critical');

# it all came but once, and is kept like any other

for my $name (@bad) {
	is(scalar(() = $t->log_lines(qr/ignored: certificate="$name\./)),
		$name eq 'secret' && $> != 0 ? 0 : 1,
		"$name: a bad file is logged once");
}
like(join("\n", $t->log_lines(qr/the worker user cannot read/)),
	qr!/missing\.der" of "ocsp_plus_file"!,
	'a missing file is reported by the configuration');
unlink glob $t->testdir() . '/*.der';
$t->restart();
is(same('later', $made{later}), 1,
	'a restart staples the response of a removed file from the cache');

$t->done_testing();

###############################################################################

# The response that the first port has for a leaf.
sub made {
	my ($name, %validity) = @_;
	my $leaf = $leaf{$name} || $theirs;
	$r->validity(%validity, on => 1) if %validity;
	my $der = $r->response($leaf, on => 1);
	$r->validity(this_update => 'default', next_update => 'default',
		on => 1) if %validity;
	return $der;
}

sub write_response {
	my ($name, $der) = @_;
	$t->write_file("$name.der", $der // $made{$name});
}

sub pem {
	return "-----BEGIN OCSP RESPONSE-----\n" . encode_base64($_[0])
		. "-----END OCSP RESPONSE-----\n";
}

# Whether it is what is stapled; undef: nothing.
sub same {
	my ($name, $der) = @_;
	my $stapled = staple_fast(8443, "$name.example");
	return ($stapled // '') eq ($der // '') ? 1 : 0;
}

###############################################################################
