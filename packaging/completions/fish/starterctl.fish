# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_starterctl_global_optspecs
    string join \n h/help V/version
end

function __fish_starterctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_starterctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_starterctl_using_subcommand
    set -l cmd (__fish_starterctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c starterctl -n "__fish_starterctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c starterctl -n "__fish_starterctl_needs_command" -s V -l version -d 'Print version'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "reload" -d 'Replace the serving generation by a new one, and wait for the verdict'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "upgrade" -d 'Put the sd-starter that is now on disk in the place of the one that runs'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "status" -d 'Show the generations and the sockets'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "stop" -d 'Stop the instance, and wait until it has'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "wait" -d 'Wait until something is so'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "list" -d 'Show every instance on this machine'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "units" -d 'Print or install a socket unit and a service unit for a server program'
complete -c starterctl -n "__fish_starterctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c starterctl -n "__fish_starterctl_using_subcommand reload" -l control-socket -d 'The path of the control socket' -r -F
complete -c starterctl -n "__fish_starterctl_using_subcommand reload" -l timeout -d 'How long to wait for the verdict' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand reload" -l if-generation -d 'Reload only if this generation is the serving one' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand reload" -l json -d 'Print the verdict as JSON'
complete -c starterctl -n "__fish_starterctl_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c starterctl -n "__fish_starterctl_using_subcommand upgrade" -l control-socket -d 'The path of the control socket' -r -F
complete -c starterctl -n "__fish_starterctl_using_subcommand upgrade" -l timeout -d 'How long to wait, for each [default: infinity; with --all 30s]' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand upgrade" -l all -d 'Every instance on this machine that you may ask, one after the other'
complete -c starterctl -n "__fish_starterctl_using_subcommand upgrade" -l user -d 'With --all: of your own manager\'s services only, not of the system\'s'
complete -c starterctl -n "__fish_starterctl_using_subcommand upgrade" -l json -d 'Print JSON'
complete -c starterctl -n "__fish_starterctl_using_subcommand upgrade" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c starterctl -n "__fish_starterctl_using_subcommand status" -l control-socket -d 'The path of the control socket' -r -F
complete -c starterctl -n "__fish_starterctl_using_subcommand status" -l timeout -d 'How long to wait for an answer' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand status" -l watch -d 'Show it again whenever something happens, until the instance ends'
complete -c starterctl -n "__fish_starterctl_using_subcommand status" -l json -d 'Print JSON'
complete -c starterctl -n "__fish_starterctl_using_subcommand status" -l openmetrics -d 'Print metrics in the OpenMetrics text format'
complete -c starterctl -n "__fish_starterctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c starterctl -n "__fish_starterctl_using_subcommand stop" -l control-socket -d 'The path of the control socket' -r -F
complete -c starterctl -n "__fish_starterctl_using_subcommand stop" -l timeout -d 'How long to wait for the end' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand stop" -l json -d 'Print JSON'
complete -c starterctl -n "__fish_starterctl_using_subcommand stop" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -l control-socket -d 'The path of the control socket' -r -F
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -l generation -d 'Until this generation, or a later one, serves' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -l timeout -d 'How long to wait' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -l drained -d 'Until no old generation is left'
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -l serving -d 'Until any generation serves'
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -l json -d 'Print JSON'
complete -c starterctl -n "__fish_starterctl_using_subcommand wait" -s h -l help -d 'Print help'
complete -c starterctl -n "__fish_starterctl_using_subcommand list" -l timeout -d 'How long to wait for each instance' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand list" -l json -d 'Print JSON'
complete -c starterctl -n "__fish_starterctl_using_subcommand list" -s h -l help -d 'Print help'
complete -c starterctl -n "__fish_starterctl_using_subcommand units" -l listen -d 'Where to listen [may be repeated]' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand units" -l with -d 'An option of sd-starter for the service [may be repeated]' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand units" -l install -d 'Write the units to this directory instead of printing them' -r -F
complete -c starterctl -n "__fish_starterctl_using_subcommand units" -l systemd -d 'The version of systemd that the units are for [default: the installed one]' -r
complete -c starterctl -n "__fish_starterctl_using_subcommand units" -l user -d 'For the manager of a user\'s own services, who has no sandbox to offer'
complete -c starterctl -n "__fish_starterctl_using_subcommand units" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "reload" -d 'Replace the serving generation by a new one, and wait for the verdict'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "upgrade" -d 'Put the sd-starter that is now on disk in the place of the one that runs'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "status" -d 'Show the generations and the sockets'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "stop" -d 'Stop the instance, and wait until it has'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "wait" -d 'Wait until something is so'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "list" -d 'Show every instance on this machine'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "units" -d 'Print or install a socket unit and a service unit for a server program'
complete -c starterctl -n "__fish_starterctl_using_subcommand help; and not __fish_seen_subcommand_from reload upgrade status stop wait list units help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
