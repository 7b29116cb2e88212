# Sourced by the tests' scripts: finds the tools, and installs what the tests need where it is missing. With TEST_SERVERS=no, for
# scripts that need no server, it installs no more than the build needs.
# shellcheck shell=bash

step() {
    printf '\n== %s ==\n' "$*"
}

fail() {
    printf 'tests: %s\n' "$*" >&2
    exit 1
}

# Installs Debian packages, without starting the services that come with them. In a shell of its own, whose end, also by Ctrl-C,
# takes the policy away that keeps them from starting.
install_packages() (
    command -v apt-get >/dev/null || fail "please install: $* (there is no apt-get here)"
    as_root=() policy=/usr/sbin/policy-rc.d
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "please install: $* (neither root nor sudo here)"
        as_root=(sudo)
    fi
    if [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    "${as_root[@]}" apt-get update -qq || fail "apt-get could not read its lists of packages"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" ||
        fail "apt-get could not install: $*"
)

# Installs packages of PyPI in target/tools, whose programs are then in PATH.
install_python_tools() {
    # Debian has what venv needs in a package of its own.
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    [ -x target/tools/bin/pip ] || python3 -m venv target/tools
    target/tools/bin/pip install --quiet "$@"
    PATH=$PATH:$PWD/target/tools/bin
}

# Whose Rust it is: under sudo, that of whoever called it.
rust_home=$HOME
if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ]; then rust_home=$(getent passwd "$SUDO_USER" | cut -d: -f6); fi
if ! command -v cargo >/dev/null && [ -x "$rust_home/.cargo/bin/cargo" ]; then PATH=$rust_home/.cargo/bin:$PATH; fi
command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.95 or later from https://rustup.rs"
for tool in cc python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing: a C compiler and Python 3.11 are needed"
done
command -v make >/dev/null || install_packages make

if [ "${TEST_SERVERS:-yes}" = no ]; then
    return
fi
command -v npm >/dev/null || fail "npm is missing: Node 20 is needed, for Azurite"

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
