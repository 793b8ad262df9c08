#!/usr/bin/perl

# Tests for certificates that nginx serves but ocsp_plus cannot describe: one
# error that names them, no staple, and nginx starts.  What is refused are
# directives that such a certificate can only break.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 180)->has(qw/ http_ssl stream_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my @dates = (leap => [ raw_not_after => '290229000000Z' ],
	hour => [ raw_not_after => '290228240000Z' ],
	begin => [ raw_not_before => '210229000000Z' ]);
my %dates = @dates;
my %leaf = ((map { $_ => $int->leaf("$_.example", file => $_, aia => $r->url(),
		@{$dates{$_}}) } keys %dates),
	good => $int->leaf('good.example', file => 'good', aia => $r->url()));
$leaf{must} = $int->leaf('must.example', file => 'must', aia => $r->url(),
	must_staple => 1, raw_not_after => '290229000000Z');
chmod 0644, map { $_->key() } values %leaf;
my $dir = $t->testdir();
my @all = (qw/ leap hour begin must /);

###############################################################################

# what nginx does without us

my @servers = map { [ 8440 + $_, $all[$_ - 1] ] } 1 .. @all;
my $tls = 'ssl_protocols TLSv1.2 TLSv1.3;';
my @on = ($tls, 'ocsp_plus on;');
$t->write_conf(http => [ $tls, 'ocsp_plus off;', @servers ]);
$t->run();
is(staple(8440 + $_)->{handshake}, 1,
	"nginx alone serves the certificate $all[$_ - 1]")
	for 1 .. @all;
$t->stop();

# http and stream, beside a good one; a certificate of two servers

my $mark = $t->log_mark();
my $status = [ 8080, undef, 'location /status { ocsp_plus_status json; }' ];
sub configure {
	my ($more) = @_;
	$t->write_conf(
		stream => [ @on, [ 8450, 'leap', 'return ok;' ],
			[ 8451, 'good', 'return ok;' ] ],
		http => [ 'log_format staple '
			. q{'$ssl_server_name $ocsp_plus_staple $ocsp_plus_cert_id';},
			"access_log $dir/staple.log staple;", @on,
			'ocsp_plus_retry 1s 1s;', @servers, [ 8446, 'good' ],
			[ 8447, 'leap', $more // () ],
			[ 8448, 'must', 'ocsp_plus_require must_staple;',
				'ocsp_plus off;' ],
			[ 8449, "$dir/\$ssl_server_name" ], $status ]);
}
configure();
ok($t->config_test(),
	'certificates with impossible dates are accepted') or diag($t->output());
my %told;
for ($t->output() =~ /^nginx: (\[\w+\] .*)$/mg) {
	/"(\w+)\.example"/ or next;
	$told{$1} = $_;
	like($_, qr/^\[error\]/,
		'a certificate with impossible dates raises an error, and is accepted');
}
is(join(' ', sort keys %told), join(' ', sort @all),
	'each certificate with impossible dates is reported once');
for my $name (@all) {
	my $field = $name eq 'begin' ? 'notBefore' : 'notAfter';
	my $more = $name eq 'must' ? qr/ although it demands one \(Must-Staple\)[^:]*/
		: qr//;
	like($told{$name} // '', qr/ocsp_plus:\ certificate\ "$name\.example"\ of
		\ "\Q$dir\E\/$name\.pem"\ cannot\ be\ read\ and\ gets\ no\ staple
		${more}:\ $field\ of\ .*$name\.example.*\ is\ malformed\ in
		\ .*nginx\.conf:\d+$/x,
		"$name: the error has certificate, file, cause and line");
}

$t->run();
for my $tls ('1.2', '1.3') {
	is(seen(8440 + $_, tls => $tls), '1 none',
		"$all[$_ - 1]: the certificate is served without a staple over "
		. "TLS $tls") for 1 .. @all;
	is(seen(8450, tls => $tls), '1 none',
		"a certificate with impossible dates is served in stream over TLS $tls");
}
is(wait_staple($_, 'good')->{status}, 'good',
	"a good certificate is stapled on $_")
	for 8446, 8451;

# known, and counted: not met anew in each handshake

my %before = %{ status()->{handshakes} };
staple(8441) for 1 .. 3;
staple(8450);
is(status()->{handshakes}{unsupported}, $before{unsupported} + 4,
	'handshakes with a certificate that cannot be read count as unsupported');
is(status()->{loaded}{handed}, 0,
	'a configured certificate is not handed over as a loaded one');
is_deeply([ map { $_->{names}[0] } @{status()->{certificates}} ],
	[ 'good.example' ],
	'the status document lists the good certificate only');
is_deeply([ sort @{status()->{unreadable}} ],
	[ map { "$_.example" } sort @all ],
	'the status document names the certificates that it lacks');
staple(8441, servername => 'leap', request => "GET / HTTP/1.0\r\n\r\n");
my $line = 'leap none ' . $leaf{leap}->id();
ok(wait_for(sub { $t->read_file('staple.log') =~ /^\Q$line\E$/m }, 5, 'a line'),
	'the variables have the id of a certificate that cannot be read');

# loaded per connection: refused there, as ever

staple(8449, servername => 'hour');
ok(wait_for(sub { status()->{loaded}{refused} > 0 }, 10, 'refused'),
	'loaded per connection: a certificate that cannot be read counts as refused');
ok($t->wait_log(qr/\[error\].*loaded\ per\ connection\ were\ refused
	.*reason=unreadable/x, 5),
	'loaded per connection: a certificate that cannot be read is an error');
is(seen(8449, servername => 'hour'), '1 none',
	'loaded per connection: a certificate that cannot be read is served');
is(scalar($r->requests(leaf => $leaf{$_})), 0,
	"$_: no responder is asked") for @all;

# a reload

ok($t->reload(old_gone => 1),
	'a reload with certificates that cannot be read succeeds');
is(seen(8441), '1 none',
	'a certificate that cannot be read is served after a reload');
is(staple(8446)->{status}, 'good',
	'a good certificate is stapled after a reload');
configure('ocsp_plus_require on;');
ok(!$t->reload(refused => 1),
	'a reload that requires an impossible staple is refused');
is(seen(8441), '1 none',
	'a certificate that cannot be read is served after a refused reload');
$t->stop();

# none but such: counted all the same, and a good one comes by a reload

$t->write_conf(http => [ @on, [ 8441, 'leap' ], $status ]);
$t->run();
is(seen(8441), '1 none', 'the only certificate cannot be read: it is served');
is(status()->{handshakes}{unsupported}, 1,
	'the only certificate cannot be read: its handshake is counted');
is_deeply(status()->{certificates}, [],
	'the only certificate cannot be read: the status document lists none');
$t->write_conf(http => [ @on, [ 8441, 'good' ] ]);
ok($t->reload(old_gone => 1),
	'the only certificate cannot be read: a reload with a good one succeeds');
is(wait_staple(8441, 'good')->{status}, 'good',
	'the only certificate cannot be read: a good one is stapled after a reload');
$t->stop();

# --- what is refused ----------------------------------------------------------

for my $case (
	[ 'on', 'leap', 'ocsp_plus_require on;', 0 ],
	[ 'on, Must-Staple', 'must', 'ocsp_plus_require on;', 0 ],
	[ 'must_staple, Must-Staple', 'must', 'ocsp_plus_require must_staple;', 0 ],
	[ 'must_staple, none', 'leap', 'ocsp_plus_require must_staple;', 1 ],
	[ 'off, Must-Staple', 'must', 'ocsp_plus_require off;', 1 ],
) {
	my ($what, $name, $lines, $fine) = @$case;
	for my $block ('http', 'stream') {
		$t->write_conf($block => [ @on, [ 8441, $name, $lines,
			$block eq 'stream' ? 'return ok;' : () ] ]);
		is($t->config_test() ? 1 : 0, $fine,
			"$block, require $what: the configuration is "
			. ($fine ? 'accepted' : 'refused'));
		next if $fine;
		my @said = $t->output() =~ /^nginx: (\[emerg\] .*)$/mg;
		is(scalar @said, 1,
			"$block, require $what: one message is printed");
		like($said[0] // '', qr/"ocsp_plus_require"\ would\ refuse\ every
			\ handshake\ .*\ certificate\ "$name\.example"\ of
			\ "\Q$dir\E\/$name\.pem",\ which\ gets\ no\ staple:
			\ notAfter\ .*\ in\ .*nginx\.conf:\d+$/x,
			"$block, require $what: the message has cause and line");
	}
}

# --- what cannot even be hashed -----------------------------------------------

SKIP: {
	skip 'no shared_openssl available', 1
		unless $t->feature('shared_openssl');
	$t->env(LD_PRELOAD => Test::Nginx::Config::tool('libwrapped_openssl.so'),
		WRAPPED_OPENSSL_UNHASHABLE => 'odd');
	my $odd = $root->intermediate('odd');
	my $alone = $odd->leaf('alone.example', aia => $r->url(), chain => 0);
	my $ours = $int->leaf('odd.example', aia => $r->url());
	for my $case (
		[ 'a leaf', 'odd.example', '', qr/certificate\ "odd\.example"\ of
			\ ".*odd\.example\.pem"\ cannot\ be\ read\ and\ gets\ no
			\ staple:\ the\ certificate\ cannot\ be\ hashed.*conf:\d+$/x ],
		[ 'an issuer', 'alone.example',
			'ocsp_plus_trusted_certificate odd.crt;',
			qr/the\ issuer\ found\ for\ certificate
			\ "alone\.example"\ of\ ".*alone\.example\.pem"\ cannot\ be
			\ used,\ it\ gets\ no\ staple:\ the\ certificate\ cannot\ be
			\ hashed.*conf:\d+$/x ],
		[ 'a trusted certificate',
			'good', "ssl_trusted_certificate $dir/odd.crt;",
			qr/a\ trusted\ certificate\ is\ ignored,\ it\ cannot\ be
			\ used\ as\ an\ issuer:\ the\ certificate\ cannot\ be\ hashed.*
			first\ in\ .*conf:\d+$/x ],
	) {
		my ($what, $name, $lines, $said) = @$case;
		$t->write_conf(http => [ @on, [ 8441, $name, $lines ],
			[ 8442, 'good', $lines ] ]);
		ok($t->config_test(),
			"$what that cannot be hashed: the configuration is accepted")
			or diag($t->output());
		my @lines = $t->output() =~ /^nginx: (\[\w+\] .*)$/mg;
		my $level = $name eq 'good' ? 'warn' : 'error';
		is(scalar(grep { $_ =~ $said && /^\[$level\]/ } @lines), 1,
			"$what that cannot be hashed: one line of level $level is "
			. "printed") or diag($t->output());
		$t->run();
		is(seen(8441), $name eq 'good' ? '1 good' : '1 none',
			"$what that cannot be hashed: the server has handshakes");
		is(wait_staple(8442, 'good')->{status}, 'good',
			"$what that cannot be hashed: another certificate is stapled");
		$t->stop();
	}
}

$t->done_testing();

###############################################################################

sub seen {
	my $seen = staple(@_);
	return "$seen->{handshake} $seen->{status}";
}

sub status { return http_json('/status') }

###############################################################################
