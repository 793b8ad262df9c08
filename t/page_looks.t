#!/usr/bin/perl

# Tests for how the page looks, in a real browser: nothing is wider than the
# window or cut off, and all text has contrast, at two widths, light and dark,
# with few and many certificates in mixed states.
#
# With OCSP_PLUS_PICTURES=directory it leaves pictures of all of them there, and
# page.png, the picture of the README:
#
#   OCSP_PLUS_PICTURES=docs prove -I t/lib t/page_looks.t

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

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

my $pictures = $ENV{OCSP_PLUS_PICTURES};
my $directory = $pictures // $t->testdir();

for my $number (3, 40, 1000) {
	$d->write($d->mixed($number));
	for my $width (390, 1280) {
		$b->size($width, 900);
		$b->dark(0);
		$b->open('about:blank');
		$b->open('http://127.0.0.1:' . port(8080) . '/page');
		ok($b->wait_script('return document.querySelectorAll('
			. '"#certificates tbody tr").length == '
			. ($number > 200 ? 200 : $number), 30),
			"$number, $width: the page has its rows");
		$b->script('document.querySelectorAll(".name")[0].click()')
			unless $number == 40;
		is_deeply($b->script(cut_off()), [],
			"$number, $width: nothing is cut off or covered");
		cmp_ok($b->script('return document.documentElement.scrollWidth'),
			'<=', $width, "$number, $width: nothing is wider than the window");
		for my $dark (0, 1) {
			my $what = "$number-$width-" . ($dark ? 'dark' : 'light');
			$b->dark($dark);
			cmp_ok($b->contrast(), '>=', 4.5,
				"$what: the contrast of all text is sufficient");
			ok($b->screenshot("$directory/page-$what.png",
				x => 0, y => 0, width => $width, height => 2600),
				"$what: a picture is taken") if $pictures;
			ok($b->screenshot("$directory/page.png",
				x => 0, y => 0, width => 1280, height => 860),
				'the picture for the README is taken')
				if $pictures && $what eq '40-1280-light';
		}
	}
}

is(join("\n", map { $_->{message} } grep { $_->{level} eq 'SEVERE' }
	$b->log()), '', "the browser's console has no error");

$b->end();
$t->done_testing();

###############################################################################

# What its box does not hold; texts are the ends of what is visible.
sub cut_off {
	return <<'EOS';
	return [...document.querySelectorAll("body *")].filter((node) => {
		if (node.closest(".hidden, [hidden], svg, script, style, noscript")) return false;
		const box = node.getBoundingClientRect();
		return box.width && (box.right > innerWidth + 1 || box.left < -1
			|| node.scrollWidth > Math.ceil(box.width) + 1 && getComputedStyle(node).display != "inline");
	}).map((node) => `${node.tagName} ${node.id} ${node.className} ${node.textContent.slice(0, 40)}`);
EOS
}

###############################################################################
