"""Reads a Terraform module: its syntax, and that what its files refer to is declared in one of them.

    terraform.py FOLDER

Arguments of resources are known to their providers alone: `terraform validate` checks those, and needs the registry.
"""

import pathlib
import re
import sys

import hcl2

folder = pathlib.Path(sys.argv[1])
declared, used = set(), {}
for path in sorted(folder.glob("*.tf")):
    text = path.read_text(encoding="utf-8")
    module = hcl2.loads(text)
    for block in module.get("variable", []):
        declared |= {f"var.{name.strip(chr(34))}" for name in block}
    for kind, prefix in (("resource", ""), ("data", "data.")):
        for block in module.get(kind, []):
            for of, named in block.items():
                declared |= {f"{prefix}{of.strip(chr(34))}.{name.strip(chr(34))}" for name in named}
    # Without comments, and without what strings say outside of ${…}.
    code = re.sub(r"#.*", "", text)
    code = re.sub(r'"((?:[^"\\]|\\.)*)"', lambda string: " ".join(re.findall(r"\$\{([^}]*)\}", string[1])), code)
    for name in re.findall(r"\bvar\.\w+|(?:\bdata\.)?\baz\w+\.\w+", code):
        used.setdefault(name, path.name)

unknown = {name: file for name, file in used.items() if name not in declared}
unused = {name for name in declared if name.startswith("var.")} - set(used)
assert declared and used, f"no Terraform in {folder}"
assert not unknown, f"used, but declared nowhere: {unknown}"
assert not unused, f"variables that nothing uses: {unused}"
print(f"{len(declared)} declared, {len(used)} of them referred to")
