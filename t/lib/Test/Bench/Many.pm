package Test::Bench::Many;

# An nginx with many servers, a certificate each, and the responder of all.
#
#   my $many = Test::Bench::Many->new($count, signers => [ {}, .. ])
#                                    delegated signers, by their options of
#                                    responder_cert; named "signer-KEY"
#   $many->nginx(), responder(), leaves()
#   $many->configure($http, %opt)    writes nginx.conf; $http are more lines for
#                                    the http block; workers => 1
#   $many->warm()                    the responder signs each response once and
#                                    hands it out again from then on
#   $many->count(), directory()         certificates; the cache directory
#   $many->fetched()                 responses that were accepted, as the status
#                                    says

use warnings;
use strict;

use JSON::PP ();

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

sub new {
	my ($class, $count, %opt) = @_;
	my $t = Test::Nginx->new(timeout => 7200);
	$t->log_level('notice');
	my $int = Test::Nginx::CA->new($t)->intermediate('int');
	my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ],
		signers => [ map { $int->responder_cert("signer-$_->{key}",
			%$_) } @{$opt{signers} || [ { key => 'ec' } ]} ]);
	my @leaves = $int->leaves($count, 'h%d.example', aia => $r->url(1));
	return bless { t => $t, r => $r, leaves => \@leaves }, $class;
}

sub nginx { return $_[0]{t} }
sub responder { return $_[0]{r} }
sub leaves { return @{$_[0]{leaves}} }
sub count { return scalar @{$_[0]{leaves}} }
sub directory { return $_[0]{t}->testdir() . '/cache' }

sub configure {
	my ($self, $http, %opt) = @_;

	my $only = $opt{only} || $self->count();
	$self->{t}->write_conf(workers => $opt{workers} || 1,
		events => [ 'worker_connections 4096;' ],
		http => [ 'access_log off;', 'ssl_protocols TLSv1.2 TLSv1.3;',
			'server_names_hash_max_size 262144;', $http,
			[ 8080, undef, 'location / { '
				. ($opt{status} // 'ocsp_plus_status json;') . ' }' ],
			map { [ 8443, $_ ] } @{$self->{leaves}}[0 .. $only - 1] ]);
	return $self;
}

sub fetched {
	my ($self) = @_;
	my (undef, $json) = split /\r\n\r\n/,
		Test::Nginx::http_get('/?limit=1') // '', 2;
	return JSON::PP::decode_json($json // '{"fetches":{"ok":0}}')
		->{fetches}{ok};
}

sub warm {
	my ($self) = @_;
	$self->{r}->set(cache => 86400);
	$self->configure('ocsp_plus on; ocsp_plus_startup_wait 0;'
		. ' ocsp_plus_cache off;');
	$self->{t}->run(timeout => 300);
	Test::Nginx::wait_for(sub { $self->fetched() >= $self->count() }, 120,
		'all to be fetched') or die "the responder cannot keep up\n";
	$self->{t}->stop();
	return $self;
}

1;
