complete -c start_server -l port -d 'Listen on this port, for TCP [may be repeated]' -r
complete -c start_server -l path -d 'Listen on a unix socket at this path [may be repeated]' -r -F
complete -c start_server -l path-mode -d 'Access mode of the unix sockets, octal [default: as the umask says]' -r
complete -c start_server -l backlog -d 'Length of the queue of connections that wait to be accepted [default: SOMAXCONN]' -r
complete -c start_server -l listen-key -d 'Give the systemd socket FDNAME this key in SERVER_STARTER_PORT [may be repeated]' -r
complete -c start_server -l ready -d 'When a new generation is ready [default: auto]' -r
complete -c start_server -l interval -d 'How long a new generation must live to count as started [default: 1 second]' -r
complete -c start_server -l start-timeout -d 'How long a new generation may take to become ready, or infinity [default: 90 seconds]' -r
complete -c start_server -l attempts -d 'How often a generation that does not become ready is tried, or unlimited' -r
complete -c start_server -l kill-old-delay -d 'How long a new generation is on trial before the old ones are told to leave [default: 0, or 5 seconds with --enable-auto-restart]' -r
complete -c start_server -l signal-on-hup -d 'The signal that tells an old generation to leave [default: TERM]' -r
complete -c start_server -l drain-timeout -d 'How long an old generation may take to leave, then it is killed [default: infinity]' -r
complete -c start_server -l max-draining -d 'How many old generations may be leaving at once; beyond, the oldest is killed [default: any number]' -r
complete -c start_server -l auto-restart-interval -d 'The interval of --enable-auto-restart [default: 360 seconds] [env: AUTO_RESTART_INTERVAL]' -r
complete -c start_server -l signal-on-term -d 'The signal that tells every generation to leave when we stop [default: TERM]' -r
complete -c start_server -l stop-timeout -d 'How long that may take, then everybody is killed; or infinity [default: 90 seconds]' -r
complete -c start_server -l forward -d 'Pass this signal on to the serving generation [may be repeated]' -r
complete -c start_server -l worker-watchdog -d 'How often a worker has to send WATCHDOG=1 (sd_notify) once it is ready [default: never]' -r
complete -c start_server -l fd-store-max -d 'How many file descriptors workers may give us to keep for the next generation (FDSTORE=1) [default: 0, as in systemd]' -r
complete -c start_server -l dir -d 'The working directory of the workers' -r -F
complete -c start_server -l envdir -d 'Add variables to the workers\' environment from the files in this directory [env: ENVDIR]' -r -F
complete -c start_server -l pid-file -d 'Write our process id to this file, and hold a lock on it' -r -F
complete -c start_server -l status-file -d 'Write GENERATION:PID of every generation to this file' -r -F
complete -c start_server -l log-file -d 'Append all output to this file, or to a shell command: \'| CMD\'' -r
complete -c start_server -l control-socket -d 'The socket for starterctl [default: $RUNTIME_DIRECTORY/control]' -r -F
complete -c start_server -l timeout -d 'How long --restart and --stop wait [default: infinity]' -r
complete -c start_server -l enable-auto-restart -d 'Reload by itself, every --auto-restart-interval [env: ENABLE_AUTO_RESTART]'
complete -c start_server -l expand -d 'Fill in {fd:SOCKET}, {port:SOCKET} and {addr:SOCKET} in the program\'s arguments and in its environment'
complete -c start_server -l einhorn -d 'Tell workers of their sockets as einhorn does, too: EINHORN_FD_COUNT, EINHORN_FD_0...'
complete -c start_server -l no-cgroup -d 'No cgroup of its own for each generation, even where systemd allows it (Delegate=yes)'
complete -c start_server -l no-fd-store -d 'Do not have systemd keep our sockets (FileDescriptorStoreMax=)'
complete -c start_server -l crash-adoption -d 'After a crash of ours, take the running workers back [env: SD_STARTER_CRASH_ADOPTION]'
complete -c start_server -l daemonize -d 'Run in the background; needs --log-file'
complete -c start_server -l restart -d 'Have the running supervisor reload, and wait until it has'
complete -c start_server -l stop -d 'Have the running supervisor stop, and wait until it has'
complete -c start_server -s h -l help -d 'Print help (see more with \'--help\')'
complete -c start_server -s V -l version -d 'Print version'
