package Test::Bench::Handshakes;

# Full handshakes with a staple by ocsp_plus, beside nginx's built-in stapling
# from a warm ssl_stapling_file, and beside a server that staples nothing.
#
# One nginx serves all three, so whatever else a worker does costs each the
# same.  Throughput is handshakes for each second of the processor that the
# workers used: the client needs the other processor, and what else runs on the
# machine must not count.  Instructions are callgrind's, of 2 N handshakes less
# those of N, by N.

use warnings;
use strict;

use Test::Bench qw/ median processor /;
use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

my %PORT = (ocsp_plus => 8443, 'built-in' => 8444, none => 8445);

sub run {
	my ($b) = @_;
	for my $workers (1, 2) {
		my $t = _nginx("worker_processes  $workers;");
		for my $tls (qw/ 1.2 1.3 /) {
			_throughput($b, $t, $workers, $tls);
		}
		$t->stop();
	}
	_instructions($b, $_) for @{$b->size([ qw/ 1.2 1.3 / ],
		[ qw/ 1.2 1.3 / ], [ '1.3' ])};
}

# A running nginx with the three servers, and what each needs.
sub _nginx {
	my ($globals, %opt) = @_;

	my $t = Test::Nginx->new(timeout => 3600, %opt);
	my $int = Test::Nginx::CA->new($t)->intermediate('int');
	my $r = Test::Nginx::Responder->start($t, ca => $int);
	# the start is to wait until it is stapled, also under valgrind
	my $leaf = $int->leaf('h.example', aia => $r->url(), must_staple => 1);
	$t->write_file('staple.der', $r->response($leaf));

	$t->write_file_expand('nginx.conf', <<"CONF");
%%TEST_GLOBALS%%
$globals
events {
    worker_connections  1024;
}
http {
    %%TEST_GLOBALS_HTTP%%
    access_log           off;
    ssl_certificate      @{[ $leaf->chain() ]};
    ssl_certificate_key  @{[ $leaf->key() ]};
    ssl_protocols        TLSv1.2 TLSv1.3;

    server {
        listen             127.0.0.1:8443 ssl;
        ocsp_plus          on;
    }

    ocsp_plus_startup_wait  60s;

    server {
        listen             127.0.0.1:8444 ssl;
        ssl_stapling       on;
        ssl_stapling_file  staple.der;
    }
    server {
        listen             127.0.0.1:8445 ssl;
    }
}
CONF
	$t->run(timeout => 120);
	return $t;
}

sub _shake {
	my ($b, $way, $tls, $count) = @_;
	my $seen = $b->handshakes(port => $PORT{$way}, name => 'h.example',
		tls => $tls, count => $count);
	my $wanted = $way eq 'none' ? 0 : $count;
	die "$way: $seen->{stapled} of $count stapled\n"
		unless $seen->{stapled} == $wanted;
}

sub _throughput {
	my ($b, $t, $workers, $tls) = @_;

	my $count = $b->size(3000, 800, 50);
	my $times = $b->rounds($b->size(9, 5, 1), { map { my $way = $_;
		($way => sub {
			my @pids = $t->workers();
			my $before = processor(@pids);
			_shake($b, $way, $tls, $count);
			return processor(@pids) - $before;
		}) } keys %PORT });
	for my $other (qw/ built-in none /) {
		my @ratios = map { $times->{$other}[$_]
			/ $times->{ocsp_plus}[$_] } 0 .. $#{$times->{$other}};
		my $name = "a: handshakes, TLS $tls, workers $workers,"
			. " ocsp_plus / $other";
		$other eq 'none' ? $b->tell($name, median(@ratios))
			: $b->at_least($name, median(@ratios), 0.95);
	}
}

# Counting can be switched on and off while callgrind runs, but what is counted
# then depends on when; the difference of two runs does not.
sub _instructions {
	my ($b, $tls) = @_;

	my $count = $b->size(400, 150, 5);
	my %cost;
	for my $way (sort keys %PORT) {
		my ($once, $twice) = map { _counted($b, $way, $tls, $_) }
			$count, 2 * $count;
		$cost{$way} = ($twice - $once) / $count;
	}
	for my $other (qw/ built-in none /) {
		my $name = "a: instructions a handshake, TLS $tls,"
			. " ocsp_plus / $other";
		my $ratio = $cost{ocsp_plus} / $cost{$other};
		$other eq 'none' ? $b->tell($name, $ratio)
			: $b->at_most($name, $ratio, 1.01);
	}
}

sub _counted {
	my ($b, $way, $tls, $count) = @_;

	my $out = File::Temp::tempdir(CLEANUP => 1);
	chmod 0755, $out;
	my $nginx = Test::Nginx::Config::nginx();
	my $wrapper = "$out/nginx";
	open my $fh, '>', $wrapper or die "$wrapper: $!\n";
	print $fh <<"END";
#!/bin/sh
case "\$*" in
    -V) exec $nginx -V ;;
esac
exec valgrind -q --tool=callgrind --callgrind-out-file=$out/counted.%p \\
	$nginx "\$@"
END
	close $fh;
	chmod 0755, $wrapper;

	my $t = _nginx("daemon  off;\nmaster_process  off;",
		binary => $wrapper);
	my $pid = $t->master_pid();
	_shake($b, $way, $tls, $count);
	$t->stop('TERM');

	# written as nginx ends
	open my $counted, '<', "$out/counted.$pid"
		or die "callgrind left no $out/counted.$pid\n";
	my ($sum) = map { /^(?:summary|totals): (\d+)/ ? $1 : () } <$counted>;
	return $sum;
}

1;
