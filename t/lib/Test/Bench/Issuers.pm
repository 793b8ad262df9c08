package Test::Bench::Issuers;

# Tenants who make the search for an issuer long: a thousand CAs of one name,
# each brought by a certificate that it has signed, and then certificates of
# that issuer's name that none of them has signed and that name no key, so that
# each of the CAs may be the one.  What becomes of handshakes of somebody else's
# server in the only worker, which is under 10 % of the load it can bear, beside
# the same before.  No more than that: what waits while a worker does nothing
# else has to find room.

use warnings;
use strict;

use List::Util qw/ max /;

use Test::Bench qw/ median processor /;
use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

my $UNSIGNED = 8;	# for each attack: one is looked at again only later

sub run {
	my ($b) = @_;

	# as for the storm: of everything that is started below
	setpriority(0, $$, -10);

	my $cas = $b->size(1000, 200, 10);
	my $rounds = $b->size(5, 3, 1);
	my $t = _nginx($cas, $rounds);
	my ($pid) = $t->workers();
	_bring($b, $t, $cas);

	my %innocent = (port => 8444, name => 'innocent.example', tls => '1.3');
	$innocent{rate} = $b->rate_of(0.1, $pid, %innocent);
	my $seconds = $b->size(15, 5, 0.2);
	my (@ratios, @longest, @longest_quiet);
	my $failed = 0;
	for my $round (1 .. $rounds) {
		_rest($pid);
		my $quiet = $b->handshakes(%innocent, seconds => $seconds);
		my $before = _loaded()->{handed};
		my $shown = $b->begin_handshakes(port => 8443,
			name => "unsigned-$round-%d.example",
			names => $UNSIGNED, order => 'ascending', rate => 20,
			seconds => $seconds < 1 ? 1 : $seconds);
		my $attack = $b->begin_handshakes(%innocent,
			seconds => $seconds)->();
		$failed += $attack->{failed} + $shown->()->{failed};
		push @ratios, $attack->{p99_us} / $quiet->{p99_us};
		push @longest, $attack->{max_us};
		push @longest_quiet, $quiet->{max_us};
		die "the certificates did not reach the worker that fetches\n"
			if _loaded()->{handed} < $before + $UNSIGNED;
	}
	$t->stop();
	setpriority(0, $$, 0);

	my $what = "i: $cas CAs of one name";
	$b->at_most("$what, p99 of handshakes / quiet", median(@ratios), 5);
	$b->tell("$what, seconds that the longest handshake took",
		max(@longest) / 1e6);
	$b->tell('i: the same while it was quiet', max(@longest_quiet) / 1e6);
	$b->at_most("$what, handshakes that failed", $failed, 0);
}

sub _nginx {
	my ($cas, $rounds) = @_;

	my $t = Test::Nginx->new(timeout => 3600);
	my $int = Test::Nginx::CA->new($t)->intermediate('int');
	my $r = Test::Nginx::Responder->start($t, ca => $int);
	my $innocent = $int->leaf('innocent.example', aia => $r->url());

	# an address that is not asked for tenants, so nobody is
	my @tenant = (aia => 'http://127.0.0.1:1/', key_of => $innocent);
	# verifying with P-384 takes OpenSSL 3.0 longer than with P-521
	my @ca = (ca => 1, cn => 'Any CA', names => [], key => 'ec:P-384');
	my $root = Test::Nginx::CA->new($t, 'tenants');
	Test::Nginx::CA->leaf_of_each([ $root->leaves($cas, 'ca-%d', @ca) ],
		'signed-%d.example', @tenant);
	my $forger = $root->leaf('ca-forger', @ca);
	$forger->leaves($UNSIGNED, "unsigned-$_-%d.example", @tenant,
		no_aki => 1, chain => 0) for 1 .. $rounds;

	my $dir = $t->testdir();
	chmod 0644, $innocent->key();
	$t->write_conf(main => [ 'worker_rlimit_nofile 20000;' ], workers => 1,
		events => [ 'worker_connections 16384;' ],
		http => [ 'access_log off;', 'ssl_protocols TLSv1.2 TLSv1.3;',
			'ocsp_plus on;',
			[ '8443 ssl backlog=4096', undef,
				"ssl_certificate $dir/\$ssl_server_name.pem;",
				"ssl_certificate_key $dir/innocent.example.key;" ],
			[ '8444 ssl backlog=4096', $innocent ],
			[ 8080, undef, 'location / { ocsp_plus_status json; }' ] ]);
	$t->run();
	return $t;
}

# Each CA is known with its certificate, and what of that was to be done is.
sub _bring {
	my ($b, $t, $cas) = @_;
	Test::Nginx::wait_for(sub {
		$b->handshakes(port => 8443, name => 'signed-%d.example',
			names => $cas, order => 'ascending', count => $cas,
			connections => 1, tls => '1.3');
		return _loaded()->{taken} >= $cas;
	}, 120, 'all to be taken') or die "not all CAs were taken\n";
}

sub _loaded { return Test::Nginx::http_json('/?limit=1', timeout => 60)->{loaded} }

# Until the worker has nothing left to do.
sub _rest {
	my ($pid) = @_;
	my $used = processor($pid);
	Test::Nginx::wait_for(sub {
		select undef, undef, undef, 0.5;
		my $before = $used;
		$used = processor($pid);
		return $used - $before < 0.05;
	}, 120, 'the worker to rest') or die "the worker does not rest\n";
}

1;
