"""Runs `check` of the real program on what the chart renders: its config.toml, its environment, its mapping.

    chart.py RENDERED.yaml PROGRAM
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

SECRETS = "/run/secrets/whatsapp-archiver"

rendered, program = sys.argv[1:]
documents = [document for document in yaml.safe_load_all(open(rendered, encoding="utf-8")) if document]
with tempfile.TemporaryDirectory() as directory:
    root = pathlib.Path(directory)
    secrets = root / "secrets"
    secrets.mkdir()
    for name in ("status_token", "telemessage_password", "client_secret", "ledger_password"):
        (secrets / name).write_text("x" * 40)
        (secrets / name).chmod(0o600)
    environment = {
        # What the webhook of Entra Workload ID sets.
        "AZURE_FEDERATED_TOKEN_FILE": str(secrets / "status_token"),
        "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
    }
    for document in documents:
        for name, text in (document.get("data") or document.get("stringData") or {}).items():
            if name in ("config.toml", "mapping.csv"):
                (root / name).write_text(text.replace(SECRETS, str(secrets)))
        if document["kind"] in ("Deployment", "StatefulSet"):
            for variable in document["spec"]["template"]["spec"]["containers"][0]["env"]:
                # What Kubernetes fills in is the pod's name.
                value = variable.get("value", "whatsapp-archiver-0")
                environment[variable["name"]] = value.replace(SECRETS, str(secrets))
    command = [program, "--config", str(root / "config.toml"), "check"]
    sys.exit(subprocess.run(command, env={**os.environ, **environment}, check=False).returncode)
