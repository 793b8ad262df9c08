package Test::Nginx::DNS;

# A small DNS server, UDP and TCP, with a zone that can be switched while it
# runs.
#
#   my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
#       'ocsp.example' => { a => '127.0.0.1', aaaa => [ '::1' ], ttl => 5 },
#       '*'            => { a => '127.0.0.1' },   every name not listed
#   });
#   $dns->port(), address()            the real port, 127.0.0.1:PORT
#   $dns->set($name, %record)          replaces the record of one name
#   $dns->zone(\%zone)                 replaces all
#   $dns->queries(%filter)             list of hashes: time, proto, name, type,
#                                      answer; filters name and type
#   $dns->clear()                      forget the queries
#   $dns->stop()
#
# A record:
#   a, aaaa      address or [ addresses ]; cname: name; ttl (60)
#   rcode        NXDOMAIN, SERVFAIL, REFUSED, FORMERR, NOTIMP
#   drop         1: no answer; drop_first N: none to the first N queries
#   delay        milliseconds
#   tc           1: truncated over UDP, so that TCP is asked
#   garbage      1: an answer that is no DNS message
#   wrong_id     1: an answer with another id
# A key may be meant for one type only: 'aaaa.drop' => 1, 'a.delay' => 300.
# A name with a record but none of the type: NODATA.  Not listed: NXDOMAIN.

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use Socket qw/ inet_pton AF_INET AF_INET6 /;
use Time::HiRes qw/ time /;

use Test::Nginx ();

my %TYPES = (1 => 'a', 28 => 'aaaa', 5 => 'cname');
my %RCODES = (NOERROR => 0, FORMERR => 1, SERVFAIL => 2, NXDOMAIN => 3,
	NOTIMP => 4, REFUSED => 5);

sub start {
	my ($class, $t, %opt) = @_;

	my $port = Test::Nginx::port($opt{port} || 8053);
	my $self = bless { t => $t, port => $port,
		file => $t->testdir() . "/dns-$port.zone",
		log => $t->testdir() . "/dns-$port.log" }, $class;
	$self->clear();
	$self->zone($opt{zone} || {});

	# bound here, so that it answers from the first moment
	my $udp = IO::Socket::INET->new(Proto => 'udp',
		LocalAddr => '127.0.0.1', LocalPort => $port)
		or die "DNS: $!\n";
	my $tcp = IO::Socket::INET->new(Proto => 'tcp', ReuseAddr => 1,
		LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 128)
		or die "DNS: $!\n";
	$self->{pid} = $t->run_daemon(\&_serve, $self, $udp, $tcp);
	return $self;
}

sub port { return $_[0]{port} }
sub address { return "127.0.0.1:$_[0]{port}" }

sub stop {
	my ($self) = @_;
	$self->{t}->stop_daemons($self->{pid}) if $self->{pid};
	delete $self->{pid};
}

sub set {
	my ($self, $name, %record) = @_;
	$self->{records}{lc $name} = \%record;
	return $self->_write();
}

sub zone {
	my ($self, $zone) = @_;
	$self->{records} = { map { lc $_ => $zone->{$_} } keys %$zone };
	return $self->_write();
}

# One name a line; renamed over the old one, which the server never sees torn.
sub _write {
	my ($self) = @_;
	$self->{generation}++;
	my $text = "; $self->{generation}\n";
	for my $name (sort keys %{$self->{records}}) {
		my $record = $self->{records}{$name};
		$text .= join(' ', $name, map {
			my $value = $record->{$_};
			"$_=" . (ref $value ? join(',', @$value) : $value)
		} sort keys %$record) . "\n";
	}
	$self->{t}->write_file("$self->{file}.new", $text);
	rename "$self->{file}.new", $self->{file} or die "rename: $!\n";
	return $self;
}

sub queries {
	my ($self, %filter) = @_;
	my @found;
	for my $line (split /\n/, $self->{t}->read_file($self->{log})) {
		my %seen;
		@seen{qw/ time proto name type answer /} = split ' ', $line;
		next if grep { $seen{$_} ne lc $filter{$_} } keys %filter;
		push @found, \%seen;
	}
	return @found;
}

sub clear {
	my ($self) = @_;
	$self->{t}->write_file($self->{log}, '');
	return $self;
}

###############################################################################
# the server's process

sub _serve {
	my ($self, $udp, $tcp) = @_;

	my $select = IO::Select->new($udp, $tcp);
	my @later;		# [ due, what to do ], by due
	my %buffers;
	$SIG{PIPE} = 'IGNORE';

	while () {
		my $wait = @later ? $later[0][0] - time() : undef;
		$wait = 0 if defined $wait && $wait < 0;
		my @ready = $select->can_read($wait);
		while (@later && $later[0][0] <= time()) {
			(shift @later)->[1]->();
		}
		for my $socket (@ready) {
			if ($socket == $tcp) {
				my $client = $tcp->accept() or next;
				$select->add($client);
				$buffers{$client} = '';
				next;
			}
			my @questions;
			my $send;
			if ($socket == $udp) {
				my $peer = recv $udp, my $bytes, 4096, 0;
				next unless defined $peer;
				@questions = $bytes;
				$send = sub { send $udp, $_[0], 0, $peer };
			} else {
				my $got = sysread $socket, $buffers{$socket},
					4096, length $buffers{$socket};
				if (!$got) {
					$select->remove($socket);
					delete $buffers{$socket};
					close $socket;
					next;
				}
				while ($buffers{$socket} =~ /\A(..)/s) {
					my $size = unpack 'n', $1;
					last if length $buffers{$socket}
						< $size + 2;
					push @questions, substr
						$buffers{$socket}, 2, $size;
					substr $buffers{$socket}, 0,
						$size + 2, '';
				}
				$send = sub { syswrite $socket,
					pack('n/a*', $_[0]) };
			}
			for my $question (@questions) {
				my ($answer, $delay) = $self->_answer(
					$question, $socket == $udp);
				next unless defined $answer;
				if (!$delay) {
					$send->($answer);
					next;
				}
				@later = sort { $a->[0] <=> $b->[0] } @later,
					[ time() + $delay / 1000,
					sub { $send->($answer) } ];
			}
		}
	}
}

# The message and how long to wait with it; nothing for no answer.
sub _answer {
	my ($self, $question, $udp) = @_;

	return if length $question < 17;
	my ($id, $flags, $count) = unpack 'n3', $question;
	my @labels;
	my $at = 12;
	while ((my $size = ord substr $question, $at, 1)) {
		return if $at + $size > length $question;
		push @labels, substr $question, $at + 1, $size;
		$at += $size + 1;
	}
	my ($type) = unpack 'n', substr $question, $at + 1, 2;
	my $asked = substr $question, 12, $at + 5 - 12;
	my $name = lc join '.', @labels;
	$type = $TYPES{$type} || $type;

	my $record = $self->_look_up($name);
	my $get = sub {
		my ($key) = @_;
		return $record->{"$type.$key"} // $record->{$key};
	};
	my $answered = sub {
		my ($what) = @_;
		open my $log, '>>', $self->{log} or return;
		printf $log "%.6f %s %s %s %s\n", time(),
			$udp ? 'udp' : 'tcp', length $name ? $name : '.',
			$type, $what;
	};

	if ($get->('drop') || ($get->('drop_first')
		&& $self->{asked}{$name}{$type}++ < $get->('drop_first')))
	{
		$answered->('dropped');
		return;
	}
	my $rcode = $record->{unknown} ? 'NXDOMAIN'
		: $get->('rcode') || 'NOERROR';
	my @answers;
	my $ttl = $get->('ttl') // 60;
	my $pointer = "\xc0\x0c";
	if ($rcode eq 'NOERROR' && defined $record->{cname}) {
		my $target = _name($record->{cname});
		push @answers, $pointer . pack 'nnNn/a*', 5, 1, $ttl, $target;
		# followed within the zone, as a resolver does
		$pointer = $target;
		$record = $self->_look_up(lc $record->{cname});
	}
	if ($rcode eq 'NOERROR' && ($type eq 'a' || $type eq 'aaaa')) {
		my ($family, $number) = $type eq 'a'
			? (AF_INET, 1) : (AF_INET6, 28);
		push @answers, map { $pointer . pack 'nnNn/a*', $number, 1,
			$ttl, inet_pton($family, $_) }
			split /,/, $record->{$type} // '';
	}
	my $truncated = $udp && $get->('tc');
	@answers = () if $truncated;
	my $what = $truncated ? 'truncated' : $rcode ne 'NOERROR' ? $rcode
		: @answers ? 'answers=' . @answers : 'nodata';
	$answered->($what);

	my $message = pack('n6', $get->('wrong_id') ? $id ^ 1 : $id,
		0x8080 | ($flags & 0x0100) | ($truncated ? 0x0200 : 0)
		| $RCODES{$rcode}, 1, scalar @answers, 0, 0)
		. $asked . join '', @answers;
	$message = pack('n', $id) . 'no DNS message' if $get->('garbage');
	return ($message, $get->('delay'));
}

sub _name {
	my ($name) = @_;
	return join('', map { pack 'C/a*', $_ } split /\./, $name) . "\0";
}

sub _look_up {
	my ($self, $name) = @_;

	open my $fh, '<', $self->{file} or return { unknown => 1 };
	local $/;
	my $text = <$fh>;
	if (!defined $self->{text} || $text ne $self->{text}) {
		$self->{text} = $text;
		$self->{asked} = {};
		$self->{served} = {};
		for my $line (split /\n/, $text) {
			next if $line =~ /^;/;
			my ($key, @fields) = split ' ', $line;
			$self->{served}{$key} = { map { split /=/, $_, 2 }
				@fields };
		}
	}
	return $self->{served}{$name} || $self->{served}{'*'}
		|| { unknown => 1 };
}

1;
