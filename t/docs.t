#!/usr/bin/perl

# Runs the blocks of the documentation that can run.  After its language, a
# block names what runs it, or says why nothing does:
#
#   ```sh t/docs.t audit
#   ```sh t/private_ca.t
#   ```sh -- needs a cluster
#
# Paths of a system become those of a directory of this test, names and ports
# those of a server on loopback.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd qw/ abs_path /;
use File::Basename qw/ basename /;
use File::Path qw/ make_path remove_tree /;
use JSON::PP qw/ decode_json /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::ReadOnly;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new(timeout => 300)->has(qw/ http_ssl /);
my $repo = abs_path("$FindBin::Bin/..");
my $d = $t->testdir();
my $build = $t->build_dir();
my $tool = "$build/ocsp-plus";

my @blocks = map { blocks_of($_) } 'README.md', map { "docs/" . basename($_) }
	sort glob "$repo/docs/*.md";

# each block says what runs it

for my $block (grep { $_->{lang} =~ /^(?:sh|nginx|yaml|ini)$/ } @blocks) {
	my ($by, $name) = split ' ', $block->{by}, 2;
	my $page = basename($block->{page});
	if ($by && $by =~ m!^t/! && $by ne 't/docs.t') {
		ok(-f "$repo/$by" && $t->read_file("$repo/$by") =~ /\Q$page\E/,
			"$block->{at}: $by reads $page");
	} elsif ($by && $by =~ m!^scripts/!) {
		ok(-x "$repo/$by", "$block->{at}: $by exists");
	} else {
		ok($by && ($by eq '--' || $by eq 't/docs.t') && $name,
			"$block->{at}: names the test that runs it, or says"
			. " \"-- why\" none does");
	}
}

# where things are

# not the directory of modules: Debian 13 has none until a package of a module comes
make_path(map { "$d/$_" } qw! bin build etc/modules-enabled etc/ocsp local/bin
	local/sbin state cache ca units !);
chmod 0755, $d;
my %path = (
	'/usr/lib/nginx/modules' => "$d/modules",
	'/usr/local' => "$d/local",
	'/etc/nginx/redis.pass' => "$d/redis.pass",
	'/etc/nginx/store/password' => "$d/redis.pass",
	'/etc/nginx' => "$d/etc",
	'/etc/private-ca' => "$d/ca",
	'/var/lib/nginx' => "$d/state",
	'/cache/ocsp_plus' => "$d/given/ocsp_plus",
	'/certs/' => "$d/",
	'/usr/bin/openssl' => 'openssl',
);
my $any = join '|', map { quotemeta } sort { length $b <=> length $a } keys %path;
$t->write_file('redis.pass', "secret\n");
$t->write_file('etc/stream.conf', "stream {}\n");
symlink $tool, "$d/bin/ocsp-plus";
symlink $_, "$d/build/" . basename($_)
	for grep { !/\/install(?:ed|\.log)$/ } glob "$build/*";
$t->write_program('bin/nginx', $t->nginx());

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8081 ]);
my $leaf = $int->leaf('www.example.com', aia => $r->url());
for my $name (qw/ full fullchain fallback /) {
	link $leaf->chain(), "$d/$name.pem";
	link $leaf->key(), "$d/$name.key";
}
link $leaf->key(), "$d/key.pem";
link $int->cert(), "$d/issuers.pem";

###############################################################################

my %tests = (
	# README.md, installing.md
	install => \&installs,
	remove => \&removes,
	readme => \&readme,
	stream => sub {
		my ($block) = @_;
		SKIP: {
			skip 'ocsp_plus is a part of this nginx', 1 if $t->is_static();
			skip 'no stream', 1 unless $t->feature('stream');
			my $modules = local_modules($block->{text});
			# included, as the harness would load the modules for a stream block
			refused_nothing($block, "$modules\nevents {}\n"
				. "include $d/etc/stream.conf;\n");
		}
	},
	'hardening.conf' => \&hardening,
	# in http, and nothing else
	http => sub { refused_nothing($_[0], in_http(paths($_[0]{text}))) },
	lua => sub {
		SKIP: {
			skip 'no lua', 1 unless $t->feature('lua');
			my $text = port_443(paths($_[0]{text}));
			my @lua = map { "load_module " . $t->_modules_path() . "/$_.so;" }
				qw/ ndk_http_module ngx_http_lua_module /;
			refused_nothing($_[0], join "\n", @lua,
				in_http("ocsp_plus_cache $d/cache; $text"));
		}
	},
	yaml => \&yaml,
	cache => \&given_cache,
	# with a server that staples
	monitoring => \&monitoring,
	nodes => \&nodes,
	audit => \&audit,
	firewall => sub {
		like(shell_succeeds(@_)->{output}, qr!^http://127\.0\.0\.1:!m,
			"$_[0]{at}: the responder is printed");
	},
	runbooks => sub {
		link "$repo/docs/monitoring/alerts.yml", "$d/alerts.yml"
			or symlink "$repo/docs/monitoring/alerts.yml", "$d/alerts.yml";
		unlike(shell_succeeds(@_)->{output}, qr/runbook_url: docs/,
			"$_[0]{at}: every link has an address");
	},
	# the log
	events => \&events,
	'ocsp-plus-events.service' => \&unit,
	# the private CA
	'ocsp-responder.service' => \&responder_unit,
	'ocsp-respond' => \&respond,
	'ocsp-respond.service' => \&unit,
	'ocsp-respond.timer' => \&unit,
);

my (%name, %done);
for my $block (grep { $_->{by} =~ m!^t/docs\.t! } @blocks) {
	my $name = (split ' ', $block->{by})[1] // '';
	push @{$name{$name}}, $block;
	my $test = $tests{$name};
	ok($test, "$block->{at}: there is a test \"$name\"") or next;
	$done{$name}++;
	$test->($block);
}
is(join(' ', grep { !$done{$_} } sort keys %tests), '',
	'each of the tests has a block');

$t->done_testing();

###############################################################################
# blocks, and what becomes of their text

sub blocks_of {
	my ($page) = @_;
	my ($section, $block, @found) = '';
	my $number = 0;
	for my $line (split /^/, $t->read_file("$repo/$page")) {
		++$number;
		if ($block && $line =~ /^```$/) {
			push @found, $block;
			undef $block;
		} elsif ($block) {
			$block->{text} .= $line;
		} elsif ($line =~ /^```(\w+) ?(.*)$/) {
			$block = { page => $page, at => "$page:$number", lang => $1,
				by => $2, section => $section, text => '' };
		} elsif ($line =~ /^#+ (.*)$/) {
			$section = $1;
		}
	}
	return @found;
}

sub paths {
	my ($text) = @_;
	$text =~ s/($any)/$path{$1}/g;
	$text =~ s!\bbuild/!$build/!g;
	$text =~ s!\bdocs/man/!$repo/docs/man/!g;
	return $text;
}

sub shell {
	my ($text) = @_;
	$text = paths($text);
	$text =~ s{^scripts/build --(un)?install\b}{
		"env OCSP_PLUS_BUILD=$d/build $repo/scripts/install "
			. ($1 ? '--uninstall ' : '') . "$d/dest" }mge;
	$text =~ s!\bnginx -t\b!nginx -t -p $d/ -c $d/etc/nginx.conf!g;
	return $t->command([ 'sh', '-ec', "cd $d\n$text" ], timeout => 60,
		env => { PATH => "$d/bin:$ENV{PATH}" });
}

sub shell_succeeds {
	my ($block) = @_;
	my $run = shell($block->{text});
	is($run->{status}, 0, "$block->{at}: succeeds") or diag($run->{output});
	return $run;
}

sub port_443 {
	my ($text) = @_;
	$text =~ s/listen 443 ssl/listen 127.0.0.1:8443 ssl/g;
	$text =~ s/127\.0\.0\.1:8080/'127.0.0.1:' . port(8080)/ge;
	$text =~ s/listen 8080/'listen 127.0.0.1:' . port(8080)/ge;
	return $text;
}

sub in_http {
	my ($text) = @_;
	return "events {}\nhttp {\n%%TEST_GLOBALS_HTTP%%\n" . port_443($text) . "\n}\n";
}

# A configuration that nginx accepts.
sub refused_nothing {
	my ($block, $conf) = @_;
	$t->{module} = $conf !~ /ngx_http_ocsp_plus_module/;
	$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\n$conf");
	ok($t->config_test(), "$block->{at}: nginx accepts it")
		or diag($t->output());
	$t->{module} = 1;
}

# A server runs while the code does.
sub while_serving {
	my ($http, $code) = @_;
	$t->write_conf(http => $http);
	$t->run();
	is(wait_staple(8443, 'good', name => 'www.example.com')->{status}, 'good',
		'a server staples');
	$code->();
	$t->stop();
}

sub local_modules {
	my ($text) = @_;
	my $stream = $t->_modules_path();
	$text =~ s!modules/(ngx_stream_module)!$stream/$1!;
	$text =~ s!modules/(ngx_\w+_ocsp_plus)!$build/$1!g;
	# where stream is a part of nginx, the page's comment says so
	$text =~ s!^load_module \S+/ngx_stream_module.*\n!!m
		unless -f "$stream/ngx_stream_module.so";
	return $text;
}

###############################################################################
# README.md, installing.md

# By scripts/install with a directory, of what was built before this test.
sub installs {
	my ($block) = @_;
	SKIP: {
		skip 'ocsp_plus is a part of this nginx', 4 if $t->is_static();
		skip 'not the build of scripts/build', 4 unless -e "$build/CMakeCache.txt";
		$t->write_file('etc/nginx.conf',
			"load_module $d/dest/usr/lib/nginx/modules/ngx_http_ocsp_plus_module.so;\n"
			. "error_log stderr;\npid $d/none.pid;\nevents {}\n"
			. "http { ocsp_plus_cache off; ocsp_plus on; }\n");
		like(shell_succeeds($block)->{output}, qr/test is successful/,
			"$block->{at}: nginx loads the module");
		is($t->command([ "$d/dest/usr/local/bin/ocsp-plus", '--version' ])->{status},
			0, "$block->{at}: the command line is installed");
		ok(-f "$d/dest/usr/local/share/man/man1/ocsp-plus.1",
			"$block->{at}: the manual page is installed");
	}
}

sub removes {
	my ($block) = @_;
	SKIP: {
		skip 'nothing was installed', 3 unless -d "$d/dest";
		$t->write_file('etc/nginx.conf', "error_log stderr;\npid $d/none.pid;\n"
			. "events {}\nhttp {}\n");
		make_path("$d/state/ocsp_plus");
		shell_succeeds($block);
		is($t->command([ 'find', "$d/dest", '!', '-type', 'd' ])->{output}, '',
			"$block->{at}: no file is left");
		ok(!-e "$d/state/ocsp_plus", "$block->{at}: the cache directory has gone");
	}
}

# The complete configuration, but for places and ports.
sub readme {
	my ($block) = @_;
	my $text = port_443($block->{text});
	$text =~ s/^load_module .*\n//m or die "no load_module in README.md\n";
	$text =~ s/http \{/http {\n%%TEST_GLOBALS_HTTP%%/;
	$t->write_file_expand('nginx.conf', "%%TEST_GLOBALS%%\nevents {}\n$text");
	$t->run();
	is(wait_staple(8443, 'good')->{status}, 'good',
		"$block->{at}: the server staples");
	$t->stop();
}

# What a unit says, and that systemd knows all of its lines.
sub unit {
	my ($block) = @_;
	my ($file) = (split ' ', $block->{by})[1];
	SKIP: {
		skip 'no systemd-analyze', 1
			if $t->command([ 'systemd-analyze', '--version' ])->{status};
		my $text = paths($block->{text});
		$text =~ s!(ExecStart=)(\S+)!$1 . (-x $2 ? $2 : '/bin/true')!e;
		$text =~ s!openssl!/usr/bin/openssl! if $text =~ m!ExecStart=openssl!;
		# a service of its own name is wanted by a timer
		$t->write_file("units/$file", $text);
		if ($file =~ /^(.*)\.timer$/ && !-f "$d/units/$1.service") {
			$t->write_file("units/$1.service",
				"[Service]\nExecStart=/bin/true\n");
		}
		my $run = $t->command([ 'systemd-analyze', 'verify', '--man=no',
			"$d/units/$file" ]);
		my @said = grep { /\Q$file\E/ } split /\n/, $run->{output};
		is(join("\n", @said), '', "$block->{at}: systemd has no objection");
	}
}

# With a root that is read-only but for the paths of the drop-in.
sub hardening {
	my ($block) = @_;
	unit({ %$block, by => 't/docs.t hardening.service', text => $block->{text}
		. "ExecStart=/bin/true\n" });
	SKIP: {
		skip 'root may not mount here', 2 unless can_be_read_only($t);
		my @writable = map { split ' ' }
			$block->{text} =~ /^ReadWritePaths=(.*)$/mg;
		make_path(map { "$d/strict$_" } @writable);
		$t->write_file_expand('strict.conf', join "\n", $t->_globals('')
				=~ s!(pid ).*!$1$d/strict/run/nginx.pid;!mr
				=~ s!(error_log )\S+!$1$d/strict/var/log/nginx/error.log!mr,
			'events {}', 'http {', 'access_log off;',
			(map { "${_}_temp_path $d/strict/var/lib/nginx/$_;" }
				qw/ client_body proxy fastcgi uwsgi scgi /),
			"ocsp_plus_cache $d/strict/var/lib/nginx/ocsp_plus;",
			'ocsp_plus on;', 'server { listen 127.0.0.1:8443 ssl;',
			"ssl_certificate $d/full.pem; ssl_certificate_key $d/key.pem; } }");
		my $pid = $t->run_daemon(read_only([ "$d/sanitizer",
			map { "$d/strict$_" } @writable ],
			[ "$d/bin/nginx", '-c', "$d/strict.conf", '-g', 'daemon off;' ]));
		is(wait_staple(8443, 'good', seconds => 20)->{status}, 'good',
			"$block->{at}: nginx staples with a read-only root");
		ok(wait_for(sub {
			$t->kept("$d/strict/var/lib/nginx/ocsp_plus") == 1 }, 10),
			"$block->{at}: and keeps the response");
		$t->stop_daemons($pid);
	}
}

###############################################################################
# YAML; Kubernetes' own schema is in no package of Debian (nor is kubeconform),
# so names and types are compared with a table in t/containers.t

sub yaml {
	my ($block) = @_;
	SKIP: {
		my $run = $t->command([ 'python3', '-c', 'import json, sys, yaml;'
			. 'print(json.dumps(list(yaml.safe_load_all(sys.stdin))))' ],
			stdin => $block->{text});
		skip 'no yaml for python3', 1 if $run->{output} =~ /No module|not found/;
		is($run->{status}, 0, "$block->{at}: it is YAML")
			or diag($run->{output});
		return unless $block->{text} =~ /^scrape_configs/;
		skip 'no promtool', 1
			if $t->command([ 'promtool', '--version' ])->{status};
		$t->write_file('prometheus.yml', $block->{text});
		is($t->command([ 'promtool', 'check', 'config',
			"$d/prometheus.yml" ])->{status}, 0,
			"$block->{at}: Prometheus takes it");
	}
}

###############################################################################
# with a server that staples

sub given_cache {
	my ($block) = @_;
	if ($block->{lang} eq 'nginx') {
		return refused_nothing($block, in_http("ocsp_plus on; $block->{text}"
			=~ s/($any)/$path{$1}/gr));
	}
	SKIP: {
		skip 'not root', 2 unless $> == 0;
		my $text = $block->{text} =~ s/-o nginx/-o nobody/r;
		shell_succeeds({ %$block, text => $text });
		is(scalar($t->kept("$d/given/ocsp_plus")), 1,
			"$block->{at}: the response is in the directory");
	}
}

sub monitoring {
	my ($block) = @_;
	while_serving([ 'ocsp_plus on;', [ 8443, $leaf ],
		port_443($block->{text}) ], sub {
		my ($http) = map { 'http://127.0.0.1:' . port(8080) } 1;
		like(http_get('/ocsp'), qr/^HTTP\S+ 200.*"certificates":/s,
			"$block->{at}: the status is served");
		like(http_get('/metrics'), qr/^HTTP\S+ 200.*ocsp_plus_staple_valid/s,
			"$block->{at}: the metrics are served");
		like(http_get('/ready'), qr/^HTTP\S+ 200/,
			"$block->{at}: readiness is served");
		like(http_post('/ocsp-control?refresh=all', ''), qr/^HTTP\S+ 202/,
			"$block->{at}: a refresh is accepted");
	});
}

sub nodes {
	my ($block) = @_;
	my $node = '127.0.0.1:' . port(8443);
	my $text = $block->{text} =~ s/192\.0\.2\.1[01]/$node/gr;
	while_serving([ 'ocsp_plus on;', [ 8443, $leaf ] ], sub {
		my $run = shell_succeeds({ %$block, text => $text });
		is(scalar(() = $run->{output} =~ /^OCSP OK/mg), 2,
			"$block->{at}: both nodes are checked");
	});
}

sub audit {
	my ($block) = @_;
	my $node = '127.0.0.1:' . port(8443);
	my $text = $block->{text};
	$text =~ s/-connect www\.example\.com:443/-connect $node/;
	$text =~ s/check www\.example\.com/check $node --servername www.example.com/;
	while_serving([ 'ocsp_plus on;', [ 8443, $leaf ] ], sub {
		my $run = shell_succeeds({ %$block, text => $text });
		like($run->{output}, qr/Cert Status: good|^OCSP OK - .*staple good/m,
			"$block->{at}: the proof says good");
	});
}

###############################################################################
# the log

sub events {
	my ($block) = @_;
	my $page = $t->read_file("$repo/docs/events.md");
	my $alerts = $t->read_file("$repo/docs/monitoring/alerts.yml");
	is(join(' ', grep { $alerts !~ /alert: $_$/m } $page =~ /`(Ocsp\w+)`/g), '',
		"docs/events.md: its alerts are in alerts.yml");
	my $lines = $t->read_file("$repo/docs/operations.md");
	is(join("\n", grep { $lines !~ /^\| `[^`]*\Q$_\E[^`]*` \|/m }
		$page =~ /^\|[^|]*\|[^|]*\| `([^`]*)`/mg), '',
		"docs/events.md: its log lines are in operations.md");

	$t->write_file('bin/events', $block->{text});
	chmod 0755, "$d/bin/events";
	$t->write_file('events.log', '');
	my $pid = $t->run_daemon("$d/bin/events", "$d/events.log", 'sh', '-c',
		"cat >>$d/messages");
	my @lines = map { "2026/01/31 10:00:00 $_" } (
		'[crit] 1#1: ocsp_plus: CERTIFICATE IS REVOKED: "$(id)" \`id\`',
		'[error] 1#1: ocsp_plus: the cache directory cannot be used',
		'[notice] 1#1: ocsp_plus: version 1', '[error] 1#1: another line',
		'[error] 1#1: *2 open() "/ 1#1: ocsp_plus: " failed',
		'[error] 1#1: ocsp_plus: the cache directory can be used again' );
	# tail may begin late: the line is repeated until the first one is there
	ok(wait_for(sub {
		append('events.log', $lines[1] =~ s/the cache.*/hello\n/r);
		return -s "$d/messages";
	}, 10), "$block->{at}: a line becomes a message");
	append('events.log', "$_\n") for @lines;
	ok(wait_for(sub { $t->find_in_file('messages', qr/used again/) }, 10),
		"$block->{at}: later lines as well");
	my @got = grep { !/hello/ } split /\n/, $t->read_file('messages');
	is(join("\n", @got), join("\n", @lines[0, 1, 5]),
		"$block->{at}: those of ocsp_plus at error and crit, as they are");
	# the parts of the pipe
	kill TERM => Test::Nginx::System::children($pid);
	$t->stop_daemons($pid);
}

sub append {
	my ($name, $text) = @_;
	open my $file, '>>', "$d/$name" or die "$name: $!";
	print $file $text;
	close $file or die "$name: $!";
}

###############################################################################
# the private CA

sub private_ca {
	return if -f "$d/ca/www.pem";
	my @of = grep { $_->{page} eq 'docs/private-ca.md' } @blocks;
	my ($conf) = grep { $_->{text} =~ /^\[ca\]/ } @of;
	my ($make) = grep { $_->{text} =~ /^mkdir issued/ } @of;
	my ($revoke) = grep { $_->{text} =~ / -revoke / } @of;
	$t->write_file('ca/ca.cnf', $conf->{text});
	is($t->command([ 'sh', '-ec', "cd $d/ca\n$make->{text}" ])->{status}, 0,
		'the private CA is made');
	return;
}

sub responder_unit {
	my ($block) = @_;
	private_ca();
	unit($block);
	my ($start) = $block->{text} =~ /^ExecStart=(.*)$/m;
	my $port = port(8082);
	$start = paths($start) =~ s/2560/$port/r;
	# it ends after two requests, and is started again as systemd does
	$start =~ s/-nrequest 1000/-nrequest 2/;
	my $pid = $t->run_daemon('sh', '-c', "exec 2>/dev/null; cd $d/ca;"
		. "while :; do $start >>responder.log 2>&1; done");
	for my $n (1 .. 3) {
		my $run;
		ok(wait_for(sub {
			$run = $t->command([ $tool, 'fetch', '--cert', "$d/ca/www.pem",
				'--responder', "http://127.0.0.1:$port/", '--out',
				"$d/fetched.der" ]);
			return $run->{status} == 0;
		}, 10), "$block->{at}: request $n is answered") or diag($run->{output});
	}
	ok(scalar(() = $t->read_file('ca/responder.log') =~ /waiting for OCSP/g) > 1,
		"$block->{at}: it was started again in between");
	my @children = Test::Nginx::System::children($pid);
	$t->stop_daemons($pid);
	kill TERM => @children;
}

sub respond {
	my ($block) = @_;
	private_ca();
	if ($block->{text} =~ /^#!/) {
		$t->write_file('local/sbin/ocsp-respond', paths($block->{text}));
		chmod 0755, "$d/local/sbin/ocsp-respond";
	} elsif ($block->{lang} eq 'sh') {
		shell_succeeds($block);
		ok(-s "$d/etc/ocsp/www.der", "$block->{at}: the response is there");
	} else {
		stapled_from_schedule($block);
	}
}

sub stapled_from_schedule {
	my ($block) = @_;
	my $again = sub { shell('/usr/local/sbin/ocsp-respond www') };
	chmod 0755, "$d/ca";
	$t->write_file_expand('nginx.conf',
		"%%TEST_GLOBALS%%\n" . in_http(paths($block->{text})));
	$t->run();
	is(wait_staple(8443, 'good')->{status}, 'good',
		"$block->{at}: the response of the schedule is stapled");

	my $before = $t->read_file('etc/ocsp/www.der');
	my $script = $t->read_file('local/sbin/ocsp-respond');
	$t->write_file('local/sbin/ocsp-respond',
		$script =~ s/-rsigner ocsp\.crt -rkey ocsp\.key/-rsigner www.crt -rkey www.key/r);
	my $run = $again->();
	is($run->{status}, 1, "$block->{at}: a response of no use fails");
	like($run->{output}, qr/not replaced: .*signer_without_ocsp_signing/s,
		"$block->{at}: and is told");
	is($t->read_file('etc/ocsp/www.der'), $before,
		"$block->{at}: the response before it stays");
	$t->write_file('local/sbin/ocsp-respond', $script);

	$run = shell('/usr/local/sbin/ocsp-respond none www');
	is($run->{status}, 1, "$block->{at}: a certificate that is not there fails");
	like($run->{output}, qr/none\.der: not replaced: .*none\.crt/s,
		"$block->{at}: and is told");
	ok(!-e "$d/etc/ocsp/www.der.new" && -s "$d/etc/ocsp/www.der",
		"$block->{at}: the next one is made all the same");

	my ($revoke) = map { $_->{text} =~ /^(openssl ca .* -revoke .*)$/m }
		grep { $_->{page} eq 'docs/private-ca.md' } @blocks;
	$run = $t->command([ 'sh', '-ec', "cd $d/ca\n$revoke" ]);
	is($run->{status}, 0, 'the certificate is revoked') or diag($run->{output});
	$run = $again->();
	is($run->{status}, 0, "$block->{at}: a revocation is put there")
		or diag($run->{output});
	is(wait_staple(8443, 'revoked', seconds => 20)->{status}, 'revoked',
		"$block->{at}: and is stapled without a reload");
	$t->stop();
}

###############################################################################
