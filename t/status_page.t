#!/usr/bin/perl

# Tests for the page, in a real browser: what it shows, that text stays text,
# that it says when it is old; two widths, light and dark.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use Test::Nginx;
use Test::Nginx::Browser;
use Test::Nginx::CA;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $b = Test::Nginx::Browser->start($t);

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int', cn => 'Example Issuing CA');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081, 8082 ]);
my $good = $int->leaf('shop.example', aia => $r->url(1), must_staple => 1,
	names => [ 'shop.example', 'www.shop.example', 'img.shop.example' ]);
my $revoked = $int->leaf('old.example', aia => $r->url(1));
my $bad = $int->leaf('mail.example', aia => $r->url(2),
	not_before => -20 * 86400, not_after => 86400);
my $none = $int->leaf('plain.example');
my $past = $int->leaf('past.example', aia => $r->url(1), not_before => -86400,
	not_after => -3600);

# whatever a certificate may hold
my $attack = '<img src=x onerror=document.title="owned">';
my $name = '<img/src=x/onerror=document.title=1>';
my $odd = $int->leaf('attack', aia => $r->url(1), names => [ $name ],
	cn_bytes => "$attack</script><script>document.title='owned'</script>\xff");
# no character of which is visible
my $unseen = $int->leaf('unseen', aia => $r->url(1), names => [],
	cn => "u\xe2\x80\xaen\xc2\x9bs\xe2\x80\x8been");
my @many = $int->leaves(12, 'host%d.example', aia => $r->url(1));

$r->status($revoked, 'revoked');
$r->fault('http_503', on => 2);

my $cache = $t->write_file('cache-directory', 'a file in its place');

$t->write_conf(workers => 2, http => [ 'ocsp_plus on;',
	"ocsp_plus_cache $cache;",
	(map { [ 8443, $_ ] } $good, $revoked, $bad, $none, $past, $odd, $unseen,
		@many),
	[ 8080, undef, 'location /ocsp { ocsp_plus_status html; }',
		'location /any { ocsp_plus_status; }' ] ]);

$t->run();
is(wait_staple(8443, 'good', servername => 'shop.example', seconds => 30)
	->{status}, 'good', 'a certificate is stapled');
ok(wait_for(sub {
	http_get('/any?state=pending') =~ /"last_attempt":\{/
		&& http_get('/any?state=valid') =~ /host12\.example/;
}, 30, 'the others'), 'all certificates are tried');

my $page = http_get('/ocsp');
like($page, qr/^Content-Type: text\/html; charset=utf-8\r$/m,
	'the page is HTML in UTF-8');
like($page, qr/^Content-Security-Policy: default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self';/m,
	'the page has a strict Content-Security-Policy');
unlike($page, qr/(?:src|href)\s*=\s*"?(?:https?:)?\/\//,
	'the page loads nothing from elsewhere');

# words for every reason, those of the documentation

my %words = map { /^\| `(\w+)` \| (.*) \|$/ ? ($1 => $2) : () }
	`$FindBin::Bin/../scripts/make-reasons`;
cmp_ok(scalar keys %words, '>', 80, 'there are reasons');
is(join(' ', grep { index($page, qq{  $_: "$words{$_}",\n}) < 0 }
	sort keys %words), '', 'the page has words for each');

###############################################################################

my $url = 'http://127.0.0.1:' . port(8080);
$b->size(1280, 900);
$b->dark(0);
$b->open("$url/ocsp");
ok($b->wait_script(
	'return document.querySelectorAll("#certificates tbody tr").length == 19'),
	'the page has a row for each certificate');

my $text = $b->script('return document.querySelector("main").innerText');
like($text, qr/15 of 17 certificates are stapled with a good response/,
	'the summary has the number of stapled certificates');
my $valid = 0;
$valid += $_ for http_get('/any?format=prometheus')
	=~ /^ocsp_plus_certificates\{role="\w+",state="valid"\} (\d+)$/mg;
is($valid, 15, 'the metrics have the number of stapled certificates');
like($text, qr/1 revoked, not stapled as good: old\.example/,
	'the summary names the revoked certificate');
like($text, qr/1 without a valid response: mail\.example: the HTTP status is not 200; next try in /,
	'the summary names the failing certificate, its reason and the next try');
like($text, qr/1 certificate has no OCSP: it names no responder, and no staple is expected/,
	'the summary has the number of certificates without OCSP');
like($text, qr/1 certificate itself ends soon: mail\.example\n/,
	'the summary names the certificate that ends soon, and no other');
like($text, qr/1 certificate itself has expired, nobody is asked: past\.example/,
	'the summary names the expired certificate');
like($text, qr/The cache directory cannot be used \(a file could not be read or parsed\): responses will not survive a restart: \Q$cache\E, for \d+ \w+/,
	'the summary warns that the cache directory cannot be used, and since when');
like($text, qr/cache directory fails$/m,
	'the line of the engine has the cache directory');
like($text, qr/^worker \d fetches \(pid \d+\) \x{b7} clock .* \x{b7} zone \d+\.\d % of 12\d MB used/m,
	'the line of the engine has worker, clock and zone');
ok($b->script('return document.querySelector("#refused").hidden'),
	'nothing is said of refused clients where there are none');
my ($worker) = $t->workers();
my ($uid, $gid) = (stat "/proc/$worker")[4, 5];
unlink $cache;
mkdir $cache, 0700;
chown $uid, $gid, $cache;

# three certificates in three states

my %row = map { $_->[0] => $_->[1] } @{$b->script(<<'EOS')};
	return [...document.querySelectorAll("#certificates tbody tr")].map(
		(row) => [row.querySelector(".name").textContent, row.innerText]);
EOS
like($row{'shop.example'}, qr/^valid\s.*ends in .*answered/s,
	"a valid certificate's row has its state and expiry");
like($row{'shop.example'}, qr/Must-Staple/,
	"a Must-Staple certificate's row says so");
like($row{'old.example'}, qr/^revoked\s/,
	"a revoked certificate's row says so");
like($row{'mail.example'}, qr/^no response yet\s.*nothing to staple.*the HTTP status is not 200/s,
	"a failing certificate's row has its reason in words");
unlike($text, qr/http_status|not_newer|no_responder/,
	'no token is shown where there are words');
like($row{'mail.example'}, qr/certificate ends in (?:23 h|1 d)/,
	'a row says when the certificate itself ends');
like($row{'plain.example'}, qr/^no responder\s.*none, and none is expected/s,
	'a row says that a certificate has no responder');
like($row{'past.example'}, qr/^certificate expired\s.*nobody is asked/s,
	'a row says that an expired certificate is not asked for');
is_deeply($b->script(<<'EOS'), [ 'old.example', 'mail.example' ],
	return [...document.querySelectorAll("#certificates .name")].slice(0, 2)
		.map((name) => name.textContent);
EOS
	'the most urgent certificates are shown first');
like($b->script('return document.querySelector("#certificates svg")'
	. '.getAttribute("aria-label")'), qr/^valid from .* UTC; \d+ % of it/,
	'the validity picture has a text');

my $hosts = $b->script('return document.querySelector("#responders").innerText');
like($hosts, qr/127\.0\.0\.1:@{[ port(8082) ]}\s+fails.*127\.0\.0\.1:@{[ port(8081) ]}\s+answers/s,
	'the page lists the responders with their states');

ok($b->script('return document.querySelector("#share").hidden'),
	'the page says nothing of a shared store that nobody has');

# text stays text

ok(exists $row{$name}, 'an attack in a name is shown as text');
ok(exists $row{'CN=u\u202en\u009bs\u200been'},
	'invisible characters in a name are shown escaped')
	or diag(join "\n", grep { /^CN=/ } keys %row);
is($b->script('return document.querySelectorAll("main img, main script").length'),
	0, 'an attack in a name makes no element');
is($b->script('return document.title'), '(2) OCSP stapling',
	'an attack in a name runs no script');
$b->script('[...document.querySelectorAll(".name")].find((name) => '
	. 'name.textContent.includes("onerror")).click()');
like($b->script('return document.querySelector(".detail").innerText'),
	qr/Subject\s+CN=.*onerror=document\.title=.*script/,
	'an attack in a subject is shown as text in the details');
is($b->script('return document.querySelectorAll("main img, main script").length'),
	0, 'an attack in a subject makes no element');
$b->script('document.querySelector(".name[aria-expanded=true]").click()');

# search and filters

$b->script(search('shop'));
is($b->script(rows()), 1, 'a search shows the matching row');
$b->script(search('issuing http_status'));
is($b->script(rows()), 1, 'a search for two words shows the matching row');
$b->script(search('no such name'));
is($b->script('return document.querySelector("#nothing").innerText'),
	'No certificate matches.', 'a search without a match says so');
$b->script(search(''));
$b->script('[...document.querySelectorAll("#states button")].find((button) => '
	. 'button.textContent.startsWith("revoked")).click()');
is($b->script(rows()), 1, 'a filter by state shows the matching row');
is($b->script('return document.querySelector("[aria-pressed=true]").textContent'),
	'revoked 1', 'the pressed filter shows state and number');
$b->script('document.querySelector("#states button").click()');

# details

$b->script('[...document.querySelectorAll(".name")].find((name) => '
	. 'name.textContent == "shop.example").click()');
like($b->script('return document.querySelector(".detail").innerText'),
	qr/www\.shop\.example.*Example Issuing CA.*@{[ $good->id() ]}/s,
	'the details show names, issuer and id');
like($b->script('return document.querySelector(".detail").innerText'),
	qr/Confirmed\s+.*UTC \(\d+ \w+ ago\)/,
	'the details show the age of the status');
like($b->script('return document.querySelector(".detail").innerText'),
	qr/Key\s+ECDSA P-256/, 'the details show the key');
ok(!$b->script('return !!document.querySelector(".detail button")'),
	'no refresh is offered where no control location is known');
$b->script('[...document.querySelectorAll(".name")].find((name) => '
	. 'name.textContent == "mail.example").click()');
like($b->script('return document.querySelector(".detail").innerText'),
	qr/Last attempt\s.*the HTTP status is not 200 \x{2013} .*503.*Reason\s+http_status/s,
	'the details show reason, detail and token of the last attempt');

# nothing is wider than the screen, at any width; pictures for people

for my $width (1280, 390) {
	for my $dark (0, 1) {
		my $what = "$width, " . ($dark ? 'dark' : 'light');
		$b->size($width, 900);
		$b->dark($dark);
		cmp_ok($b->script('return document.documentElement.scrollWidth'),
			'<=', $width,
			"$what: the page is not wider than the window");
		cmp_ok($b->contrast(), '>=', 4.5,
			"$what: the contrast of all text is sufficient");
		ok($b->screenshot($t->testdir() . "/page-$width-"
			. ($dark ? 'dark' : 'light') . '.png'),
			"$what: a picture is taken");
	}
}

# it refreshes itself

staple(8443, servername => 'mail.example');
ok($b->wait_script('return /Without a staple\s+1\b/.test(document.querySelector('
	. '"#facts").innerText)', 25),
	'new figures appear without a reload of the page');

# the cache directory was mended meanwhile

ok($b->wait_script('return /cache directory works\b/.test('
	. 'document.querySelector("#engine").innerText) && !/cache directory/.test('
	. 'document.querySelector("#why").innerText)', 60),
	'the summary says that the cache directory works again');

# a page that negotiated keeps its filters

$b->open("$url/any?format=html&server=shop.example");
ok($b->wait_script('return ' . (rows() =~ s/^return //r) . ' == 1'),
	"the filters of the page's address are applied");
is($b->script('return document.querySelector("#narrowed").innerText'),
	"This page\x{2019}s address shows some certificates only: "
	. 'server=shop.example. Show all', "the filters of the page's address are told");
$b->script('document.querySelector("#narrowed a").click()');
ok($b->wait_script('return ' . (rows() =~ s/^return //r) . ' == 19'),
	'the link beside the filters shows all certificates');
ok($b->script('return document.querySelector("#narrowed").hidden'),
	'nothing is told where all are shown');

# a listing that ended early is told

$b->open("$url/any?format=html&loaded=1&after=" . 'a' x 64);
ok($b->wait_script('return /Not all certificates are shown/.test('
	. 'document.querySelector("#why").innerText)'),
	'an incomplete list is announced');

# honest about its age

my @complaints = grep { $_->{level} eq 'SEVERE' } $b->log();
is(join("\n", map { $_->{message} } @complaints), '',
	"the browser's console has no error");
$b->open("$url/ocsp");
ok($b->wait_script('return ' . (rows() =~ s/^return //r) . ' == 19'),
	'the page has all rows before nginx ends');
$t->stop();
ok($b->wait_script('return !document.querySelector("#stale").hidden', 25),
	'the page says that its figures are old');
like($b->script('return document.querySelector("#stale").innerText'),
	qr/What you see is \d+ \w+ old\. The status cannot be fetched: the server cannot be reached/,
	'the page says why its figures are old');
is($b->script(rows()), 19, 'the page keeps showing old figures');
$b->size(1280, 900);
$b->screenshot($t->testdir() . '/page-old.png');

$b->end();
$t->done_testing();

###############################################################################

sub rows {
	return 'return document.querySelectorAll('
		. '"#certificates tbody tr:not(.detail)").length';
}

sub search {
	my ($text) = @_;
	return qq{const field = document.querySelector("#search");
		field.value = "$text";
		field.dispatchEvent(new Event("input"));};
}

###############################################################################
