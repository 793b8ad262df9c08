package Test::Bench::Requests;

# Requests that reach the responder for 100 certificates and four workers: at a
# start, and as time goes by.  A validity lasts less than a minute here: what
# ocsp_plus does depends on the parts of a validity that have passed, so a week
# may be scaled down (and the bounds of retries with it).  Beside built-in
# stapling at the start only: it asks again in each worker at least once an
# hour, whatever the validity, and cannot be scaled.

use warnings;
use strict;

use Time::HiRes qw/ time /;

use Test::Bench::Many;
use Test::Nginx ();

my $WORKERS = 4;

sub run {
	my ($b) = @_;

	my $many = Test::Bench::Many->new($b->size(100, 100, 10));
	my ($t, $r, $count) = ($many->nginx(), $many->responder(),
		$many->count());

	$many->configure('ssl_stapling on;', workers => $WORKERS);
	$t->run();
	$b->handshakes(port => 8443, name => 'h%d.example', names => $count,
		tls => '1.3', count => 100 * $count);
	my $builtin = $r->requests();
	$t->stop();

	my $validity = $b->size(60, 40, 4);
	my $validities = $b->size(5, 2, 1);
	for my $kind ('signed on request', 'pre-produced') {
		$r->reset();
		$r->validity(this_update => 0, next_update => $validity);
		$r->set(cache => $validity / 2) if $kind eq 'pre-produced';
		$r->clear();
		$many->configure('ocsp_plus on; ocsp_plus_cache off;'
			. ' ocsp_plus_retry 1s 60s;', workers => $WORKERS);
		$t->run();
		Test::Nginx::wait_for(sub { $many->fetched() >= $count }, 30,
			'all to be fetched') or die "not all were fetched\n";
		my $start = $r->requests();
		if ($kind eq 'signed on request') {
			$b->at_most('f: requests a certificate at a start,'
				. " $WORKERS workers", $start / $count, 1);
			$b->tell('f: requests a certificate at a start,'
				. " $WORKERS workers, ocsp_plus / built-in",
				$start / $builtin);
		}
		# the time is what is asked about
		my $end = time() + $validity * $validities;
		Test::Nginx::wait_for(sub { time() >= $end },
			$validity * $validities + 10);
		my $later = $r->requests() - $start;
		$b->at_most('f: requests a certificate and validity, responses'
			. " $kind", $later / $count / $validities,
			$kind eq 'pre-produced' ? 8 : 2.5);
		$t->stop();
	}
}

1;
