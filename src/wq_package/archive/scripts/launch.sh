#!/bin/sh
# Runs a command in an environment archive of wq-package, on a machine that needs no Python for it.
#
#   sh launch.sh [-u DIR] [-w SECONDS] [-e] ENVIRONMENT [--] COMMAND [ARGUMENT…]
#
# ENVIRONMENT is an archive (.tar.gz, .tar.zst, .tar) or a folder that one was unpacked into. An archive is unpacked once into
# DIR, or else once per Work Queue worker, or else into a temporary folder that is removed afterwards.
#
# Exit code: that of the command; 127 if there is no such command; 220 wrong usage; 221 the environment cannot be unpacked;
# 222 another process kept the lock for more than SECONDS (300).
#
# Needs sh, tar, rm, mkdir, mv and, as the archive is, gzip or zstd. Uses flock, od and tail where they are.

wqp_fail() {
    wqp_code=$1
    shift
    printf 'wq-package: %s\n' "$*" >&2
    exit "$wqp_code"
}

# However we leave, nothing of ours stays.
wqp_watch() {
    trap wqp_tidy EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

wqp_tidy() {
    wqp_free_lock
    [ -z "$wqp_temporary" ] || rm -rf -- "$wqp_temporary"
}

wqp_usage='usage: launch.sh [-u DIR] [-w SECONDS] [-e] ENVIRONMENT [--] COMMAND [ARGUMENT…]'
wqp_environment='' wqp_folder='' wqp_wait=300 wqp_temporary='' wqp_lock=''
while [ $# -gt 0 ]; do
    case $1 in
        -e | --environment | -u | --unpack-to | -w | --wait)
            [ $# -ge 2 ] || wqp_fail 220 "$1 needs a value; $wqp_usage"
            case $1 in
                -e | --environment) wqp_environment=$2 ;;
                -u | --unpack-to) wqp_folder=$2 ;;
                *) wqp_wait=$2 ;;
            esac
            shift 2 ;;
        -d | --debug) shift ;;
        --) shift; break ;;
        -*) wqp_fail 220 "unknown option $1; $wqp_usage" ;;
        *)
            [ -z "$wqp_environment" ] || break
            wqp_environment=$1
            shift ;;
    esac
done
[ -n "$wqp_environment" ] && [ $# -gt 0 ] || wqp_fail 220 "$wqp_usage"
case $wqp_wait in '' | *[!0-9]*) wqp_fail 220 "-w needs a number of seconds, not '$wqp_wait'" ;; esac
[ -e "$wqp_environment" ] || wqp_fail 221 "the environment '$wqp_environment' does not exist"

# Tell two archives of one name apart: the last bytes of ours hold the digest of the index.
wqp_find_key() {
    wqp_key=$( (tail -c 48 | od -A n -v -t x1 | tr -d ' \n') <"$wqp_environment" 2>/dev/null)
    [ ${#wqp_key} -eq 96 ] || wqp_key=${wqp_environment##*/}
}

wqp_take_lock() {
    if command -v flock >/dev/null 2>&1; then
        # In a subshell first: where `exec` cannot open a file, some shells end without another word.
        (exec 9>"$wqp_folder.lock") 2>/dev/null || wqp_fail 221 "'$wqp_folder.lock' cannot be written"
        exec 9>"$wqp_folder.lock"
        wqp_wait_for_flock
        case $? in
            0) return ;;
            1) wqp_fail 222 "the lock '$wqp_folder.lock' was not free within $wqp_wait s" ;;
        esac
        exec 9>&- # this file system has no such locks
    fi
    wqp_tries=0
    until mkdir "$wqp_folder.lock.d" 2>/dev/null; do
        ! wqp_break_stale_lock || continue
        [ "$wqp_tries" -lt "$wqp_wait" ] || wqp_fail 222 "the lock '$wqp_folder.lock.d' was not free within $wqp_wait s"
        wqp_tries=$((wqp_tries + 1))
        sleep 1
    done
    wqp_lock=$wqp_folder.lock.d
    echo "$(wqp_host) $$" >"$wqp_lock/holder"
}

# Busybox's flock cannot wait for a time.
wqp_wait_for_flock() {
    case $(flock --help 2>&1) in *--timeout*)
        flock -w "$wqp_wait" 9
        return ;;
    esac
    wqp_tries=0
    until flock -n 9; do
        [ $? -eq 1 ] || return 2
        [ "$wqp_tries" -lt "$wqp_wait" ] || return 1
        wqp_tries=$((wqp_tries + 1))
        sleep 1
    done
}

wqp_host() {
    uname -n 2>/dev/null || echo unknown
}

# A lock whose holder died on this machine is taken away by whoever manages to rename it.
wqp_break_stale_lock() {
    read -r wqp_machine wqp_holder 2>/dev/null <"$wqp_folder.lock.d/holder" || return 1
    [ "$wqp_machine" = "$(wqp_host)" ] && ! kill -0 "$wqp_holder" 2>/dev/null || return 1
    mv "$wqp_folder.lock.d" "$wqp_folder.lock.$$" 2>/dev/null && rm -rf -- "$wqp_folder.lock.$$"
}

wqp_free_lock() {
    [ -z "$wqp_lock" ] || rm -rf -- "$wqp_lock"
    wqp_lock=''
}

wqp_need() {
    command -v "$1" >/dev/null 2>&1 || wqp_fail 221 "'$wqp_environment' needs '$1', which this machine lacks${2:+; $2}"
}

wqp_find_unpacker() {
    wqp_need tar
    case $(od -A n -N 4 -t x1 "$wqp_environment" 2>/dev/null | tr -d ' ') in
        1f8b*) wqp_need gzip; wqp_unpacker='gzip -dc' ;;
        28b52ffd | 5?2a4d18) wqp_need zstd 'build it as .tar.gz'; wqp_unpacker='zstd -dcq' ;;
        *) wqp_unpacker='' ;;
    esac
}

# The exit code of a pipe is that of its end: a file tells when the decompressor failed.
wqp_extract() {
    if [ -z "$wqp_unpacker" ]; then
        tar -xf "$wqp_environment" -C "$wqp_folder"
        return
    fi
    { $wqp_unpacker <"$wqp_environment" || : >"$wqp_folder/.wq-package-broken"; } | tar -xf - -C "$wqp_folder" &&
        [ ! -e "$wqp_folder/.wq-package-broken" ]
}

wqp_unpack() {
    wqp_find_unpacker
    rm -rf -- "$wqp_folder" && mkdir -p -- "$wqp_folder" || wqp_fail 221 "'$wqp_folder' cannot be made"
    wqp_extract || {
        rm -rf -- "$wqp_folder"
        wqp_fail 221 "'$wqp_environment' cannot be unpacked into '$wqp_folder'; it may be incomplete, or the disk full"
    }
    wqp_relocate || {
        rm -rf -- "$wqp_folder"
        wqp_fail 221 "'$wqp_environment' cannot be used at '$wqp_folder'"
    }
}

wqp_relocate() {
    [ ! -f "$wqp_folder/bin/conda-unpack" ] || [ -f "$wqp_folder/.wq-package/prefix" ] || "$wqp_folder/bin/conda-unpack" >&2
}

wqp_enter() {
    wqp_folder=$(CDPATH='' cd -P -- "$wqp_folder" && pwd -P) || wqp_fail 221 "'$wqp_folder' cannot be entered"
    unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
    PATH=$wqp_folder/bin:${PATH:-/usr/local/bin:/usr/bin:/bin}
    CONDA_PREFIX=$wqp_folder CONDA_DEFAULT_ENV=$wqp_folder PONCHO_PREFIX=$wqp_folder PYTHONNOUSERSITE=1
    export PATH CONDA_PREFIX CONDA_DEFAULT_ENV PONCHO_PREFIX PYTHONNOUSERSITE
    if [ -z "${SSL_CERT_FILE-}${SSL_CERT_DIR-}" ]; then
        for wqp_file in "$wqp_folder"/lib/python3*/site-packages/certifi/cacert.pem; do
            [ ! -f "$wqp_file" ] || { SSL_CERT_FILE=$wqp_file; export SSL_CERT_FILE; }
        done
    fi
    for wqp_file in "$wqp_folder"/etc/conda/activate.d/*.sh; do
        # A script that this shell cannot read would end it.
        if [ -f "$wqp_file" ] && "${wqp_shell:-/bin/sh}" -n "$wqp_file" 2>/dev/null; then . "$wqp_file"; fi
    done
}

if [ -d "$wqp_environment" ]; then
    wqp_folder=$wqp_environment
    wqp_relocate || printf 'wq-package: %s\n' "'$wqp_folder' could not be relocated" >&2
else
    wqp_watch
    if [ -z "$wqp_folder" ] && [ -n "${WORK_QUEUE_SANDBOX-}" ]; then
        wqp_find_key
        wqp_folder=$WORK_QUEUE_SANDBOX/.wq-package/$wqp_key
    elif [ -z "$wqp_folder" ]; then
        wqp_temporary=$(mktemp -d "${TMPDIR:-/tmp}/wq-package.XXXXXX") || wqp_fail 221 'no temporary folder can be made'
        wqp_folder=$wqp_temporary/env
    fi
    wqp_marker=$wqp_folder/.wq-package-ready
    if [ ! -f "$wqp_marker" ]; then
        case $wqp_folder in */*) mkdir -p -- "${wqp_folder%/*}" || wqp_fail 221 "'${wqp_folder%/*}' cannot be made" ;; esac
        wqp_take_lock
        [ -f "$wqp_marker" ] || { wqp_unpack && echo >"$wqp_marker"; } || wqp_fail 221 "'$wqp_folder' cannot be written"
        wqp_free_lock
        exec 9>&-
    fi
fi

wqp_enter
command -v -- "$1" >/dev/null 2>&1 || wqp_fail 127 "there is no command '$1' in the environment or on this machine"
[ -n "$wqp_temporary" ] || {
    trap - EXIT HUP INT TERM
    exec "$@"
}
"$@"
