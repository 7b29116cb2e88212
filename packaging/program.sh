#!/usr/bin/env bash
# Builds the program of a release, target/dist/whatsapp-archiver: with link-time optimisation, the list of its dependencies in it where
# cargo-auditable is installed, the revision that it is built from, and none of this machine's paths, so that the same commit
# gives the same program wherever its folder is. Image and packages are made of it.
#
#     packaging/program.sh
#     REVISION=0123abc packaging/program.sh     where there is no git repository
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
WHATSAPP_ARCHIVER_REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
export WHATSAPP_ARCHIVER_REVISION

build=(build)
if command -v cargo-auditable >/dev/null; then build=(auditable build); fi
exec cargo "${build[@]}" --locked --profile dist --bin whatsapp-archiver
