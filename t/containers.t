#!/usr/bin/perl

# Tests for packaging/: the Containerfile names what the build needs, and the
# manifest for Kubernetes holds together and does what docs/containers.md says:
# its init container and its nginx run with its configuration, as its user and
# with a read-only root, until its probe succeeds.
#
# Kubernetes' schema is in no package of Debian, nor is kubeconform: the table
# below has the fields that the manifest may use, as in the API's reference.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Cwd qw/ abs_path /;
use File::Path qw/ make_path /;
use JSON::PP qw/ decode_json /;
use Test::More;

use Test::Nginx;
use Test::Nginx::CA;
use Test::Nginx::ReadOnly;
use Test::Nginx::Responder;

###############################################################################

my $t = Test::Nginx->new()->has(qw/ http_ssl /);
my $repo = abs_path("$FindBin::Bin/..");
my $d = $t->testdir();
chmod 0755, $d;

# the Containerfile

my $file = $t->read_file("$repo/packaging/container/Containerfile");
my $lib = $t->read_file("$repo/scripts/lib.sh");
my ($needed) = $lib =~ /^build_packages=\((.*?)\)/ms;
my @missing = grep { $file !~ /[ ]\Q$_\E\s/ }
	# the headers come with nginx's source, the tests do without
	grep { !/^(?:nginx-dev|catch2|ccache)$/ } split ' ', $needed;
is(join(' ', @missing), '',
	'Containerfile: it installs what scripts/build needs');
for my $source (map { grep { !m!^/! } split } $file =~ /^COPY (?!--)(.*)$/mg) {
	ok(-e "$repo/$source", "Containerfile: $source is there");
}

# the manifest, and its fields

my $json = $t->command([ 'python3', '-c', 'import json, sys, yaml;'
	. 'print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))',
	"$repo/packaging/kubernetes/nginx.yaml" ])->{output};
SKIP: {
skip 'no yaml for python3', 1 if $json =~ /No module|not found/;
my @objects = @{decode_json($json)};

my %meta = (name => 's', labels => 'm');
my %security = (allowPrivilegeEscalation => 'b', readOnlyRootFilesystem => 'b',
	capabilities => { drop => [ 's' ] });
my %container = (name => 's', image => 's', imagePullPolicy => 's',
	command => [ 's' ], args => [ 's' ], securityContext => \%security,
	ports => [ { name => 's', containerPort => 'i' } ],
	readinessProbe => { periodSeconds => 'i',
		httpGet => { path => 's', port => 'p' } },
	volumeMounts => [ { name => 's', mountPath => 's', readOnly => 'b' } ]);
my %pod = (automountServiceAccountToken => 'b',
	securityContext => { runAsNonRoot => 'b', runAsUser => 'i',
		runAsGroup => 'i', fsGroup => 'i', seccompProfile => { type => 's' } },
	initContainers => [ \%container ], containers => [ \%container ],
	volumes => [ { name => 's', configMap => { name => 's' }, emptyDir => {},
		secret => { secretName => 's', defaultMode => 'i' } } ]);
my %kinds = (
	'v1 ConfigMap' => { data => 'm' },
	'v1 Service' => { spec => { selector => 'm',
		ports => [ { name => 's', port => 'i', targetPort => 'p' } ] } },
	'apps/v1 Deployment' => { spec => { replicas => 'i',
		selector => { matchLabels => 'm' },
		template => { metadata => \%meta, spec => \%pod } } },
);
for my $object (@objects) {
	my $kind = "$object->{apiVersion} $object->{kind}";
	my $fields = $kinds{$kind};
	ok($fields, "$kind: it is one of those that the table has") or next;
	is(join("\n", faults($kind, { apiVersion => 's', kind => 's',
		metadata => \%meta, %$fields }, $object)), '',
		"$kind: its fields are Kubernetes'");
}

# what refers to what

my %of = map { $_->{kind} => $_ } @objects;
my $template = $of{Deployment}{spec}{template};
my $labels = $template->{metadata}{labels};
is_deeply($of{Deployment}{spec}{selector}{matchLabels}, $labels,
	'the Deployment selects its pods');
is_deeply($of{Service}{spec}{selector}, $labels, 'the Service selects them');
my $spec = $template->{spec};
my ($init, $nginx) = ($spec->{initContainers}[0], $spec->{containers}[0]);
my %ports = map { $_->{name} => $_->{containerPort} } @{$nginx->{ports}};
is(join(' ', grep { !$ports{$_->{targetPort}} } @{$of{Service}{spec}{ports}}),
	'', 'the ports of the Service are the container\'s');
my %volume = map { $_->{name} => $_ } @{$spec->{volumes}};
for my $container ($init, $nginx) {
	is(join(' ', map { $_->{name} } grep { !$volume{$_->{name}} }
		@{$container->{volumeMounts}}), '',
		"$container->{name}: its volumes are there");
	my $security = $container->{securityContext};
	ok($security->{readOnlyRootFilesystem}
		&& !$security->{allowPrivilegeEscalation}
		&& "@{$security->{capabilities}{drop}}" eq 'ALL',
		"$container->{name}: it is restricted");
}
ok($spec->{securityContext}{runAsNonRoot}, 'no container runs as root');
is($volume{config}{configMap}{name}, $of{ConfigMap}{metadata}{name},
	'the configuration is the ConfigMap\'s');

# the probe asks an address that the kubelet reaches

my $conf = $of{ConfigMap}{data}{'nginx.conf'};
my $probe = $nginx->{readinessProbe}{httpGet};
my $port = $ports{$probe->{port}};
like($conf, qr/listen $port;[^}]*location = \Q$probe->{path}\E \{ ocsp_plus_status ready/,
	'the probe\'s port listens on all addresses and has its path');
like($conf, qr/listen 127\.0\.0\.1:\d+;[^}]*deny all;[^}]*ocsp_plus_status;/s,
	'the status itself is not for all');

# and run

my $root = Test::Nginx::CA->new($t);
my $int = $root->intermediate('int');
my $r = Test::Nginx::Responder->start($t, ca => $int, ports => [ 8083 ]);
my $leaf = $int->leaf('www.example.com', aia => $r->url());
my $user = $spec->{securityContext}{runAsUser};
make_path("$d/tls", "$d/config", "$d/prefix/modules", "$d/bin",
	map { "$d/$_" } qw/ cache tmp /);
copy_to('tls/tls.crt', $leaf->chain());
copy_to('tls/tls.key', $leaf->key());
chmod 0440, "$d/tls/tls.key";
chown 0, $user, "$d/tls/tls.key" if $> == 0;
chmod 0777, "$d/cache", "$d/tmp";
symlink $t->build_dir() . "/$_", "$d/prefix/modules/$_"
	for 'ngx_http_ocsp_plus_module.so';
symlink $t->build_dir() . '/ocsp-plus', "$d/bin/ocsp-plus";
$t->write_program('bin/nginx', $t->nginx());

SKIP: {
skip 'ocsp_plus is a part of this nginx', 1 if $t->is_static();
skip 'root may not mount here', 1 unless can_be_read_only($t);

$conf =~ s!listen (8\d{3})\b!'listen 127.0.0.1:' . port($1)!ge;
$conf =~ s!(listen 127\.0\.0\.1:)(8\d{3});!$1 . port($2) . ';'!ge;
$t->write_file('config/nginx.conf', placed($conf));
my %env = (PATH => "$d/bin:$ENV{PATH}");

my $run = $t->command([ read_only([ "$d/cache", "$d/tmp" ], user => $user,
	[ @{$init->{command}}, map { placed($_) } @{$init->{args}} ]) ],
	env => \%env, timeout => 30);
is($run->{status}, 0, 'the init container ends well') or diag($run->{output});
is(scalar($t->kept("$d/cache/ocsp_plus")), 1,
	'the init container has put the response into the cache directory');
$r->fault('refuse');

my ($program, @args) = map { placed($_) } @{$nginx->{command}};
is($program, 'nginx', 'the container runs nginx');
my $pid = $t->run_daemon(read_only([ map { "$d/$_" } qw/ cache tmp sanitizer / ],
	user => $user, [ 'sh', '-c', 'exec "$@" 2>' . "$d/tmp/stderr", 'sh',
	"$d/bin/nginx", '-p', "$d/prefix/", @args ]));
my $ready = sub {
	return (http_get($probe->{path}, port => port($port)) // '') =~ /^HTTP\S+ 200/;
};
ok(wait_for($ready, 20), 'the probe succeeds')
	or diag($t->read_file('tmp/stderr'));
is(staple(8443, name => 'www.example.com')->{status}, 'good',
	'the first handshake has its staple, though the responder is down');
is((stat "/proc/$pid")[4], $user, 'nginx runs as the manifest\'s user');
is(join("\n", grep { /\[(?:alert|emerg|crit|error)\]/ && !/no new response/ }
	split /\n/, $t->read_file('tmp/stderr')), '', 'nginx logs no error');
$t->stop_daemons($pid);
}
}

$t->done_testing();

###############################################################################

sub placed {
	my ($text) = @_;
	$text =~ s!(^|\s)/(tmp|cache|tls|config)\b!$1$d/$2!mg;
	$text =~ s!/dev/stdout!off!g;
	return $text;
}

sub copy_to {
	my ($name, $from) = @_;
	$t->write_file($name, $t->read_file($from));
}

# Fields that the table does not have, and values of another type.
sub faults {
	my ($path, $type, $value) = @_;
	if (ref $type eq 'HASH') {
		return "$path is no object" unless ref $value eq 'HASH';
		return map { $type->{$_} ? faults("$path.$_", $type->{$_}, $value->{$_})
			: "$path.$_ is unknown" } sort keys %$value;
	}
	if (ref $type) {
		return "$path is no list" unless ref $value eq 'ARRAY';
		return map { faults($path . "[$_]", $type->[0], $value->[$_]) }
			0 .. $#$value;
	}
	if ($type eq 'm') {
		return ref $value eq 'HASH' && !grep({ ref } values %$value) ? ()
			: "$path is no map of texts";
	}
	my $is = JSON::PP::is_bool($value) ? 'b'
		: ref $value ? 'r'
		: JSON::PP->new->allow_nonref->encode($value) =~ /^\d+$/ ? 'i' : 's';
	return $is eq $type || $type eq 'p' && $is =~ /^[is]$/ ? ()
		: "$path has the wrong type";
}

###############################################################################
