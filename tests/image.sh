#!/usr/bin/env bash
# Builds the image of the Dockerfile and runs it as docs/administration.md and README.md say: read-only, without capabilities, as
# an ordinary user. The account goes to docs/results/image.md. Debian, as root; needs buildah, podman, runc and mmdebstrap,
# which it installs. Under sudo it takes the Rust of whoever calls it.
#
#     tests/image.sh                    base images made of Debian's packages and this machine's Rust: no registry is asked
#     BASES=registry tests/image.sh     base images as the Dockerfile names them
#     PROGRAM=target/image/whatsapp-archiver tests/image.sh
#                                       with the program that an earlier run built: the Dockerfile's first stage is left out
#     COMPARE=target/dist/whatsapp-archiver tests/image.sh
#                                       and the image's program is compared with one that packaging/program.sh made elsewhere
set -euo pipefail
# shellcheck source=tests/account.sh
source "$(dirname "${BASH_SOURCE[0]}")/account.sh"

need buildah podman runc mmdebstrap
runc=$(command -v runc)
name=whatsapp-archiver-test-$$
export BUILDAH_ISOLATION=chroot

# Storage of this test alone: no image or container of the machine is touched.
buildah_() { buildah --storage-driver vfs --root "$work/build" --runroot "$work/build-run" "$@"; }
podman_() {
    podman --storage-driver vfs --root "$work/run" --runroot "$work/run-run" --runtime "$runc" --cgroup-manager cgroupfs "$@"
}
clean_up() { podman_ rm --force --all >/dev/null 2>&1 || true; }

# ---- the account
log=$work/log
# Runs a command, shows and keeps what it printed.
show() {
    local what=$1
    shift
    step "$what"
    local started=$SECONDS status
    # A shell of its own, which ends at the first command that fails: on the left of `||`, all would go on.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    [ "$status" -eq 0 ] || { cat "$log"; fail "$what: failed"; }
    note "" "## $what" "" "$((SECONDS - started)) s" "" '```text' "$(tail -n "${LINES_KEPT:-40}" "$log")" '```'
}
expect() { grep -qF -- "$1" "$log" || fail "\"$1\" is not in the output"; }

# ---- base images
build_base=docker.io/library/rust:1.95-bookworm
run_base=gcr.io/distroless/cc-debian12:nonroot
# Under the tags alone: they have other bytes than what the Dockerfile names.
own_bases=(--build-arg "BUILD_BASE=$build_base" --build-arg "RUN_BASE=$run_base")
base_of_build() {
    local root=$work/rust container sysroot
    sysroot=$(as_caller rustc --print sysroot)
    mmdebstrap --quiet --variant=minbase --include=gcc,g++,libc6-dev,make,ca-certificates,pkg-config bookworm "$root"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    mkdir -p "$root/usr/local/rust"
    tar -C "$sysroot" --exclude ./share --exclude ./libexec -cf - . | tar -C "$root/usr/local/rust" -xf -
    container=$(buildah_ from scratch)
    buildah_ add --quiet "$container" "$root" / >/dev/null
    buildah_ config --env PATH=/usr/local/cargo/bin:/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
        --env CARGO_HOME=/usr/local/cargo "$container"
    buildah_ commit --quiet --rm "$container" "$build_base" >/dev/null
    rm -rf "$root"
}

base_of_run() {
    local root=$work/distroless container
    mmdebstrap --quiet --variant=extract --include=libc6,libgcc-s1,ca-certificates,tzdata,base-files bookworm "$root"
    mkdir -p "$root/etc/ssl/certs" "$root/home/nonroot"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
    container=$(buildah_ from scratch)
    buildah_ add --quiet "$container" "$root" / >/dev/null
    buildah_ config --user 65532:65532 --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
    buildah_ commit --quiet --rm "$container" "$run_base" >/dev/null
    rm -rf "$root"
}

# ---- the image
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
build() {
    buildah_ bud --format docker --layers=false --pull=never --tag whatsapp-archiver:test \
        --build-arg "REVISION=$revision" "${own_bases[@]}" .
}
build_with_program() {
    local out=$work/stage/out
    install -D -m 0755 "$PROGRAM" "$out/usr/local/bin/whatsapp-archiver"
    install -d "$out/etc/whatsapp-archiver" "$out/var/lib/whatsapp-archiver"
    buildah_ bud --format docker --layers=false --pull=never --tag whatsapp-archiver:test --build-context "build=$work/stage" \
        --build-arg "REVISION=$revision" "${own_bases[@]}" .
}
build_from_registry() {
    buildah_ bud --format docker --layers=false --tag whatsapp-archiver:test --build-arg "REVISION=$revision" .
}

# The next version of the image: the same program under another name.
next_version() {
    local container
    container=$(buildah_ from --pull=never whatsapp-archiver:test)
    buildah_ config --label org.opencontainers.image.version=next "$container"
    buildah_ commit --quiet --rm "$container" whatsapp-archiver:next >/dev/null
}

hand_over() {
    buildah_ inspect --type image --format 'health check {{.Docker.Config.Healthcheck.Test}}' whatsapp-archiver:test
    echo
    for tag in test next; do
        buildah_ push --quiet "whatsapp-archiver:$tag" "oci-archive:$work/$tag.tar:whatsapp-archiver:$tag"
        podman_ load --quiet -i "$work/$tag.tar"
    done
    podman_ image inspect --format 'user {{.User}}, {{.Size}} bytes, entry point {{.Config.Entrypoint}}' whatsapp-archiver:test
    echo "packed: $(stat -c %s "$work/test.tar") bytes"
}

# What the program says of itself: its dependencies, as cargo-auditable wrote them into it.
program() {
    podman_ create --quiet --name "$name" whatsapp-archiver:test >/dev/null
    podman_ cp "$name:/usr/local/bin/whatsapp-archiver" "$work/program"
    podman_ rm "$name" >/dev/null
    # Kept for tests/package.sh: BINARY=target/image/whatsapp-archiver.
    install -D -m 0755 "$work/program" target/image/whatsapp-archiver
    objcopy --dump-section ".dep-v0=$work/dependencies" "$work/program" "$work/copy"
    python3 - "$work/dependencies" <<'PY'
import json, sys, zlib
packages = json.loads(zlib.decompress(open(sys.argv[1], "rb").read()))["packages"]
root = [f"{package['name']} {package['version']}" for package in packages if package.get("root")]
print(f"{root[0]} carries its list of {len(packages)} crates (cargo-auditable)")
PY
    sha256sum <"$work/program" | sed 's/^\([0-9a-f]*\).*/SHA-256 \1/'
    if [ -n "${COMPARE:-}" ]; then
        cmp "$COMPARE" "$work/program"
        echo "byte for byte the same as the one that packaging/program.sh built elsewhere"
    fi
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Runs the image as an administrator is told to. The sample export stands in for TeleMessage, Maildirs for the mailboxes.
container() {
    local image=$1
    shift
    podman_ run --name "$name" --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host \
        --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp --log-driver k8s-file \
        -v "$PWD/config/local.toml:/etc/whatsapp-archiver/config.toml:ro" \
        -v "$PWD/config/sample:/etc/whatsapp-archiver/sample:ro" -v "$name:/var/lib/whatsapp-archiver" \
        -e WHATSAPP_ARCHIVER__STAGING__PATH=/var/lib/whatsapp-archiver/staging \
        -e WHATSAPP_ARCHIVER__MAILBOX__PATH=/var/lib/whatsapp-archiver/mailboxes \
        -e WHATSAPP_ARCHIVER__LEDGER__URL=sqlite:///var/lib/whatsapp-archiver/ledger.db \
        -e WHATSAPP_ARCHIVER__HTTP__LISTEN="127.0.0.1:$port" "$@" "whatsapp-archiver:$image" "${command[@]}"
}
once() {
    command=("${@:2}")
    container "$1" --rm
}
daemon() {
    command=(run)
    container "$1" --detach
}
# The container's own health check, until it is well. A minute is longer than anything takes.
wait_until_healthy() {
    local tries
    for ((tries = 0; tries < 120; tries++)); do
        podman_ exec "$name" /usr/local/bin/whatsapp-archiver health && return
        sleep 0.5
    done
    return 1
}
# What the kernel says of the daemon: its user, its capabilities, and how its root is mounted.
confinement() {
    local process
    process=$(podman_ inspect --format '{{.State.Pid}}' "$name")
    grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' "/proc/$process/status" | tr '\t' ' '
    awk '$2 == "/" { print "root: " $4 }' "/proc/$process/mounts"
}
stop() {
    local started
    started=$(date +%s%3N)
    podman_ stop --time 60 "$name"
    podman_ logs "$name" 2>&1 | tail -n 2
    podman_ inspect --format 'exit status {{.State.ExitCode}}' "$name"
    echo "stopped after $(($(date +%s%3N) - started)) ms"
    podman_ rm "$name" >/dev/null
}

begin_account "The image"
versions="$(buildah --version), $(podman --version), $(runc --version | head -n 1)"
rust=$(as_caller rustc --version)
note "- $versions, $(nproc) processors" "- base images: ${BASES:-made of Debian packages and $rust}"
if [ "${BASES:-local}" = registry ]; then
    LINES_KEPT=3 show "Build" build_from_registry
elif [ -n "${PROGRAM:-}" ]; then
    note "- the program is from an earlier run of this test, which took the Dockerfile's first stage too"
    base_of_run
    LINES_KEPT=3 show "Build of the second stage" build_with_program
else
    step "Base images"
    base_of_build
    base_of_run
    LINES_KEPT=3 show "Build" build
fi
next_version
show "The image" hand_over
expect "user 65532:65532"
expect "health check [CMD /usr/local/bin/whatsapp-archiver health]"
show "The program" program
expect "crates (cargo-auditable)"
show "check" once test check
expect "3 numbers"
expect "7 users in the list"
show "run --once on the sample" once test run --once
expect '"deliveries.imported":102'
show "The daemon starts" daemon test
show "health" wait_until_healthy
expect "ok"
show "Confinement" confinement
expect "Uid: 65532 65532 65532 65532"
expect "CapEff: 0000000000000000"
expect "CapBnd: 0000000000000000"
expect "NoNewPrivs: 1"
expect "root: ro"
LINES_KEPT=12 show "status in the running container" podman_ exec "$name" /usr/local/bin/whatsapp-archiver status
expect "Daemon          running"
show "SIGTERM" stop
expect daemon_stopped
expect "exit status 0"
show "The next image on the same volume: nothing is imported again" once next run --once
expect "The source had no new items."
show "The next image's daemon" daemon next
show "health of the next image" wait_until_healthy
expect "ok"
show "SIGTERM to the next image" stop
expect daemon_stopped
expect "exit status 0"
show "verify, by the next image" once next verify
expect "104 copies checked: no damage"

keep_account image
