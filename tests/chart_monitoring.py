"""Compares the alert rules and the dashboard that the chart renders with config/monitoring/.

    chart_monitoring.py RENDERED.yaml
"""

import json
import pathlib
import sys

import yaml

monitoring = pathlib.Path("config/monitoring")
documents = [document for document in yaml.safe_load_all(open(sys.argv[1], encoding="utf-8")) if document]
rules = [document["spec"] for document in documents if document["kind"] == "PrometheusRule"]
assert rules == [yaml.safe_load((monitoring / "alerts.yaml").read_text(encoding="utf-8"))], "the alert rules differ"
dashboards = [text for document in documents for name, text in (document.get("data") or {}).items() if name.endswith(".json")]
expected = json.loads((monitoring / "dashboard.json").read_text(encoding="utf-8"))
assert [json.loads(text) for text in dashboards] == [expected], "the dashboard differs"
print(f"{sum(len(group['rules']) for group in rules[0]['groups'])} alerts, {len(expected['panels'])} panels")
