#!/usr/bin/perl

# Tests for "ocsp-plus check" with staples of CA certificates: what a server
# sends at each position of the Certificate message of TLS 1.3.

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

my $t = Test::Nginx->new(timeout => 240)->has(qw/ http_ssl /);
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';

my $root = Test::Nginx::CA->new($t);
my $r = Test::Nginx::Responder->start($t, ca => [ $root ], ports => [ 8081 ]);
my @aia = (aia => $r->url());
my $outer = $root->intermediate('outer', @aia);
my $inner = $outer->intermediate('inner', @aia);
my $sibling = $outer->intermediate('sibling', @aia);
my $strict = $outer->intermediate('strict', @aia, must_staple => 1);
my $mute = $outer->intermediate('mute');
$r->add_ca($_) for $outer, $inner, $strict, $mute;

my %leaf = map { $_->name() => $_->leaf($_->name() . '.example', @aia) }
	$inner, $strict, $mute;
for my $leaf (values %leaf) {
	$t->write_file($leaf->name() . '.whole',
		$t->read_file($leaf->chain()) . $t->read_file($root->cert()));
}
$t->write_file('empty', '');
$t->write_file('garbage', "\x30\x82\x01\x00 no response");
$t->write_file('not_der', 'no response');

# What stands at the positions of the leaf, inner, outer and root: a setting of
# the responder for a good response or another, a file as it is, or nothing.

my %bad = (expired => [ fault => 'expired' ], other => 'sibling.der',
	foreign => [ fault => 'foreign_signer' ],
	early => [ fault => 'future' ], unknown => [ status => 'unknown' ],
	try_later => [ fault => 'try_later' ],
	revoked => [ status => 'revoked', revoked_at => time() - 60 ],
	empty => 'empty', garbage => 'garbage', not_der => 'not_der',
	no_status => 'raw:empty', not_ocsp => 'raw:not_der');
my %reason = (foreign => qr/^signer_|^bad_signature$/, early => qr/_in_future$/,
	other => qr/^other_(?:serial|issuer)$/,
	map { $_ => 'malformed_response' }
		qw/ empty garbage not_der no_status not_ocsp /);
$t->write_file('sibling.der', $r->response($sibling));

my @cases = (
	{ name => 'all good', staples => [ 1, 1, 1 ], code => 0, finding => 'ok',
		chain => { 1 => 'ok', 2 => 'ok' } },
	{ name => 'all good, all wanted', staples => [ 1, 1, 1 ], code => 0,
		arguments => [ '--chain' ], finding => 'ok',
		chain => { 1 => 'ok', 2 => 'ok' } },
	{ name => 'the leaf alone', staples => [ 1 ], code => 0, finding => 'ok',
		chain => {} },
	{ name => 'the leaf alone, all wanted', staples => [ 1 ], code => 2,
		arguments => [ '--chain' ], finding => 'no_staple',
		chain => { 1 => 'no_staple', 2 => 'no_staple' } },
	{ name => 'one is missing', staples => [ 1, 1 ], code => 0,
		finding => 'ok', chain => { 1 => 'ok' } },
	{ name => 'one is missing, all wanted', staples => [ 1, 1 ], code => 2,
		arguments => [ '--chain' ], finding => 'no_staple',
		chain => { 1 => 'ok', 2 => 'no_staple' } },
	{ name => 'a CA with Must-Staple', staples => [ 1 ], code => 2,
		leaf => 'strict', arguments => [ '--chain' ],
		finding => 'must_staple_missing',
		chain => { 1 => 'must_staple_missing', 2 => 'no_staple' } },
	{ name => 'a CA without a responder', staples => [ 1 ], code => 2,
		leaf => 'mute', arguments => [ '--chain' ],
		finding => 'no_staple',
		chain => { 1 => 'no_responder', 2 => 'no_staple' } },
	{ name => 'nothing at all', staples => [], code => 2,
		finding => 'no_staple', chain => {} },

	# times: a CA's status is renewed rarely

	{ name => 'one ends soon', code => 1, finding => 'ends_soon',
		staples => [ 1, [ this_update => -80 * 3600,
			next_update => 20 * 3600 ] ],
		chain => { 1 => 'ends_soon' } },
	{ name => 'one is old', staples => [ 1, [ this_update => -7200 ] ],
		arguments => [ '--max-age', '1h' ], code => 0, finding => 'ok',
		chain => { 1 => 'ok' } },

	# gaps

	{ name => 'a gap for the leaf', staples => [ 0, 1, 1 ], code => 2,
		finding => 'no_staple', leaf_findings => 'no_staple staple_gap',
		chain => { 1 => 'ok', 2 => 'ok' } },
	{ name => 'a gap', staples => [ 1, 0, 1 ], code => 2,
		finding => 'staple_gap',
		chain => { 1 => 'staple_gap', 2 => 'ok' } },
	{ name => 'a gap, all wanted', staples => [ 1, 0, 1 ], code => 2,
		arguments => [ '--chain' ], finding => 'no_staple',
		chain => { 1 => 'no_staple staple_gap', 2 => 'ok' } },

	# an issuer that is not sent

	{ name => 'without the root', staples => [ 1, 1, 1 ], code => 1,
		sent => 'pem', finding => 'chain_without_issuer',
		arguments => [ '--cafile', $root->cert() ],
		chain => { 1 => 'ok', 2 => 'chain_without_issuer ok' } },
	{ name => 'without a root that is known', staples => [ 1, 1, 1 ],
		sent => 'pem', code => 1, finding => 'chain_without_issuer',
		chain => { 1 => 'ok', 2 => 'chain_without_issuer no_issuer' } },
	{ name => 'without the root, a bad one', sent => 'pem', code => 2,
		staples => [ 1, 1, $bad{revoked} ], finding => 'revoked',
		arguments => [ '--cafile', $root->cert() ],
		chain => { 1 => 'ok', 2 => 'revoked' } },

	# somebody in between, whose staples nobody has to believe

	{ name => 'a handshake that fails', staples => [ 'garbled', 1, 1 ],
		code => 3, finding => 'handshake_failed' },

	# bad ones, at each position

	map { my $position = $_; map { my $what = $_; {
		name => "$what at position $position", code => 2,
		staples => [ map { $_ == $position ? $bad{$what} : 1 } 0 .. 2 ],
		finding => $reason{$what} || $what,
		chain => { map { ($_ => $_ == $position
			? $reason{$what} || $what : 'ok') } 1, 2 },
	} } sort keys %bad } 0 .. 2,
);

my %made;
my $port = 8443;
for my $case (@cases) {
	my $leaf = $case->{cert} = $leaf{$case->{leaf} || 'inner'};
	my @chain = ($leaf, $leaf->issuer(), $outer, $root);
	my @staples;
	for my $staple (@{$case->{staples}}) {
		if ($staple eq 'garbled') {
			push @staples, $staple;
			next;
		}
		my $certificate = shift @chain;
		push @staples, !$staple ? '-'
			: ref $staple || $staple eq '1'
			? made($certificate, ref $staple ? @$staple : ())
			: $staple =~ s!^(raw:|)!$1$d/!r;
	}
	$case->{port} = $port++;
	$t->run_daemon(Test::Nginx::Config::tool('test_tls_server'),
		port($case->{port}), "$d/" . $leaf->name() . '.'
			. ($case->{sent} || 'whole'), $leaf->key(), @staples);
}

# two by nginx, whose own stapling knows the leaf only

$t->write_file('leaf.der', $r->response($leaf{inner}));
$t->write_conf(http => [ map { [ 8440 + $_, $leaf{inner},
	'ssl_protocols ' . ($_ == 2 ? 'TLSv1.2' : 'TLSv1.2 TLSv1.3') . ';',
	'ssl_stapling on;', 'ssl_stapling_file leaf.der;' ] } 1, 2 ]);
$t->run();
$t->waitforsocket("127.0.0.1:$_->{port}") or die "no server: $_->{name}\n"
	for @cases;

###############################################################################

my @words = qw/ OK WARNING CRITICAL UNKNOWN /;

for my $case (@cases) {
	my ($name, $code, $finding) = @$case{qw/ name code finding /};
	my ($run, $json) = check($case->{port}, @{$case->{arguments} || []});

	is($run->{status}, $code, "$name: the exit code is $code")
		or diag($run->{output});
	fits($json->{findings}[0]{finding}, $finding,
		"$name: the first finding");
	is($json->{findings}[0]{status}, $words[$code],
		"$name: the first finding decides the status");

	my ($older, $newer) = @{$json->{handshakes}};
	is(scalar @{$json->{handshakes}}, 2,
		"$name: the same certificate again is left out");
	is("@{$older->{findings}}", 'tls_not_supported',
		"$name: the server does not speak TLS 1.2");
	my $chain = $case->{chain};
	is($newer->{certificate}{id}, $chain ? $case->{cert}->id() : undef,
		"$name: the server's certificate is shown");
	is("@{$newer->{findings}}", $case->{leaf_findings},
		"$name: the findings of the leaf") if $case->{leaf_findings};
	is(join(' ', map { $_->{position} } @{$newer->{chain} || []}),
		join(' ', sort keys %{$chain || {}}),
		"$name: the positions that are told of") or diag($run->{output});
	my @subjects = ('', $case->{cert}->issuer()->name(), 'outer', 'root');
	for my $other (@{$newer->{chain} || []}) {
		my $at = $other->{position};
		is($other->{subject}, "CN=$subjects[$at]",
			"$name: the certificate at position $at");
		fits("@{$other->{findings}}", $chain->{$at},
			"$name: the findings at position $at");
	}

	# the same in words

	$run = $t->command([ $tool, 'check', '127.0.0.1:' . port($case->{port}),
		@{$case->{arguments} || []} ], timeout => 30);
	is($run->{status}, $code, "$name: the exit code of the text form");
	my ($first, @lines) = split /\n/, $run->{output};
	my %line = map { /^TLS 1\.3, position (\d+), CN=(\w+): (.*)$/
		? ($1 => [ $2, $3 ]) : () } @lines;
	is(join(' ', sort keys %line), join(' ', sort keys %{$chain || {}}),
		"$name: one line for each position") or diag($run->{output});
	for my $at (sort keys %line) {
		my ($subject, $text) = @{$line{$at}};
		is($subject, $subjects[$at],
			"$name: the name on the line of position $at");
		fits(join(' ', $text =~ /\((\w+)\)(?:; |$)/g), $chain->{$at},
			"$name: the findings on the line of position $at");
		my $is_bad = $text =~ /\((?!ok\))\w+\)(?:; |$)/;
		is($first =~ /position $at, CN=$subject: / ? 1 : 0,
			$is_bad ? 1 : 0, "$name: the first line tells what is"
				. " wrong at position $at, and nothing else");
	}
}

# a server that staples its own certificate only: nothing of this is told

my ($run, $json) = check(8441);
is($run->{status}, 0, 'the leaf alone, by nginx: the exit code is 0');
ok(!exists $_->{chain}, "the leaf alone, by nginx: TLS $_->{tls} has no chain")
	for @{$json->{handshakes}};
$run = $t->command([ $tool, 'check', '127.0.0.1:' . port(8441) ]);
my $good = qr/staple good, ends in [^|\n]+ \(\S+Z\)/;
like($run->{output}, qr/\AOCSP OK - \S+: $good \| \S+\n(?:TLS 1\.[23], CN=[^:]+: $good \(ok\)\n){2}\z/,
	'the leaf alone, by nginx: three lines');
($run, $json) = check(8441, '--chain');
is($run->{status}, 2, 'the leaf alone, by nginx, all wanted: the exit code is 2');
ok(!exists $json->{handshakes}[0]{chain},
	'the leaf alone, by nginx, all wanted: TLS 1.2 has no chain');

# TLS 1.2 alone

($run, $json) = check(8442);
is($run->{status}, 0, 'TLS 1.2 alone: the exit code is 0');
($run, $json) = check(8442, '--chain');
is($run->{status}, 1, 'TLS 1.2 alone, all wanted: the exit code is 1');
is("$json->{findings}[0]{finding} $json->{findings}[0]{status}",
	'tls_not_supported WARNING',
	'TLS 1.2 alone, all wanted: it is told that it has no room for them');
($run, $json) = check(8999, '--chain');
is($run->{status}, 3, 'no server, all wanted: the exit code is 3');

# steps

$run = $t->command([ $tool, 'check', '127.0.0.1:' . port($cases[0]{port}), '-v' ]);
my $staple = qr/a staple of \d+ bytes/;
like($run->{output}, qr/TLS 1\.3: 4 certificates, $staple, at position 1 $staple, at position 2 $staple$/m,
	'-v prints what the server sent');

$t->done_testing();

###############################################################################

# the file of a response with these settings
sub made {
	my ($certificate, @settings) = @_;
	my $name = $certificate->name();
	return $made{$name, @settings} ||= do {
		$r->set(@settings, leaf => $certificate) if @settings;
		my $file = $t->write_file('staple' . keys(%made) . '.der',
			$r->response($certificate));
		$r->reset();
		$file;
	};
}

sub check {
	my ($number, @arguments) = @_;
	my $seen = $t->command([ $tool, 'check', '127.0.0.1:' . port($number),
		'--json', @arguments ], timeout => 30);
	return ($seen, eval { JSON::PP::decode_json($seen->{output}) } || {});
}

sub fits {
	my ($seen, $wanted, $what) = @_;
	return ref $wanted ? like($seen, $wanted, $what)
		: is($seen, $wanted, $what);
}

###############################################################################
