#!/usr/bin/perl

# Tests for certificates that nginx loads per connection: no staple in the first
# handshake, one in the next, and all that holds for configured ones.

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
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url()) } qw/
	first second third data required fixed stream gone late /;
$leaf{alone} = $int->leaf('alone.example', aia => $r->url(), chain => 0);
$leaf{must} = $int->leaf('must.example', aia => $r->url(), must_staple => 1);
$leaf{silent} = $int->leaf('silent.example');
# of somebody else, who is not in ocsp_plus_trusted_certificate, but answered by
# the same responder
my $other = Test::Nginx::CA->new($t, 'other');
$leaf{lonely} = $other->leaf('lonely.example', aia => $r->url(), chain => 0);
$r->status($leaf{gone}, 'revoked');

# workers read the files
my $dir = $t->testdir();
chmod 0644, map { $_->key() } values %leaf;

my %pem = (cert => $t->read_file('data.example.pem'),
	key => $t->read_file('data.example.key'));

my $any = "$dir/\$ssl_server_name";
sub configure {
	my ($name) = @_;
	$t->write_conf(workers => 2,
		stream => [ 'ocsp_plus on;', 'ocsp_plus_trusted_certificate root.crt;',
			q{log_format staple '$ocsp_plus_staple $ocsp_plus_cert_id';},
			"access_log $dir/stream.log staple;",
			[ 8450, $any, 'ocsp_plus_trusted_certificate int.crt;',
				'return ok;' ] ],
		http => [ q{log_format staple '$ssl_server_name $ocsp_plus_staple }
			. q{$ocsp_plus_cert_status $ocsp_plus_cert_id';},
			"access_log $dir/staple.log staple;",
			qq{map \$ssl_server_name \$cert { default "$pem{cert}"; }},
			qq{map \$ssl_server_name \$key { default "$pem{key}"; }},
			'ocsp_plus on;', 'ocsp_plus_retry 1s 2s;',
			'ocsp_plus_trusted_certificate int.crt;',
			'ocsp_plus_startup_wait 1s;',
			[ 8443, $any, "server_name $name;" ],
			[ '8444 ssl', undef, 'ssl_certificate data:$cert;',
				'ssl_certificate_key data:$key;' ],
			[ 8445, $any, 'ocsp_plus_require on;' ],
			[ 8446, $any, 'ocsp_plus_require must_staple;',
				'ocsp_plus_revoked omit;' ],
			[ 8447, 'fixed.example' ],
			[ 8448, $any, 'ocsp_plus off;' ],
			[ 8080, undef, 'location /status { ocsp_plus_status json; }',
				'location /control { ocsp_plus_control; allow all; }' ] ]);
}
configure('all.example');
$t->run();

###############################################################################

# first and next

for my $name (qw/ first second third /) {
	my $seen = staple(8443, servername => "$name.example");
	is("$seen->{handshake} $seen->{status}", '1 none',
		"$name: the first handshake has no staple");
	is(wait_staple(8443, 'good', servername => "$name.example")->{serial},
		$leaf{$name}->serial(), "$name: a later handshake is stapled");
	is(scalar($r->requests(leaf => $leaf{$name})), 1,
		"$name: the responder is asked once");
}
is(staple(8443, servername => 'first.example', tls => '1.2')->{status}, 'good',
	'a certificate loaded per connection is stapled over TLS 1.2');
is(staple(8443, servername => 'first.example', status => 0)->{status}, 'none',
	'a client that does not ask gets no staple');
is(wait_staple(8444, 'good', servername => 'data.example')->{serial},
	$leaf{data}->serial(), 'a certificate given as data is stapled');
is(wait_staple(8450, 'good', servername => 'stream.example')->{serial},
	$leaf{stream}->serial(), 'a certificate loaded in stream is stapled');
is(staple(8448, servername => 'first.example')->{status}, 'none',
	'a server with ocsp_plus off does not staple a loaded certificate');

# a certificate that is configured somewhere is loaded elsewhere

is(wait_staple(8447, 'good')->{status}, 'good',
	'a configured certificate is stapled');
is(staple(8443, servername => 'fixed.example')->{status}, 'good',
	'a configured certificate is stapled where it is loaded first');

# an issuer that is trusted, not sent

is(wait_staple(8443, 'good', servername => 'alone.example')->{serial},
	$leaf{alone}->serial(),
	'an issuer in ocsp_plus_trusted_certificate serves a chain without it');

# variables and counters

my $id = $leaf{first}->id();
my @lines;
http_once('first.example');
ok(wait_for(sub { @lines = logged('staple.log', 'first.example') }, 5,
	'the log'), 'the request is logged');
is($lines[-1], "first.example sent good $id",
	'the variables describe the loaded certificate');
my %count = %{ status()->{handshakes} };
staple_fast(8443, 'first.example');
is(status()->{handshakes}{stapled}, $count{stapled} + 1,
	'a stapled handshake with a loaded certificate is counted');
handshakes('silent.example', 1);
is(status()->{handshakes}{missing}, $count{missing} + 1,
	'a handshake without a staple is counted as missing');
ok(wait_for(sub {
	grep { $_->{names}[0] eq 'silent.example' } shown('loaded=1');
}, 10), 'a certificate without a responder is taken in');
handshakes('silent.example', 1);
is(status()->{handshakes}{unsupported}, $count{unsupported} + 1,
	'a handshake counts as unsupported once its certificate is taken in');

my $loaded = status()->{loaded};
cmp_ok($loaded->{taken}, '>=', 6,
	'the status document has the number of certificates taken');
cmp_ok($loaded->{handed}, '>=', $loaded->{taken},
	'no more certificates are taken than handed over');
is($loaded->{$_}, 0,
	"the status document counts no loaded certificate as "
	. "$_") for qw/ dropped torn refused evicted ended /;

# and shows each: where it is asked for, and by its id

my ($first) = shown("id=$id");
is($first->{id}, $id, 'a status filtered by id shows the loaded certificate');
is($first->{state}, 'valid', 'a loaded certificate has its state');
is_deeply($first->{names}, [ 'first.example' ],
	'a loaded certificate has its names');
ok($first->{loaded}, 'a loaded certificate is marked as loaded');
is(scalar(grep { $_->{loaded} } shown()), 0,
	'the default status lists no loaded certificate');
my @all = shown('loaded=1');
is(scalar(grep { !$_->{loaded} } @all), 0,
	'loaded=1 lists loaded certificates only');
cmp_ok(scalar(@all), '>=', 6, 'loaded=1 lists all loaded certificates');
for my $state (qw/ valid revoked /) {
	is_deeply([ map { $_->{id} } shown("loaded=1&state=$state") ],
		[ map { $_->{id} } grep { $_->{state} eq $state } @all ],
		"loaded=1 can be filtered by the state $state");
}
# the last one that was met may come in the midst of it

my @paged;
wait_for(sub {
	@all = map { $_->{id} } shown('loaded=1');
	@paged = pages(scalar @all);
	return "@paged" eq "@all";
}, 10, 'the last one');
is_deeply(\@paged, \@all, 'loaded certificates can be listed page by page');
is_deeply([ shown('id=' . $leaf{lonely}->id()) ], [],
	'a certificate never seen has no status');

# asked for again, now

$r->clear();
ok(wait_for(sub { http_post("/control?refresh=$id") =~ / 202 / }, 10,
	'a refresh'), 'refresh=<id> of a loaded certificate is accepted');
ok($r->wait_requests(1, 10, leaf => $leaf{first}),
	'refresh=<id> of a loaded certificate asks the responder');
like(http_post('/control?refresh=' . $leaf{lonely}->id()), qr/ 404 /,
	'refresh=<id> of a certificate never seen is refused with 404');

my @listed = (shown(''), shown('loaded=1'));
my $able = grep { @{$_->{responders}} } @listed;
my $numbers = $able == @listed ? $able : "$able of " . @listed;
like(http_post('/control?refresh=all'), qr/ 202 .*\n$numbers certificates will be fetched/s,
	"refresh=all counts configured and loaded certificates: $numbers");
cmp_ok($able, '>', scalar(() = shown('')), 'there are some of both');

# require

my $seen = staple(8445, servername => 'required.example');
is("$seen->{handshake} " . ($seen->{alert} // ''), '0 80',
	'ocsp_plus_require on: the first handshake is refused');
ok($t->wait_log(qr/handshake refused, .*certificate="required.example"/, 5),
	'ocsp_plus_require on: the refusal is logged');
is(wait_staple(8445, 'good', servername => 'required.example')->{status},
	'good', 'ocsp_plus_require on: a later handshake is stapled');
is(staple(8446, servername => 'late.example')->{handshake}, 1,
	'ocsp_plus_require must_staple: a certificate without Must-Staple is served');
is(staple(8446, servername => 'must.example')->{handshake}, 0,
	'ocsp_plus_require must_staple: a Must-Staple certificate is refused at first');
is(wait_staple(8446, 'good', servername => 'must.example')->{status}, 'good',
	'ocsp_plus_require must_staple: a Must-Staple certificate is stapled later');

# revoked

is(wait_staple(8443, 'revoked', servername => 'gone.example')->{status},
	'revoked', 'a revoked loaded certificate is stapled as revoked');
is(staple(8446, servername => 'gone.example')->{status}, 'none',
	'ocsp_plus_revoked omit: a revoked loaded certificate has no staple');

# without issuer, without responder

staple(8443, servername => 'lonely.example');
ok($t->wait_log(qr/no\ issuer\ found\ for\ a\ certificate\ loaded\ per
	\ connection.*certificate="lonely.example"/x, 10),
	'a loaded certificate without issuer is logged');
is(staple(8443, servername => 'silent.example')->{status}, 'none',
	'a loaded certificate without responder has no staple');
is(scalar($r->requests(leaf => $leaf{lonely})), 0,
	'no responder is asked for a loaded certificate without issuer');

# a reload, and a crash of each worker

$r->clear();
for my $what ('reload', 'reload with other settings', 'crash') {
	if ($what eq 'reload with other settings') {
		configure('other.example');
	}
	if ($what eq 'crash') {
		my $mark = $t->log_mark();
		$t->signal($_, 'KILL') for $t->workers();
		ok($t->wait_log(qr/this is the designated worker now/, 15, $mark),
			'crash of all workers: a new designated worker takes over');
	} else {
		ok($t->reload(old_gone => 1), "$what: the reload succeeds");
	}
	for my $name (qw/ first second third data /) {
		my $port = $name eq 'data' ? 8444 : 8443;
		ok(wait_for(sub { staple_fast($port, "$name.example") }, 5,
			'a handshake'), "$what: $name is stapled again")
			if $what eq 'crash';
		ok(staple_fast($port, "$name.example"),
			"$what: $name is stapled at once")
			if $what ne 'crash';
	}
}
is(scalar($r->requests(leaf => $leaf{first})), 0,
	'no response is fetched again after reloads and crashes');

# the new holder goes on with them: what was revoked since

my $short = $int->leaf('short.example', aia => $r->url());
chmod 0644, $short->key();
$r->validity(next_update => 4, leaf => $short);
wait_staple(8443, 'good', servername => 'short.example');
$t->signal($_, 'KILL') for $t->workers();
$r->clear();
ok($r->wait_requests(2, 30, leaf => $short),
	'the next designated worker refreshes a loaded certificate');

# a full start: from the cache directory, once the leaf is seen again

ok(grep({ $_ eq "$id.der" } $t->kept()),
	'the response of a loaded certificate is cached');
$t->stop();
$r->clear();
$t->run();
is(staple(8443, servername => 'first.example')->{status}, 'none',
	'restart: the first handshake has no staple');
is(wait_staple(8443, 'good', servername => 'first.example')->{status}, 'good',
	'restart: a later handshake is stapled');
is(scalar($r->requests(leaf => $leaf{first})), 0,
	'restart: the response comes from the cache');

$t->done_testing();

###############################################################################

sub status {
	my ($args) = @_;
	return http_json('/status' . ($args ? "?$args" : ''));
}

sub shown { return @{status(@_)->{certificates}} }

sub pages {
	my ($most) = @_;
	my (@ids, $after);
	for (1 .. $most) {
		my $page = status('loaded=1&limit=2' . ($after ? "&after=$after" : ''));
		push @ids, map { $_->{id} } @{$page->{certificates}};
		$after = $page->{next} or last;
	}
	return @ids;
}

sub handshakes {
	my ($name, $count) = @_;
	staple_fast(8443, $name) for 1 .. $count;
}

# One request by a client that asks for a status; logged when it is over.
sub http_once {
	my ($name) = @_;
	staple(8443, servername => $name,
		request => "GET / HTTP/1.0\r\n\r\n");
}

sub logged {
	my ($file, $name) = @_;
	return grep { /^\Q$name\E / } split /\n/, $t->read_file($file);
}
