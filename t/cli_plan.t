#!/usr/bin/perl

# Tests for "ocsp-plus plan": what it says of a configuration before nginx has
# it, and that neither the cache directory nor anything else changes.

###############################################################################

use warnings;
use strict;

use Fcntl;
use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use JSON::PP ();
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $d = $t->testdir();
my $tool = $t->build_dir() . '/ocsp-plus';
my $is_root = $> == 0;
my @rights = $is_root ? () : '--unprivileged';
my ($uid, $gid) = $is_root ? (getpwnam 'nobody')[2, 3] : ($>, $) + 0);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ],
	addresses => [ '127.0.0.1' ]);
my $gone = 'http://127.0.0.1:' . $t->port(8089) . '/';
my %leaf = map { $_->[0] => $int->leaf("$_->[0].example", @$_[1 .. $#$_]) } (
	[ 'cached', aia => $r->url(1) ],
	[ 'ended', aia => $r->url(1), not_before => -86400 * 9,
		not_after => -86400 ],
	[ 'file' ],
	[ 'gone', aia => $gone ],
	[ 'good', aia => $r->url(1) ],
	[ 'ldap', aia => 'ldap://127.0.0.1/' ],
	[ 'must', aia => $gone, must_staple => 1 ],
	[ 'never' ],
	[ 'nowhere', aia => 'http://nowhere.invalid/' ],
	[ 'required', aia => $gone ],
	[ 'revoked', aia => $r->url(1) ],
);
$r->status($leaf{revoked}, 'revoked');
$t->write_file('file.der', $r->response($leaf{file}));
$t->write_file('secret', 'pass-of-the-store');
chmod 0600, "$d/secret";

my $cache = "$d/cache";
mkdir $cache, 0700;
chown $uid, $gid, $cache;
is($t->command([ $tool, 'fetch', '--cert', $leaf{cached}->chain(), '--cache',
	$cache ])->{status}, 0, 'a response lies in the cache directory');
my @before = files();

###############################################################################

# every outcome, and why

configure([ map { [ 8443, $leaf{$_},
	$_ eq 'file' ? 'ocsp_plus_file file.der;' : (),
	$_ eq 'required' ? 'ocsp_plus_require on;' : (),
	$_ eq 'must' ? 'ocsp_plus_require must_staple;' : (), ] }
	sort keys %leaf ]);

my $plan = look('--json');
is($plan->{status}, 1, 'exit status 1: some handshakes have no staple');
is_deeply({ map { $_->{certificate} => join ' ', $_->{staple},
		$_->{source} // $_->{reason} } @{$plan->{json}{handshakes}} },
	{
		'cached.example' => 'good cache',
		'ended.example' => 'ended ended',
		'file.example' => 'good file',
		'gone.example' => 'none connect_refused',
		'good.example' => 'good network',
		'ldap.example' => 'unsupported url_scheme',
		'must.example' => 'refused connect_refused',
		'never.example' => 'unsupported no_responder',
		'nowhere.example' => 'none dns_not_found',
		'required.example' => 'refused connect_refused',
		'revoked.example' => 'revoked network',
	}, 'each handshake: its staple and where it comes from, or why there is none');

my ($good) = grep { $_->{certificate} eq 'good.example' }
	@{$plan->{json}{handshakes}};
is($good->{id}, $leaf{good}->id(), 'JSON: the certificate is named by its id');
like($good->{place}, qr/nginx\.conf:\d+$/, 'JSON: the place of the server');
is("@{$good->{names}}", 'good.example', 'JSON: the names of the server');
like($good->{responder} // '', qr!^\Q@{[ $r->url(1) ]}\E!,
	'JSON: the responder that was asked');
is($good->{file}, $leaf{good}->chain(), 'JSON: the file of the certificate');
like($good->{expires}, qr/^\d{4}-.*Z$/, 'JSON: when the staple expires');
is($plan->{json}{cache}{path}, $cache, 'JSON: the cache directory');
is($plan->{json}{cache}{detail}, undef, 'JSON: nothing is wrong with it');
is($plan->{json}{worker_user}, 'nobody', 'JSON: the worker user') if $is_root;

my %host = map { $_->{host} => $_ } @{$plan->{json}{responders}};
my ($refused) = $gone =~ m!//([^/]+)!;
is_deeply([ map { $_->{state} } @{$host{'127.0.0.1:' . $r->port(1)}}
	{qw/ ipv4 ipv6 /} ], [ 'connected', 'no_address' ],
	'a responder that can be reached by one family');
is($host{$refused}{ipv4}{state}, 'failed',
	'a responder that cannot be reached');
like($host{$refused}{ipv4}{detail}, qr/^\Q$refused\E: .*refused/,
	'a responder that cannot be reached: the address, and why');
like($host{'nowhere.invalid:80'}{dns}, qr/nowhere\.invalid/,
	'a responder whose name does not resolve');

my $text = look()->{output};
like($text, qr/^good\.example\ \(\S*nginx\.conf:\d+\)\n
	\ \ good\ +good\.example,\ from\ network,\ until\ \S+Z$/mx,
	'table: a good staple');
like($text, qr/^  refused +must\.example: connect_refused: .*http:\/\/\Q$refused\E\//m,
	'table: a handshake that is refused, and why');
like($text, qr/^\Q$refused\E: +IPv4 not reached, IPv6 no address \(/m,
	'table: a responder that is not reached');
like($text, qr/^staples: +3 good, 1 revoked, 2 none, 2 unsupported, 1 ended, 2 refused$/m,
	'table: the sum');

is_deeply([ files() ], \@before, 'the cache directory is as it was');
ok(!-e "$d/nginx.pid" || !-s "$d/nginx.pid", 'no nginx has been started');

###############################################################################

# what a pipeline acts on

configure([ [ 8443, $leaf{good} ], [ 8444, $leaf{never} ] ]);
is(look()->{status}, 0, 'exit status 0: what can be stapled is stapled');
is(look([ 'perl', '-e', '$SIG{CHLD} = "IGNORE"; exec @ARGV' ])->{status}, 0,
	'exit status 0: the caller does not want to hear of its children');

for my $case ([ 'good', 1, 'no_issuer' ], [ 'never', 0, 'no_responder' ],
	[ 'ldap', 1, 'url_scheme' ])
{
	my ($name, $status, $reason) = @$case;
	configure([ [ '8443 ssl', undef, 'server_name alone.example;',
		'ssl_certificate ' . $leaf{$name}->cert() . ';',
		'ssl_certificate_key ' . $leaf{$name}->key() . ';' ] ]);
	$plan = look('--json');
	is("$plan->{status} $plan->{json}{handshakes}[0]{reason}",
		"$status $reason", "without its issuer: $reason");
}

$r->fault('hang_after_request');
configure([ [ 8443, $leaf{good} ] ]);
$plan = look('--json', '--timeout', '1s');
is(join(' ', @{$plan->{json}{handshakes}[0]}{qw/ reason detail responder /}),
	'timeout no answer within 1 s; --timeout gives more ' . $r->url(1),
	'a responder that does not answer in time');
$r->reset();
$r->status($leaf{revoked}, 'revoked');

configure([ [ 8443, $leaf{revoked} ] ], 'ocsp_plus_revoked omit;');
$plan = look('--json');
is("$plan->{status} $plan->{json}{handshakes}[0]{staple}", '1 omitted',
	'a revoked certificate whose staple is left out');

configure([ [ 8443, $leaf{good} ] ], 'ocsp_plus_require nonsense;');
$plan = look('--json');
is($plan->{status}, 2, 'exit status 2: nginx refuses the configuration');
like("@{$plan->{json}{nginx_says}}", qr/nonsense.*ocsp_plus_require/,
	'a refused configuration: the words of nginx are shown');
like($plan->{errors}, qr/^ocsp-plus: nginx refuses this configuration: .*nonsense/,
	'a refused configuration: one line says that nginx refuses it');

configure([ [ 8443, $leaf{good} ] ], 'ssl_stapling on;');
like("@{look('--json')->{json}{nginx_says}}",
	qr/"ssl_stapling" is ignored where "ocsp_plus" is on/,
	'a left-over directive shows');

# one that names many responders which let nobody in

my (@silent, @waiting);
for (1 .. 24) {
	push @silent, IO::Socket::INET->new(Listen => 1,
		LocalAddr => '127.0.0.1');
	listen $silent[-1], 0 or die "listen: $!";
	push @waiting, map { IO::Socket::INET->new(Blocking => 0,
		PeerAddr => '127.0.0.1', PeerPort => $silent[-1]->sockport()) } 1 .. 3;
}
my $many = $int->leaf('many.example', aia => [ (map { 'http://127.0.0.1:'
	. $_->sockport() . '/' } @silent), $r->url(1) ]);
configure([ [ 8443, $many ] ]);
$plan = look([ 'sh', '-c', 'ulimit -S -n 24; exec "$@"', 'sh' ], '--json',
	'--timeout', '1s');
is_deeply([ map { $_->{ipv4}{state} } @{$plan->{json}{responders}} ],
	[ ('failed') x @silent, 'connected' ], 'another of its is reached');
@silent = @waiting = ();

# a certificate that names itself in control characters

my $evil = $int->leaf('evil', cn => "evil\e[2J\x07", names => [],
	aia => $gone);
configure([ [ 8443, $evil, 'server_name evil;' ] ]);
$plan = look();
like($plan->{output}, qr/^  none +.*evil/m, 'a hostile name is shown');
unlike($plan->{output}, qr/[\x00-\x09\x0b-\x1f\x7f]/,
	'a hostile name is shown without a control character');

configure([ [ 8443, $leaf{good}, 'ocsp_plus off;' ] ]);
$plan = look('--json');
is($plan->{status}, 1, 'exit status 1: the module staples nothing');
like("@{$plan->{json}{remarks}}", qr/no server has "ocsp_plus on"/,
	'a configuration that does not use the module is remarked on');

configure([ [ 8443, $leaf{good} ] ],
	"ocsp_plus_share redis://127.0.0.1:1 user=u-of-the-store "
	. "password_file=$d/secret;",
	'ocsp_plus_proxy http://u-of-the-proxy:p-of-the-proxy@127.0.0.1:1;');
$plan = look('--json', '--timeout', '5s');
like("@{$plan->{json}{remarks}}", qr/proxy.*shared store/,
	'what is not handed on is remarked on');
is("@{[ map { $_->{host} } @{$plan->{json}{responders}} ]}", '127.0.0.1:1',
	'with a proxy, that is what has to be reached');

# nothing secret leaves nginx

sysopen my $fh, "$d/inventory", O_RDWR | O_CREAT or die $!;
fcntl $fh, F_SETFD, 0;
my $fd = fileno $fh;
$t->command([ nginx_words('-t') ], env => { $t->environment(),
	OCSP_PLUS_INVENTORY_FD => $fd });
my $inventory = $t->read_file('inventory');
like($inventory, qr/^\{"inventory":1,.*good\.example/,
	'the module has handed on what the configuration names');
unlike($inventory, qr/of-the-proxy|of-the-store|PRIVATE/,
	'the module hands on neither keys nor users nor passwords');

unlike($t->command([ nginx_words('-t') ], env => { $t->environment(),
	OCSP_PLUS_INVENTORY_FD => 4294967297 })->{output}, qr/inventory/,
	'a number that is no descriptor is none of the standard streams');

SKIP: {
	skip 'the module is a part of nginx', 2 if $t->is_static();

	truncate $fh, 0;
	$t->write_file('nginx.conf', "pid $d/nginx.pid;\nevents { }\n");
	$plan = look();
	is($plan->{status}, 3, 'exit status 3: the module is not loaded');
	like($plan->{errors}, qr/loaded by load_module/,
		'the module is not loaded: the remedy is named');
}

$plan = look('--nginx', "$d/none");
is($plan->{status}, 3, 'exit status 3: no nginx');
like($plan->{errors}, qr!none is no program that can be run; name.*--nginx!,
	'no nginx: the option that names it');

# an nginx that hangs ends with the command

$t->write_file('hang', "#!/bin/sh\necho \$\$ >$d/new && mv $d/new $d/hangs\n"
	. "exec tail -f /dev/null\n");
chmod 0755, "$d/hang";
defined(my $pid = fork()) or die "fork: $!";
if (!$pid) {
	Test::Nginx::child_signals();
	exec($tool, 'plan', '--nginx', "$d/hang", @rights) or POSIX::_exit(127);
}
ok($t->waitforfile('hangs', $pid), 'an nginx hangs');
my ($hangs) = $t->read_file('hangs') =~ /(\d+)/;
kill KILL => $pid;
waitpid $pid, 0;
ok(wait_for(sub { !Test::Nginx::alive($hangs) }, 10),
	'an nginx that hangs ends with the command');
kill KILL => $hangs;

# one that did not come to look at the configuration has not refused it

for my $case ([ 'is killed', "#!/bin/sh\necho half >&2; kill -9 \$\$\n",
		qr/-t was ended by signal 9; it said last: half/ ],
	[ 'is no program', "#!$d/none\n", qr/cannot be run; name nginx's/ ])
{
	my ($what, $program, $says) = @$case;
	$t->write_file('bad', $program);
	chmod 0755, "$d/bad";
	$plan = look('--nginx', "$d/bad");
	is($plan->{status}, 3, "exit status 3: nginx $what");
	like($plan->{errors}, $says, "nginx $what: it says so");
}

# only under nginx -t

configure([ [ 8443, $leaf{good} ] ]);
truncate $fh, 0;
$t->env(OCSP_PLUS_INVENTORY_FD => $fd);
$t->run();
is(-s "$d/inventory", 0, 'an nginx that starts hands on nothing');

# beside a running nginx

my $master = $t->master_pid();
my @workers = sort $t->workers();
is(look()->{status}, 0, 'beside a running nginx');
is(join(' ', $t->master_pid(), sort $t->workers()), "$master @workers",
	'a running nginx runs on');
$t->stop();

SKIP: {
	skip 'needs root', 4 unless $is_root;

	# a directory that the worker user cannot use

	$t->write_file('cache/x', '');
	chown 0, 0, $cache, "$cache/x";
	configure([ [ 8443, $leaf{good} ] ]);
	$plan = look('--json');
	is($plan->{status}, 1, 'exit status 1: nothing can be kept');
	like($plan->{json}{cache}{detail}, qr/^\Q$cache\E belongs to .*chown it to/,
		'nothing can be kept: the reason, and the remedy');

	# without root

	my $run = $t->command([ 'setpriv', "--reuid=$uid", "--regid=$gid",
		'--clear-groups', $tool, 'plan', '-c', "$d/nginx.conf" ],
		env => { $t->environment() });
	is($run->{status}, 3, 'exit status 3: not root');
	like($run->{output}, qr/^ocsp-plus: plan needs root.*--unprivileged/m,
		'not root: the remedy is named');
}

$t->done_testing();

###############################################################################

sub configure {
	my ($servers, @lines) = @_;
	$t->write_conf(main => [ $is_root ? 'user nobody nogroup;' : () ],
		http => [ 'ocsp_plus on;', "ocsp_plus_cache $cache;", @lines,
			@$servers ]);
}

sub nginx_words {
	return (Test::Nginx::Config::nginx(), '-p', "$d/", '-c',
		"$d/nginx.conf", @_);
}

# By another program, if the first argument is its command.
sub look {
	my @arguments = @_;
	my @by = ref $arguments[0] ? @{shift @arguments} : ();
	my $run = $t->command([ @by, $tool, 'plan', '-c', "$d/nginx.conf", '-p', "$d/",
		(grep({ $_ eq '--nginx' } @arguments) ? ()
			: ('--nginx', Test::Nginx::Config::nginx())),
		@rights, @arguments ], timeout => 60, apart => 1,
		env => { $t->environment() });
	$run->{json} = JSON::PP::decode_json($run->{output})
		if grep { $_ eq '--json' } @arguments;
	return $run;
}

sub files {
	return sort map { "$_ " . join ' ', (stat)[7, 9] } glob "$cache/*";
}

###############################################################################
