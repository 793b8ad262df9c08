#!/usr/bin/perl

# Tests for what the page makes of a document, in a real browser: refused
# clients, twins, filters, links, certificates without OCSP, the runway.  The
# page is nginx's, the documents are made here.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use JSON::PP;

use Test::Nginx;
use Test::Nginx::Browser;
use Test::Nginx::StatusDocument;

###############################################################################

my $t = Test::Nginx->new(timeout => 180)->has(qw/ http_ssl /);
my $b = Test::Nginx::Browser->start($t);
my $d = Test::Nginx::StatusDocument->new($t);

$t->write_conf(http => [ [ 8080, undef, $d->location('/page') ] ]);
$d->write();
$t->run();

my $yes = JSON::PP::true;
my $page = 'http://127.0.0.1:' . port(8080) . '/page';
$b->size(1280, 900);
$b->dark(0);

###############################################################################

# refused clients come first, with reason and next try

my $pay = $d->certificate('pay.example', state => 'pending', required => $yes,
	fails => 'connect_refused', next => 100);
show($d->certificate('shop.example'), $pay,
	$d->certificate('old.example', state => 'revoked'));
like($b->script('return document.querySelector("main").innerText'),
	qr/^Clients are being refused\npay\.example: no staple, the responder refused the connection; next try in 1 min\n/,
	'refused clients are the first line, with reason and next try');
unlike(text('#why'), qr/pay\.example/, 'refused clients are not told twice');
is($b->script('return getComputedStyle(document.querySelector("#refused"))'
	. '.backgroundColor'), 'rgb(179, 38, 30)', 'the first line is red');
is($b->script('return document.querySelector("#refused [role=alert]").textContent'),
	'Clients are being refused',
		'the first line is an alert for those who do not see it');
is($b->script('return document.title'), "Clients refused \x{2013} OCSP stapling",
	'the title of the page says that clients are refused');
is($b->script('return document.querySelector("#certificates .name").textContent'),
	'pay.example', 'the refused certificate is the first row');

# a client that honours Must-Staple refuses by itself

show($d->certificate('shop.example'), $d->certificate('strict.example',
	state => 'expired', must_staple => $yes, fails => 'dns_timeout'));
like(text('#refused'), qr/^Clients that honour Must-Staple refuse the connection\nstrict\.example: no staple, no DNS server answered in time; next try in 5 min$/,
	'a Must-Staple certificate without a staple is told as what it is');
show($d->certificate('strict.example', state => 'unsupported',
	must_staple => $yes));
like(text('#refused'), qr/strict\.example: no staple, it can never get one: it names no responder$/,
	'a Must-Staple certificate that can never have a staple is told');
show($d->certificate('strict.example', state => 'unsupported',
	must_staple => $yes, reason => 'no_issuer'));
like(text('#refused'), qr/strict\.example: no staple, it can never get one: its issuer is not known$/,
	'a Must-Staple certificate without an issuer is told with the reason');
is(text('#why'), '',
	'a Must-Staple certificate without an issuer is not told twice');
show($d->certificate('ca.example', state => 'pending', must_staple => $yes,
	role => 'ca'), $d->certificate('shop.example', state => 'pending'));
ok(hidden('#refused'), 'no client refuses other certificates without a staple');

# handshakes that are refused while nobody looks at certificates

my @fine = map { $d->certificate($_) } qw/ shop.example mail.example /;
show(@fine);
ok(hidden('#refused'), 'handshakes refused before the page came do not count');
$d->write(certificates => \@fine, handshakes => { refused => 3 });
fetch_again();
like($b->wait_script('return !document.querySelector("#refused").hidden && '
	. 'document.querySelector("#refused").innerText', 25),
	qr/^Clients are being refused\n3 handshakes were refused within \d+ s$/,
	'a growing number of refused handshakes is told');

# good, and the next staple to expire

show(@fine, $d->certificate('soon.example', left => 7500),
	$d->certificate('late.example', state => 'revoked', left => 60));
like(text('#facts'), qr/^Next staple to expire\nin 2 h(?: \d min)?\nsoon\.example\n/,
	'the first fact is the staple that expires next, not one that says revoked');
like(text('#summary'), qr/^3 of 4 certificates are stapled with a good response$/,
	'a revoked certificate is not counted as stapled good');

# a new document does not take the keyboard away

$b->script('document.querySelector("#facts a").focus()');
$d->write(certificates => [ @fine, $d->certificate('soon.example', left => 8000,
	fails => 'timeout', id => $b->script('return document.querySelector('
	. '"#facts a").hash.slice(1)')) ]);
fetch_again();
ok($b->wait_script('return /soon/.test(document.querySelector("#why").innerText)'),
	'a new document names the certificate twice');
ok($b->script('return document.activeElement.textContent == "soon.example"'
	. ' && !!document.activeElement.closest("#facts")'),
	'the keyboard stays where it was');

# names lead to their rows, whatever the filter

$b->script(search('nothing of this kind'));
is(rows(), 0, 'a search hides all rows');
$b->script('document.querySelector("#facts a").focus()');
$b->keys("\x{E007}");
is(text('.detail dd'), 'soon.example', 'a name opens its row');
is($b->script('return document.activeElement.textContent'), 'soon.example',
	'the keyboard is there');
is($b->script('return document.querySelector("#search").value'), '',
	'a filter that hid it is gone');
my ($address) = $b->script('return location.hash');
$b->open('about:blank');
$b->open("$page$address");
ok($b->wait_script('return document.querySelector(".detail dd")?.innerText'
	. ' == "soon.example"'), 'the address of a row opens it');

# RSA and ECDSA twins, and two of one kind

my @twins = ($d->certificate('twin.example'),
	$d->certificate('twin.example', key => 'RSA 2048', left => 3600),
	$d->certificate('double.example'), $d->certificate('double.example'));
show(@fine, @twins);
is_deeply($b->script('return [...document.querySelectorAll("#certificates'
	. ' tbody tr")].map((row) => row.cells[1].innerText.replace(/\n.*/s, ""))'
	. '.sort()'), [
	(sort map { "double.example ECDSA P-256 \xb7 serial \x{2026}"
		. substr $_->{serial}, -6 } @twins[2, 3]),
	'mail.example', 'shop.example', 'twin.example ECDSA P-256',
	'twin.example RSA 2048' ],
	'certificates of one name are told apart, others are not burdened');
like(text('#facts'), qr/in 1 h|in 59 min/, 'the twin that expires next');
like(text('#facts'), qr/twin\.example \(RSA 2048\)/, 'is named by its key');
$b->script(search('rsa'));
is(rows(), 1, 'a search finds keys');

# what needs attention

show(@fine, $pay, $d->certificate('renew.example', fails => 'timeout'),
	$d->certificate('ends.example', not_after => time_in(86400)),
	$d->certificate('six-days.example', not_before => time_in(-3 * 86400),
		not_after => time_in(3 * 86400)),
	$d->certificate('gone.example', state => 'ended',
		not_after => time_in(-60)),
	$d->certificate('old.example', state => 'revoked'),
	$d->certificate('free.example', state => 'unsupported'));
ok(hidden('#filter'), 'no filter is told where there is none');
chip('needs attention');
is(join(' ', sort @{names()}), 'ends.example gone.example old.example '
	. 'pay.example renew.example',
	'the chip shows what needs attention, and no six-day certificate half way');
like(text('#filter'), qr/^Filtered by needs attention: 5 of 9 certificates\. Show all$/,
	'a banner tells the filter');
$b->script(search('renew'));
like(text('#filter'), qr/^Filtered by needs attention and .renew.: 1 of 9/,
	'a banner tells the search');
$b->script('document.querySelector("#unfilter").click()');
is(rows(), 9, 'the button of the banner shows all');
ok(hidden('#filter'), 'the banner is gone');
like(text('#facts'), qr/Need attention\n5\nof 9 certificates\n/,
	'the facts have their number');

# many of one kind: the rest behind a button

show(map({ $d->certificate("host$_.example", fails => 'timeout') } 1 .. 6),
	$d->certificate('other.example', fails => 'too_large'));
like(text('#why'), qr/^6 stapled, but renewal fails: host\d\.example, host\d\.example, host\d\.example and 3 more: no complete answer before the deadline; next try in 5 min$/m,
	'some of many names are told');
$b->script('document.querySelector("#why .link").click()');
is(rows(), 6, 'the others are one step away');

# responders: hosts lead to their certificates

$d->write(certificates => [ @fine, $d->certificate('inside.example',
	ca => 'Example Company CA') ], responders => [ map { { host => $_,
		state => 'up', failures => 0, next_attempt => undef } }
		'ocsp.public.example:80', 'pki.company.example:8080' ]);
reopen();
$b->script('document.querySelectorAll("#responders .link")[1].click()');
is_deeply(names(), [ 'inside.example' ],
	'the number of a responder shows its certificates');
$b->size(390, 800);
is_deeply($b->script(<<'EOS'), [], 'each has a line of its own on a phone');
	return [...document.querySelectorAll("#responders tbody tr")].filter((row) => {
		const boxes = [...row.cells].map((cell) => cell.getBoundingClientRect());
		return boxes[0].width < 300 || boxes[1].top < boxes[0].bottom
			|| boxes[0].height > 30;
	}).map((row) => row.innerText);
EOS
$b->size(1280, 900);

# a page without OCSP explains itself

show(map { $d->certificate("free$_.example", state => 'unsupported',
	ca => $_ < 3 ? 'Example Free CA' : 'Other CA') } 1 .. 3);
is(text("#summary"), 'No certificate here has OCSP',
	'the summary says that no certificate has OCSP');
like(text('#explained'), qr/^The certificates name no OCSP responder: their CA has ended OCSP.*there is nothing to do\. Issued by Example Free CA \(2\), Other CA \(1\)\..*ocsp_plus_responder\.$/,
	'an explanation names the CAs, and what to do');
is(text('#why'), '', 'a page without OCSP: nothing is told as wrong');
unlike(text('#certificates'), qr/nothing to staple/,
	'a page without OCSP: no row says that there is nothing to staple');
show($d->certificate('shop.example'),
	$d->certificate('lost.example', state => 'unsupported',
		reason => 'no_issuer', responders => [ 'http://ocsp.public.example/' ]));
ok(hidden('#explained'), 'the explanation is for pages without OCSP only');
show($d->certificate('free.example', state => 'unsupported'),
	$d->certificate('gone.example', state => 'ended',
		not_after => time_in(-60)));
is(text('#summary'), 'No certificate can be stapled',
	'an expired certificate is none without OCSP');
ok(hidden('#explained'),
	'a page with an expired certificate has no explanation');
show($d->certificate('shop.example'),
	$d->certificate('lost.example', state => 'unsupported',
		reason => 'no_issuer', responders => [ 'http://ocsp.public.example/' ]));
like(text('#why'), qr/^1 whose issuer is not known: lost\.example: append it to ssl_certificate\.$/m,
	'a missing issuer is not taken for a CA without OCSP');
is(text('#summary'),
	'1 of 2 certificates are stapled with a good response',
	'a certificate without an issuer counts as one that could be stapled');
like(text('#facts'), qr/Need attention\n1\nof 2 certificates\n/,
	'a certificate without an issuer needs attention');
chip('needs attention');
is_deeply(names(), [ 'lost.example' ],
	'the chip for attention shows the certificate without an issuer');
like(text('#certificates'), qr/no issuer\s.*nothing to staple/s,
	'the row of a certificate without an issuer says what it lacks');
chip('cannot be stapled');
is_deeply(names(), [ 'lost.example' ],
	'the chip of its state shows the certificate without an issuer');
$b->script('document.querySelector("#certificates .name").click()');
like(text('.detail'), qr/No staple\s+its issuer is not known\s+Reason\s+no_issuer/,
	'the details of a certificate without an issuer have words and token');
show($d->certificate('shop.example'),
	$d->certificate('ldap.example', state => 'unsupported',
		reason => 'url_scheme'));
like(text('#why'), qr/^1 whose responder cannot be asked: ldap\.example: the responder URL has a scheme that is not supported; name one in ocsp_plus_responder\.$/m,
	'a responder that cannot be asked is not taken for a CA without OCSP');
show($d->certificate('shop.example'), $d->certificate('ca.example',
	state => 'unsupported', reason => 'no_issuer', role => 'ca'));
is(text('#summary'), 'The certificate is stapled with a good response',
	'without a staple of a CA certificate nothing is amiss');
$d->write(certificates => \@fine, unreadable => [ map { "odd$_" } 1 .. 4 ]);
reopen();
like(text('#why'), qr/^4 that cannot be read, and nothing is stapled: odd1, odd2, odd3 and 1 more: have them reissued\.$/m,
	'certificates that cannot be read are told');

# the engine

$d->write(certificates => \@fine, worker => undef, clock_skew => -400,
	zone => { name => 'ocsp_plus', size => 1000, used => 950, entries => 2 });
reopen();
like(text('#why'), qr/Nobody fetches: .*clock is 6 min ahead of a responder.s: run an NTP client\.\nThe shared zone is 95\.0 % full: enlarge ocsp_plus_zone\./s,
	'what is wrong with the engine is told among the reasons');

# the runway; without one, nothing is told of it

ok(hidden('#runway'), 'without a runway there is no section');
$d->write(certificates => \@fine, runway => [
	{ kind => 'responder', name => 'ocsp.public.example:80', certificates => 2,
		expires => time_in(3 * 86400 + 7300), expires_in => 3 * 86400 + 7300 },
	{ kind => 'issuer', name => 'CN=Example Public CA,O=Example',
		certificates => 1, expires => time_in(4 * 86400 + 60),
		expires_in => 4 * 86400 + 60 },
	{ kind => 'resolver', name => 'system', certificates => 2,
		expires => time_in(-1), expires_in => -1 },
	{ kind => 'proxy', name => 'proxy.example:3128', certificates => 2,
		expires => time_in(86400 * 20 + 60), expires_in => 86400 * 20 + 60 },
	{ kind => 'responder', name => 'unused.example:80', certificates => 0,
		expires => undef, expires_in => undef },
	{ kind => 'responder', name => 'dead.example:80', certificates => 3,
		expires => undef, expires_in => undef },
	{ kind => 'cache', name => '/var/lib/nginx/ocsp_plus', certificates => 2,
		at => 'restart', expires => undef, expires_in => undef } ]);
reopen();
is(text('#runway'), "If something fails now\n"
	. "If the responder ocsp.public.example:80 fails now, the first of 2 certificates is without a staple in 3 d 2 h.\n"
	. "If all responders of Example Public CA fail now, its only certificate is without a staple in 4 d.\n"
	. "If the system\x{2019}s resolver fails now, the first of 2 certificates is without a staple at once.\n"
	. "If the proxy proxy.example:3128 fails now, the first of 2 certificates is without a staple in 20 d.\n"
	. '1 more', 'the runway is told in sentences');
$b->script('document.querySelector("#runway summary").click()');
like(text('#runway'), qr/If the cache directory \/var\/lib\/nginx\/ocsp_plus is lost now, 2 certificates are without a staple at the next restart, until responders answer\.$/,
	'the cache counts at the next restart');

is(join("\n", map { $_->{message} } grep { $_->{level} eq 'SEVERE' }
	$b->log()), '', "the browser's console has no error");

$b->end();
$t->done_testing();

###############################################################################

sub reopen {
	$b->open('about:blank');
	$b->open($page);
	$b->wait_script('return document.querySelector("#about")?.textContent');
}

# As when its tab is looked at again.
sub fetch_again {
	$b->script('document.dispatchEvent(new Event("visibilitychange"))');
}

sub show {
	my (@certificates) = @_;
	$d->write(certificates => \@certificates);
	reopen();
}

sub text {
	my ($selector) = @_;
	return $b->script('return document.querySelector(arguments[0]).innerText',
		$selector) =~ s/\n+/\n/gr;
}

sub hidden {
	my ($selector) = @_;
	return $b->script('return document.querySelector(arguments[0]).hidden',
		$selector);
}

sub rows {
	return $b->script('return document.querySelectorAll('
		. '"#certificates tbody tr:not(.detail)").length');
}

sub names {
	return $b->script('return [...document.querySelectorAll('
		. '"#certificates .name")].map((name) => name.textContent)');
}

sub chip {
	my ($text) = @_;
	$b->script('[...document.querySelectorAll("#states button")].find('
		. '(button) => button.textContent.startsWith(arguments[0])).click()',
		$text);
}

sub search {
	my ($text) = @_;
	return qq{const field = document.querySelector("#search");
		field.value = "$text";
		field.dispatchEvent(new Event("input"));};
}

###############################################################################
