# Sourced by the tests' scripts: finds the tools, and installs what the tests need where it is missing. With TEST_SERVERS=no, for
# scripts that need no server, it installs nothing.
# shellcheck shell=bash

step() {
    printf '\n== %s ==\n' "$*"
}

fail() {
    printf 'tests: %s\n' "$*" >&2
    exit 1
}

# Installs Debian packages, without starting the services that come with them.
install_packages() {
    command -v apt-get >/dev/null || fail "please install: $* (there is no apt-get here)"
    local as_root=() policy=/usr/sbin/policy-rc.d made_policy=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "please install: $* (neither root nor sudo here)"
        as_root=(sudo)
    fi
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
        made_policy=yes
    fi
    local status=0
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" ||
        status=$?
    if [ -n "$made_policy" ]; then
        "${as_root[@]}" rm -f "$policy"
    fi
    [ "$status" -eq 0 ] || fail "apt-get could not install: $*"
}

if ! command -v cargo >/dev/null && [ -r "$HOME/.cargo/env" ]; then
    # shellcheck source=/dev/null
    source "$HOME/.cargo/env"
fi
command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or later from https://rustup.rs"
for tool in cc python3 npm; do
    command -v "$tool" >/dev/null || fail "$tool is missing: a C compiler, Python 3.11 and Node 20 (with npm) are needed"
done

if [ "${TEST_SERVERS:-yes}" = no ]; then
    return
fi

packages=()
# Servers of the system stand in /usr/sbin, which is not in everybody's PATH.
PATH="$PATH:/usr/sbin:/sbin" command -v dovecot >/dev/null || packages+=(dovecot-imapd)
command -v promtool >/dev/null || packages+=(prometheus)
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null || packages+=(postgresql)
if [ "${#packages[@]}" -gt 0 ]; then
    step "Installing ${packages[*]}"
    install_packages "${packages[@]}"
fi

# npm keeps a copy of the lock file's content in node_modules: as long as that is newer, nothing is to be done.
if [ -e tests/package-lock.json ] && [ ! tests/node_modules/.package-lock.json -nt tests/package-lock.json ]; then
    step "Installing Azurite"
    npm ci --prefix tests --no-audit --no-fund --loglevel=error
fi
