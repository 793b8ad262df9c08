#!/usr/bin/perl

# Tests for staples that would make the Certificate message of TLS 1.3 longer
# than Java accepts: left out, counted and logged, unless they are demanded.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use List::Util qw/ sum /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Counters;
use Test::Nginx::Responder;

###############################################################################

use constant MOST => 32768;

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

# RSA signatures have one length, so that sizes can be chosen to the byte
my $int = Test::Nginx::CA->new($t)->intermediate('int', key => 'rsa');
my $r = Test::Nginx::Responder->start($t, ca => $int);
my $size = length $r->response(leaf('small', 0));

my %leaf = map { $_->[0] => leaf_of_size(@$_) } (
	[ 'fits', MOST - $size ],
	[ 'full', MOST - $size + 1 ],
	[ 'demanded', MOST - $size + 1, must_staple => 1 ],
	[ 'required', MOST - $size + 1 ],
	[ 'beyond', MOST + 9 ],
);
my @names = sort keys %leaf;
my %port = map { $names[$_] => 8443 + $_ } 0 .. $#names;

$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 60s;',
	'ssl_protocols TLSv1.2 TLSv1.3;',
	(map { [ $port{$_}, $leaf{$_},
		$_ eq 'required' ? 'ocsp_plus_require on;' : () ] } @names),
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);
$t->run();

###############################################################################

my $counters = Test::Nginx::Counters->new('/');
for my $name (@names) {
	for my $tls ('1.2', '1.3') {
		my $sent = $tls eq '1.2' || $name ne 'full';
		my $seen = staple($port{$name}, tls => $tls);
		is($seen->{status} // 'none', $sent ? 'good' : 'none',
			"TLS $tls, $name: the staple is "
			. ($sent ? 'sent' : 'left out'));
		$counters->grew("TLS $tls, $name: and so it is counted",
			$sent ? (stapled => 1) : (missing => 1,
				message_too_large => 1));
	}
}

staple($port{full}, tls => '1.3') for 1 .. 2;
my $left_out = 'response not stapled, with it the Certificate message would be '
	. 'longer than the 32768 bytes that Java accepts: '
	. 'certificate="full.example" reason=message_too_large handshakes=';
is(scalar($t->log_lines(qr/\[error\].*\Q$left_out\E/)), 1,
	'the log says it, not at each handshake');
like(http_get('/?format=prometheus'),
	qr/^ocsp_plus_message_too_large_total 3$/m, 'the metric counts them');

my $warned = qr/\[warn\].*"(\w+)\.example" and its chain are (\d+) bytes of/;
is(join(' ', sort map { /$warned/ ? "$1=$2" : () } $t->log_lines($warned)),
	join(' ', map { "$_=" . (message_size($leaf{$_})) }
		grep { $_ ne 'beyond' } @names),
	'the configuration warns with the sizes');

$t->done_testing();

###############################################################################

sub leaf {
	my ($name, $padding, %opt) = @_;
	# a label of a name is of up to 63 bytes, but nobody resolves these
	return $int->leaf($name, names => [ "$name.example",
		'p' x $padding || () ], aia => $r->url(), serial => '7a5b',
		%opt);
}

# A leaf whose Certificate message is 8 bytes shorter than that: a staple takes
# them beside its own.
sub leaf_of_size {
	my ($name, $size, %opt) = @_;
	my $padding = $size - 1000;
	for (1 .. 5) {
		my $leaf = leaf($name, $padding, %opt);
		my $more = $size - 8 - message_size($leaf);
		return $leaf if $more == 0;
		$padding += $more;
	}
	die "no certificate of that size";
}

# context, the list's length; each certificate's length and its extensions'
sub message_size {
	my ($leaf) = @_;
	return 1 + 3 + sum(map { 3 + length($_->der()) + 2 } $leaf, $int);
}
