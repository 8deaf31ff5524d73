#!/bin/sh
# Runs a command in the environment that this file lies in: run_in_env COMMAND [ARGUMENT…]
wqp_self=$0
case $wqp_self in */*) ;; *) wqp_self=./$wqp_self ;; esac
while [ -L "$wqp_self" ]; do
    wqp_target=$(readlink "$wqp_self")
    case $wqp_target in /*) wqp_self=$wqp_target ;; *) wqp_self=${wqp_self%/*}/$wqp_target ;; esac
done
wqp_self=$(CDPATH='' cd -P -- "${wqp_self%/*}/.." && pwd -P)
exec /bin/sh "$wqp_self/bin/poncho_package_run" -e "$wqp_self" -- "$@"
