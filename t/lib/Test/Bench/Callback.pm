package Test::Bench::Callback;

# The status callback alone, beside a plain copy: see lib/bench/callback.cc.

use warnings;
use strict;

use JSON::PP ();

use Test::Nginx::Config ();

sub run {
	my ($b) = @_;

	my $tool = Test::Nginx::Config::tool('bench_callback');
	my $count = $b->size(1000, 1000, 20);
	my @command = ($tool, '--certificates', $count, '--operations',
		$b->size(2000000, 300000, 2000), '--rounds', $b->size(9, 5, 1));
	open my $out, '-|', @command or die "$tool: $!\n";
	my $line = <$out> // '';
	close $out or die "@command failed\n";
	my $seen = JSON::PP::decode_json($line);

	my %ns;
	$ns{$_->{way}}{$_->{certificates}}{$_->{writer} ? 'busy' : 'no'}
		{$_->{readers}} = $_->{ns} for @{$seen->{took}};
	for my $certificates (1, $count) {
		for my $writer (qw/ no busy /) {
			my ($staple, $copy) = map {
				$ns{$_}{$certificates}{$writer} }
				qw/ staple copy /;
			my $what = "certificates $certificates, $writer writer";
			$b->at_most("b: op_staple, readers $_, $what / copy",
				$staple->{$_} / $copy->{$_}, 1.5) for 1, 2;
			$b->at_most("b: op_staple, $what, two readers / one",
				$staple->{2} / $staple->{1}
				/ ($copy->{2} / $copy->{1}), 1.1);
		}
	}
	$b->tell('b: copies checked byte for byte, 6 readers and a writer',
		$seen->{checked});
}

1;
