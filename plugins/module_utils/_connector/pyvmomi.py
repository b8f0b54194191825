# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi, imported in one place, so that its absence is one clear sentence.

Without it the names here are placeholders: modules can then still be imported, documented and
checked, and ``require`` says what is missing before anything is done.
"""

from __future__ import annotations

import typing as t

from .._errors import MissingLibrary


class _PlaceholderType(type):
    def __getattr__(cls, name: str) -> t.Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _PlaceholderType(name, (), {})


def _placeholder(name: str) -> t.Any:
    return _PlaceholderType(name, (), {})


_NAMES = ("SoapAdapter", "SoapStubAdapter", "VmomiSupport", "pbm", "vim", "vmodl", "vslm")
_WHY_MISSING = ""
_library: t.Any = None

try:
    import pyVmomi as _library  # noqa: N813
except Exception as _error:  # noqa: BLE001 (on a Python that it does not support, pyVmomi raises a bare Exception)
    _WHY_MISSING = f"The Python library pyvmomi cannot be imported ({_error})."
else:
    # Sessions that other processes can go on with need it; the releases before 8.0.3.0.1 do not
    # have it.
    if not hasattr(_library.SoapStubAdapter, "SetSessionId"):
        _WHY_MISSING = "The Python library pyvmomi is older than 8.0.3.0.1."

SoapAdapter, SoapStubAdapter, VmomiSupport, pbm, vim, vmodl, vslm = (
    _placeholder(name) if _WHY_MISSING else getattr(_library, name) for name in _NAMES
)


def require() -> None:
    """Make sure that pyVmomi is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    if _WHY_MISSING:
        raise MissingLibrary.of_python(_WHY_MISSING, "pyvmomi>=8.0.3.0.1")
