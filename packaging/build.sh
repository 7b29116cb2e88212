#!/usr/bin/env bash
# Makes the Debian package in target/package/. Needs nfpm, and cargo unless BINARY names a finished program.
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
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export PACKAGE_VERSION PACKAGE_ARCH SOURCE_DATE_EPOCH
nfpm package --config packaging/nfpm.yaml --packager deb --target "$out/"
