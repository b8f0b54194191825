# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML reader for descriptors, imported in one place, so that its absence is one clear sentence."""

from __future__ import annotations

import sys
import typing as t

from .._errors import MissingLibrary
from .errors import PackageError

try:
    from defusedxml import DefusedXmlException, ElementTree
except ImportError:
    ElementTree = None  # type: ignore[assignment]


def require() -> None:
    """Make sure that defusedxml is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    if ElementTree is None:
        raise MissingLibrary(
            f"The Python library defusedxml, which reads OVF descriptors, is missing. The module runs with {sys.executable}.",
            hint="Install it (pip install defusedxml), or set ansible_python_interpreter to a Python that has it.",
        )


def parse(text: bytes, what: str) -> t.Any:
    """The root element of a document from elsewhere: no document type, no entities, nothing fetched.

    :param what: names the document in messages.
    :raises PackageError: ``unsafe_package``, ``invalid_package``.
    """
    require()
    try:
        return ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise PackageError(
            "unsafe_package",
            f"{what} defines a document type or entities ({type(error).__name__}), which no OVF descriptor needs.",
            hint="Do not trust where it comes from.",
        ) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise PackageError("invalid_package", f"{what} is no well-formed XML: {error}.") from error
