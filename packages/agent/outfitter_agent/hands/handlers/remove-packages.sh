#!/bin/sh
# Removes packages with the package manager of the device; one argument may name several, separated by spaces.
set -euf
# shellcheck disable=SC2086 - they are words
set -- $*
for package in "$@"; do
    case $package in -*) echo "$package is an option, not a package" >&2; exit 2 ;; esac
done
[ $# -gt 0 ] || { echo "no package is named" >&2; exit 2; }
if command -v apt-get >/dev/null; then
    DEBIAN_FRONTEND=noninteractive exec apt-get remove --yes -- "$@"
elif command -v dnf >/dev/null; then
    exec dnf remove --assumeyes -- "$@"
elif command -v apk >/dev/null; then
    exec apk del -- "$@"
elif command -v opkg >/dev/null; then
    exec opkg remove "$@"
fi
echo "no package manager is known on this device: apt-get, dnf, apk, opkg" >&2
exit 127
