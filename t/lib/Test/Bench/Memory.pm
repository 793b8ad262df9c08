package Test::Bench::Memory;

# Memory for each certificate with four workers: shared (the zone: the parts
# that all processes have of its pages, Pss, summed up) and private (Private_*
# of what each worker may write to, in smaps), less that of the same nginx without stapling.
# Beside nginx's built-in stapling, before any answer and after handshakes have
# made each worker ask.
#
# Responses have the sizes of real ones: signed by the issuer, by a delegate,
# and by delegates with RSA keys, 300 to 2,500 bytes.

use warnings;
use strict;

use List::Util qw/ max min sum /;

use Test::Bench::Many;
use Test::Nginx ();

my $WORKERS = 4;
my %WAY = (
	off => 'ocsp_plus off;',
	ocsp_plus => 'ocsp_plus on;',
	'built-in' => 'ocsp_plus off; ssl_stapling on;',
);

sub run {
	my ($b) = @_;

	my $many = Test::Bench::Many->new($b->size(3000, 1000, 40),
		signers => [ { key => 'ec' }, { key => 'rsa:2048' },
			{ key => 'rsa:4096', names => [ map {
				"responder-$_.status.authority.example" }
				1 .. 22 ] } ]);
	my $count = $many->count();
	my @signers = ('direct', map { "signer-$_" } 'ec', 'rsa:2048',
		'rsa:4096');
	my $r = $many->responder();
	my @leaves = $many->leaves();
	$r->set(signer => $signers[$_ % @signers], leaf => $leaves[$_])
		for 0 .. $#leaves;
	$many->warm();
	my @sizes = map { length $r->response($leaves[$_]) } 0 .. $#signers;
	my $mean = sum(@sizes) / @sizes;
	$b->tell('e: the smallest response, bytes', min(@sizes));
	$b->tell('e: the largest response, bytes', max(@sizes));

	# what the first certificates cost besides is not theirs
	my $few = $count / 10;
	my %used = map { my $way = $_; ($way => {
		map { $_ => _measure($b, $many, $way, $_) } $few, $count })
	} sort keys %WAY;
	my $more = sub {
		my ($way, $what, $i) = @_;
		my ($small, $large) = map { my $seen = $used{$way}{$_}{$what};
			defined $i ? $seen->[$i] : $seen } $few, $count;
		return ($large - $small) / ($count - $few);
	};
	$b->at_most('e: shared memory a certificate / (1.5 responses + 512)',
		$more->('ocsp_plus', 'shared') / (1.5 * $mean + 512), 1);
	for my $when (qw/ before after /) {
		my %each = map { my $way = $_; ($way => [ map {
			$more->($way, $when, $_) - $more->('off', $when, $_)
			} 0 .. $WORKERS - 1 ]) } qw/ ocsp_plus built-in /;
		my $what = "e: private bytes a certificate, $when handshakes,";
		$b->at_most("$what the designated worker",
			max(@{$each{ocsp_plus}}), 1024);
		$b->at_most("$what another worker", min(@{$each{ocsp_plus}}),
			1024);
		$b->tell("$what built-in",
			sum(@{$each{'built-in'}}) / $WORKERS);
	}
}

sub _measure {
	my ($b, $many, $way, $count) = @_;

	my $t = $many->nginx();
	system('rm', '-rf', $many->directory());
	$many->configure("$WAY{$way}\n    ssl_session_cache off;",
		workers => $WORKERS, only => $count);
	$t->run(timeout => 300);
	Test::Nginx::wait_for(sub { $many->fetched() >= $count }, 120,
		'all to be fetched') if $way eq 'ocsp_plus';
	my $pid = $t->master_pid();
	my %used;
	$used{before} = [ _private($t) ];
	$b->handshakes(port => 8443, name => 'h%d.example', names => $count,
		tls => '1.3', count => $b->size(6, 6, 1) * $WORKERS * $count);
	$used{after} = [ _private($t) ];
	$used{shared} = sum(map { _zone($_) } $pid, $t->workers());
	$t->stop();
	return \%used;
}

# Bytes that are each worker's own, the fewest first.
sub _private {
	my ($t) = @_;
	return sort { $a <=> $b } map {
		my $sum = 0;
		# a page of the zone that only one process has touched is
		# counted with the zone
		$sum += $_ for _smaps($_, sub { $_[0] =~ / rw-p / },
			qr/Private_\w+/);
		$sum;
	} $t->workers();
}

# Our zone is the only large shared mapping.
sub _zone {
	my ($pid) = @_;
	return sum(0, _smaps($pid, sub { $_[0] =~ m!rw-s .*/dev/zero! },
		qr/Pss/));
}

sub _smaps {
	my ($pid, $wanted, $what) = @_;
	open my $fh, '<', "/proc/$pid/smaps" or die "/proc/$pid/smaps: $!\n";
	my ($in, @bytes);
	while (my $line = <$fh>) {
		if ($line =~ /^[0-9a-f]+-[0-9a-f]+ /) {
			$in = $wanted->($line);
		} elsif ($in && $line =~ /^$what:\s+(\d+) kB/) {
			push @bytes, 1024 * $1;
		}
	}
	return @bytes;
}

1;
