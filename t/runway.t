#!/usr/bin/perl

# Tests for the runway: how many certificates hang on a responder host, an
# issuer, the resolver and the cache directory, and in how long the first
# client would notice if one of them failed now.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use JSON::PP;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::DNS;
use Test::Nginx::Responder;

###############################################################################

use constant DAY => 86400;

my $t = Test::Nginx->new()->has(qw/ http_ssl /);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $other = $root->intermediate('other');
my $r = Test::Nginx::Responder->start($t, ca => [ $int, $other ],
	ports => [ 8081, 8082 ]);
my $dns = Test::Nginx::DNS->start($t, port => 8053, zone => {
	map { $_ => { a => '127.0.0.1' } } qw/ a.test b.test / });

my ($a, $b, $literal) = ('a.test:' . port(8081), 'b.test:' . port(8082),
	'127.0.0.1:' . port(8081));
my %leaf = (
	a => $int->leaf('a.example', aia => "http://$a/"),
	both => $int->leaf('both.example',
		aia => [ "http://$a/", "http://$b/" ]),
	without => $int->leaf('without.example', aia => "http://$a/"),
	literal => $int->leaf('literal.example', aia => "http://$literal/"),
	other => $other->leaf('other.example', aia => "http://$b/"),
	file => $int->leaf('file.example', aia => "http://$a/"),
	none => $int->leaf('none.example'),
);
# the example of docs/monitoring.md, and more
my %days = (a => 4, both => 1, literal => 2, other => 5, file => 0.5);
$r->validity(next_update => $days{$_} * DAY, leaf => $leaf{$_})
	for keys %days;
$r->fault('unauthorized', leaf => $leaf{without});
$t->write_file('file.der', $r->response($leaf{file}));

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_cache cache;', "ocsp_plus_resolver @{[ $dns->address() ]};",
	(map { [ 8443, $leaf{$_}, $_ eq 'file' ? 'ocsp_plus_file file.der;'
		: '' ] } sort keys %leaf),
	[ 8080, undef, 'location / { ocsp_plus_status; }' ] ]);
$t->run();

###############################################################################

my $document;
ok(wait_for(sub {
	$document = json();
	my %by = map { $_->{names}[0] => $_ } @{$document->{certificates}};
	return 5 == grep({ $_->{state} eq 'valid' } values %by)
		&& $by{'without.example'}{failures};
}, 30, 'all to be tried'), 'five certificates are stapled, one is not');

my @seen = map {
	my $in = $_->{expires_in};
	# what has passed since the response was made
	my ($days) = grep { defined $in && $in <= $_ * DAY
		&& $in > $_ * DAY - 300 } values %days;
	[ @$_{qw/ kind name certificates /}, $days ]
} @{$document->{runway}};
my %by_kind;
push @{$by_kind{$_->[0]}}, $_ for @seen;
my $int_name = named($leaf{a});
is_deeply($by_kind{responder}, [ [ 'responder', $literal, 1, 2 ],
	[ 'responder', $a, 2, 4 ], [ 'responder', $b, 1, 5 ] ],
	'responders have the certificates that use no other');
is_deeply($by_kind{issuer}, [ [ 'issuer', $int_name, 4, 1 ],
	[ 'issuer', named($leaf{other}), 1, 5 ] ],
	'issuers have their certificates, but for those with a file');
is_deeply($by_kind{resolver}, [ [ 'resolver', $dns->address(), 4, 1 ] ],
	'the resolver has the certificates whose responders have names');
is($by_kind{proxy}, undef, 'there is no proxy');
my ($cache) = grep { $_->{kind} eq 'cache' } @{$document->{runway}};
is_deeply($cache, { kind => 'cache', name => $t->testdir() . '/cache',
	certificates => 4, expires => undef, expires_in => undef,
	at => 'restart' },
	'the cache directory would be missed at a restart');
is_deeply([ map { $_->[3] } @seen ], [ 1, 1, 2, 4, 5, 5, undef ],
	'the most urgent is the first');

my $metrics = http_get('/?format=prometheus');
my ($seconds) = $metrics
	=~ /^ocsp_plus_runway_seconds\{kind="responder",name="\Q$a\E"\} (\d+)$/m;
ok($seconds && $seconds <= 4 * DAY && $seconds > 4 * DAY - 300,
	'the metric has the seconds');
like($metrics, qr/^ocsp_plus_runway_certificates\{kind="responder",name="\Q$a\E"\} 2$/m,
	'the metric has the certificates');
unlike($metrics, qr/runway_seconds\{kind="cache"/,
	'the cache directory has no seconds');

my ($host) = grep { $_->{host} eq $a } @{$document->{responders}};
like($host->{ipv4}{last_ok}, qr/^\d{4}-/,
	'a responder has its last connection by IPv4');
is($host->{ipv4}{failing_since}, undef, 'a responder does not fail by IPv4');
is_deeply($host->{ipv6}, { last_ok => undef, last_failed => undef,
	failing_since => undef }, 'a host without IPv6 was not tried by it');

# what dies now is noticed then

$r->stop();
is(staple(8443, servername => 'a.example')->{status}, 'good',
	'the staple outlives its responder');

$t->done_testing();

###############################################################################

sub json {
	my ($body) = http_get('/') =~ /\r\n\r\n(.*)/s;
	return decode_json($body);
}

# the issuer's name, as the document has it
sub named {
	my ($leaf) = @_;
	my ($one) = grep { $_->{id} eq $leaf->id() }
		@{$document->{certificates}};
	return $one->{issuer};
}

###############################################################################
