package Test::Nginx::Browser;

# A real browser: headless Chromium, driven through chromedriver (WebDriver).
#
#   my $b = Test::Nginx::Browser->start($t);   skips the file where there is none
#   $b->open("http://127.0.0.1:$port/")
#   $b->script('return document.title')        what it returns
#   $b->wait_script('return ...', $seconds)    until that is true; returns it
#   $b->size($width, $height)                  of the page
#   $b->dark($yes)                             prefers-color-scheme
#   $b->contrast()                             the least of any text with what
#                                              it stands on (WCAG 2)
#   $b->keys("a\x{E007}")                      pressed, Enter being U+E007
#   $b->screenshot($path, %clip)               the whole page as PNG, or of it
#                                              x, y, width, height
#   $b->log()                                  what it complained about (JSON
#                                              entries: level, message)
#   $b->end()

use warnings;
use strict;

use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw/ decode_base64 /;

use Test::More qw//;

use Test::Nginx ();

sub start {
	my ($class, $t) = @_;
	$t->has_daemon('chromium')->has_daemon('chromedriver');

	my $port = Test::Nginx::port(8980);
	# a new home, so that nothing of this machine plays a part
	my $home = $t->testdir() . '/browser';
	mkdir $home;
	local $ENV{HOME} = $home;
	$t->run_daemon('chromedriver', "--port=$port", '--silent');
	$t->waitforsocket("127.0.0.1:$port") or die "no chromedriver\n";

	# $t ends chromedriver, so it has to outlive this
	my $self = bless {
		t => $t, owner => $$,
		base => "http://127.0.0.1:$port/session",
		http => HTTP::Tiny->new(timeout => 60 * $Test::Nginx::SLOW),
	}, $class;
	my $made = $self->_call(POST => '', { capabilities => { alwaysMatch => {
		browserName => 'chrome',
		'goog:loggingPrefs' => { browser => 'ALL' },
		'goog:chromeOptions' => { args => [ qw/
			--headless=new --no-sandbox --disable-gpu
			--disable-quic --no-first-run
			--disable-background-networking
			--disable-component-update --disable-sync
			--disable-dev-shm-usage --hide-scrollbars /,
			"--user-data-dir=$home/profile" ] },
	} } });
	$self->{base} .= "/$made->{sessionId}";
	return $self;
}

sub open {
	my ($self, $url) = @_;
	return $self->_call(POST => '/url', { url => $url });
}

sub script {
	my ($self, $script, @args) = @_;
	return $self->_call(POST => '/execute/sync',
		{ script => $script, args => \@args });
}

sub wait_script {
	my ($self, $script, $seconds) = @_;
	my $value;
	Test::Nginx::wait_for(sub { $value = $self->script($script) },
		$seconds || 10, "the page: $script");
	return $value;
}

sub size {
	my ($self, $width, $height) = @_;
	return $self->_cdp('Emulation.setDeviceMetricsOverride', {
		width => $width, height => $height, deviceScaleFactor => 1,
		mobile => $width < 600 ? JSON::PP::true : JSON::PP::false });
}

sub dark {
	my ($self, $yes) = @_;
	return $self->_cdp('Emulation.setEmulatedMedia', { features => [ {
		name => 'prefers-color-scheme',
		value => $yes ? 'dark' : 'light' } ] });
}

sub contrast {
	my ($self) = @_;
	return $self->script(<<'EOS');
	const numbers = (color) => color.match(/[\d.]+/g).map(Number);
	const light = (color) => {
		const [r, g, b] = numbers(color).slice(0, 3).map((v) => {
			v /= 255;
			return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
		});
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (node) => {
		for (; node; node = node.parentElement) {
			const color = getComputedStyle(node).backgroundColor;
			if ((numbers(color)[3] ?? 1) > 0) return color;
		}
		return "rgb(255, 255, 255)";
	};
	let least = 21;
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const node = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || node.closest(".hidden, [hidden], script, style, noscript")) continue;
		const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
		least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
	}
	return least;
EOS
}

sub keys {
	my ($self, $keys) = @_;
	return $self->_call(POST => '/actions', { actions => [ { type => 'key',
		id => 'keyboard', actions => [ map {
			({ type => 'keyDown', value => $_ },
				{ type => 'keyUp', value => $_ }) } split //, $keys ] } ] });
}

sub screenshot {
	my ($self, $path, %clip) = @_;
	my $shot = $self->_cdp('Page.captureScreenshot',
		{ captureBeyondViewport => JSON::PP::true,
			%clip ? (clip => { scale => 1, %clip }) : () });
	CORE::open my $fh, '>:raw', $path or die "$path: $!";
	print $fh decode_base64($shot->{data});
	close $fh;
	return -s $path;
}

sub log {
	my ($self) = @_;
	return @{$self->_call(POST => '/se/log', { type => 'browser' })};
}

sub end {
	my ($self) = @_;
	$self->{ended} = 1;
	return $self->_call(DELETE => '');
}

# A test that dies leaves no browser behind, for whose output prove would wait.
sub DESTROY {
	my ($self) = @_;
	return if $self->{ended} || $self->{owner} != $$;
	local ($?, $@);
	eval { $self->end() };
}

sub _cdp {
	my ($self, $command, $parameters) = @_;
	return $self->_call(POST => '/goog/cdp/execute',
		{ cmd => $command, params => $parameters });
}

sub _call {
	my ($self, $method, $path, $body) = @_;
	my $answer = $self->{http}->request($method, "$self->{base}$path", {
		headers => { 'Content-Type' => 'application/json' },
		$body ? (content => encode_json($body)) : () });
	my $decoded = eval { decode_json($answer->{content}) };
	die "WebDriver $method $path: $answer->{status} "
		. substr($answer->{content}, 0, 400) . "\n"
		unless $answer->{success} && $decoded;
	return $decoded->{value};
}

1;
