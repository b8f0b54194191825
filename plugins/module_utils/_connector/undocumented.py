# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Teach pyVmomi methods that vCenter has and that no SDK describes.

pyVmomi can declare a managed object type at run time, but a second declaration of one silently
takes the place of the first, and of all of its methods. So a method is added to the class that
there is, as pyVmomi itself puts its own there.
"""

from __future__ import annotations

import dataclasses
import threading
import typing as t

from .pyvmomi import VmomiSupport

_ADDING = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Property:
    """A property of a data object, or a parameter of a method.

    :ivar kind: pyVmomi's name of its type, such as ``vim.vm.RelocateSpec``.
    """

    name: str
    kind: str
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Method:
    """A method that starts a task.

    :ivar name: on the wire, ending with ``_Task``.
    :ivar version: of the API that has it first, as pyVmomi names it (``vim.version.version10`` is
        6.0).
    """

    name: str
    version: str
    parameters: tuple[Property, ...] = ()


def add_data_type(name: str, wire_name: str, version: str, properties: t.Sequence[Property]) -> type:
    """The class of a data object that pyVmomi does not know, made with the first call.

    :param name: pyVmomi's (``vim.vm.CreateChildSpec``); ``wire_name`` is that in XML.
    :param properties: in the order in which they are sent.
    """
    with _ADDING:
        try:
            return t.cast(type, VmomiSupport.GetVmodlType(name))
        except KeyError:
            described = [_described(item, version) for item in properties]
            made = VmomiSupport.CreateAndLoadDataType(name, wire_name, "vmodl.DynamicData", version, described)
            return t.cast(type, made)


def add_methods(kind: t.Any, methods: t.Sequence[Method]) -> None:
    """Give a class of managed objects the methods that it does not have yet.

    It stays the class that it is.

    :param kind: such as ``vim.VirtualMachine``.
    """
    with _ADDING, VmomiSupport._lazyLock:
        for method in methods:
            if method.name not in kind._methodInfo:
                _add(kind, method)


def _add(kind: t.Any, method: Method) -> None:
    info = VmomiSupport.LazyObject(
        name=method.name,
        typeName=kind.__name__,
        wsdlName=method.name,
        version=method.version,
        params=tuple(_parameter(item, method.version) for item in method.parameters),
        isTask=True,
        resultFlags=0,
        resultName="vim.Task",
        methodResultName="vim.Task",
        privId=None,
        faults=[],
    )
    managed = VmomiSupport.ManagedMethod(info)
    known = VmomiSupport._SetWsdlMethod(VmomiSupport.GetInternedWsdlNamespace(method.version), method.name, managed)
    # Another part of this process may have declared it for a class of its own; what is there is
    # left as it is.
    setattr(kind, method.name, known if isinstance(known, VmomiSupport.ManagedMethod) else managed)
    kind._methodInfo[method.name] = info


def _described(item: Property, version: str) -> tuple[str, str, str, int]:
    return (item.name, item.kind, version, VmomiSupport.F_OPTIONAL if item.optional else 0)


def _parameter(item: Property, version: str) -> t.Any:
    flags = VmomiSupport.F_OPTIONAL if item.optional else 0
    return VmomiSupport.LazyObject(name=item.name, typeName=item.kind, version=version, flags=flags, privId=None)
