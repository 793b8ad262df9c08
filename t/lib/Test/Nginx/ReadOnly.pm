package Test::Nginx::ReadOnly;

# Commands that run where the disk is read-only, as in a container or under
# systemd's ProtectSystem=strict.
#
#   my @command = read_only([ paths ], %opt, [ program, args ]);
#                    the paths stay writable; user => 101: as this user and
#                    group, without capabilities, instead of root
#   can_be_read_only()     needs root, and the right to mount

use warnings;
use strict;

use Exporter qw/ import /;

our @EXPORT = qw/ read_only can_be_read_only /;

sub read_only {
	my ($writable, %opt) = (shift, splice(@_, 0, -1));
	my ($command) = @_;
	my @user = $opt{user} ? ('setpriv', "--reuid=$opt{user}",
		"--regid=$opt{user}", '--clear-groups', '--no-new-privs') : ();
	return ('unshare', '--mount', '--propagation', 'private', 'sh', '-ec',
		join("\n", map({ "mount --bind $_ $_" } @$writable),
			'mount -o remount,bind,ro /',
			# /tmp may be a file system of its own
			'! mountpoint -q /tmp || mount -o remount,bind,ro /tmp',
			'exec "$@"'),
		'sh', @user, @$command);
}

sub can_be_read_only {
	my ($t) = @_;
	return $> == 0 && $t->command([ read_only([], [ 'sh', '-c',
		"! touch $t->{dir}/read-only" ]) ])->{status} == 0;
}

1;
