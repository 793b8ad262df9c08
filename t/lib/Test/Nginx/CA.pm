package Test::Nginx::CA;

# Certificates for tests, made by test_pki in milliseconds.
#
#   my $root = Test::Nginx::CA->new($t);          a root called "root"
#   my $root = Test::Nginx::CA->new($t, 'name', %opt);
#   my $int  = $root->intermediate('int', %opt);
#   my $leaf = $int->leaf('example.com', %opt);
#   my @many = $int->leaves($count, 'host%d.example', %opt);    one run
#   my @each = Test::Nginx::CA->leaf_of_each([ @cas ], 'host%d.example', %opt);
#                                                       also one run
#   my $who  = $int->responder_cert('ocsp', %opt);      OCSPSigning, nocheck
#
# Options:
#   file         name of the files, default the name
#   names        [ subject alternative names ], default for a leaf: its name
#   aia          URL or [ URLs ] of OCSP responders; ca_issuers likewise
#   must_staple  1
#   serial       hex, default random
#   not_before, not_after    seconds from now (-3600, 90 days);
#                raw_not_before, raw_not_after: the text of a UTCTime instead
#   key          ec (P-256), ec:P-384, rsa, rsa:3072, ed25519
#   key_of       a certificate whose key is used again
#   subject_of   a certificate whose subject is used again
#   cn           common name; cn_bytes: raw, as a T61String
#   ocsp_signing, nocheck    0 takes them away from a responder_cert
#   chain        0: the .pem has the leaf alone
#   no_aki       1; pathlen N (CAs)
#   aki_serial   1: names the serial number of its issuer's certificate as well
#   issuer_printable    1: the issuer's name in another string type than its own
#   ca           1: a leaf that is a CA as well
#
# Each certificate has these:
#   name, cert (path of the PEM), key, chain (leaf and intermediates without the
#   root: what ssl_certificate wants), serial (lower-case hex), id (SHA-256 of
#   the DER in hex), issuer, root, der, is_ca

use warnings;
use strict;

use Test::Nginx ();

my @PASSED = qw/ key must_staple serial not_before not_after
	raw_not_before raw_not_after ocsp_signing
	nocheck chain no_aki aki_serial pathlen ca cn issuer_printable /;

sub new {
	my ($class, $t, $name, %opt) = @_;
	my $self = bless { t => $t }, $class;
	return $self->_make($class, $name // 'root', ca => 1, %opt);
}

sub intermediate {
	my ($self, $name, %opt) = @_;
	return $self->_make(ref $self, $name, ca => 1, issuer => $self, %opt);
}

sub leaf {
	my ($self, $name, %opt) = @_;
	return ($self->_make_all([ $name ], %opt))[0];
}

sub leaves {
	my ($self, $count, $pattern, %opt) = @_;
	return $self->_make_all(
		[ map { sprintf $pattern, $_ } 1 .. $count ], %opt);
}

sub leaf_of_each {
	my ($class, $cas, $pattern, %opt) = @_;
	my $number = 0;
	my @lines = map {
		my $name = sprintf $pattern, ++$number;
		$_->_line($name, { names => [ $name ], issuer => $_, %opt });
	} @$cas;
	my @leaves = $cas->[0]->_issue(ref $cas->[0], \@lines, undef, 0);
	$leaves[$_]{issuer} = $cas->[$_] for 0 .. $#leaves;
	return @leaves;
}

sub responder_cert {
	my ($self, $name, %opt) = @_;
	return $self->_make(ref $self, $name, issuer => $self,
		ocsp_signing => 1, nocheck => 1, %opt);
}

sub _make_all {
	my ($self, $names, %opt) = @_;
	my @lines = map { $self->_line($_,
		{ names => [ $_ ], issuer => $self, %opt }) } @$names;
	return $self->_issue(ref $self, \@lines, $self, 0);
}

sub _make {
	my ($self, $class, $name, %opt) = @_;
	my $line = $self->_line($name, \%opt);
	return ($self->_issue($class, [ $line ], $opt{issuer}, $opt{ca}))[0];
}

sub _line {
	my ($self, $name, $opt) = @_;

	my @fields = ('dir=' . $self->{t}->testdir(),
		'name=' . ($opt->{file} // $name));
	push @fields, "cn=$name" unless defined $opt->{cn};
	push @fields, map { "$_=$opt->{$_}" }
		grep { defined $opt->{$_} } @PASSED;
	for my $key (qw/ issuer key_of subject_of /) {
		push @fields, "$key=$opt->{$key}{name}" if $opt->{$key};
	}
	for my $key (qw/ aia ca_issuers /) {
		my $urls = $opt->{$key} // [];
		push @fields, map { "$key=$_" } ref $urls ? @$urls : $urls;
	}
	push @fields, 'names=' . join ',', @{$opt->{names}} if $opt->{names};
	push @fields, 'cn_latin1_hex=' . unpack 'H*', $opt->{cn_bytes}
		if defined $opt->{cn_bytes};
	return join("\t", @fields) . "\n";
}

sub _issue {
	my ($self, $class, $lines, $issuer, $is_ca) = @_;

	my $dir = $self->{t}->testdir();
	my $commands = $self->{t}->write_file('pki.commands', join '', @$lines);
	my $tool = Test::Nginx::Config::tool('test_pki');
	my $output = `$tool < $commands 2>&1`;
	die "test_pki: $output" if $?;

	return map {
		my ($name, $serial, $id) = split ' ';
		bless { t => $self->{t}, dir => $dir, name => $name,
			serial => $serial, id => $id, issuer => $issuer,
			is_ca => $is_ca ? 1 : 0 }, $class;
	} split /\n/, $output;
}

sub name { return $_[0]{name} }
sub serial { return $_[0]{serial} }
sub id { return $_[0]{id} }
sub issuer { return $_[0]{issuer} }
sub is_ca { return $_[0]{is_ca} }
sub cert { return "$_[0]{dir}/$_[0]{name}.crt" }
sub key { return "$_[0]{dir}/$_[0]{name}.key" }
sub chain { return "$_[0]{dir}/$_[0]{name}.pem" }

sub root {
	my ($self) = @_;
	return $self->{issuer} ? $self->{issuer}->root() : $self;
}

sub der {
	my ($self) = @_;
	require MIME::Base64;
	my $pem = $self->{t}->read_file($self->cert());
	return $pem =~ /-----BEGIN CERTIFICATE-----(.*?)-----END/s
		? MIME::Base64::decode_base64($1) : undef;
}

1;
