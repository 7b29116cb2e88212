#!/usr/bin/env bash
# Makes the Debian package in target/package/, and prints its path last. Needs nfpm, objdump (binutils), and cargo unless BINARY names
# a finished program. The package asks for the C library of the machine that built the program, if it uses what is new there:
# for Debian 12, build it on Debian 12, or take the image's.
#
#     packaging/build.sh
#     BINARY=target/dist/whatsapp-archiver packaging/build.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=target/package
export PACKAGE_ROOT=$out/root
rm -rf "$PACKAGE_ROOT"
mkdir -p "$PACKAGE_ROOT/completions"

if [ -z "${BINARY:-}" ]; then
    packaging/program.sh
    BINARY=${CARGO_TARGET_DIR:-target}/dist/whatsapp-archiver
fi
install -m 0755 "$BINARY" "$PACKAGE_ROOT/whatsapp-archiver"

"$PACKAGE_ROOT/whatsapp-archiver" man --out "$PACKAGE_ROOT/man"
gzip -9n "$PACKAGE_ROOT"/man/*.1
for shell in bash zsh fish; do
    "$PACKAGE_ROOT/whatsapp-archiver" completions "$shell" >"$PACKAGE_ROOT/completions/$shell"
done

PACKAGE_VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
case $(uname -m) in
x86_64) PACKAGE_ARCH=amd64 ;;
aarch64) PACKAGE_ARCH=arm64 ;;
*) PACKAGE_ARCH=$(uname -m) ;;
esac
# The newest version of the C library that one of the program's symbols asks for.
PACKAGE_LIBC=$(objdump -T "$BINARY" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
PACKAGE_LIBC=${PACKAGE_LIBC#GLIBC_}
# Whoever makes packages for others names themselves.
PACKAGE_MAINTAINER=${PACKAGE_MAINTAINER:-The contributors of whatsapp-archiver <nobody@whatsapp-archiver.invalid>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
# nfpm takes times and modes of whole folders from the disk: they are made those of the commit, whatever the checkout and its umask.
cp -r config/sample config/monitoring "$PACKAGE_ROOT/"
find "$PACKAGE_ROOT/sample" "$PACKAGE_ROOT/monitoring" -exec chmod u=rwX,go=rX {} + -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
export PACKAGE_VERSION PACKAGE_ARCH PACKAGE_LIBC PACKAGE_MAINTAINER SOURCE_DATE_EPOCH
package=$out/whatsapp-archiver_$PACKAGE_VERSION-1_$PACKAGE_ARCH.deb
nfpm package --config packaging/nfpm.yaml --packager deb --target "$package"
echo "$package"
