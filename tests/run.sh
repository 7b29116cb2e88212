#!/usr/bin/env bash
# Every check of the project. Installs what the tests need where it is missing: Dovecot, PostgreSQL and promtool (Debian's
# packages) and Azurite (npm, the version of tests/package-lock.json). Reads nothing from its standard input. Exit status 0: all is well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
# shellcheck source=tests/prepare.sh
source tests/prepare.sh

step "Format"
cargo fmt --check
step "Sample export"
python3 config/sample/make.py --check
step "Lints"
cargo clippy --locked --all-targets --features fail-points -- -D warnings
step "Tests"
cargo test --locked --features fail-points
step "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --features fail-points
step "Licences, bans and sources of the dependencies"
if command -v cargo-deny >/dev/null; then
    # Advisories change from day to day and need the network: `cargo deny check advisories` is a matter of its own.
    cargo deny --locked check bans licenses sources
else
    python3 tests/deny.py
fi
step "All is well"
