# The worker of the compatibility stories: serves on what SERVER_STARTER_PORT names, answers each
# connection and datagram with "GENERATION PID KEY", and logs what happens to it in $scene/events,
# one line "GENERATION PID UPTIME EVENT" each, written at once.
#
# Its behaviour stands in $scene/build, so that a story can deploy another build between two
# generations: lines "name=value", for one generation "3: name=value", from one on "3+: name=value".
#   die_after=SECONDS  die_code=CODE   exits by itself
#   die_on=NAME                        exits by itself once $scene/NAME exists
#   ignore=TERM,INT                    logs these signals and stays
#   default=TERM                       dies by these signals, without a word
#   hold=1                             when told to stop, stays until $scene/release exists
#   forked=1                           forks a helper that lives on with a copy of the sockets
use strict;
use warnings;
use POSIX ();
use Fcntl ':flock';
use Socket;

alarm 170;    # a story that was killed leaves nothing behind for long

my $scene = $ENV{COMPAT_SCENE} or die "no COMPAT_SCENE";
my $gen = $ENV{SERVER_STARTER_GENERATION} || 0;

sub event {
    open my $clock, '<', '/proc/uptime' or die "uptime: $!";
    my ($uptime) = split / /, <$clock>;
    open my $fh, '>>', "$scene/events" or die "events: $!";
    syswrite $fh, "$gen $$ $uptime @_\n";
    close $fh;
}

my %build;
if (open my $fh, '<', "$scene/build") {
    while (<$fh>) {
        next unless /^(?:(\d+)(\+?):\s*)?(\w+)=(.*)$/;
        next if defined $1 && !($1 == $gen || ($2 && $gen > $1));
        $build{$3} = $4;
    }
}

my %ignored = map { $_ => 1 } split /,/, $build{ignore} || '';
my %default = map { $_ => 1 } split /,/, $build{default} || '';
my $stop;
for my $name (qw(TERM INT QUIT HUP USR1 USR2 WINCH)) {
    next if $default{$name};
    $SIG{$name} = sub {
        event("signal $name");
        $stop = 1 if $name =~ /^(TERM|INT|QUIT)$/ && !$ignored{$name};
    };
}

my @sockets;
my $dump = '';
for my $entry (split /;/, $ENV{SERVER_STARTER_PORT} || '') {
    my ($key, $fd) = $entry =~ /^(.*)=(\d+)$/s or next;
    open my $fh, '+<&=', $fd or do { event("no socket $fd"); next };
    my $number = sub {
        my $value = getsockopt $fh, $_[0], $_[1];
        defined $value ? unpack('i', $value) : -1;
    };
    my ($type, $domain) = ($number->(1, 3), $number->(1, 39));
    # struct tcp_info of a listening socket: tcpi_sacked is its backlog.
    my $info = getsockopt $fh, 6, 11;
    my $backlog = defined $info ? unpack('x28 L', $info) : -1;
    $dump .= "$fd domain=$domain type=$type reuseaddr=" . $number->(1, 2) . ' listening=' . $number->(1, 30)
        . ' v6only=' . $number->(41, 26) . " backlog=$backlog key=$key\n";
    push @sockets, [$fh, $key, $type, $fd];
}
open my $fh, '>', "$scene/sockets.$gen" or die "sockets: $!";
print $fh $dump;
close $fh;

# When it was forked: whoever asks may be so late that this process is gone.
open my $stat, '<', '/proc/self/stat' or die "stat: $!";
my ($born) = <$stat> =~ /.*\) (?:\S+ ){19}(\d+)/;
close $stat;
open $fh, '>', "$scene/born.$gen" or die "born: $!";
print $fh "$born\n";
close $fh;

event('start');
my $helper = $build{forked} ? fork : undef;
if (defined $helper && $helper == 0) {
    $SIG{$_} = 'DEFAULT' for keys %SIG;
    select undef, undef, undef, 1 while 1;
}

my $life = $build{die_after};
while (!$stop) {
    if ((defined $life && $life <= 0) || ($build{die_on} && -e "$scene/$build{die_on}")) {
        event('exit');
        POSIX::_exit($build{die_code} || 1);
    }
    my $rin = '';
    vec($rin, $_->[3], 1) = 1 for @sockets;
    my $nap = defined $life && $life < 0.05 ? $life : 0.05;
    my $found = select $rin, undef, undef, $nap;
    $life -= $nap if defined $life;
    next if $found <= 0;
    # Another generation was woken by the same connection. Whoever comes second must not go into an
    # accept that blocks: a signal that came just before is not heard in there.
    open my $turn, '>>', "$scene/turn" or die "turn: $!";
    flock $turn, LOCK_EX or next;
    $found = select $rin, undef, undef, 0;
    next if $found <= 0;
    for (@sockets) {
        my ($fh, $key, $type, $fd) = @$_;
        next unless vec($rin, $fd, 1);
        if ($type == SOCK_STREAM) {
            accept my $conn, $fh or next;
            syswrite $conn, "$gen $$ $key\n";
            close $conn;
        } elsif (my $peer = recv $fh, my $question, 1500, 0) {
            send $fh, "$gen $$ $key\n", 0, $peer;
        }
    }
}
if ($build{hold}) {
    select undef, undef, undef, 0.02 until -e "$scene/release";
}
event('exit');
POSIX::_exit($build{exit_code} || 0);
