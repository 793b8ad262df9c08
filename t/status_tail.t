#!/usr/bin/perl

# Tests for the end of a status document: what the client has not taken when the
# last piece is written is sent all the same, once, and the document's place is
# another's from then on, however long its request lasts.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use IO::Socket::INET;
use JSON::PP;

use Test::Nginx;
use Test::Nginx::CA;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl http_v2 /)->has_daemon('curl');

# nobody answers: the document is all that matters
my $count = 40;
my @leaves = Test::Nginx::CA->new($t)->intermediate('int')->leaves($count,
	'h%d.example', aia => 'http://127.0.0.1:1/');
my $limited = '{ ocsp_plus_status; limit_rate 16k; }';
$t->write_conf(http => [ 'ocsp_plus on;', 'ocsp_plus_startup_wait 0;',
	'ocsp_plus_cache off;',
	(map { [ '8443 ssl http2', $_, "location / $limited" ] } @leaves),
	[ '8080 sndbuf=4k', undef, 'location / { ocsp_plus_status; }',
		"location /limited $limited" ] ]);

$t->run();

###############################################################################

my $plain = 'http://127.0.0.1:' . port(8080);
my $secure = 'https://127.0.0.1:' . port(8443);

for my $case ([ "$plain/", '--http1.1' ], [ "$plain/limited", '--http1.1' ],
	[ "$plain/limited", '--http1.0' ], [ "$secure/", '--http2' ])
{
	my ($url, $http) = @$case;
	my $file = $t->testdir() . '/got';
	# the second on the same connection, where there is one
	my $seen = $t->command([ 'curl', '-sSk', $http, '-o', $file, $url,
		'-o', "$file.again", $url ], timeout => 60);
	is($seen->{status}, 0, "$http $url: curl succeeds");
	for my $name (qw/ got got.again /) {
		my $document = eval { decode_json($t->read_file($name)) };
		is(scalar @{$document->{certificates} // []}, $count,
			"$http $url: $name has all certificates");
		unlink $t->testdir() . "/$name";
	}
}

# a slow reader gets all of it, and nothing besides

my $slow = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080));
print $slow "GET / HTTP/1.0\r\n\r\n";
my $got = '';
while (sysread $slow, $got, 500, length $got) {
	select undef, undef, undef, 0.005;
}
my ($body) = $got =~ /\r\n\r\n(.*)/s;
is(scalar @{(eval { decode_json($body) } // {})->{certificates} // []}, $count,
	'a slow reader gets the whole document');

# of a HEAD the head

my $head = $t->command([ 'curl', '-sS', '-I', "$plain/limited" ], timeout => 60);
like($head->{output}, qr!\AHTTP/1\.1 200 .*\r\n\r\n\z!s,
	'HEAD is answered without a body');

# more than there are places: documents that are read, of requests that wait for
# a body

my @lingering;
for (1 .. 40) {
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . port(8080));
	print $socket "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
	my $answer = '';
	while ($answer !~ /\r\n0\r\n\r\n\z/ && $answer !~ m!^HTTP/1\.1 503 !) {
		sysread $socket, $answer, 65536, length $answer or last;
	}
	push @lingering, [ $socket, $answer ];
}
is(scalar(grep { $_->[1] =~ m!^HTTP/1\.1 200 ! } @lingering), 40,
	'forty clients that owe their request body are answered');
like(http_get('/'), qr!^HTTP/1\.1 200 !,
	'another client is answered beside forty that owe their body');
close $_->[0] for @lingering;

$t->done_testing();

###############################################################################
