#!/bin/sh
# build.sh OUT ARCHITECTURE (amd64, arm64): the agent as a package for Debian 12, with the versions of uv.lock; it writes
# its path. The same sources make the same file: its times are those of the last commit, or of SOURCE_DATE_EPOCH.
set -eu
umask 022
cd "$(dirname "$0")/../../.."
out=$1 architecture=$2 here=packages/agent/debian uv=.venv/bin/uv
case $architecture in
    amd64) platform=x86_64-manylinux_2_28 ;;
    arm64) platform=aarch64-manylinux_2_28 ;;
    *) echo "build.sh: no wheels are locked for $architecture" >&2; exit 2 ;;
esac
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root opt=$work/root/opt/outfitter-agent
packages=$opt/lib/python3.11/site-packages
install() { # from the wheels of that platform alone; nothing is compiled
    $uv pip install --quiet --target "$packages" --python-version 3.11 --python-platform "$platform" \
        --only-binary :all: --no-deps --no-compile-bytecode --link-mode copy "$@"
}

# The environment, made by hand: it needs no Python 3.11 on this machine, and no other machine's paths get into it.
mkdir -p "$opt/bin" "$packages"
ln -s /usr/bin/python3.11 "$opt/bin/python"
printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n' >"$opt/pyvenv.cfg"
cp "$here/outfitter-agent" "$opt/bin/outfitter-agent"
chmod 755 "$opt/bin/outfitter-agent"
$uv export --quiet --frozen --package outfitter-agent --no-dev --no-emit-workspace -o "$work/locked" >"$work/export"
install --require-hashes -r "$work/locked"
for package in contract agent; do
    $uv build --quiet --wheel --package "outfitter-$package" -o "$work/wheels"
done
install --no-index --find-links "$work/wheels" outfitter-contract outfitter-agent
rm -rf "$packages/bin" "$packages/.lock"
find "$packages" '(' -name RECORD -o -name INSTALLER -o -name REQUESTED -o -name direct_url.json -o -name uv_cache.json ')' -delete

mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/lib/systemd/system" "$root/etc/outfitter/agent.toml.d" \
    "$root/usr/share/doc/outfitter-agent/examples"
ln -s /opt/outfitter-agent/bin/outfitter-agent "$root/usr/bin/outfitter-agent"
cp "$here/outfitter-agent.service" "$root/lib/systemd/system/"
cp "$here/10-debian.toml" "$root/etc/outfitter/agent.toml.d/"
cp "$here/packages.conf" "$root/usr/share/doc/outfitter-agent/examples/"
cp LICENSE "$root/usr/share/doc/outfitter-agent/copyright"
cp "$here/conffiles" "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN/"
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' packages/agent/pyproject.toml)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@KILOBYTES@/$(du -sk --apparent-size "$root" | cut -f1)/" \
    "$here/control" >"$root/DEBIAN/control"
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' md5sum) \
    >"$root/DEBIAN/md5sums"
find "$root" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
package=$out/outfitter-agent_${version}_$architecture.deb
dpkg-deb --root-owner-group --build -Zzstd -z12 "$root" "$package" >"$work/built"
echo "$package"
