#!/bin/sh
# aibox's OCI runtime: runsc (or the fallback) with what a box needs, whoever calls the engine (aibox or a person).
# `aibox setup` writes this file and `aibox verify` compares it with what was written; do not edit it.
set -eu
here=@HERE@
python=@PYTHON@

verb='' skip=''
for argument do
    shift
    case $argument in
        # conmon before 2.1.11 passes --tty to `exec`, which runsc does not know; the process file says it already
        --tty | --tty=*) continue ;;
    esac
    set -- "$@" "$argument"
    if [ -n "$skip" ]; then
        skip=''
    elif [ -z "$verb" ]; then
        case $argument in
            --log | --log-format | --root | -log | -log-format | -root) skip=yes ;;
            # one word, whatever it says
            --?*=* | --systemd-cgroup | --debug | --version | --help | -version | -v | -h) ;;
            # the verb; or an option of which nobody here knows whether its value follows, which launch.py refuses
            *) verb=${argument:--} ;;
        esac
    fi
done

case $verb in
    # outside the outer layer, because a signal from another Landlock domain would be refused
    '' | state | kill | delete | ps | features | events | pause | resume | update | list | wait | checkpoint@DIRECT@)
        exec @PROGRAM@ "$@"
        ;;
    # all else, as what makes a Sentry and what makes a session, is prepared or refused
    *) exec "$python" -I -S -B "$here/launch.py" "$verb" "$@" ;;
esac
