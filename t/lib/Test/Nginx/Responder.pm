package Test::Nginx::Responder;

# An OCSP responder with faults that can be switched while it runs: the Perl
# side of test_responder (t/lib/tools/responder.cc tells all settings, faults
# and their arguments).
#
#   my $r = Test::Nginx::Responder->start($t, ca => [ $root, $int ],
#       ports => [ 8081, 8082 ], signers => [ $delegated ],
#       addresses => [ '127.0.0.1', '::1' ]);
#   $r->url([$i [, $path]])     http://127.0.0.1:PORT/ of the $i-th port, from 1
#   $r->port([$i])              the real port
#   $r->add_ca($ca), add_signer($cert), serve_file('int.der', $path, $type)
#
#   $r->status($leaf, 'revoked', %opt)     good, revoked, unknown; undef in
#                               place of a leaf: all; reason, revoked_at (epoch)
#   $r->validity(%opt)          this_update, next_update: seconds from now, or
#                               'none'
#   $r->signer('delegated')     or 'direct' or a signer's name
#   $r->fault($name, %opt)      arg, times; 'none' ends it
#   $r->set(key => value, ...)  any setting; the value 'default' takes it back
#   $r->reset()                 forget all settings
#   $r->drop_connections()
#   $r->response($leaf, %opt)   the DER that it answers with now; on => $i.  It
#                               counts as a request.
#
# Each of these takes on => $i (only this port) and leaf => $leaf or serial =>
# $hex (only these requests).  The narrowest wins: port and serial, serial,
# port, all.
#
#   $r->requests(%opt)          list of hashes: time, method, port, serial, hash,
#                               nonce, no_cache, conditional, fault, url_size,
#                               host, target; filters on and leaf; in scalar context their number
#   $r->stats()                 { all => {total, get, post, connections, open,
#                               peak, working, working_peak},
#                               ports => { $i => {..} }, serials => { hex => n } }
#                               open: connections; working: of these, those not
#                               answered yet, and not left by the client
#   $r->wait_requests($n, $seconds, %filters)
#   $r->clear()                 the counters
#   $r->stop(), $r->restart()   restart: the same ports, CAs and signers, no
#                               settings

use warnings;
use strict;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw/ time /;

use Test::Nginx ();

# Control ports have no number of their own in a configuration.
my $next_control = 8990;

sub start {
	my ($class, $t, %opt) = @_;

	my $self = bless {
		t => $t,
		ports => [ map { Test::Nginx::port($_) }
			@{$opt{ports} || [ 8081 ]} ],
		addresses => $opt{addresses} || [],
		control => Test::Nginx::port($next_control++),
		setup => [],
	}, $class;
	$self->_spawn();

	my $ca = $opt{ca} || [];
	$self->add_ca($_) for ref $ca eq 'ARRAY' ? @$ca : $ca;
	$self->add_signer($_) for @{$opt{signers} || []};
	return $self;
}

sub _spawn {
	my ($self) = @_;

	my @args = ('--parent', $$, '--control', $self->{control},
		(map { ('--listen', $_) } @{$self->{ports}}),
		(map { ('--address', $_) } @{$self->{addresses}}));
	my $tool = Test::Nginx::Config::tool('test_responder');
	pipe(my $out, my $write) or die "pipe: $!";
	$self->{pid} = $self->{t}->run_daemon(sub {
		close $out;
		open STDIN, '<', '/dev/null';
		# run_daemon's child still is this Perl
		open STDOUT, '>&', $write;
		exec { $tool } $tool, @args or die "exec $tool: $!\n";
	});
	close $write;
	my $said = '';
	$said = <$out> // '' if IO::Select->new($out)
		->can_read(5 * $Test::Nginx::SLOW);
	die "the responder did not start\n" unless $said eq "ready\n";
	return $self;
}

sub stop {
	my ($self) = @_;
	$self->{t}->stop_daemons($self->{pid}) if $self->{pid};
	delete $self->{pid};
	return $self;
}

sub restart {
	my ($self) = @_;
	$self->stop();
	$self->_spawn();
	$self->_control(@$_) for @{$self->{setup}};
	return $self;
}

sub port {
	my ($self, $i) = @_;
	return $self->{ports}[($i || 1) - 1];
}

sub url {
	my ($self, $i, $path) = @_;
	return 'http://127.0.0.1:' . $self->port($i) . ($path // '/');
}

sub _setup {
	my ($self, @command) = @_;
	push @{$self->{setup}}, \@command;
	return $self->_control(@command);
}

sub add_ca {
	my ($self, $ca) = @_;
	return $self->_setup(add_issuer => $ca->name(), cert => $ca->cert(),
		key => $ca->key());
}

sub add_signer {
	my ($self, $cert) = @_;
	return $self->_setup(add_signer => $cert->name(),
		cert => $cert->cert(), key => $cert->key());
}

sub serve_file {
	my ($self, $name, $path, $type) = @_;
	return $self->_setup(add_file => $name, path => $path,
		type => $type || 'application/octet-stream');
}

# on and leaf become what the control channel knows.
sub _scope {
	my ($self, $opt) = @_;
	my @scope;
	push @scope, port => $self->port(delete $opt->{on}) if $opt->{on};
	my $leaf = delete $opt->{leaf};
	my $serial = delete $opt->{serial};
	$serial = $leaf->serial() if $leaf;
	push @scope, serial => $serial if defined $serial;
	return @scope;
}

sub set {
	my ($self, %opt) = @_;
	return $self->_control($self->_scope(\%opt), %opt);
}

sub status {
	my ($self, $leaf, $status, %opt) = @_;
	$opt{leaf} = $leaf if $leaf;
	$opt{revoked_at} //= int(time()) - 3600 if $status eq 'revoked';
	return $self->set(status => $status, %opt);
}

sub validity {
	my ($self, %opt) = @_;
	return $self->set(%opt);
}

sub signer {
	my ($self, $name, %opt) = @_;
	return $self->set(signer => $name, %opt);
}

sub fault {
	my ($self, $name, %opt) = @_;
	return $self->set(fault => $name, %opt);
}

sub reset {
	my ($self) = @_;
	return $self->_control(reset_all => 1);
}

sub clear {
	my ($self) = @_;
	return $self->_control(clear_stats => 1);
}

sub response {
	my ($self, $leaf, %opt) = @_;
	my $file = $self->{t}->testdir() . '/request.der';
	my $run = $self->{t}->command([ qw/ openssl ocsp -sha1 -no_nonce /,
		'-issuer', $leaf->issuer()->cert(), '-cert', $leaf->cert(),
		'-reqout', $file ]);
	die "openssl ocsp: $run->{output}" if $run->{status};
	my $request = $self->{t}->read_file($file);
	unlink $file;
	my $answer = _exchange($self->port($opt{on}), 'POST', '/', $request,
		'Content-Type: application/ocsp-request');
	return (split /\r\n\r\n/, $answer, 2)[1] // '';
}

sub drop_connections {
	my ($self) = @_;
	return $self->_control(drop_connections => 1);
}

sub requests {
	my ($self, %filter) = @_;
	my %scope = $self->_scope(\%filter);
	my @found;
	for my $line (split /\n/, $self->_http('GET', '/control/requests')) {
		my %seen = map { split /=/, $_, 2 } split / /, $line;
		next if grep { $seen{$_} ne $scope{$_} } keys %scope;
		push @found, \%seen;
	}
	return @found;
}

sub stats {
	my ($self) = @_;
	my %index;
	@index{@{$self->{ports}}} = 1 .. @{$self->{ports}};
	my %stats = (ports => {}, serials => {});
	for my $line (split /\n/, $self->_http('GET', '/control/stats')) {
		my ($what, @rest) = split / /, $line;
		my $name = $what eq 'all' ? '' : shift @rest;
		my %counts = map { split /=/, $_, 2 } @rest;
		if ($what eq 'all') {
			$stats{all} = \%counts;
		} elsif ($what eq 'port') {
			$stats{ports}{$index{$name} || 0} = \%counts;
		} else {
			$stats{serials}{$name} = $counts{total};
		}
	}
	return \%stats;
}

sub wait_requests {
	my ($self, $count, $seconds, %filter) = @_;
	return Test::Nginx::wait_for(sub {
		my @seen = $self->requests(%filter);
		return @seen >= $count;
	}, $seconds, "$count requests at the responder");
}

sub _control {
	my ($self, %command) = @_;
	my $body = '';
	for my $key (sort keys %command) {
		my $value = $command{$key};
		$value =~ s/([^A-Za-z0-9_.:\/ -])/sprintf '%%%02X', ord $1/ge;
		$body .= "$key=$value\n";
	}
	$self->_http('POST', '/control', $body);
	return $self;
}

sub _http {
	my ($self, $method, $path, $body) = @_;

	my $response = _exchange($self->{control}, $method, $path, $body // '');
	my ($head, $content) = split /\r\n\r\n/, $response, 2;
	die "the responder does not answer\n" unless defined $content;
	die "the responder refuses: $content" unless $head =~ /^HTTP\S+ 200/;
	return $content;
}

# A request and everything that comes until the end of the connection.
sub _exchange {
	my ($port, $method, $path, $body, @headers) = @_;

	my $deadline = time() + 5 * $Test::Nginx::SLOW;
	my $socket = IO::Socket::INET->new(Proto => 'tcp',
		PeerAddr => '127.0.0.1', PeerPort => $port)
		or die "the responder does not run: $!\n";
	syswrite $socket, join("\r\n", "$method $path HTTP/1.1",
		"Host: 127.0.0.1:$port", 'Connection: close',
		'Content-Length: ' . length($body), @headers, '', $body);
	my $response = '';
	my $select = IO::Select->new($socket);
	while ((my $left = $deadline - time()) > 0) {
		next unless $select->can_read($left);
		sysread $socket, $response, 65536, length $response or last;
	}
	return $response;
}

1;
