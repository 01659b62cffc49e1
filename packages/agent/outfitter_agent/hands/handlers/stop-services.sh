#!/bin/sh
# Stops units of systemd; one argument may name several, separated by spaces.
set -euf
# shellcheck disable=SC2086 - they are words
set -- $*
[ $# -gt 0 ] || { echo "no service is named" >&2; exit 2; }
exec systemctl stop -- "$@"
