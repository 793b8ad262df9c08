package Test::Nginx::Watch;

# Handshakes without a pause in another process, for tests that no staple is
# ever missing.
#
#   my $w = Test::Nginx::Watch->start($t, 8443, 'a.example', 'b.example', ...)
#                        returns at once: nginx need not run yet
#   $w->wait_for($n, $seconds)   until $n handshakes succeeded
#   my $seen = $w->end()         { stapled, missing, failed, unreachable }
#
# Each handshake asks for the status of one of the names in turn.  unreachable:
# nobody listened.  missing_first: how many handshakes came before the first
# that lacked its staple.  $w->seen() is what end() would return.

use warnings;
use strict;

use IO::Handle;

use Test::Nginx ();

my $number = 0;

sub start {
	my ($class, $t, $port, @names) = @_;

	my $file = $t->write_file('watch-' . ++$number, '');
	my $self = bless { t => $t, file => $file }, $class;
	# here, or the other process would choose another one
	$port = Test::Nginx::port($port);
	$self->{pid} = $t->run_daemon(sub {
		open my $out, '>>', $file or die "open: $!";
		$out->autoflush();
		while () {
			for my $name (@names) {
				my $seen = Test::Nginx::handshake_fast($port,
					$name, timeout => 30);
				my $what = $seen->{ok}
					? defined $seen->{der}
						? 'stapled' : 'missing'
					: $seen->{error} =~ /^connect:/
						? 'unreachable' : 'failed';
				print $out "$what\n";
				select undef, undef, undef, 0.01
					if $what eq 'unreachable';
			}
		}
	});
	return $self;
}

sub seen {
	my ($self) = @_;
	my %count = (stapled => 0, missing => 0, failed => 0,
		unreachable => 0);
	my $good = 0;
	for my $what ($self->{t}->read_file($self->{file}) =~ /^(\w+)$/mg) {
		$count{$what}++;
		$count{missing_first} //= $good if $what eq 'missing';
		$good++ if $what eq 'stapled';
	}
	return \%count;
}

sub wait_for {
	my ($self, $count, $seconds) = @_;
	return Test::Nginx::wait_for(sub {
		my $seen = $self->seen();
		return $seen->{stapled} + $seen->{missing} >= $count;
	}, $seconds || 10, "$count handshakes");
}

sub end {
	my ($self) = @_;
	$self->{t}->stop_daemons($self->{pid});
	return $self->seen();
}

1;
