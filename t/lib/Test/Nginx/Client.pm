package Test::Nginx::Client;

# The clients of the tests, as functions and as methods of Test::Nginx.
# A port between 8000 and 8999 is translated as in the configuration.
#
#   http_get($path, %opt)    the whole response as text; http_head, http_post
#                            ($path, $body); port (8080), host, headers =>
#                            [ 'Name: value' ], ssl => 1, servername, timeout
#   http($text, %opt)        the same with a request of your own
#   http_json($path, %opt)   what the JSON of an answer says; undef unless 200
#   seconds_of($text)        since 1970, of a time of RFC 3339; 0 for undef
#
#   staple($port, %opt)      what "openssl s_client -status" sees:
#       status       good, revoked, unknown, none, an OCSP error (trylater,
#                    unauthorized, ...), garbage; or failed, refused, timeout
#       statuses     of each single response
#       this_update, next_update, produced_at, revoked_at   seconds since 1970
#       serial       in lower-case hex
#       handshake    1 or 0; alert, its number
#       resumed, version, cipher, subject, output
#     options: servername, tls => '1.2' | '1.3', sig => 'RSA' | 'ECDSA',
#       status => 0 (do not ask), sess_out, sess_in (files), address, curves,
#       args => [ more of s_client's ], timeout (10)
#
#   wait_staple($port, 'good', %opt)   polls until the status is this (a string,
#                            a pattern or a sub that is given the hash), within
#                            seconds (10); returns the hash last seen, and in
#                            {ok} whether it was in time
#
#   staple_fast($port, $servername, %opt)    the DER of the response or undef,
#                            by a handshake within this process
#   without($port, @names)   how many of these names get no staple, by
#                            staple_fast
#   handshake_fast($port, $servername, %opt)   { ok, der, resumed, session,
#                            error, version }; session => of an earlier one,
#                            tls => '1.2' | '1.3', sig (TLS 1.2), address;
#                            wire => 1 adds what lay in the messages, whatever
#                            OpenSSL makes of it: hellos (2: a HelloRetryRequest
#                            came first), staples: [ the DER or undef for each
#                            certificate sent ], of TLS 1.2 at most one
#   staple_verify($t, $der, $cert, $ca_file)   openssl's opinion of a DER:
#                            { ok, status, output }; at => seconds since 1970

use warnings;
use strict;

use Exporter ();
use IO::Select;
use IO::Socket::INET;
use Socket qw/ SOL_SOCKET SO_RCVTIMEO SO_SNDTIMEO IPPROTO_TCP TCP_NODELAY /;
use Time::HiRes qw/ time /;
use Time::Local qw/ timegm /;

our @EXPORT_OK = qw/ http http_get http_head http_post http_json seconds_of
	staple wait_staple staple_fast without handshake_fast staple_verify /;

# The verbs are methods of Test::Nginx as well and exported by it.
sub import {
	my ($class) = @_;
	no strict 'refs';
	for my $name (@EXPORT_OK) {
		no warnings 'redefine';
		*{"Test::Nginx::$name"} = \&{$name};
	}
}

###############################################################################
# http

sub http_get {
	shift if ref $_[0];
	my ($path, %opt) = @_;
	return http(_request('GET', $path, undef, %opt), %opt);
}

sub http_head {
	shift if ref $_[0];
	my ($path, %opt) = @_;
	return http(_request('HEAD', $path, undef, %opt), %opt);
}

sub http_post {
	shift if ref $_[0];
	my ($path, $body, %opt) = @_;
	return http(_request('POST', $path, $body, %opt), %opt);
}

sub http_json {
	shift if ref $_[0];
	my ($path, %opt) = @_;
	require JSON::PP;
	my ($head, $body) = split /\r\n\r\n/, http_get($path, %opt) // '', 2;
	return defined $body && $head =~ m!^HTTP/1\.\d 200 !
		? JSON::PP::decode_json($body) : undef;
}

sub seconds_of {
	shift if ref $_[0];
	my ($text) = @_;
	return 0 unless defined $text;
	my ($year, $month, $day, $hour, $min, $sec) = $text =~
		/^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z$/
		or die "no time: $text\n";
	return timegm($sec, $min, $hour, $day, $month - 1, $year);
}

sub _request {
	my ($method, $path, $body, %opt) = @_;
	my @lines = ("$method $path HTTP/1.0",
		'Host: ' . ($opt{host} || 'localhost'),
		@{$opt{headers} || []});
	push @lines, 'Content-Length: ' . length $body if defined $body;
	return join("\r\n", @lines, '', '') . ($body // '');
}

sub http {
	shift if ref $_[0];
	my ($request, %opt) = @_;

	my $timeout = ($opt{timeout} || 8) * $Test::Nginx::SLOW;
	my $socket = IO::Socket::INET->new(Proto => 'tcp',
		PeerAddr => $opt{address} || '127.0.0.1',
		PeerPort => Test::Nginx::port($opt{port} || 8080),
		Timeout => $timeout) or return;
	if ($opt{ssl}) {
		require IO::Socket::SSL;
		IO::Socket::SSL->start_SSL($socket, Timeout => $timeout,
			SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
			SSL_hostname => $opt{servername} || '') or return;
	}
	Test::Nginx::log_out($request);
	local $SIG{PIPE} = 'IGNORE';
	$socket->print($request);
	$socket->flush();

	my $response = '';
	my $deadline = time() + $timeout;
	$socket->blocking(0);
	my $select = IO::Select->new($socket);
	while ((my $left = $deadline - time()) > 0) {
		$select->can_read($left)
			unless $opt{ssl} && $socket->pending();
		my $got = $socket->sysread($response, 65536, length $response);
		next if !defined $got && ($!{EAGAIN} || $!{EINTR});
		last unless $got;
	}
	Test::Nginx::log_in($response);
	return $response;
}

###############################################################################
# openssl s_client

my %SIGALGS = (
	RSA => 'rsa_pss_rsae_sha256:rsa_pkcs1_sha256',
	ECDSA => 'ecdsa_secp256r1_sha256',
);
my %CIPHERS = (
	RSA => 'ECDHE-RSA-AES128-GCM-SHA256',
	ECDSA => 'ECDHE-ECDSA-AES128-GCM-SHA256',
);

sub staple {
	shift if ref $_[0];
	my ($port, %opt) = @_;

	my $address = $opt{address} || '127.0.0.1';
	my @args = ('-connect', "$address:" . Test::Nginx::port($port));
	push @args, '-status' unless defined $opt{status} && !$opt{status};
	push @args, defined $opt{servername}
		? ('-servername', $opt{servername}) : '-noservername';
	if ($opt{tls}) {
		(my $version = $opt{tls}) =~ s/\./_/;
		push @args, "-tls$version";
	}
	if ($opt{sig}) {
		my $sig = uc $opt{sig};
		push @args, '-sigalgs', $SIGALGS{$sig};
		push @args, '-cipher', $CIPHERS{$sig}
			unless ($opt{tls} || '') eq '1.3';
	}
	push @args, '-sess_in', $opt{sess_in} if $opt{sess_in};
	push @args, '-sess_out', $opt{sess_out} if $opt{sess_out};
	push @args, '-curves', $opt{curves} if $opt{curves};
	push @args, '-ign_eof' if defined $opt{request};
	push @args, @{$opt{args} || []};

	# a TLS 1.3 session comes only after the handshake
	my @until;
	if ($opt{sess_out}) {
		unlink $opt{sess_out};
		@until = (until => sub { -s $opt{sess_out} });
	}
	my $run = Test::Nginx->command([ 'openssl', 's_client', @args ],
		timeout => $opt{timeout} || 10, @until,
		defined $opt{request} ? (stdin => $opt{request}) : ());
	Test::Nginx::log_in($run->{output});
	return _read_s_client($run);
}

sub _read_s_client {
	my ($run) = @_;
	my $text = $run->{output};
	my %seen = (output => $text, statuses => []);

	my ($how, $of_cipher, $cipher) = $text =~
		/^(New|Reused), (\S+), Cipher is (?!\(NONE)(\S+)/m;
	$seen{handshake} = defined $how ? 1 : 0;
	if ($seen{handshake}) {
		$seen{resumed} = $how eq 'Reused' ? 1 : 0;
		$seen{cipher} = $cipher;
		($seen{version}) = $text =~ /^\s*Protocol\s*: (\S+)/m;
		$seen{version} ||= $of_cipher;
	}
	($seen{alert}) = $text =~ /SSL alert number (\d+)/;
	($seen{subject}) = $text =~ /^subject=(.*)$/m;

	if ($run->{timed_out}) {
		$seen{status} = 'timeout';
	} elsif ($text =~ /Connection refused/) {
		$seen{status} = 'refused';
	} elsif ($text =~ /response parse error/) {
		$seen{status} = 'garbage';
	} elsif ($text =~ /OCSP Response Status: (\w+)/) {
		$seen{status} = $1;
		_read_response($text, \%seen) if $1 eq 'successful';
	} else {
		# s_client says so in words that differ from version to version
		$seen{status} = $seen{handshake} ? 'none' : 'failed';
	}
	return \%seen;
}

# The text form of a response, as s_client and "openssl ocsp" print it.
sub _read_response {
	my ($text, $seen) = @_;

	my @statuses = $text =~ /^\s+Cert Status: (\w+)/mg;
	$seen->{statuses} = \@statuses;
	for my $strict (qw/ revoked unknown good /) {
		next unless grep { $_ eq $strict } @statuses;
		$seen->{status} = $strict;
		last;
	}
	my %names = (this_update => 'This Update', next_update => 'Next Update',
		produced_at => 'Produced At', revoked_at => 'Revocation Time');
	for my $key (keys %names) {
		($seen->{$key}) = map { _seconds($_) }
			$text =~ /^\s+$names{$key}: (.*)$/m;
	}
	my ($serial) = $text =~ /^\s+Serial Number: ([0-9A-Fa-f]+)/m;
	$seen->{serial} = lc $serial if defined $serial;
}

sub _seconds {
	my ($text) = @_;
	my %month;
	@month{qw/ Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec /} = 0 .. 11;
	my ($name, $day, $hour, $min, $sec, $year) = $text =~
		/(\w{3})\s+(\d+)\s+(\d+):(\d+):(\d+)(?:\.\d+)?\s+(\d+)/ or return;
	return timegm($sec, $min, $hour, $day, $month{$name}, $year);
}

sub wait_staple {
	shift if ref $_[0];
	my ($port, $wanted, %opt) = @_;

	my $seconds = delete $opt{seconds} || 10;
	my $fits = ref $wanted eq 'CODE' ? $wanted
		: ref $wanted ? sub { $_[0]{status} =~ $wanted }
		: sub { $_[0]{status} eq $wanted };
	my $deadline = time() + $seconds * $Test::Nginx::SLOW;
	my $seen;
	while () {
		$seen = staple($port, %opt);
		$seen->{ok} = $fits->($seen) ? 1 : 0;
		last if $seen->{ok} || time() >= $deadline;
		select undef, undef, undef, 0.02;
	}
	return $seen;
}

###############################################################################
# handshakes in this process

my %contexts;
my $stapled;			# set by the status callback

sub staple_fast {
	shift if ref $_[0];
	return handshake_fast(@_)->{der};
}

sub without {
	shift if ref $_[0];
	my ($port, @names) = @_;
	return scalar grep { !defined staple_fast($port, $_) } @names;
}

sub handshake_fast {
	shift if ref $_[0];
	my ($port, $servername, %opt) = @_;

	my $ctx = _context($opt{tls} || '', uc($opt{sig} || ''));
	my $timeout = ($opt{timeout} || 10) * $Test::Nginx::SLOW;
	my $socket = IO::Socket::INET->new(Proto => 'tcp',
		PeerAddr => $opt{address} || '127.0.0.1',
		PeerPort => Test::Nginx::port($port), Timeout => $timeout)
		or return { ok => 0, error => "connect: $!" };
	my $limit = pack 'l!l!', int $timeout, 0;
	setsockopt $socket, SOL_SOCKET, SO_RCVTIMEO, $limit;
	setsockopt $socket, SOL_SOCKET, SO_SNDTIMEO, $limit;
	setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;

	my $ssl = Net::SSLeay::new($ctx) or die "SSL_new";
	Net::SSLeay::set_fd($ssl, fileno $socket);
	Net::SSLeay::set_tlsext_host_name($ssl, $servername)
		if defined $servername;
	Net::SSLeay::set_tlsext_status_type($ssl,
		Net::SSLeay::TLSEXT_STATUSTYPE_ocsp());
	Net::SSLeay::set_session($ssl, $opt{session}) if $opt{session};
	my @messages;
	Net::SSLeay::set_msg_callback($ssl, sub {
		my ($sent, undef, $type, $message) = @_;
		push @messages, $message if !$sent && $type == 22;
	}) if $opt{wire};

	$stapled = undef;
	my %seen;
	Net::SSLeay::ERR_clear_error();
	$seen{ok} = Net::SSLeay::connect($ssl) == 1 ? 1 : 0;
	$seen{der} = $stapled;
	_read_messages(\%seen, @messages) if $opt{wire};
	if ($seen{ok}) {
		$seen{resumed} = Net::SSLeay::session_reused($ssl) ? 1 : 0;
		$seen{version} = Net::SSLeay::get_version($ssl);
		if ($opt{keep_session}) {
			# a TLS 1.3 ticket comes with the first bytes; and in
			# TLS 1.2 a worker puts the session where the others
			# find it after the handshake has ended for the client
			Net::SSLeay::write($ssl, "GET / HTTP/1.0\r\n\r\n");
			Net::SSLeay::read($ssl);
			$seen{session} = Net::SSLeay::get1_session($ssl);
		}
		Net::SSLeay::shutdown($ssl);
	} else {
		$seen{error} = Net::SSLeay::ERR_error_string(
			Net::SSLeay::ERR_get_error()) || "handshake: $!";
	}
	# the callback holds what it pushes to
	Net::SSLeay::set_msg_callback($ssl, undef) if $opt{wire};
	Net::SSLeay::free($ssl);
	close $socket;
	return \%seen;
}

# RFC 8446 section 4.4.2 has the Certificate message, RFC 6066 section 8 the
# CertificateStatus of TLS 1.2.
sub _read_messages {
	my ($seen, @messages) = @_;
	@$seen{qw/ hellos staples /} = (0, []);
	for my $message (@messages) {
		my ($type, $body) = unpack 'C x3 a*', $message;
		if ($type == 2) {
			$seen->{hellos}++;
		} elsif ($type == 22) {
			$seen->{staples} = [ _take_status(\$body) ];
		} elsif ($type == 11 && unpack('N', "\0$body") != length($body) - 3) {
			# not of TLS 1.2, which has the list alone
			_take(1, \$body);
			my $list = _take(3, \$body);
			while (length $list) {
				_take(3, \$list);
				my $extensions = _take(2, \$list);
				my $staple;
				while (length $extensions) {
					my $name = unpack 'n', substr $extensions, 0, 2, '';
					my $content = _take(2, \$extensions);
					$staple = _take_status(\$content) if $name == 5;
				}
				push @{$seen->{staples}}, $staple;
			}
		}
	}
}

sub _take_status {
	my ($from) = @_;
	substr($$from, 0, 1, '') eq "\1" or die "a status of another type\n";
	return _take(3, $from);
}

# What its length stands before, in so many octets, off the front.
sub _take {
	my ($octets, $from) = @_;
	my $size = unpack 'N', ("\0" x (4 - $octets))
		. substr($$from, 0, $octets, '');
	die "a message ends too early\n" if $size > length $$from;
	return substr $$from, 0, $size, '';
}

sub _context {
	my ($tls, $sig) = @_;
	return $contexts{$tls, $sig} ||= do {
		require Net::SSLeay;
		Net::SSLeay::initialize();
		my $ctx = Net::SSLeay::CTX_new_with_method(
			Net::SSLeay::TLS_client_method()) or die "SSL_CTX_new";
		my $version = $tls eq '1.2' ? 0x0303 : $tls eq '1.3' ? 0x0304 : 0;
		if ($version) {
			Net::SSLeay::CTX_set_min_proto_version($ctx, $version);
			Net::SSLeay::CTX_set_max_proto_version($ctx, $version);
		}
		if ($sig) {
			die "sig needs tls => '1.2'\n" unless $tls eq '1.2';
			Net::SSLeay::CTX_set_cipher_list($ctx, $CIPHERS{$sig});
		}
		Net::SSLeay::CTX_set_tlsext_status_cb($ctx, sub {
			my ($ssl, $response) = @_;
			$stapled = $response
				? Net::SSLeay::i2d_OCSP_RESPONSE($response)
				: undef;
			return 1;
		});
		$ctx;
	};
}

sub staple_verify {
	my ($t, $der, $cert, $ca_file, %opt) = @_;

	my $file = $t->write_file('verify.der', $der);
	my $issuer = $cert->issuer();
	my @at = $opt{at} ? ('-attime', $opt{at}) : ();
	my $run = $t->command([ 'openssl', 'ocsp', '-respin', $file,
		'-issuer', $issuer->cert(), '-cert', $cert->cert(),
		'-CAfile', $ca_file || $cert->root()->cert(),
		'-verify_other', $issuer->cert(), '-no_nonce', '-resp_text',
		@at ]);
	my %seen = (output => $run->{output}, statuses => []);
	$seen{status} = $run->{output} =~
		/(?:OCSP Response Status|Responder Error): (\w+)/
		? $1 : 'garbage';
	_read_response($run->{output}, \%seen) if $seen{status} eq 'successful';
	$seen{ok} = $run->{output} =~ /^Response verify OK/m
		&& $run->{output} =~ /^\S+: (?:good|revoked|unknown)$/m
		&& $run->{output} !~ /WARNING: Status times invalid/ ? 1 : 0;
	return \%seen;
}

1;
