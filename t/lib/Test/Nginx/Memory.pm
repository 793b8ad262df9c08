package Test::Nginx::Memory;

# The shared zone as code in a worker sees it: read and written from outside,
# through /proc/PID/mem.  For root, and where the system lets root do so.
#
#   my $zone = Test::Nginx::Memory->of($pid, $size)
#                            the one shared mapping of that size, in bytes, of
#                            a process; undef where it cannot be reached
#   $zone->address(), size()
#   $zone->read($offset, $length)
#   $zone->write($offset, $bytes)
#   $zone->word($offset)     eight bytes as a number
#   $zone->start()           offset of what ocsp_plus itself keeps: in front of
#                            it lies what nginx keeps of every zone, of which
#                            the first page is the process's own
#   $zone->lock()            offset of the lock

use warnings;
use strict;
no warnings qw/ portable /;	# addresses have 64 bits

use Fcntl qw/ O_RDWR SEEK_SET /;
use POSIX ();

sub of {
	my ($class, $pid, $size) = @_;
	open my $maps, '<', "/proc/$pid/maps" or return;
	my $page = POSIX::sysconf(POSIX::_SC_PAGESIZE());
	my @found = grep { $_->{size} == $size } map {
		/^([0-9a-f]+)-([0-9a-f]+) rw-s/
			? { address => hex($1) - $page,
				size => hex($2) - hex($1) + $page } : ()
	} <$maps>;
	return unless @found == 1;
	sysopen my $mem, "/proc/$pid/mem", O_RDWR or return;
	my $self = bless { %{$found[0]}, mem => $mem }, $class;
	return defined $self->_read(0, 8) ? $self : undef;
}

sub address { return shift->{address}; }
sub size { return shift->{size}; }

sub read {
	my ($self, $offset, $length) = @_;
	return $self->_read($offset, $length)
		// die "the memory cannot be read: $!\n";
}

sub write {
	my ($self, $offset, $bytes) = @_;
	sysseek $self->{mem}, $self->{address} + $offset, SEEK_SET;
	my $written = syswrite $self->{mem}, $bytes;
	die "the memory cannot be written: $!\n"
		unless defined $written && $written == length $bytes;
}

sub word {
	my ($self, $offset) = @_;
	return unpack 'Q<', $self->read($offset, 8);
}

sub start {
	my ($self) = @_;
	my $start = index $self->read(0, $self->{size}), 'ocsp+oc1';
	die "this is no zone of ocsp_plus\n" if $start < 0;
	return $start;
}

sub lock { return shift->start() - 64; }

sub _read {
	my ($self, $offset, $length) = @_;
	sysseek $self->{mem}, $self->{address} + $offset, SEEK_SET;
	my $read = sysread $self->{mem}, my ($bytes), $length;
	return defined $read && $read == $length ? $bytes : undef;
}

1;
