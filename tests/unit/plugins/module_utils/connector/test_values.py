# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What threads pass to each other does not change; what is filled in as the work goes on is named here."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

from ansible_collections.vforge.vsphere.plugins.module_utils import _connector, _engine

FILLED_IN = {
    "_engine.Item",
    "_engine.ItemOfVm",
    "_engine.Missing",
    "_connector.batch.BatchResult",
    "_connector.batch.Outcome",
    "_connector.find._Known",
    "_connector.tasks._Waiter",
}


def test_values_are_frozen_but_for_what_is_filled_in():
    names = (f"{_connector.__name__}.{found.name}" for found in pkgutil.iter_modules(_connector.__path__))
    classes = {
        f"{module.__name__.rpartition('module_utils.')[2]}.{name}": kind
        for module in (_engine, *map(importlib.import_module, names))
        for name, kind in inspect.getmembers(module, dataclasses.is_dataclass)
        if inspect.isclass(kind) and kind.__module__ == module.__name__
    }
    assert {name for name, kind in classes.items() if not kind.__dataclass_params__.frozen} == FILLED_IN
