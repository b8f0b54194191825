# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The argument specs of the collection awx.awx, as JSON.

    vforge_awx.py ANSIBLE_COLLECTIONS >tests/fixtures/awx/argument_specs.json

ANSIBLE_COLLECTIONS is a folder in which `ansible_collections/awx/awx` lies. The package `ansible` 12 on PyPI has awx.awx
24.6.1, in a wheel of 54 MB; so the tests have these specs in a file, and `make awx` looks whether they are still those of
the collection.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

# Those that automation/awx/apply.yml uses.
MODULES = (
    "credential",
    "credential_type",
    "execution_environment",
    "inventory",
    "inventory_source",
    "job_template",
    "label",
    "notification_template",
    "organization",
    "project",
    "schedule",
    "workflow_job_template",
)


class _Asked(Exception):
    """A module has said which arguments it has."""


def specs(collections: Path) -> dict[str, dict[str, Any]]:
    """The argument spec of each module, without the arguments by which they log in.

    :param collections: the folder that has ``ansible_collections``.
    """
    sys.path.insert(0, str(collections))
    package = "ansible_collections.awx.awx.plugins"
    api = importlib.import_module(f"{package}.module_utils.controller_api")
    found: dict[str, dict[str, Any]] = {}

    def said(_module: object, argument_spec: dict[str, Any], **_others: object) -> None:
        raise _Asked(argument_spec)

    api.ControllerModule.__init__ = said
    for name in MODULES:
        try:
            importlib.import_module(f"{package}.modules.{name}").main()
        except _Asked as asked:
            found[name] = asked.args[0]
    return found


def main() -> None:
    """Print them."""
    collections = Path(sys.argv[1])
    manifest = json.loads((collections / "ansible_collections/awx/awx/MANIFEST.json").read_text(encoding="utf-8"))
    version = manifest["collection_info"]["version"]
    print(json.dumps({"collection": f"awx.awx {version}", "modules": specs(collections)}, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
