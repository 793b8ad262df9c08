#!/usr/bin/perl

# Tests of ocsp_plus_chain with the clients that read the staples of CA
# certificates, and with some that do not.  Clients that demand all staples are
# content with all of them; and whatever becomes of a CA's response, no client
# refuses a server that it takes by the leaf's staple alone.  Java and Erlang
# where they are installed (scripts/test --clients).

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

my $t = Test::Nginx->new(timeout => 300)->has(qw/ http_ssl http_v2 /)
	->has_daemon('gnutls-cli');
my $can = $t->feature('openssl 3.6');
my $h3 = $t->feature('http_v3');

# what can be wrong with the response of a CA certificate
my %faults = (
	expired => [ fault => 'expired' ],
	ranout => [ next_update => 4 ],
	revoked => [ status => 'revoked', revoked_at => time() - 3600 ],
	stranger => [ fault => 'foreign_signer' ],
	early => [ fault => 'future' ],
	unknown => [ status => 'unknown' ],
	later => [ fault => 'try_later' ],
	garbage => [ fault => 'garbage' ],
	bare => [ fault => 'not_basic' ],
	empty => [ fault => 'no_responses' ],
	absent => [ fault => 'http_500' ],
	serial => [ fault => 'other_serial' ],
	issuer => [ fault => 'other_issuer' ],
);
my %signers = (name => [ rid => 'name' ], key => [ rid => 'key' ],
	delegated => [ signer => 'delegated' ]);
my @signers = sort keys %signers;

# Chains of good responses for each way to sign them: to a root that clients
# trust, to one that they do not although they trust an intermediate, by a
# cross-certificate to one that they do not need, and of certificates that demand
# staples.  Then those with one bad response, where the ways take turns.
my $root = Test::Nginx::CA->new($t);
my $new = Test::Nginx::CA->new($t, 'new');
my $r = Test::Nginx::Responder->start($t, ca => [ $root, $new ],
	signers => [ map { $_->responder_cert('signer.' . $_->name()) }
		$root, $new ]);
my $cross = $root->intermediate('cross', subject_of => $new, key_of => $new,
	aia => $r->url());
my (%chain, %bad);
for my $signer (@signers) {
	add("good.$signer", $root, $signer);
	add("partial.$signer", $root, $signer);
	add("cross.$signer", $new, $signer);
	add("must.$signer", $root, $signer);
}
my $turn = 0;
for my $fault (sort keys %faults) {
	add("$fault.$_", $root, $signers[$turn++ % @signers], $_) for 1, 2;
}
my @names = sort keys %chain;
my @good = grep { /^good\..*\.rooted$/ } @names;
my @rooted = grep { /\.rooted$/ } @names;
my $client = $root->leaf('client');

my $any = 'location / { return 200; }';
my @log = ('access_log chain.log chain;', $any);
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_chain on;',
	'ocsp_plus_revoked omit;', 'ocsp_plus_cache off;',
	'ssl_protocols TLSv1.2 TLSv1.3;', 'server_names_hash_bucket_size 128;',
	'log_format chain "$ssl_server_name $server_protocol $ssl_client_verify'
		. ' $ocsp_plus_staple/$ocsp_plus_chain";', 'access_log off;',
	map({ my $leaf = $chain{$_}{leaf};
		([ 8443, $leaf, $any ],
			[ 8444, $leaf, $any, 'ocsp_plus_chain off;' ],
			[ 8445, $leaf, $any, 'ocsp_plus_revoked staple;' ]);
	} @names),
	map({ my $leaf = $chain{$_}{leaf};
		([ '8446 ssl http2', $leaf, @log ],
			[ 8447, $leaf, @log, 'ssl_ecdh_curve secp384r1;' ],
			[ 8448, $leaf, @log, 'ssl_verify_client on;',
				'ssl_client_certificate root.crt;' ],
			$h3 ? [ '8449 quic', $leaf, @log ] : ());
	} @good),
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);
$t->run();

my @late;
ok(wait_for(sub {
	@late = grep { !$_->{last_attempt}
		|| $_->{state} ne 'valid' && !$bad{$_->{id}} }
		@{http_json('/')->{certificates}};
	return !@late;
}, 30), 'all were asked for, and the good responses are there')
	or diag(map { "$_->{subject}: $_->{state}\n" } @late);
# Nobody can ask after this, and what runs out is not replaced.
$r->stop();
ok(wait_for(sub {
	!grep { $_->{state} eq 'valid' && $bad{$_->{id}} }
		@{http_json('/')->{certificates}};
}, 20), 'the last of the others has run out');

###############################################################################

# what is on the wire

my %came = map { $_ => wire($_, 8443) } @names;
for my $name (@names) {
	is($came{$name}, $can ? $chain{$name}{most} : 1,
		"$name: staples on the wire: $came{$name}");
}
is_deeply([ grep { wire($_, 8444) != 1 } @names ], [],
	"ocsp_plus_chain off: the leaf's alone");
for my $name (grep { /^revoked/ } @names) {
	is(wire($name, 8445), $came{$name}
		+ ($can && $name ne 'revoked.2.bare' ? 1 : 0),
		"$name: the one that says so is sent where it is not omitted");
}

# each client in all cases, with the staples of the chain and without, and with
# one that says revoked

my $dead = 'http://127.0.0.1:' . port(8998) . '/';
my @java = ('java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC',
	"$FindBin::Bin/lib/tools/Staples.java", $dead);
my @erlang = ('escript', "$FindBin::Bin/lib/tools/staples.escript");
my $java = help(qw/ java --list-modules /) =~ /^jdk\.compiler\b/m;

# What they want: all staples; none that is bad; the leaf's alone, or none.
my %wants = (
	'openssl s_client' => 'leaf',
	'curl --cert-status' => 'leaf',
	'java none' => 'leaf',
	'gnutls-cli' => 'sound',
	'erlang' => 'sound',
	'java soft' => 'sound',
	'java hard' => 'all',
	'openssl s_client -ocsp_check_all' => 'all',
);
my %ask = (
	'openssl s_client' => each_by(\&s_client),
	'gnutls-cli' => each_by(\&gnutls),
	help(qw/ openssl s_client -help /) =~ /-ocsp_check_all/
		? ('openssl s_client -ocsp_check_all' => each_by(\&check_all)) : (),
	help(qw/ curl --version /) =~ /OpenSSL/
		? ('curl --cert-status' => each_by(\&curl)) : (),
	many(\@erlang, [ $good[0], 8444 ])->[0] =~ /^ok/
		? (erlang => sub { many(\@erlang, @_) }) : (),
	$java ? map({ my $mode = $_;
		("java $mode" => sub { many(\@java, map { [ @$_, $mode ] } @_) });
	} qw/ hard soft none /) : (),
);
for my $who (sort keys %wants) {
	my $wants = $wants{$who};
	SKIP: {
		skip "$who is not installed", 4 unless $ask{$who};

		# a process for each, so those that see no difference do fewer
		my @some = $wants eq 'leaf' ? @rooted : @names;
		my @revoked = grep { /^revoked/ } @rooted;
		my @cases = ((map { my $port = $_; map { [ $_, $port ] } @some }
			8443, 8444), (map { [ $_, 8445 ] } @revoked));
		my $said = $ask{$who}->(@cases);
		my %told;
		$told{$cases[$_][1]}{$cases[$_][0]} = $said->[$_] for 0 .. $#cases;
		my ($on, $off, $bad) = @told{8443, 8444, 8445};

		my @worse = grep { $off->{$_} =~ /^ok/ && $on->{$_} !~ /^ok/ } @some;
		is_deeply(\@worse, [],
			"$who: refuses no chain that it takes by the leaf's staple")
			or diag(map { "$_: $on->{$_}\n" } @worse);
		note("$who: takes of ", scalar @some, ': ', taken($on),
			" by the staples of the chain, ", taken($off), " by the leaf's");

		my @plain = grep { !/^(?:partial|cross|must)/ } @some;
		my @taken = $wants eq 'all' ? () : @plain;
		is_deeply([ grep { $off->{$_} =~ /^ok/ } @plain ], \@taken,
			"$who: by the leaf's staple it takes " . @taken)
			or diag(map { "$_: $off->{$_}\n" } @plain);
		@taken = grep { $came{$_} == 3 } @plain if $wants eq 'all';
		is_deeply([ grep { $on->{$_} =~ /^ok/ } @plain ], \@taken,
			"$who: by those of the chain it takes " . @taken)
			or diag(map { "$_: $on->{$_}\n" } @plain);
		# so those that are to read them do
		is(taken($bad), $wants eq 'leaf' || $wants eq 'sound' && !$can
			? @revoked : 0, "$who: what it takes of revoked CAs")
			or diag(map { "$_: $bad->{$_}\n" } @revoked);
	}
}

SKIP: {
	skip 'no chain is stapled', 1 unless $can;
	my @must = map { "$_: " . gnutls($_, 8443) } grep { /^must/ } @rooted;
	is_deeply([ grep { !/: ok$/ } @must ], [],
		'gnutls-cli: takes chains that demand all staples') or diag(@must);
}

# over HTTP/2 and 3, with a hello that is repeated, with a certificate of the
# client; none in a session that is resumed

my %ways = (8446 => 'HTTP/2', 8447 => 'HelloRetryRequest',
	8448 => 'client certificates');
my $p12 = $t->testdir() . '/client.p12';
help(qw/ openssl pkcs12 -export -passout pass:staples -out /, $p12, '-in',
	$client->cert(), '-inkey', $client->key());
for my $port (sort keys %ways) {
	for my $name (@good) {
		is(wire($name, $port), $can ? 3 : 1, "$ways{$port}, $name: all staples")
			if $port != 8448;
		my @args = $port == 8446 ? ('-alpn', 'h2') : $port == 8448
			? ('-cert', $client->cert(), '-key', $client->key()) : ();
		like(($can ? \&check_all : \&s_client)->($name, $port, @args), qr/^ok/,
			"$ways{$port}, $name: openssl takes them");
		@args = $port == 8446 ? ('--alpn', 'h2') : $port == 8448
			? ('--x509certfile', $client->cert(), '--x509keyfile',
				$client->key()) : ();
		like(gnutls($name, $port, '--ocsp', @args), qr/^ok/,
			"$ways{$port}, $name: GnuTLS takes them");
	}
	next unless $java;
	my @cases = map { [ $_, $port, $can ? 'hard' : 'soft',
		$port == 8446 ? 'h2' : () ] } @good;
	my $said = many([ @java, $port == 8448 ? $p12 : () ], @cases);
	my $last = $port == 8446 ? 'h2' : 'HTTP/1.1 200 OK';
	is_deeply($said, [ ("ok TLSv1.3 $last") x @good ],
		"$ways{$port}: Java takes them");
}
is(handshake_fast(8447, $good[0], wire => 1)->{hellos}, 2,
	'the hello was repeated');

my $first = handshake_fast(8443, $good[0], keep_session => 1, tls => '1.3');
my $again = handshake_fast(8443, $good[0], session => $first->{session},
	tls => '1.3', wire => 1);
is("$again->{resumed} " . @{$again->{staples}}, '1 0',
	'a session that is resumed has no staples');

SKIP: {
	skip 'no HTTP/3', scalar @good unless $h3;
	my $quic = help(qw/ openssl s_client -help /) =~ /^ -quic/m;
	my $curl = help(qw/ curl --version /) =~ /OpenSSL.* HTTP3/s;
	for my $name (@good) {
		my @said;
		push @said, ($can ? \&check_all : \&s_client)->($name, 8449, '-quic',
			'-alpn', 'h3') if $quic;
		push @said, curl($name, 8449, '--http3-only') if $curl;
		is_deeply(\@said, [ ('ok') x @said ], "HTTP/3, $name: "
			. ($quic ? 'openssl, ' : '') . ($curl ? 'curl, ' : '')
			. 'they take them');
	}
}

# what the log says of the handshakes that had a request
my %logged;
$logged{$_}++ for map { s/^\S+ //r } split /\n/, $t->read_file('chain.log');
my $staples = 'sent/' . ($can ? 2 : 0);
note(join ', ', map { "$_: $logged{$_}" } sort keys %logged);
is_deeply([ grep { !m!^HTTP/[123]\.\d (?:NONE|SUCCESS) \Q$staples\E$! }
	keys %logged ], [], "all handshakes were logged as $staples");
ok($logged{"HTTP/1.0 SUCCESS $staples"}, 'clients showed a certificate')
	if $java;

$t->done_testing();

###############################################################################

# A leaf, two intermediates and what leads to the root; of the response at this
# position something is wrong, as the name says.
sub add {
	my ($case, $top, $signer, $position) = @_;
	# RFC 7633 section 4.2.2: what a CA demands, all that it issues has to
	my @common = (aia => $r->url(), must_staple => $case =~ /^must/ ? 1 : 0);
	my $outer = $top->intermediate("outer.$case", @common);
	my $inner = $outer->intermediate("inner.$case", @common);
	my @between = ($inner, $outer, $top == $new ? $cross : ());
	for my $ca ($inner, $outer) {
		$r->add_ca($ca);
		$r->add_signer($ca->responder_cert('signer.' . $ca->name(), @common));
	}
	for my $end (qw/ rooted bare /) {
		my $name = "$case.$end";
		my $leaf = $inner->leaf($name, @common);
		$t->write_file($leaf->chain(), join '', map { $t->read_file($_->cert()) }
			$leaf, @between, $end eq 'rooted' ? $root : ());
		my $most = 1 + @between - ($end eq 'bare' ? 1 : 0);
		$most = $position if $position && $position < $most;
		my $trusted = $case =~ /^partial/ ? $outer : $top;
		$chain{$name} = { leaf => $leaf, most => $most,
			roots => $trusted->cert() };
		$r->set(leaf => $leaf, @{$signers{$signer}});
	}
	$r->set(leaf => $_, @{$signers{$signer}}) for $inner, $outer;
	return unless $position;
	my ($fault) = $case =~ /^(\w+)/;
	my $one = $between[$position - 1];
	$r->set(leaf => $one, @{$faults{$fault}});
	$bad{$one->id()} = 1;
}

# how many staples come, none after a gap
sub wire {
	my ($name, $port) = @_;
	my $staples = handshake_fast($port, $name, wire => 1, tls => '1.3')
		->{staples};
	my $number = 0;
	$number++ while $number < @$staples && defined $staples->[$number];
	return grep({ defined } @$staples) == $number ? $number : 'with a gap';
}

sub help { return $t->command([ @_ ])->{output} }

sub s_client {
	my ($name, $port, @args) = @_;
	my $seen = staple($port, servername => $name, args => [ '-CAfile',
		$chain{$name}{roots}, '-partial_chain', '-verify_return_error',
		'-verify_hostname', $name, @args ]);
	return $seen->{output} =~ /^Verification: OK/m ? 'ok'
		: "refused $seen->{output}";
}

sub check_all { return s_client(@_, '-ocsp_check_all') }

sub gnutls {
	my ($name, $port, @args) = @_;
	my $said = help('gnutls-cli', '--x509cafile', $chain{$name}{roots},
		'--sni-hostname', $name, '--verify-hostname', $name, @args, '--port',
		port($port), '127.0.0.1');
	return $said =~ /^- Status: The certificate is trusted/m
		&& $said =~ /^- Handshake was completed/m ? 'ok' : "refused $said";
}

sub curl {
	my ($name, $port, @args) = @_;
	my $run = $t->command([ 'curl', '-sS', '--cert-status', '--cacert',
		$chain{$name}{roots}, '--resolve', "$name:" . port($port)
		. ':127.0.0.1', @args, "https://$name:" . port($port) . '/' ]);
	return $run->{status} == 0 ? 'ok' : "refused $run->{output}";
}

sub each_by {
	my ($client) = @_;
	return sub { [ map { $client->(@$_) } @_ ] };
}

sub taken { return scalar grep { /^ok/ } values %{$_[0]} }

# What one of the programs for several handshakes says of each: name, port and
# what else it wants.
sub many {
	my ($command, @cases) = @_;
	my $input = join '', map {
		my ($name, $port, @more) = @$_;
		join(' ', $name, port($port), $chain{$name}{roots}, @more) . "\n";
	} @cases;
	my $run = $t->command($command, stdin => $input, timeout => 120);
	my @said = split /\n/, $run->{output};
	return [ map { $said[$_] // "refused $run->{output}" } 0 .. $#cases ];
}
