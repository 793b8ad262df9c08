#!/usr/bin/perl

# Tests for another module that sets responses of its own and replaces the
# status callback (t/lib/tools/foreign_callback.c): what is held goes out all
# the same, a foreign response only where nothing is held and none is required.
# t/with_lua.t has the module that is known for it.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Counters;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 180)
	->has(qw/ http_ssl http_v2 stream_ssl shared_openssl /)
	->has_daemon('curl');

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
# the first port is asked by nginx, the second says nothing, the third is for
# what ends soon, the fourth makes what the other module has
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083, 8084 ]);
my %on = (held => 1, none => 2, strict => 2, omit => 1, off => 1, short => 3);
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url($on{$_})) }
	keys %on;
$leaf{must} = $int->leaf('must.example', aia => $r->url(2), must_staple => 1);
my @names = sort keys %leaf;
$r->fault('http_500', on => 2);
$r->validity(this_update => -1800, on => 4);
my %foreign = map { $_ => $r->response($leaf{$_}, on => 4) } @names;
$r->status($leaf{omit}, 'revoked', on => 1);
$r->validity(next_update => 8, on => 3);

my $dir = $t->testdir();
my $restored = 0;
my $set = "$dir/foreign";
mkdir $set or die "Can't make $set: $!\n";
chmod 0755, $dir, $set;

my %lines = (strict => 'ocsp_plus_require on;', off => 'ocsp_plus off;',
	omit => 'ocsp_plus_revoked omit;',
	must => 'ocsp_plus_require must_staple;');
my %port = (held => 8450, none => 8451, strict => 8452);

$t->write_file('index.html', 'served');
my $log = '$ocsp_plus_staple $ocsp_plus_cert_status\'; '
	. "access_log $dir/staple.log staple;";
$t->write_conf(workers => 1,
	stream => [ "log_format staple 'stream $log",
		'ssl_protocols TLSv1.2 TLSv1.3;', 'ocsp_plus on;',
		map { [ $port{$_}, "$_.example", $lines{$_} // (),
			'return served;' ] } sort keys %port ],
	http => [ "log_format staple '\$ssl_server_name $log",
		'ssl_protocols TLSv1.2 TLSv1.3;', 'ssl_ecdh_curve X25519;',
		'ssl_session_cache shared:one:1m;', 'ocsp_plus on;',
		'ocsp_plus_retry 1s 1s;',
		# connections come to the first one, whose ocsp_plus is off
		(map { [ '8443 ssl http2', "$_.example", $lines{$_} // () ] }
			sort { $b eq 'off' } @names),
		[ 8080, undef, 'location /status { ocsp_plus_status json; }',
			'location /metrics { ocsp_plus_status prometheus; }' ] ]);

my $tool = Test::Nginx::Config::tool('libforeign_callback.so');
$t->env(LD_PRELOAD => $tool, FOREIGN_RESPONSES => $set);
$t->run();

is(wait_staple(8443, 'good', servername => "$_.example", seconds => 20)
	->{status}, 'good',
	"$_: the certificate is stapled") for qw/ held short /;
my $ours = staple_fast(8443, 'held.example');
ok($ours && $ours ne $foreign{held},
	"our response differs from the other module's");
is(document()->{callbacks_replaced}, 0,
	'no callback counts as replaced before the other module acts');
cmp_ok(document()->{zone}{size}, '>', 100 << 20,
	'the zone has room for certificates that another module may load');

###############################################################################

# a response of ours that went into the answer to the first of two hellos and
# has ended since is not taken for a foreign one; the others come by then

my ($relayed, $relay) = relay();
my $told = "$dir/client.out";
my $client = child(sub {
	my $seen = staple($relayed, servername => 'short.example', tls => '1.3',
		curves => 'P-521:X25519', timeout => 60);
	$t->write_file("$told.new", "$seen->{handshake} $seen->{status}");
	rename "$told.new", $told;
});
ok(wait_for(sub { -e "$dir/held" }, 20, 'the hello'),
	'a connection with a second hello is held between the hellos');
$r->fault('close', on => 3);
ok(wait_for(sub { !defined staple_fast(8443, 'short.example') }, 30, 'the end of the short response'),
	'the response expires while the second hello waits');
$t->write_file('release', '');
ok(wait_for(sub { -e $told }, 20, 'the client'),
	'the handshake with a second hello is completed');
is($t->read_file($told), '1 none',
	'a response that expired between two hellos is not sent');
waitpid($_, 0) for $client, $relay;

###############################################################################

# a module that does so in each handshake

my $mark = $t->log_mark();
set($_) for @names;
my $counters = Test::Nginx::Counters->new('/status');
for my $tls ('1.2', '1.3') {
	my %got = map { $_ => fast(8443, $_, tls => $tls) } @names;
	is($got{held}{der}, $ours,
		"TLS $tls: our response is sent where one is held");
	is($got{none}{der}, $foreign{none},
		"TLS $tls: the other module's response is sent where none is held");
	is($got{$_}{ok}, 0,
		"TLS $tls: the other module's response does not satisfy "
		. "ocsp_plus_require: $_")
		for qw/ strict must /;
	ok($got{omit}{ok},
		"TLS $tls: ocsp_plus_revoked omit does not refuse the handshake");
	is($got{omit}{der}, undef,
		"TLS $tls: ocsp_plus_revoked omit sends no response of the other module");
	is($got{off}{der}, $foreign{off},
		"TLS $tls: the other module's response is sent where ocsp_plus is off");
	counted("TLS $tls", stapled => 1, missing => 1, refused => 2, foreign => 2);

	is(fast($port{held}, 'held', tls => $tls)->{der}, $ours,
		"TLS $tls, stream: our response is sent where one is held");
	is(fast($port{none}, 'none', tls => $tls)->{der}, $foreign{none},
		"TLS $tls, stream: the other module's response is sent where none is held");
	is(fast($port{strict}, 'strict', tls => $tls)->{ok}, 0,
		"TLS $tls, stream: a handshake that requires a staple is refused");
	counted("TLS $tls, stream", stapled => 1, refused => 1, foreign => 1);

	my $file = "$dir/session-$tls";
	staple(8443, servername => 'none.example', tls => $tls,
		sess_out => $file);
	counted("TLS $tls, a full handshake", foreign => 1);
	is(staple(8443, servername => 'none.example', tls => $tls,
		sess_in => $file)->{resumed}, 1,
		"TLS $tls: the session is resumed");
	counted("TLS $tls, a resumed session");
}

for my $case ([ held => 'sent good' ], [ none => 'foreign -' ]) {
	my ($name, $variables) = @$case;
	my $lines = logged("$name.example $variables");
	like(get($name), qr/served/, "$name: a request is served");
	ok(wait_for(sub { logged("$name.example $variables") > $lines }, 5, 'log'),
		"$name: the variables tell whose response was sent");
}
staple($port{none}, servername => 'none.example',
	request => "hello\r\n");
ok(wait_for(sub { logged('stream foreign -') }, 5, 'log'),
	'stream: the variables tell whose response was sent');
ok(wait_for(sub {
	$counters->now()->{requested} == $counters->was()->{requested} + 3 }, 5,
	'the counters'), 'the handshakes of the requests are counted');
$counters->look();

# a hello that is repeated

is(staple(8443, servername => 'held.example', tls => '1.3',
	curves => 'P-521:X25519')->{status}, 'good',
	'a repeated hello: our response is sent where one is held');
counted('a repeated hello with our response', stapled => 1);
is(staple(8443, servername => 'none.example', tls => '1.3',
	curves => 'P-521:X25519')->{status}, 'good',
	"a repeated hello: the other module's response is sent where none is held");
counted("a repeated hello with the other module's response", foreign => 1);

# told, and counted

my @lines = $t->log_lines(qr/another module has replaced/, $mark);
like($_, qr/\[error\]/, 'a replaced callback is logged as an error') for @lines;
my %lines_of;
$lines_of{/server="([^"]*)"/ ? $1 : ''}++ for @lines;
is($lines_of{"$_.example"}, 1,
	"$_: the replaced callback is logged once with the server's name")
	for qw/ held none strict must omit /;
is(scalar(grep { /nginx\.conf:\d+$/ } keys %lines_of), 3,
	'stream: the replaced callbacks are logged with their lines');
is($lines_of{'off.example'}, undef,
	'a replaced callback is not logged where ocsp_plus is off');
my $replaced = document()->{callbacks_replaced};
cmp_ok($replaced, '>', scalar(@lines), 'each replaced callback is counted');
like(http_get('/metrics'), qr/^ocsp_plus_callbacks_replaced_total $replaced$/m,
	'the metrics have the replaced callbacks');
my $foreign = $counters->was()->{foreign};
like(http_get('/metrics'),
	qr/^ocsp_plus_handshakes_total\{staple="foreign"\} $foreign$/m,
	'the metrics have the handshakes with foreign responses');

# over a reload

$t->reload(old_gone => 1);
is(fast(8443, 'held')->{der}, $ours,
	'after a reload: our response is sent where one is held');
is(fast(8443, 'none')->{der}, $foreign{none},
	"after a reload: the other module's response is sent where none is held");
counted('handshakes after a reload', stapled => 1, foreign => 1);
$t->stop();

###############################################################################

# a module that has also taken what is asked before the status callback is: one
# handshake escapes, no request and no session where a staple is required

unset($_) for @names;
$t->env(FOREIGN_BLIND => 1);
$mark = $t->log_mark();
$t->run();
is(wait_staple(8443, 'good', servername => 'held.example', seconds => 20)
	->{status}, 'good', 'blind: the certificate is stapled');
$ours = staple_fast(8443, 'held.example');
$counters->look();

set('held');
is(fast(8443, 'held')->{der}, $foreign{held},
	"blind: one handshake gets the other module's response");
unset('held');
ok(restored(), 'blind: the replaced callback is noticed on a heartbeat');
is(staple_fast(8443, 'held.example'), $ours,
	'blind: the next handshake gets our response');
ok(document()->{callbacks_replaced} > 0,
	'blind: the replaced callback is counted');

# each of them is settled with its first request, whatever it got

$counters->look();
set('none');
like(get('none'), qr/served/,
	'blind: a request is served where no staple is required');
unset('none');
counted('blind, a foreign response', foreign => 1);
ok(restored(), 'blind: the callback is restored');

for my $name (qw/ strict must /) {
	like(get($name, status => 0), qr/served/,
		"blind, $name: a client that does not ask is served");
	my $since = $t->log_mark();
	set($name);
	my $got = get($name);
	unset($name);
	like($got, qr/Verification|CONNECTED/i,
		"blind, $name: the connection is established");
	unlike($got, qr/served|HTTP\/1/,
		"blind, $name: the request is ended without an answer");
	counted("blind, $name, an ended request", refused => 1);
	ok($t->wait_log(
		qr/\[error\].* connection closed: .*certificate="$name\.example"/,
		5, $since),
		"blind, $name: the ended connection is logged") if $name eq 'strict';
	ok(restored(), "blind, $name: the callback is restored");
	is(fast(8443, $name)->{ok}, 0,
		"blind, $name: the next handshake is refused");
	counted("blind, $name, a refused handshake", refused => 1);
}

# http/2: each request of the connection, which counts once

set('strict');
my $url = 'https://strict.example:' . port(8443) . '/';
my $curl = $t->command([ 'curl', '-sS', '--http2', '--cacert', $root->cert(),
	'--cert-status', '--resolve', 'strict.example:' . port(8443)
	. ':127.0.0.1', $url, $url ]);
unset('strict');
unlike($curl->{output}, qr/served/,
	'blind, http/2: no request of the connection is served');
ok(wait_for(sub {
	$counters->now()->{refused} > $counters->was()->{refused} }, 5, 'counter'),
	'blind, http/2: the refused connection is counted');
ok(restored(), 'blind, http/2: the callback is restored');
$counters->look();

# stream

set('strict');
my $session = staple($port{strict}, servername => 'strict.example',
	request => "hello\r\n");
unset('strict');
unlike($session->{output}, qr/served/, 'blind, stream: the session is ended');
counted('blind, stream, an ended session', refused => 1);
ok(restored(), 'blind, stream: the callback is restored');

$t->done_testing();

###############################################################################

# What the other module has for a server from now on.
sub set {
	my ($name) = @_;
	$t->write_file("foreign/$name.new", $foreign{$name});
	rename "$set/$name.new", "$set/$name.example.der"
		or die "Can't rename $name.new: $!\n";
}

sub unset { unlink "$set/$_[0].example.der" }

sub fast {
	my ($port, $name, %opt) = @_;
	my $got = handshake_fast($port, "$name.example", %opt);
	$got->{ok} = $got->{ok} ? 1 : 0;
	return $got;
}

# No handshake puts it back here.
sub restored {
	my $count;
	wait_for(sub {
		$count = document()->{callbacks_replaced};
		return $count > $restored;
	}, 10, 'the beat') or return 0;
	$restored = $count;
	return 1;
}

sub get {
	my ($name, %opt) = @_;
	return staple(8443, servername => "$name.example", %opt,
		request => "GET / HTTP/1.1\r\nHost: $name.example\r\n"
			. "Connection: close\r\n\r\n")->{output};
}

sub logged {
	my ($line) = @_;
	return scalar(() = $t->read_file('staple.log') =~ /^\Q$line\E$/mg);
}

sub document { return http_json('/status') }

sub counted {
	my ($what, %more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $counters->grew("$what: the counters are right", %more);
}

sub child {
	my ($work) = @_;
	my $pid = fork() // die "Can't fork: $!\n";
	return $pid if $pid;
	eval { $work->(); 1 } or print STDERR $@;
	POSIX::_exit(0);
}

# One connection to 8443 whose second flight of the client waits for the file
# "release"; "held" is there once it waits.
sub relay {
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
		or die "Can't listen: $!\n";
	return ($listen->sockport(), child(sub {
		my $client = $listen->accept();
		my $server = IO::Socket::INET->new(
			PeerAddr => '127.0.0.1:' . port(8443)) or die "$!\n";
		my $both = IO::Select->new($client, $server);
		my $flights = 0;
		while (my @ready = $both->can_read(60)) {
			for my $from (@ready) {
				sysread($from, my $data, 65536) or return;
				if ($from == $client && ++$flights == 2) {
					$t->write_file('held', '');
					wait_for(sub { -e "$dir/release" }, 60);
				}
				syswrite($from == $client ? $server : $client, $data);
			}
		}
	}));
}

###############################################################################
