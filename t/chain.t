#!/usr/bin/perl

# Tests for ocsp_plus_chain: certificates that are sent after the leaf are
# fetched, judged and shown like it, and stapled where OpenSSL can.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $can = $t->feature('openssl 3.6');

my $root = Test::Nginx::CA->new($t);
my $r = Test::Nginx::Responder->start($t, ca => [ $root ],
	ports => [ 8081, 8082 ]);
my $outer = $root->intermediate('outer', aia => $r->url(1));
my $inner = $outer->intermediate('inner', aia => $r->url(1));
my $offline = $root->intermediate('offline');
my $gone = $root->intermediate('gone', aia => $r->url(2));
$r->add_ca($_) for $outer, $inner, $offline, $gone;
$r->fault('http_500', on => 2);

my %issuer = (on => $inner, off => $inner, loose => $outer, file => $offline,
	gone => $gone);
my @names = sort keys %issuer;
my %leaf = map { $_ => $issuer{$_}->leaf("$_.example", aia => $r->url(1)) }
	@names;
# the root is sent as well, but for one
for my $name (grep { $_ ne 'loose' } @names) {
	open my $chain, '>>', $leaf{$name}->chain() or die "open: $!\n";
	print $chain $t->read_file($root->cert());
	close $chain or die "close: $!\n";
}
$t->write_file('offline.der', $r->response($offline));
# the same chain after a certificate that is loaded per connection, and one that
# no certificate of the configuration has
my $late = $outer->intermediate('late', aia => $r->url(1));
$r->add_ca($late);
$t->write_file('trusted.pem', join '', map { $t->read_file($_->cert()) }
	$inner, $late, $outer, $root);
my %loaded = (known => $inner, late => $late);
for my $name (sort keys %loaded) {
	my $leaf = $loaded{$name}->leaf("$name.example", aia => $r->url(1));
	$t->write_file("$name.example.pem", $t->read_file($leaf->chain())
		. $t->read_file($root->cert()));
	chmod 0644, $leaf->key();	# workers read it
}
my %port = map { $names[$_] => 8443 + $_ } 0 .. $#names;

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_chain on;',
	'ssl_protocols TLSv1.2 TLSv1.3;', 'ocsp_plus_retry 1s 1s;',
	'log_format chain "$ssl_server_name $ocsp_plus_staple/$ocsp_plus_chain/";',
	'access_log chain.log chain;',
	(map { [ $port{$_}, $leaf{$_},
		$_ eq 'off' ? 'ocsp_plus_chain off;' : (),
		$_ eq 'file' ? 'ocsp_plus_file offline.der;' : (),
		$_ eq 'gone' ? 'ocsp_plus_require on;' : () ] } @names),
	[ 8450, $t->testdir() . '/$ssl_server_name',
		'ocsp_plus_trusted_certificate trusted.pem;' ],
	[ 8451, $t->testdir() . '/$ssl_server_name', 'ocsp_plus_chain off;',
		'ocsp_plus_trusted_certificate trusted.pem;' ],
	[ 8080, undef, 'access_log off;', 'location / { ocsp_plus_status; }',
		'location /control { ocsp_plus_control; }' ] ]);
$t->run();

###############################################################################

# they are entries like any

my $notice = $can ? qr/\[notice\].*"ocsp_plus_chain\ on".*with\ 1\ certificate,
		\ the\ first\ is\ "loose\.example".*append\ "CN=root/x
	: qr/\[notice\].*"ocsp_plus_chain\ on".*this\ OpenSSL\ sends\ no\ other/x;
is(scalar($t->log_lines($notice)), 1, 'one notice says what is not stapled');
is(scalar(() = $t->log_lines(qr/\[(?:warn|emerg)\].*certificate/)), 0,
	'no certificate is warned of');

ok(wait_for(sub { 2 == grep { state("CN=$_") eq "ca valid" } qw/ inner outer / },
	20), 'CA certificates are fetched') or diag(state('CN=inner'), state('CN=outer'));
is(state("$_.example"), 'leaf valid', "$_.example is a leaf") for @names;
is(state('CN=offline'), 'ca valid', 'an offline root answers by a file');
is(scalar(() = $t->log_lines(qr/file ignored/)), 0,
	'the file of an offline root is not ignored as one of the leaf');
is(state('CN=root'), '', 'a root is not asked for');
is(state('CN=gone') =~ /^ca (?:pending|valid)$/ ? 1 : 0, 1,
	'a CA whose responder is dead is none');
like(http_get('/?format=ready&strict=1'), qr/^ready$/m,
	'readiness looks at leaves only');
is(scalar(() = $t->log_lines(qr/\[crit\]/)), 0, 'nothing is critical');

# what clients get

my $counters = Test::Nginx::Counters->new('/');
my %sent = $can ? (on => 2, file => 1) : ();
for my $name (@names) {
	for my $tls ('1.2', '1.3') {
		my $count = $tls eq '1.3' ? $sent{$name} || 0 : 0;
		my $seen = staple($port{$name}, servername => "$name.example",
			tls => $tls);
		is($seen->{status}, 'good', "TLS $tls, $name: the leaf's staple is sent");
		is($seen->{serial}, $leaf{$name}->serial(),
			"TLS $tls, $name: and it is the leaf's");
		is(scalar(@{$seen->{statuses}}), 1 + $count,
			"TLS $tls, $name: staples on the wire: 1 + $count");
		$counters->grew("TLS $tls, $name: and so it is counted",
			stapled => 1, $count ? (chain_stapled => 1) : ());
	}
}
like(http_get('/?format=prometheus'), qr/^ocsp_plus_chain_stapled_total \d+$/m,
	'the metric counts them');

# certificates loaded per connection: the leaf first, then what is known of its
# chain; a server that does not staple chains asks for none

for my $name (sort keys %loaded) {
	my $sent = 0;
	ok(wait_for(sub {
		my $seen = staple(8450, servername => "$name.example", tls => '1.3');
		$sent = grep { $_ eq 'good' } @{$seen->{statuses}};
		return $sent == ($can ? 3 : 1);
	}, 20), "loaded per connection, $name: its chain is stapled")
		or diag("sent $sent");
	is(scalar(@{staple(8451, servername => "$name.example",
		tls => '1.3')->{statuses}}), 1,
		"loaded per connection, $name: one staple without ocsp_plus_chain");
	is(state("$name.example"), 'leaf valid', "$name.example is a leaf");
}
is(state('CN=late'), $can ? 'ca valid' : '',
	'a CA certificate met in handshakes is fetched where it can be sent');

# all of s_client's own checks, where it has them

if ($can && $t->command([ 'openssl', 's_client', '-help' ])->{output}
	=~ /-ocsp_check_all/)
{
	for my $name (qw/ on off /) {
		my $seen = staple($port{$name}, servername => "$name.example",
			tls => '1.3', args => [ '-ocsp_check_all', '-CAfile',
				$root->cert(), '-verify_return_error' ]);
		is($seen->{output} =~ /^Verification: OK/m ? 1 : 0,
			$name eq 'on' ? 1 : 0,
			"a client that checks all certificates, ocsp_plus_chain $name");
	}
}

# and the command line, which sees the same with any OpenSSL

my $check = $t->command([ $t->build_dir() . '/ocsp-plus', 'check',
	'127.0.0.1:' . port($port{on}), '--servername', 'on.example', '--chain' ]);
is($check->{status}, $can ? 0 : 2, '"ocsp-plus check --chain" sees them')
	or diag($check->{output});
is(scalar(() = $check->{output}
	=~ /^TLS 1\.3, position \d+, CN=\w+: .*\(ok\)$/mg), $sent{on} || 0,
	'"ocsp-plus check --chain" has a line for each');

# variables: a client that asks, one that does not, one that resumes

is(logged('on', status => 1), 'sent/' . ($sent{on} || 0) . '/',
	'$ocsp_plus_chain counts the staples of CA certificates');
is(logged('loose', status => 1), 'sent/0/', '$ocsp_plus_chain of none');
is(logged('off', status => 1), 'sent/-/', '$ocsp_plus_chain is empty where off');
is(logged('on', status => 0), 'not_requested/-/',
	'$ocsp_plus_chain is empty where nothing is asked for');

my $session = $t->testdir() . '/session';
logged('on', sess_out => $session);
is(logged('on', sess_in => $session), 'resumed/-/',
	'$ocsp_plus_chain is empty where the session is resumed');

# a revocation ends the list, and is critical

my $mark = $t->log_mark();
$r->status($outer, 'revoked');
ok(wait_for(sub {	# not twice in a second
	http_post('/control?refresh=' . $outer->id(), '') =~ / 202 /;
}, 5), 'a CA certificate can be refreshed');
ok(wait_for(sub { state('CN=outer') eq 'ca revoked' }, 20),
	'a CA is revoked') or diag(state('CN=outer'));
is(scalar($t->log_lines(
	qr/\[crit\].*CERTIFICATE IS REVOKED.*="CN=outer.*role=ca/, $mark)), 1,
	'a revoked CA is critical, once');
is_deeply(staple($port{on}, servername => 'on.example')->{statuses},
	[ 'good', $can ? qw/ good revoked / : () ],
	"the leaf's staple stays, and the revoked one is the last");

$t->done_testing();

###############################################################################

# what the status shows of one, by its name: role and state
sub state {
	my ($name) = @_;
	my ($one) = grep { ($_->{names}[0] // $_->{subject}) eq $name }
		map { @{http_json("/$_")->{certificates}} } '', '?loaded=1';
	return $one ? "$one->{role} $one->{state}" : '';
}

# what a request logs of its handshake
sub logged {
	my ($name, %opt) = @_;
	my $before = () = $t->read_file('chain.log') =~ /\n/g;
	staple($port{$name}, servername => "$name.example", tls => '1.3',
		request => "GET / HTTP/1.0\r\n\r\n", %opt);
	my @lines;
	wait_for(sub {
		@lines = split /\n/, $t->read_file('chain.log');
		@lines > $before;
	}, 5);
	return ($lines[-1] // '') =~ /^$name\.example (.*)$/ ? $1 : '';
}
