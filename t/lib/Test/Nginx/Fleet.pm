package Test::Nginx::Fleet;

# Several nginx with the same certificates: the nodes of a fleet.
#
#   my $fleet = Test::Nginx::Fleet->new($t, nodes => 5, leaves => \@leaves);
#                            $t is the first of them
#   $fleet->nodes(), node($i)    each a Test::Nginx; $i from 0
#   $fleet->write_file($name, $content)      for each node
#   $fleet->configure(@lines, [ $i, ... ])   of http, for those nodes or all;
#                            among them "ocsp_plus on;"
#   $fleet->start([@i])      all at once, then waits until they serve
#   $fleet->staple($i, $leaf)        by Test::Nginx::staple_fast
#   $fleet->without([@i])    how many handshakes, one for each certificate and
#                            node, get no staple
#   $fleet->wait_staples($sub, $seconds, [@i])   until $sub->(DER) is true of
#                            each certificate on each node
#   $fleet->json($i)         the status document
#   $fleet->control($i, $query)      asks the control location

use warnings;
use strict;

use Test::Nginx ();

sub new {
	my ($class, $t, %opt) = @_;
	my $self = bless { leaves => $opt{leaves},
		nodes => [ $t, map { Test::Nginx->new() } 2 .. $opt{nodes} ] },
		$class;
	for my $name (map { $_->name() } @{$self->{leaves}}) {
		$self->write_file("$name.$_", $t->read_file("$name.$_"))
			for qw/ pem key /;
	}
	return $self;
}

sub nodes { return @{$_[0]{nodes}} }
sub node { return $_[0]{nodes}[$_[1]] }

sub write_file {
	my ($self, $name, $content) = @_;
	$_->write_file($name, $content) for $self->nodes();
}

sub configure {
	my ($self, @lines) = @_;
	my $which = ref $lines[-1] ? pop @lines : [ $self->_all() ];
	for my $i (@$which) {
		$self->node($i)->write_conf(http => [ 'ocsp_plus on;', @lines,
			(map { [ 8400 + $i, $_ ] } @{$self->{leaves}}),
			[ 8500 + $i, undef,
				'location /status { ocsp_plus_status; '
				. 'allow 127.0.0.1; deny all; }',
				'location /control { ocsp_plus_control; '
				. 'allow 127.0.0.1; deny all; }' ] ]);
	}
}

sub start {
	my ($self, @which) = @_;
	@which = $self->_all() unless @which;
	$self->node($_)->begin() for @which;
	$self->node($_)->run() for @which;
}

sub staple {
	my ($self, $i, $leaf) = @_;
	return Test::Nginx::staple_fast(8400 + $i, $leaf->name());
}

sub without {
	my ($self, @which) = @_;
	@which = $self->_all() unless @which;
	return scalar grep { !defined } map { my $i = $_;
		map { $self->staple($i, $_) } @{$self->{leaves}} } @which;
}

sub wait_staples {
	my ($self, $fits, $seconds, @which) = @_;
	@which = $self->_all() unless @which;
	my @left = map { my $i = $_; map { [ $i, $_ ] } @{$self->{leaves}} } @which;
	return Test::Nginx::wait_for(sub {
		shift @left while @left && $fits->($self->staple(@{$left[0]}));
		return !@left;
	}, $seconds, 'staples of the fleet');
}

sub json {
	my ($self, $i) = @_;
	return Test::Nginx::http_json('/status?format=json',
		port => 8500 + $i);
}

sub control {
	my ($self, $i, $query) = @_;
	return Test::Nginx::http_post("/control?$query", '',
		port => 8500 + $i);
}

sub _all { return 0 .. $#{$_[0]{nodes}} }

1;
