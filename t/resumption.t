#!/usr/bin/perl

# Tests for resumed sessions, by ticket and by id: they carry no status and go
# through all the same; full handshakes between them carry one.

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

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $leaf = $int->leaf('example.com', aia => $r->url());

$t->write_conf(workers => 2, http => [ 'ssl_protocols TLSv1.2 TLSv1.3;',
	'ocsp_plus on;',
	# tickets
	[ 8443, $leaf, 'ssl_session_cache none;', 'ssl_session_tickets on;' ],
	# ids, in a cache that the workers share
	[ 8444, $leaf, 'ssl_session_cache shared:sessions:1m;',
		'ssl_session_tickets off;' ],
	# nothing to resume with
	[ 8445, $leaf, 'ssl_session_cache off;', 'ssl_session_tickets off;',
		'ssl_ecdh_curve X25519;' ] ]);

$t->run();

is(wait_staple(8443, 'good', seconds => 30)->{status}, 'good',
	'the certificate is stapled');

###############################################################################

my %by = (8443 => 'ticket', 8444 => 'session id');

for my $port (8443, 8444) {
	for my $tls ('1.2', '1.3') {
		my $what = "$by{$port}, TLS $tls";
		my $file = $t->testdir() . "/session-$port-$tls";

		my $seen = staple($port, tls => $tls, sess_out => $file);
		is("$seen->{resumed} $seen->{status}", '0 good',
			"$what: the full handshake has a staple");

		for my $try (1, 2) {
			$seen = staple($port, tls => $tls, sess_in => $file);
			is("$seen->{handshake} $seen->{resumed} $seen->{status}",
				'1 1 none',
				"$what: resumption $try has no staple");
		}

		$seen = staple($port, tls => $tls, sess_in => $file,
			status => 0);
		is("$seen->{handshake} $seen->{resumed}", '1 1',
			"$what: a client that does not ask resumes");

		$seen = staple($port, tls => $tls);
		is("$seen->{resumed} $seen->{status}", '0 good',
			"$what: another full handshake has a staple");
	}
}

# a session that began without a question does not keep one from an answer

my $file = $t->testdir() . '/session-silent';
my $seen = staple(8443, tls => '1.2', status => 0, sess_out => $file);
is("$seen->{resumed} $seen->{status}", '0 none',
	'a session without status request begins without a staple');
$seen = staple(8443, tls => '1.2', sess_in => $file);
is("$seen->{handshake} $seen->{resumed} $seen->{status}", '1 1 none',
	'a resumed session is not stapled though the client asks now');

# a session of one server does not become a staple of another

$seen = staple(8445, tls => '1.2', sess_in => $file);
is("$seen->{handshake} $seen->{resumed} $seen->{status}", '1 0 good',
	'a session refused by another server is followed by a stapled handshake');

# HelloRetryRequest: the callback runs twice

$seen = staple(8445, tls => '1.3', curves => 'P-521:X25519',
	args => [ '-msg' ]);
is(() = $seen->{output} =~ /^>>> .*ClientHello/mg, 2,
	'a handshake with a repeated hello has two hellos');
is($seen->{status}, 'good', 'a handshake with a repeated hello has a staple');

# many, through all workers, within one process

my ($full, $resumed, $wrong) = (0, 0, '');
for my $port (8443, 8444) {
	my $session;
	for my $i (1 .. 20) {
		my $hand = handshake_fast($port, undef, tls => '1.2',
			keep_session => 1, $i % 4 != 1 && $session
				? (session => $session) : ());
		$wrong .= " $port $i: " . ($hand->{error} // 'failed'), last
			unless $hand->{ok};
		$session = $hand->{session};
		$hand->{resumed} ? $resumed++ : $full++;
		$wrong .= " $port $i resumed=$hand->{resumed} staple="
			. (defined $hand->{der} ? 1 : 0)
			if !!$hand->{resumed} == defined $hand->{der};
	}
}
is($wrong, '', 'exactly the full handshakes of a client have a staple');
is("$full $resumed", '10 30', 'all sessions that can be resumed are resumed');

is($r->stats()->{all}{total}, 1,
	'the responder is asked once for all handshakes');

$t->done_testing();

###############################################################################
