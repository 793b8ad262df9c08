#!/usr/bin/perl

# Tests for metrics: promtool likes them, a real Prometheus scrapes them, and
# they say what happened; the alert rules fire when they should.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use JSON::PP;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /)
	->has_daemon('prometheus')->has_daemon('promtool');

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $good = $int->leaf('good.example', aia => $r->url(1), must_staple => 1);
my $bad = $int->leaf('bad.example', aia => $r->url(2));
my $revoked = $int->leaf('revoked.example', aia => $r->url(1));
my $odd = $int->leaf('odd', aia => $r->url(1), names => [],
	cn_bytes => "quote\" slash\\ line\n \xff");
my $none = $int->leaf('none.example');
my $alone = $int->leaf('alone.example', aia => $r->url(1), chain => 0);
$r->fault('http_500', on => 2);
$r->status($revoked, 'revoked');

# a shared store that is not there has its metrics all the same
$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	'ocsp_plus_share unix:%%TESTDIR%%/none.sock;',
	(map { [ 8443, $_ ] } $good, $bad, $revoked, $odd, $none,
		$alone),
	[ 8080, undef, 'location / { ocsp_plus_status prometheus; }',
		'location /json { ocsp_plus_status json; }' ] ]);

$t->run();
is(wait_staple(8443, 'good', servername => 'good.example', seconds => 30)
	->{status}, 'good', 'the good certificate is stapled');

###############################################################################

my $text;
ok(wait_for(sub {
	$text = scrape();
	return value('fetches_total', result => 'ok') >= 3
		&& value('fetches_total', result => 'failed') >= 1
		&& defined value('engine_heartbeat_timestamp_seconds');
}, 20, 'all to be tried'), 'all certificates are tried');

my @of_good = (id => $good->id(), name => 'good.example', role => 'leaf');
my ($version) = $t->command([ Test::Nginx::Config::tool('ocsp-plus'),
	'--version' ])->{output} =~ /^ocsp-plus (\S+)$/m;
is(value('build_info', version => $version), 1, 'build_info has the version');
is(value('staple_valid', @of_good), 1,
	'staple_valid is 1 for a good certificate');
cmp_ok(value('staple_expiry_timestamp_seconds', @of_good), '>', time(),
	'staple_expiry is in the future');
cmp_ok(value('certificate_not_after_timestamp_seconds', @of_good), '>',
	time() + 80 * 86400, 'certificate_not_after is over 80 days ahead');
cmp_ok(abs(value('last_success_timestamp_seconds', @of_good) - time()), '<',
	60, 'last_success is within the last minute');
my $in = value('staple_expires_in_seconds', @of_good);
ok($in <= 7 * 86400 && $in > 7 * 86400 - 300,
	'staple_expires_in is a week for a good certificate');
cmp_ok(abs(value('certificate_expires_in_seconds', @of_good) + time()
	- value('certificate_not_after_timestamp_seconds', @of_good)), '<', 300,
	'certificate_expires_in is what is left until not_after');
cmp_ok(value('certificate_validity_seconds', @of_good), '>=',
	value('certificate_expires_in_seconds', @of_good),
	'certificate_validity is more than is left');
ok(defined value('status_age_seconds', @of_good),
	'status_age is defined for a good certificate');
is(value('certificate_staple_required', @of_good), 1,
	'certificate_staple_required is 1 for a Must-Staple certificate');
cmp_ok(value('staples_total', @of_good), '>=', 1,
	'staples_total counts the staple');

my @of_bad = (id => $bad->id(), name => 'bad.example', role => 'leaf');
is(value('staple_valid', @of_bad), 0,
	'staple_valid is 0 for a certificate without a response');
is(value('staple_expiry_timestamp_seconds', @of_bad), undef,
	'staple_expiry is missing without a response');
is(value('staple_expires_in_seconds', @of_bad), undef,
	'staple_expires_in is missing without a response');
is(value('last_success_timestamp_seconds', @of_bad), undef,
	'last_success is missing without a response');
is(value('status_age_seconds', @of_bad), undef,
	'status_age is missing without a response');
cmp_ok(value('fetch_consecutive_failures', @of_bad), '>=', 1,
	'fetch_consecutive_failures counts for a failing responder');
is(value('certificate_revoked', id => $revoked->id(),
	name => 'revoked.example', role => 'leaf'), 1,
	'certificate_revoked is 1 for a revoked certificate');
is(value('staple_valid', id => $revoked->id(), name => 'revoked.example',
	role => 'leaf'), 0, 'staple_valid is 0 for a revoked certificate');
is(value('certificate_revoked', @of_bad), 0,
	'certificate_revoked is 0 for another certificate');

is(value('certificates', role => 'leaf', state => 'valid'), 2,
	'certificates has two in state valid');
is(value('certificates', role => 'leaf', state => 'pending'), 1,
	'certificates has one in state pending');
is(value('certificates', role => 'leaf', state => 'revoked'), 1,
	'certificates has one in state revoked');
is(value('certificates', role => 'leaf', state => $_), 0, "certificates has none in state $_")
	for qw/ expired ended /;
is(value('certificates', role => 'leaf', state => 'unsupported'), 2,
	'certificates has two in state unsupported');
is(value('unsupported_certificates', role => 'leaf', reason => $_), 1,
	"unsupported_certificates has one for $_") for qw/ no_responder no_issuer /;
is(value('unsupported_certificates', role => 'leaf', reason => $_), 0,
	"none for $_") for qw/ url_malformed url_scheme unreadable /;
cmp_ok(value('fetch_failures_total', reason => 'http_status'), '>=', 1,
	'fetch_failures_total counts by reason');
my $all = value('fetches_total', result => 'ok')
	+ value('fetches_total', result => 'failed');
cmp_ok(value('fetch_duration_seconds_count'), '>=', $all,
	'fetch_duration_seconds counts each fetch');
is(value('fetch_duration_seconds_bucket', le => '+Inf'),
	value('fetch_duration_seconds_count'),
	'fetch_duration_seconds has all fetches in its last bucket');
cmp_ok(value('connections_total', family => 'ipv4', result => 'ok'), '>=', 2,
	'connections_total counts connections by IPv4');
is(value('connections_total', family => 'ipv4', result => 'failed'), 0,
	'connections_total counts no failed connection by IPv4');
is(value('connections_total', family => 'ipv6', result => $_), 0,
	"connections_total counts no connection by IPv6: $_") for qw/ ok failed /;
is(value('responder_up', responder => '127.0.0.1:' . port(8081)), 1,
	'responder_up is 1 for a responder that answers');
is(value('share_up'), 0, 'share_up is 0 without a store');
is(value('share_latency_seconds_count'), 0,
	'share_latency_seconds counts no answer');
is(value('zone_entries'), 6, 'zone_entries is the number of certificates');
is(value('loaded_certificates_total', result => 'taken'), 0,
	'loaded_certificates_total counts no certificate as taken');
cmp_ok(abs(value('clock_skew_seconds')), '<', 5, 'clock_skew is small');
cmp_ok(abs(value('engine_heartbeat_timestamp_seconds') - time()), '<', 10,
	'the heartbeat is recent');
cmp_ok(value('engine_heartbeat_age_seconds'), '<', 10,
	'the heartbeat is recent by its age');
cmp_ok(abs(value('staple_this_update_timestamp_seconds', @of_good) - time()),
	'<', 60, 'staple_this_update is that of the response');
is(value('staple_this_update_timestamp_seconds', @of_bad), undef,
	'staple_this_update is missing without a response');
like($text, qr/name="CN=quote\\\\\\" slash\\\\\\\\ line\\\\0A \x{c3}\x{bf}"/,
	'label values are escaped');
is(scalar(() = $text =~ /^# TYPE ocsp_plus_staple_valid /mg), 1,
	'a metric family is declared once');

staple(8443, servername => 'bad.example', role => 'leaf');
ok(wait_for(sub {
	$text = scrape();
	value('handshakes_total', staple => 'none') == 1;
}, 5), 'handshakes_total counts a handshake without a staple');

is(scalar(() = scrape('/?id=' . $bad->id()) =~ /^ocsp_plus_staple_valid\{/mg),
	1, 'a filter by id limits the metrics');

# every name of the table, once something of its kind has happened

my @table = map { /^\| `(\w+)` \| \w+ / ? $1 : () }
	$t->command([ "$FindBin::Bin/../scripts/check-metrics", '--table' ])
	->{output} =~ /.+/g;
cmp_ok(scalar @table, '>', 20,
	'the table of metrics is read from the documentation');
is(join(' ', grep { $text !~ /^# TYPE $_ /m } @table), '',
	'all metrics of the table are exported');

# the rules for names that every promtool has

my %type = $text =~ /^# TYPE (\w+) (\w+)$/mg;
my %help = $text =~ /^# HELP (\w+) (\S.*)$/mg;
is(join(' ', sort keys %help), join(' ', sort keys %type),
	'all metrics have a help text');
is(join(' ', grep { ($type{$_} eq 'counter') != /_total$/ } sort keys %type), '',
	'the names of counters and of no other metric end in _total');
is(join(' ', grep { !/^ocsp_plus_[a-z0-9]+(?:_[a-z0-9]+)*$/
	|| /_(?:count|sum|bucket|milliseconds|minutes|hours|days)$/ }
	sort keys %type), '', 'the names of metrics have base units');

# promtool: it must read them; a new version may have new advice

my $lint = $t->command([ 'promtool', 'check', 'metrics' ], stdin => $text);
like($lint->{status}, qr/^[03]$/, 'promtool reads the metrics')
	or diag($lint->{output});
my ($promtool) = $t->command([ 'promtool', '--version' ])->{output}
	=~ /version (\d+\.\d+)/;
if (grep { $_ eq ($promtool // '') } qw/ 2.42 2.53 3.5 /) {
	is($lint->{output}, '', 'promtool has no advice about the metrics');
} elsif ($lint->{output} ne '') {
	diag('promtool ' . ($promtool // '?') . " advises:\n$lint->{output}");
}

my $docs = "$FindBin::Bin/../docs/monitoring";
my $rules = $t->command([ 'promtool', 'test', 'rules',
	"$docs/alerts_test.yml" ], timeout => 60);
is($rules->{status}, 0, "promtool's tests of the alert rules pass")
	or diag($rules->{output});

# OpenMetrics

my $open = scrape('/', 'application/openmetrics-text; version=1.0.0');
like($open, qr/\n# EOF\n\z/, 'OpenMetrics output ends with # EOF');
like($open, qr/^# TYPE ocsp_plus_handshakes counter$/m,
	'OpenMetrics output declares counters without suffix');
like($open, qr/^ocsp_plus_handshakes_total\{staple="sent"\} \d+$/m,
	'OpenMetrics output has counter samples with suffix');
unlike($text, qr/# EOF/, 'the text format has no # EOF');

# Prometheus itself

$t->write_file_expand('prometheus.yml', <<"EOC");
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files:
  - $docs/alerts.yml
scrape_configs:
  - job_name: nginx
    metrics_path: /
    static_configs:
      - targets: ['127.0.0.1:8080']
EOC

$t->run_daemon('prometheus',
	'--config.file=' . $t->testdir() . '/prometheus.yml',
	'--storage.tsdb.path=' . $t->testdir() . '/tsdb',
	'--web.listen-address=127.0.0.1:' . port(8085), '--log.level=error');

my $target;
ok(wait_for(sub {
	my $state = query('targets?state=active') or return;
	$target = $state->{activeTargets}[0];
	return $target->{health} && $target->{health} eq 'up';
}, 60, 'a scrape'), 'Prometheus scrapes the metrics');
is($target->{lastError}, '', 'Prometheus reports no scrape error');

my $result;
ok(wait_for(sub {
	my $state = query('query?query=ocsp_plus_staple_valid') or return;
	$result = $state->{result};
	return @$result == 6;
}, 20, 'samples'), 'Prometheus has a sample for each certificate');
my ($odd_one) = grep { $_->{metric}{id} eq $odd->id() } @$result;
is($odd_one->{metric}{name}, 'CN=quote\\" slash\\\\ line\\0A ' . "\x{ff}",
	'Prometheus has the unescaped names');

my $groups = query('rules');
is(scalar(grep { $_->{health} eq 'err' } map { @{$_->{rules}} }
	@{$groups->{groups} || []}), 0,
	'Prometheus evaluates the alert rules without an error');
my $alert;
ok(wait_for(sub {
	my $state = query('alerts') or return;
	($alert) = grep { $_->{labels}{alertname} eq 'OcspCertificateRevoked'
		&& $_->{state} eq 'firing' } @{$state->{alerts}};
}, 20, 'an alert'), 'Prometheus fires the alert for a revoked certificate');
is($alert->{annotations}{runbook_url},
	'docs/alerts.md#ocspcertificaterevoked', 'the alert names its section');

# the dashboard: Prometheus takes each of its queries, and it counts what the
# document counts, of which the page is made

my ($json) = http_get('/json') =~ /\r\n\r\n(.*)/s;
my %count = map { $_ => 0 } qw/ valid revoked pending expired no_responder
	no_issuer /;
$count{$_->{reason} // $_->{state}}++
	for @{decode_json($json)->{certificates}};
my $board = decode_json($t->read_file("$docs/grafana.json"));
my (%tile, @refused);
for my $panel (@{$board->{panels}}) {
	for my $target (@{$panel->{targets}}) {
		(my $expr = $target->{expr}) =~ s/\$instance/.+/g;
		my $got = query('query?query='
			. $expr =~ s/(\W)/sprintf '%%%02X', ord $1/ger);
		push @refused, $expr unless $got;
		$tile{$panel->{title}} = $got->{result}[0]{value}[1];
	}
}
is(join("\n", @refused), '', "Prometheus takes the dashboard's queries");
is_deeply({ map { $_ => $tile{$_} } 'Stapled good', 'Revoked', 'Missing',
	'Without OCSP', 'Refused handshakes' }, {
	'Stapled good' => $count{valid}, Revoked => $count{revoked},
	Missing => $count{pending} + $count{expired} + $count{no_issuer},
	'Without OCSP' => $count{no_responder}, 'Refused handshakes' => 0 },
	'the dashboard counts as the document does');
ok($tile{'Next staple to end'} > 0 && $tile{'Next staple to end'} <= $in,
	'the dashboard has the next staple to end');

$t->done_testing();

###############################################################################

sub scrape {
	my ($path, $accept) = @_;
	my $answer = http_get($path // '/',
		headers => [ $accept ? "Accept: $accept" : () ]);
	die "no 200: $answer" unless $answer =~ / 200 .*?\r\n\r\n(.*)/s;
	return $1;
}

# of a metric with exactly these labels
sub value {
	my ($name, @labels) = @_;
	my @text;
	while (my ($label, $value) = splice @labels, 0, 2) {
		push @text, qq{$label="$value"};
	}
	my $series = "ocsp_plus_$name" . (@text ? '{' . join(',', @text) . '}'
		: '');
	return $text =~ /^\Q$series\E (\S+)$/m ? $1 : undef;
}

sub query {
	my ($what) = @_;
	my $answer = http_get("/api/v1/$what", port => 8085) or return;
	my ($body) = $answer =~ /\r\n\r\n(.*)/s or return;
	my $decoded = eval { decode_json($body) } or return;
	return $decoded->{data};
}

###############################################################################
