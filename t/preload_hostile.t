#!/usr/bin/perl

# Tests for files of certificates that others can write: what a pattern of
# ocsp_plus_preload matches neither stops nor delays nginx, whatever it is, and
# no file of certificates blocks the master.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::UNIX;
use POSIX qw/ mkfifo /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

use constant { F_SETLEASE => 1024, F_WRLCK => 1 };	# Linux

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $dir = $t->testdir();
my $tenants = "$dir/tenants";

# the first and the last that the pattern matches are good

my @good = map { $int->leaf("$_.example", aia => $r->url()) } qw/ a z /;
chmod 0644, map { $_->key() } @good;
mkdir $tenants;
rename $_->chain(), "$tenants/" . $_->name() . '.pem' for @good;
my $pem = $t->read_file("$tenants/a.example.pem");

sub configure {
	my ($more, $preload) = @_;
	$preload //= 'tenants/*.pem';
	$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_retry 1s 1s;',
		"ocsp_plus_preload $preload;",
		[ '8443 ssl', undef,
			"ssl_certificate $tenants/\$ssl_server_name.pem;",
			"ssl_certificate_key $dir/\$ssl_server_name.key;", $more ] ]);
}

# What others put there, and what is said of it.

(my $secret = $pem) =~ s/\n/\nProc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,000102030405060708090A0B0C0D0E0F\n\n/;

my @bad = (
	[ 'fifo', sub { mkfifo($_[0], 0644) or die "mkfifo: $!\n" },
		qr/it is no regular file/ ],
	[ 'dangling', sub { symlink "$dir/nowhere", $_[0] },
		qr/No such file or directory/ ],
	[ 'loop', sub { symlink 'm.loop.pem', $_[0] }, qr/symbolic links/ ],
	[ 'directory', sub { mkdir $_[0] }, qr/it is no regular file/ ],
	[ 'zero', sub { symlink '/dev/zero', $_[0] },
		qr/it is no regular file/ ],
	[ 'terminal', sub { symlink '/dev/tty', $_[0] },
		qr/it is no regular file/ ],
	[ 'socket', sub {
		IO::Socket::UNIX->new(Local => $_[0], Listen => 1)
			or die "socket: $!\n" }, qr/it is no regular file/ ],
	[ 'large', sub { put($_[0], $pem . "\n" x 300_000) },
		qr/it is larger than 256 kB/ ],
	[ 'endless', sub { put($_[0], $pem); truncate $_[0], 1 << 40 },
		qr/it is larger than 256 kB/ ],
	[ 'empty', sub { put($_[0], '') }, qr/no PEM certificate can be read/ ],
	[ 'garbage', sub { put($_[0], "\0\xff" x 1000) },
		qr/no PEM certificate can be read/ ],
	[ 'broken', sub { put($_[0], $pem . substr $pem, 0, 200) },
		qr/no PEM certificate can be read/ ],
	[ 'encrypted', sub { put($_[0], $secret) },
		qr/no PEM certificate can be read/ ],
);

###############################################################################

# each of them alone

for my $case (@bad) {
	my ($name, $make, $said) = @$case;
	my $path = "$tenants/m.$name.pem";
	my $kept = $make->($path);
	configure('', 'tenants/[amz].*.pem');
	ok($t->config_test(),
		"$name: nginx -t accepts the file") or diag($t->output());
	like($t->output(), qr/^nginx:\ \[warn\]\ .*\Q$path\E"\ of
		\ "ocsp_plus_preload",\ it\ is\ left\ out\ in\ .*nginx\.conf:\d+/mx,
		"$name: nginx -t says that the file is left out");
	like($t->output(), $said,
		"$name: nginx -t says why the file is left out");
	rename $path, "$tenants/$name.kept" or die "rename: $!\n";
}
rename "$tenants/$_.kept", "$tenants/m.$_.pem" for map { $_->[0] } @bad;

# nobody is asked for a pass phrase: a reader of standard input would wait

my $asked = test_without_terminal();
like($asked->{output}, qr/test is successful/,
	'encrypted file without a terminal: nginx -t accepts it');
unlike($asked->{output}, qr/pass phrase/,
	'encrypted file without a terminal: no pass phrase is asked for');

# somebody holds a lease on a file, which keeps others from opening it

SKIP: {
	my $path = "$tenants/m.lease.pem";
	put($path, $pem);
	open my $held, '+<', $path or die "open: $!\n";
	local $SIG{IO} = 'IGNORE';
	skip 'no leases on this file system', 2
		unless defined fcntl($held, F_SETLEASE, F_WRLCK);
	ok($t->config_test(timeout => 20), 'leased file: nginx -t accepts it');
	like($t->output(), qr/m\.lease\.pem"\ of\ "ocsp_plus_preload",
		\ it\ is\ left\ out/x,
		'leased file: nginx -t says that it is left out');
	close $held;
}

# all of them: a start and a reload, the good ones are stapled at once

$t->run();
is(staple(8443, servername => $_->name())->{status}, 'good',
	$_->name() . ': a good file beside bad ones is stapled at first') for @good;
configure('ssl_session_cache off;');
ok($t->reload(old_gone => 1), 'a reload with bad files succeeds');
is(staple(8443, servername => $_->name())->{status}, 'good',
	$_->name() . ': a good file beside bad ones is stapled after a reload') for @good;
$t->stop();

# a path without a wildcard

configure('', 'tenants/m.fifo.pem tenants/a.example.pem');
ok($t->config_test(), 'FIFO named by its path: nginx -t accepts it');
like($t->output(), qr/m\.fifo\.pem"\ of\ "ocsp_plus_preload",\ it\ is\ left
	\ out\ .*:\ it\ is\ no\ regular\ file/x,
	'FIFO named by its path: nginx -t says that it is left out');

# files that the operator names: refused, and at once

for my $directive (qw/ ocsp_plus_trusted_certificate
	ocsp_plus_responder_trusted_certificate /)
{
	for my $case (grep { $_->[0] =~ /^(?:fifo|zero|encrypted)$/ } @bad) {
		my ($name, undef, $said) = @$case;
		configure("$directive $tenants/m.$name.pem;", 'tenants/a.example.pem');
		ok(!$t->config_test(), "$directive refuses the file: $name");
		like($t->output(), qr/\[emerg\]\ .*m\.$name\.pem"\ of
			\ "$directive"/x,
			"$directive names the refused file: $name");
		like($t->output(), $said,
			"$directive says why the file is refused: $name");
	}
}

# a response made elsewhere: told, and looked at again

configure("ocsp_plus_file $tenants/m.fifo.pem;", 'tenants/a.example.pem');
ok($t->config_test(), 'ocsp_plus_file accepts a FIFO');
like($t->output(), qr/\[warn\]\ .*worker\ user\ cannot\ read
	\ ".*m\.fifo\.pem"\ of\ "ocsp_plus_file":\ it\ is\ no\ regular\ file/x,
	'ocsp_plus_file reports a FIFO as no regular file');

$t->done_testing();

###############################################################################

# Where standard input is all there is to ask, and stays open.
sub test_without_terminal {
	local %ENV = (%ENV, $t->environment());
	return $t->command([ 'setsid', '-w', Test::Nginx::Config::nginx(), '-t',
		'-p', "$dir/", '-c', "$dir/nginx.conf", '-e', "$dir/error.log" ],
		until => sub { $_[0] =~ /test is successful|test failed/ });
}

sub put {
	my ($path, $content) = @_;
	open my $fh, '>', $path or die "$path: $!\n";
	binmode $fh;
	print $fh $content;
	close $fh;
}

###############################################################################
