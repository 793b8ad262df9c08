package Test::Nginx::StatusDocument;

# Documents as ocsp_plus_status writes them, for what the page makes of states
# that a running nginx is slow or reluctant to get into: the real page, whose
# requests for JSON get a file.
#
#   my $d = Test::Nginx::StatusDocument->new($t)
#   $d->location('/page')              lines for a server in nginx.conf
#   $d->certificate('shop.example', state => 'pending', ...)
#                                      a certificate; any member
#   $d->write(certificates => [ ... ], ...)
#                                      the document from now on; any member
#   $d->mixed($number)                 certificates in mixed states, and the
#                                      members that go with them
#   time_in($seconds)                  a time from now, RFC 3339

use warnings;
use strict;

use base qw/ Exporter /;
use Digest::SHA qw/ sha256_hex /;
use JSON::PP ();
use POSIX qw/ strftime /;

our @EXPORT = qw/ time_in /;

my $DAY = 86400;
my %URL = ('Example Public CA' => 'http://ocsp.public.example/',
	'Example Company CA' => 'http://pki.company.example:8080/ocsp',
	'Example Old CA' => 'http://ocsp.old.example/');

sub new {
	my ($class, $t) = @_;
	return bless { t => $t, serial => 0 }, $class;
}

sub time_in {
	my ($seconds) = @_;
	return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time() + $seconds));
}

sub location {
	my ($self, $path, @lines) = @_;
	my $file = $self->{t}->testdir() . '/document.json';
	return "location = $path { if (\$arg_format = json) { rewrite ^ /document "
		. 'last; } ocsp_plus_status html; allow 127.0.0.1; deny all; }',
		"location = /document { alias $file; default_type application/json; "
		. 'add_header Cache-Control no-store; }', @lines;
}

sub certificate {
	my ($self, $name, %with) = @_;
	my $serial = sprintf '5eed%022x%06x', 0, ++$self->{serial} * 7919;
	my $ca = delete $with{ca} // 'Example Public CA';
	my $state = $with{state} // 'valid';
	my $held = $state =~ /^(?:valid|revoked|expired)$/;
	my $left = delete $with{left} // ($state eq 'expired' ? -3600 : 4 * $DAY);
	my $whole = delete $with{whole} // 7 * $DAY;
	my %own = (
		id => sha256_hex($name . $serial), subject => "CN=$name",
		names => [ $name ], issuer => "CN=$ca,O=Example,C=XX",
		serial => $serial, key => 'ECDSA P-256', not_before => time_in(-30 * $DAY),
		not_after => time_in(60 * $DAY), must_staple => JSON::PP::false,
		required => JSON::PP::false, loaded => JSON::PP::false, role => 'leaf',
		servers => [ $name ],
		responders => $state eq 'unsupported' ? [] : [ $URL{$ca} ],
		state => $state, reason => $state eq 'unsupported' ? 'no_responder'
			: undef, (map { $_ => undef } qw/ cert_status this_update
			next_update expires expires_in confirmed_at status_age refresh
			source last_attempt next_attempt /),
		failures => 0, stapled => 0,
	);
	if ($held) {
		@own{qw/ cert_status source /} =
			($state eq 'revoked' ? 'revoked' : 'good', 'network');
		@own{qw/ expires expires_in this_update confirmed_at status_age /} =
			(time_in($left), $left, time_in($left - $whole), time_in(-7200),
			7200);
		$own{next_update} = $own{expires};
		$own{last_attempt} = { at => time_in(-7200), result => 'ok',
			detail => undef, responder => $URL{$ca} };
		$own{next_attempt} = time_in(0.1 * $whole);
		$own{stapled} = 100;
	}
	if (my $reason = delete $with{fails}) {
		my $detail = delete $with{detail};
		$own{last_attempt} = { at => time_in(-40), result => $reason,
			detail => $detail, responder => $URL{$ca} };
		$own{next_attempt} = time_in(delete $with{next} // 300);
		$own{failures} = 4;
	}
	return { %own, %with };
}

sub write {
	my ($self, %with) = @_;
	my %own = (
		version => '0.0.0', now => time_in(0), zone => { name => 'ocsp_plus',
			size => 134217728, used => 1392640, entries => 40 },
		worker => { pid => 4711, slot => 0, since => time_in(-3 * $DAY),
			heartbeat => time_in(0) },
		handshakes => { requested => 0, (map { $_ => 0 } qw/ stapled missing
			unsupported chain_stapled message_too_large refused foreign /) },
		callbacks_replaced => 0,
		fetches => { ok => 0, failed => 0, in_flight => 0 },
		connections => { map { $_ => { ok => 0, failed => 0 } }
			qw/ ipv4 ipv6 / },
		control => undef,
		cache => { path => '/var/lib/nginx/ocsp_plus', state => 'works',
			reason => undef, since => undef },
		share => undef, clock_skew => 0, unreadable => [], responders => [], certificates => [],
		ended_early => JSON::PP::false, next => undef,
	);
	my $handshakes = delete $with{handshakes} // {};
	$own{handshakes} = { %{$own{handshakes}}, %$handshakes };
	my $json = JSON::PP->new()->utf8()->encode({ %own, %with });
	# at once, for a reader at the same time
	my $file = $self->{t}->write_file('document.new', $json);
	rename $file, $file =~ s/new$/json/r or die "$file: $!\n";
	return;
}

sub mixed {
	my ($self, $number) = @_;
	my ($yes, $no) = (JSON::PP::true, JSON::PP::false);
	my @all = (
		$self->certificate('pay.example', state => 'expired',
			required => $yes, must_staple => $yes, ca => 'Example Company CA',
			fails => 'connect_refused', detail => '192.0.2.7:8080', next => 12,
			stapled => 48211),
		$self->certificate('old-shop.example', state => 'revoked',
			stapled => 1204),
		$self->certificate('intranet.example', state => 'valid',
			ca => 'Example Company CA', left => 9 * 3600, whole => $DAY,
			fails => 'connect_refused', detail => '192.0.2.7:8080', next => 12,
			stapled => 9120),
		$self->certificate('www.example', stapled => 184022, must_staple => $yes,
			names => [ 'www.example', 'example', 'img.www.example' ]),
		$self->certificate('www.example', stapled => 20311, key => 'RSA 2048',
			left => 15 * 3600, whole => 3 * $DAY, ca => 'Example Old CA',
			fails => 'try_later'),
		$self->certificate('blog.example', state => 'unsupported',
			ca => 'Example Free CA'),
	);
	push @all, $self->certificate(
		sprintf($_ % 13 ? 'shop%d.example' : 'a-customer-with-quite-a-'
			. 'long-name-%d.customers.hosting.example', $_), left => (2 + $_ % 4) * $DAY + $_ % 60 * 1000, stapled => $_ * 371,
		servers => [ "www.shop$_.example", "shop$_.example" ],
		$_ % 9 ? () : (state => 'unsupported', ca => 'Example Free CA'),
		$_ % 17 ? () : (ca => 'Example Old CA', fails => 'try_later'),
	) for 1 .. $number;
	splice @all, $number;
	my (%host, $expires);
	for my $c (@all) {
		for (@{$c->{responders}}) {
			my ($host, $port) = m!^http://([^/:]+)(?::(\d+))?!;
			push @{$host{"$host:" . ($port // 80)}}, $c;
		}
	}
	my @hosts = map { my $host = $_;
		my ($bad) = grep { $_->{failures} > 3
			&& $_->{last_attempt}{result} eq 'connect_refused' } @{$host{$_}};
		{ host => $host, state => $bad ? 'failing' : 'up',
			failures => $bad ? 4 : 0,
			next_attempt => $bad ? time_in(12) : undef } } sort keys %host;
	my @way = sort { $a->{expires_in} <=> $b->{expires_in} } map {
		my ($first) = sort { $a->{expires_in} <=> $b->{expires_in} }
			grep { $_->{state} eq 'valid' } @{$host{$_}};
		$first ? { kind => 'responder', name => $_,
			certificates => scalar @{$host{$_}}, expires => $first->{expires},
			expires_in => $first->{expires_in} } : () } keys %host;
	my @copy = @way ? ({ %{$way[0]}, kind => 'resolver', name => '192.0.2.53',
		certificates => $number }) : ();
	return certificates => \@all, responders => \@hosts,
		handshakes => { requested => 264_350, stapled => 263_001, missing => 310,
			unsupported => 1_020, refused => 19 },
		fetches => { ok => 1_204, failed => 31, in_flight => 1 },
		control => '/ocsp-control', runway => [ @way, @copy,
			{ kind => 'cache', name => '/var/lib/nginx/ocsp_plus', at =>
				'restart', certificates => $number, expires => undef,
				expires_in => undef } ];
}

1;
