#!/bin/sh
# Fetches a URL into a file, which is there whole or not at all.
set -eu
url=${1:?the URL is missing} file=${2:?the path of the file is missing}
case $url in http://* | https://*) ;; *) echo "the URL is neither http nor https" >&2; exit 2 ;; esac
case $file in /*) ;; *) echo "the path of the file must begin with /" >&2; exit 2 ;; esac
part=$(mktemp "$file.XXXXXX")
trap 'rm -f "$part"' EXIT
if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --proto =http,https --output "$part" -- "$url"
elif command -v wget >/dev/null; then
    wget --quiet --output-document="$part" -- "$url"
else
    echo "neither curl nor wget is on this device" >&2
    exit 127
fi
chmod 0644 "$part"
sync "$part"
mv -f "$part" "$file"
