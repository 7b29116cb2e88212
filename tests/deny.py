"""Checks licences, banned crates and sources of the dependencies against deny.toml, without cargo-deny and without the network.

    deny.py            fails and names each crate that deny.toml doesn't allow

It reads what `cargo metadata` says of the targets of deny.toml. cargo-deny does more: it reads licence files, and advisories.
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

root = pathlib.Path(__file__).parent.parent
rules = tomllib.loads((root / "deny.toml").read_text(encoding="utf-8"))
allowed = set(rules["licenses"]["allow"])
banned = {rule["crate"] for rule in rules["bans"]["deny"]}
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def is_licensed(expression: str) -> bool:
    """Whether an SPDX expression can be met by the allowed licences. The older `MIT/Apache-2.0` means "or"."""
    tokens = re.findall(r"[()/]|[^\s()/]+", expression)

    def alternatives() -> bool:
        met = conjunction()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            met = conjunction() or met
        return met

    def conjunction() -> bool:
        met = licence()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = licence() and met
        return met

    def licence() -> bool:
        if not tokens:
            return False
        name = tokens.pop(0)
        if name == "(":
            met = alternatives()
            tokens[:1] = []
            return met
        if tokens and tokens[0] == "WITH":
            # An exception only adds permissions.
            tokens[:2] = []
        return name in allowed

    return alternatives() and not tokens


def main() -> int:
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    for target in rules["graph"]["targets"]:
        command += ["--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout)
    members = set(metadata["workspace_members"])
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    problems = []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["id"] in members or package["id"] not in used:
            continue
        if package["name"] in banned:
            problems.append(f"{name} is banned")
        if package["source"] != REGISTRY:
            problems.append(f"{name} comes from {package['source'] or 'a path'}")
        if not is_licensed(package["license"] or ""):
            problems.append(f"{name}: the licence {package['license']!r} is not allowed")
    for problem in problems:
        print(f"deny: {problem}", file=sys.stderr)
    print(f"{len(used) - len(members)} dependencies, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
