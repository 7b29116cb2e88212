# Sourced by the tests that install what operations install (image.sh, package.sh): they run as root, work in a folder of their
# own, and leave an account of what they saw in docs/results/. A command that they need and that Debian has is installed.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
exec </dev/null
export TEST_SERVERS=no
# shellcheck source=tests/prepare.sh
source tests/prepare.sh
PATH=$PATH:/usr/sbin:/sbin

[ "$(id -u)" -eq 0 ] || fail "$(basename "$0") runs as root: it makes a Debian of its own"

# Runs a command as whoever called sudo, with their Rust: what it builds belongs to them. As root, where it wasn't called by sudo.
as_caller() {
    if [ "${SUDO_UID:-0}" -eq 0 ]; then
        "$@"
    else
        setpriv --reuid="$SUDO_UID" --regid="$SUDO_GID" --init-groups env HOME="$rust_home" PATH="$PATH" "$@"
    fi
}

# Gives what root made below target/ and docs/results/ to whoever called sudo.
give_back() {
    [ "${SUDO_UID:-0}" -eq 0 ] || find target docs/results -xdev -user 0 -exec chown -h "$SUDO_UID:$SUDO_GID" {} +
}

work=$(mktemp -d -p /var/tmp)
account=$work/account.md

# What a test has to undo at its end, before its folder is removed: it may define its own.
clean_up() { :; }
leave() {
    clean_up
    rm -rf --one-file-system "$work"
    give_back
}
trap leave EXIT
mkdir -p target docs/results
give_back

# Installs those of the commands that are missing: their packages have the same names.
need() {
    local missing=() tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}

# Adds lines to the account, and shows them.
note() { printf '%s\n' "$@" | tee -a "$account"; }

# Opens the account: its title, when, and of what.
begin_account() {
    note "# $1, last test" "" "Written by \`tests/$(basename "$0")\`." "" \
        "- $(date -u +%Y-%m-%dT%H:%MZ), commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
}

# Puts the account where it is kept: docs/results/NAME.md.
keep_account() {
    cp "$account" "docs/results/$1.md"
    step "docs/results/$1.md is written"
}
