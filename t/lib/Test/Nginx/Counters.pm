package Test::Nginx::Counters;

# The counters of handshakes, from one look to the next.
#
#   my $counters = Test::Nginx::Counters->new('/status');   where the JSON is
#   $counters->look();        what they are now is what later looks begin with
#   $counters->grew($name, stapled => 1, ...)   a test: these have grown by so
#                             much since, and none besides
#   $counters->now()          { requested, stapled, missing, unsupported,
#                             refused, foreign, chain_stapled,
#                             message_too_large }: the first is the sum of the
#                             next five; the last two are some of the stapled
#                             and of the missing
#   $counters->was()          the same at the last look

use warnings;
use strict;

use List::Util qw/ sum /;
use Test::More ();

use Test::Nginx ();

sub new {
	my ($class, $path) = @_;
	return bless({ path => $path }, $class)->look();
}

sub now { return Test::Nginx::http_json($_[0]{path})->{handshakes} }
sub was { return $_[0]{was} }

sub look {
	my ($self) = @_;
	$self->{was} = $self->now();
	return $self;
}

# The client may be done before the server has counted.
sub grew {
	my ($self, $name, %more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my %want = map { $_ => $self->{was}{$_} + ($more{$_} || 0) }
		qw/ stapled missing unsupported refused foreign
		chain_stapled message_too_large /;
	$want{requested} = sum(@want{qw/ stapled missing unsupported refused
		foreign /});
	my $now;
	Test::Nginx::wait_for(sub {
		$now = $self->now();
		!grep { $now->{$_} != $want{$_} } keys %want;
	}, 5);
	Test::More::is_deeply($now, \%want, $name);
	$self->{was} = $now;
}

1;
