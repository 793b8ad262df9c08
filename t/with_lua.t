#!/usr/bin/perl

# Tests with Lua's nginx module and lua-resty-core: responses by
# ngx.ocsp.set_ocsp_status_resp(), which replaces the status callback of the
# server, and certificates by ngx.ssl.  t/foreign_callback.t has what any
# other module may do, wherever there is no Lua.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Counters;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 120)->has(qw/ http_ssl lua /);

my $int = Test::Nginx::CA->new($t)->intermediate('int');
# the first port is asked by nginx, the second says nothing, the third makes
# what Lua has
my $r = Test::Nginx::Responder->start($t, ca => $int,
	ports => [ 8081, 8082, 8083 ]);
my %on = (held => 1, none => 2, strict => 2, set => 1, fallback => 1,
	first => 1);
my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url($on{$_})) }
	keys %on;
$r->fault('http_500', on => 2);
$r->validity(this_update => -1800, on => 3);
my %theirs = map { $_ => $r->response($leaf{$_}, on => 3) } keys %leaf;

my $dir = $t->testdir();
my $set = "$dir/theirs";
mkdir $set or die "Can't make $set: $!\n";
chmod 0755, $dir, $set;
# read by Lua, in a worker
chmod 0644, map { $_->key() } values %leaf;

my $modules = $t->_modules_path();
my @load = map { "load_module $modules/$_.so;" }
	qw/ ndk_http_module ngx_http_lua_module /;

my $staple = <<"LUA";
ssl_certificate_by_lua_block {
    local name = require("ngx.ssl").server_name()
    local file = io.open("$set/" .. name .. ".der", "rb")
    if file then
        assert(require("ngx.ocsp").set_ocsp_status_resp(file:read("*a")))
        file:close()
    end
}
LUA

$t->write_file('index.html', 'served');
my $set_certificate = <<"LUA";
ssl_certificate_by_lua_block {
    local ssl = require "ngx.ssl"
    local function read(name)
        local file = assert(io.open("$dir/" .. name, "rb"))
        local text = file:read("*a")
        file:close()
        return text
    end
    local name = ssl.server_name()
    if name then
        assert(ssl.clear_certs())
        assert(ssl.set_cert(ssl.parse_pem_cert(read(name .. ".pem"))))
        assert(ssl.set_priv_key(
            ssl.parse_pem_priv_key(read(name .. ".key"))))
    end
}
LUA
$t->write_conf(main => \@load, http => [
	'lua_package_path "/usr/share/lua/5.1/?.lua;;";', 'log_format staple '
	. q{'$ssl_server_name $ocsp_plus_staple $ocsp_plus_cert_status';},
	"access_log $dir/staple.log staple;", 'ssl_protocols TLSv1.2 TLSv1.3;',
	'ssl_ecdh_curve X25519;', 'ssl_session_cache shared:one:1m;',
	'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
	'ocsp_plus_trusted_certificate int.crt;',
	[ 8443, 'first.example', 'ocsp_plus off;' ],
	[ 8443, 'held.example', $staple ], [ 8443, 'none.example', $staple ],
	[ 8443, 'strict.example', 'ocsp_plus_require on;', $staple ],
	[ 8444, 'fallback.example', $set_certificate ],
	[ 8080, undef, 'location /status { ocsp_plus_status json; }' ] ]);

$t->run();
is(wait_staple(8443, 'good', servername => 'held.example', seconds => 20)
	->{status}, 'good', 'the certificate is stapled');
my $ours = staple_fast(8443, 'held.example');
ok($ours && $ours ne $theirs{held}, "our response differs from Lua's");

###############################################################################

# Lua replaces the callback in each handshake

$t->write_file("theirs/$_.example.der", $theirs{$_}) for keys %theirs;
my $counters = Test::Nginx::Counters->new('/status');
for my $tls ('1.2', '1.3') {
	is(handshake_fast(8443, 'held.example', tls => $tls)->{der}, $ours,
		"TLS $tls: our response is sent where one is held");
	is(handshake_fast(8443, 'none.example', tls => $tls)->{der},
		$theirs{none},
		"TLS $tls: Lua's response is sent where none is held");
	my $seen = staple(8443, servername => 'strict.example', tls => $tls);
	is($seen->{handshake} . ' ' . ($seen->{alert} // ''), '0 80',
		"TLS $tls: Lua's response does not satisfy ocsp_plus_require");
	counted("TLS $tls", stapled => 1, foreign => 1, refused => 1);

	my $file = "$dir/session-$tls";
	staple(8443, servername => 'held.example', tls => $tls,
		sess_out => $file);
	is(staple(8443, servername => 'held.example', tls => $tls,
		sess_in => $file)->{resumed}, 1,
		"TLS $tls: the session is resumed");
	counted("TLS $tls, one full handshake and a resumed session", stapled => 1);
}
for my $case ([ held => 'stapled' ], [ none => 'foreign' ]) {
	my ($name, $counter) = @$case;
	is(staple(8443, servername => "$name.example", tls => '1.3',
		curves => 'P-521:X25519')->{status}, 'good',
		"$name: a handshake with a repeated hello is stapled");
	counted("$name, a repeated hello", $counter => 1);
}
is(staple(8443, servername => 'none.example', status => 0,
	request => "GET / HTTP/1.0\r\n\r\n")->{handshake}, 1,
	'a client that does not ask is served');

# and goes on without the responses, in a server that is Must-Staple or not

unlink map { "$set/$_.example.der" } keys %theirs;
is(handshake_fast(8443, 'held.example')->{der}, $ours,
	'our response is sent once Lua sets none');
is(handshake_fast(8443, 'none.example')->{der}, undef,
	'no response is sent once Lua sets none and none is held');
counted('handshakes without responses of Lua', stapled => 1, missing => 1);

# told

for my $name (qw/ held none strict /) {
	is(scalar(() = $t->log_lines(
		qr/\[error\].* another module has replaced .*server="$name\.example"/)),
		1, "$name: the replaced callback is logged once");
}
cmp_ok(document()->{callbacks_replaced}, '>', 3,
	'the replaced callbacks are counted');
ok(wait_for(sub {
	$t->find_in_file('staple.log', qr/^none\.example not_requested -$/m)
}, 5, 'the log'),
	'the access log says "not_requested" for a client that does not ask');

# certificates that Lua sets

my $serial = $leaf{set}->serial();
is(wait_staple(8444, 'good', servername => 'set.example')->{serial}, $serial,
	'a certificate set by Lua is stapled');
is(document()->{loaded}{taken}, 1,
	'a certificate set by Lua is taken as loaded per connection');
cmp_ok(document()->{zone}{size}, '>', 100 << 20,
	'the zone has room for certificates that Lua may set');

$t->done_testing();

###############################################################################

sub document { return http_json('/status') }

sub counted {
	my ($what, %more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return $counters->grew("$what: the counters are right", %more);
}

###############################################################################
