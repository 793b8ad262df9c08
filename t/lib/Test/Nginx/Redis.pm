package Test::Nginx::Redis;

# A Redis or Valkey server, or a sentinel, that nginx shares responses through:
# whichever of redis-server and valkey-server is installed.
#
#   Test::Nginx::Redis->installed()    its path; plan skip_all where there is
#                                      none
#   my $r = Test::Nginx::Redis->start($t, %options);
#       port => 8379       where it listens on 127.0.0.1; without it only on the
#                          unix socket
#       conf => [ 'maxmemory 1mb', ... ]   further lines of its configuration
#       sentinel => 1      a sentinel instead, which needs a port
#   $r->place()            redis://127.0.0.1:PORT, or unix:/PATH
#   $r->port(), socket(), pid(), address()
#   $r->ask(@words)        sends a command and waits: a string, a number, undef
#                          or a reference to an array; dies of an error
#   $r->try(@words)        the same, but an error is "-ERR ..."
#   $r->signal('STOP')
#   $r->stop()
#   $r->log()              what it has logged

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;

use Test::Nginx ();

my $count = 0;

sub installed {
	for my $name (qw/ redis-server valkey-server /) {
		for my $dir (split /:/, $ENV{PATH} || '/usr/bin') {
			return "$dir/$name" if -x "$dir/$name";
		}
	}
	return;
}

sub start {
	my ($class, $t, %opt) = @_;

	my $program = installed() or die "Redis: no server is installed\n";
	my $base = $t->testdir() . '/redis' . ++$count;
	mkdir $base or die "mkdir: $!\n";
	my $self = bless { t => $t, dir => $base,
		port => $opt{port} ? Test::Nginx::port($opt{port}) : 0,
		socket => $opt{sentinel} ? '' : "$base/socket" }, $class;

	# a sentinel writes into its configuration
	$t->write_file("redis$count/conf", join('', map { "$_\n" }
		"port $self->{port}", 'bind 127.0.0.1', "dir $base",
		"logfile $base/log", $opt{sentinel} ? ()
			: ("unixsocket $self->{socket}",
				'unixsocketperm 777', 'save ""',
				'appendonly no'),
		@{$opt{conf} || []}));
	$self->{pid} = $t->run_daemon($program, "$base/conf",
		$opt{sentinel} ? '--sentinel' : ());
	Test::Nginx::wait_for(sub {
		return eval { ($self->ask('PING') || '') eq 'PONG' };
	}, 20, 'redis answers');
	return $self;
}

sub port { return $_[0]{port} }
sub socket { return $_[0]{socket} }
sub pid { return $_[0]{pid} }
sub address { return "127.0.0.1:$_[0]{port}" }

sub place {
	my ($self) = @_;
	return $self->{port} ? "redis://127.0.0.1:$self->{port}"
		: "unix:$self->{socket}";
}

sub signal {
	my ($self, $name) = @_;
	kill $name, $self->{pid};
	return $self;
}

sub stop {
	my ($self) = @_;
	$self->{t}->stop_daemons($self->{pid}) if $self->{pid};
	delete $self->{pid};
}

sub log {
	my ($self) = @_;
	open my $fh, '<', "$self->{dir}/log" or return '';
	local $/;
	return scalar <$fh>;
}

sub ask {
	my ($self, @words) = @_;
	my $reply = $self->try(@words);
	die "Redis: @words: $reply\n"
		if defined $reply && !ref $reply && $reply =~ /^-/;
	return $reply;
}

sub try {
	my ($self, @words) = @_;

	my $socket = $self->{socket}
		? IO::Socket::UNIX->new(Peer => $self->{socket})
		: IO::Socket::INET->new(PeerAddr => '127.0.0.1',
			PeerPort => $self->{port});
	die "Redis: connect: $!\n" unless $socket;
	my $command = join '', '*' . @words . "\r\n",
		map { '$' . length($_) . "\r\n$_\r\n" } @words;
	syswrite($socket, $command) == length $command
		or die "Redis: write: $!\n";
	my $bytes = '';
	return _read(sub {
		my ($wanted) = @_;		# bytes, or undef: a line
		my $size;
		until (defined($size = defined $wanted
			? (length $bytes >= $wanted ? $wanted : undef)
			: ($bytes =~ /\A(.*?\r\n)/s ? length $1 : undef)))
		{
			IO::Select->new($socket)->can_read(20)
				or die "Redis: no answer\n";
			sysread $socket, $bytes, 65536, length $bytes
				or die "Redis: closed\n";
		}
		return substr $bytes, 0, $size, '';
	});
}

sub _read {
	my ($get) = @_;

	my ($type, $rest) = $get->() =~ /\A(.)(.*)\r\n\z/s
		or die "Redis: no reply\n";
	return "-$rest" if $type eq '-';
	return $rest if $type eq '+' || $type eq ':';
	return undef if $rest < 0;	## no critic: in lists as well
	return substr $get->($rest + 2), 0, $rest if $type eq '$';
	return [ map { _read($get) } 1 .. $rest ];
}

1;
