#!/usr/bin/env bash
# Builds the program of a release, target/dist/whatsapp-archiver: with link-time optimisation, the list of its dependencies (by
# cargo-auditable), the revision that it is built from, and none of this machine's paths: two builds of a commit are the same, byte for
# byte, where cargo-auditable lies in the same place (SECURITY.md). Image and packages are made of it. RUSTFLAGS and CFLAGS of the caller
# count too, and change it.
#
#     packaging/program.sh
#     REVISION=0123abc packaging/program.sh     where there is no git repository
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo_home=${CARGO_HOME:-$HOME/.cargo}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# Divided by 0x1f, and quoted as the crate cc does: paths may hold spaces.
remaps=("--remap-path-prefix=$PWD=/src" "--remap-path-prefix=$cargo_home=/cargo" "--remap-path-prefix=$target=/src/target")
REMAP_FLAGS=$(IFS=$'\x1f' && printf '%s' "${remaps[*]}")
RUSTC_WRAPPER=$PWD/packaging/rustc.sh
CFLAGS="${CFLAGS:-} $(printf '%q ' "-ffile-prefix-map=$PWD=/src" "-ffile-prefix-map=$cargo_home=/cargo" "-ffile-prefix-map=$target=/src/target")"
WHATSAPP_ARCHIVER_REVISION=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
export REMAP_FLAGS RUSTC_WRAPPER CFLAGS CC_SHELL_ESCAPED_FLAGS=1 WHATSAPP_ARCHIVER_REVISION

build=(auditable build)
if ! command -v cargo-auditable >/dev/null; then
    build=(build)
    echo "program.sh: WARNING: cargo-auditable is missing. The program won't carry the list of its dependencies, and won't be the" >&2
    echo "program that a release has: cargo install --locked cargo-auditable@0.7.7" >&2
fi
exec cargo "${build[@]}" --locked --profile dist --bin whatsapp-archiver
