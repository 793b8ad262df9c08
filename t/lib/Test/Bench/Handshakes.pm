package Test::Bench::Handshakes;

# Full handshakes with a staple by ocsp_plus, beside nginx's built-in stapling
# from a warm ssl_stapling_file, and beside a server that staples nothing: with
# a response signed by the issuer, and with one signed by a delegate, whose
# certificate comes along.  From OpenSSL 3.6 on it parses what is stapled in
# every handshake, so there the two differ, whoever staples.
#
# One nginx serves all of them, so whatever else a worker does costs each the
# same.  Throughput is handshakes for each second of the processor that the
# workers used: the client needs the other processor, and what else runs on the
# machine must not count.

use warnings;
use strict;

use Test::Bench qw/ median processor /;
use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

my %PORT = (none => 8440,
	'issuer-signed, ocsp_plus' => 8441, 'issuer-signed, built-in' => 8442,
	'delegated, ocsp_plus' => 8443, 'delegated, built-in' => 8444);

sub run {
	my ($b) = @_;
	for my $workers (1, 2) {
		my $t = _nginx([ "worker_processes $workers;" ]);
		for my $tls (qw/ 1.2 1.3 /) {
			_throughput($b, $t, $workers, $tls);
		}
		$t->stop();
	}
	_instructions($b, $_) for @{$b->size([ qw/ 1.2 1.3 / ],
		[ qw/ 1.2 1.3 / ], [ '1.3' ])};
}

# A running nginx with the three servers, and what each needs.
sub _nginx {
	my ($main, %opt) = @_;

	my $t = Test::Nginx->new(timeout => 3600, %opt);
	my $int = Test::Nginx::CA->new($t)->intermediate('int');
	my $r = Test::Nginx::Responder->start($t, ca => $int);
	# the start is to wait until it is stapled, also under valgrind
	my %leaf = map { $_ => $int->leaf("$_.example", aia => $r->url(),
		must_staple => 1) } qw/ none issuer-signed delegated /;
	$r->add_signer($int->responder_cert('delegate'));
	$r->signer('delegate', leaf => $leaf{delegated});

	my @servers;
	for my $way (sort keys %PORT) {
		my ($signed, $by) = split /, /, $way;
		my @lines;
		if ($by && $by eq 'ocsp_plus') {
			@lines = 'ocsp_plus on;';
		} elsif ($by) {
			$t->write_file("$signed.der", $r->response($leaf{$signed}));
			@lines = ('ssl_stapling on;',
				"ssl_stapling_file $signed.der;");
		}
		push @servers, [ $PORT{$way}, $leaf{$signed}, @lines ];
	}
	$t->write_conf(main => $main, events => [ 'worker_connections 1024;' ],
		http => [ 'access_log off;', 'ssl_protocols TLSv1.2 TLSv1.3;',
			'ocsp_plus_startup_wait 60s;', @servers ]);
	$t->run(timeout => 120);
	return $t;
}

sub _shake {
	my ($b, $way, $tls, $count) = @_;
	my $seen = $b->handshakes(port => $PORT{$way}, name => 'h.example',
		tls => $tls, count => $count);
	my $wanted = $way eq 'none' ? 0 : $count;
	die "$way: $seen->{stapled} of $count stapled\n"
		unless $seen->{stapled} == $wanted;
}

sub _throughput {
	my ($b, $t, $workers, $tls) = @_;

	my $count = $b->size(3000, 800, 50);
	my $times = $b->rounds($b->size(9, 5, 1), { map { my $way = $_;
		($way => sub {
			my @pids = $t->workers();
			my $before = processor(@pids);
			_shake($b, $way, $tls, $count);
			return processor(@pids) - $before;
		}) } keys %PORT });
	_ratios($b, "a: handshakes, TLS $tls, workers $workers", sub {
		my ($way, $other) = @_;
		return median(map { $times->{$other}[$_] / $times->{$way}[$_] }
			0 .. $#{$times->{$way}});
	}, at_least => 0.95);
}

# Ours beside the built-in, which has a target, and beside none.
sub _ratios {
	my ($b, $name, $ratio, $bound, $target) = @_;
	for my $signed (qw/ issuer-signed delegated /) {
		my $ours = "$signed, ocsp_plus";
		$b->$bound("$name, $ours / built-in",
			$ratio->($ours, "$signed, built-in"), $target);
		$b->tell("$name, $ours / none", $ratio->($ours, 'none'));
	}
}

sub _instructions {
	my ($b, $tls) = @_;

	my %cost = map { my $way = $_;
		($way => $b->instructions(\&_nginx,
			sub { _shake($b, $way, $tls, $_[0]) }))
	} sort keys %PORT;
	_ratios($b, "a: instructions a handshake, TLS $tls", sub {
		my ($way, $other) = @_;
		return $cost{$way} / $cost{$other};
	}, at_most => 1.01);
}

1;
