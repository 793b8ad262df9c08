package Test::Bench::Chain;

# What the staples of CA certificates cost (ocsp_plus_chain): handshakes of TLS
# 1.3 with none to three staples, beside one another.  A response is signed by
# its issuer, or by a delegate whose certificate comes along.  OpenSSL before
# 3.6.1 sends the leaf's alone, and there the directive must cost nothing.

use warnings;
use strict;

use Test::Bench qw/ median processor /;
use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

my @SIGNED = qw/ issuer-signed delegated /;
# one: the directive is off; two: the outer CA has no responder
my @COUNT = qw/ one two three /;
my %PORT = (none => 8440);
$PORT{"$SIGNED[$_ / 3], $COUNT[$_ % 3]"} = 8441 + $_ for 0 .. 5;

sub run {
	my ($b) = @_;

	my ($most, $times) = _times($b);
	my %cost = map { my $way = $_;
		($way => $b->instructions(\&_nginx, sub { _shake($b, $way, $_[0]) }))
	} @{$b->size([ sort keys %PORT ], [ sort keys %PORT ],
		[ map { "$SIGNED[0], $_" } qw/ one three / ])};

	for my $signed (@SIGNED) {
		for my $staples (grep { $most > 1 || $_ ne 'two' } @COUNT) {
			my $way = "$signed, $staples";
			my $told = $most > 1 ? "$way / none"
				: "$signed, ocsp_plus_chain "
					. ($staples eq 'one' ? 'off' : 'on') . ' / none';
			$b->tell("j: processor time of a handshake, $told",
				median(map { $times->{$way}[$_] / $times->{none}[$_] }
					0 .. $#{$times->{$way}}));
			$b->tell("j: instructions a handshake, $told",
				$cost{$way} / $cost{none}) if $cost{$way} && $cost{none};
		}
	}
	my ($off, $on) = map { $cost{"$SIGNED[0], $_"} } qw/ one three /;
	$b->at_most('j: instructions a handshake, ocsp_plus_chain on / off, leaf alone',
		$on / $off, 1.01) if $most == 1;
	$b->tell('j: instructions a handshake, issuer-signed, three / one',
		$on / $off) if $most > 1;
}

# The most staples that are sent, and the seconds of the processor by way.
sub _times {
	my ($b) = @_;
	my $t = _nginx([ 'worker_processes 1;' ]);
	my $most = _staples($t);
	my $count = $b->size(3000, 800, 50);
	my $times = $b->rounds($b->size(9, 5, 1), { map { my $way = $_;
		($way => sub {
			my @pids = $t->workers();
			my $before = processor(@pids);
			_shake($b, $way, $count);
			return processor(@pids) - $before;
		}) } keys %PORT });
	$t->stop();
	return ($most, $times);
}

# A running nginx with all servers.
sub _nginx {
	my ($main, %opt) = @_;

	my $t = Test::Nginx->new(timeout => 3600, %opt);
	my $root = Test::Nginx::CA->new($t);
	my $r = Test::Nginx::Responder->start($t, ca => $root);
	my @servers = ([ $PORT{none}, $root->leaf('none.example') ]);
	for my $way (grep { $_ ne 'none' } sort keys %PORT) {
		my ($signed, $staples) = split /, /, $way;
		my $name = "$signed-$staples";
		my $outer = $root->intermediate("outer-$name",
			$staples eq 'two' ? () : (aia => $r->url()));
		my $inner = $outer->intermediate("inner-$name", aia => $r->url());
		# the start is to wait until it is stapled, also under valgrind
		my $leaf = $inner->leaf("$name.example", aia => $r->url(),
			must_staple => 1);
		$r->add_ca($_) for $outer, $inner;
		if ($signed eq 'delegated') {
			my %issuer = ($outer->name() => $root, $inner->name() => $outer,
				$leaf->name() => $inner);
			for my $one ($outer, $inner, $leaf) {
				my $signer = $issuer{$one->name()}
					->responder_cert('delegate-' . $one->name());
				$r->add_signer($signer);
				$r->signer($signer->name(), leaf => $one);
			}
		}
		open my $chain, '>>', $leaf->chain() or die "open: $!\n";
		print $chain $t->read_file($root->cert());
		close $chain or die "close: $!\n";
		push @servers, [ $PORT{$way}, $leaf, 'ocsp_plus on;',
			$staples eq 'one' ? () : 'ocsp_plus_chain on;' ];
	}
	$t->write_conf(main => $main, events => [ 'worker_connections 1024;' ],
		http => [ 'access_log off;', 'ssl_protocols TLSv1.2 TLSv1.3;',
			'ocsp_plus_startup_wait 60s;', @servers ]);
	$t->run(timeout => 120);
	_staples($t);
	return $t;
}

# Waits until every server staples what it can; returns the most.
sub _staples {
	my ($t) = @_;
	my $can = $t->feature('openssl 3.6');
	my %number = (one => 1, two => 2, three => 3);
	for my $way (grep { $_ ne 'none' } sort keys %PORT) {
		my ($staples) = $way =~ /(\w+)$/;
		my $wanted = $can ? $number{$staples} : 1;
		wait_for(sub {
			return $wanted == @{staple($PORT{$way}, tls => '1.3')->{statuses}};
		}, 60) or die "$way: not stapled\n";
	}
	return $can ? 3 : 1;
}

sub _shake {
	my ($b, $way, $count) = @_;
	my $seen = $b->handshakes(port => $PORT{$way}, name => 'h.example',
		tls => '1.3', count => $count);
	die "$way: $seen->{stapled} of $count stapled\n"
		unless $seen->{stapled} == ($way eq 'none' ? 0 : $count);
}

1;
