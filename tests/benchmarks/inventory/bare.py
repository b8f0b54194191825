# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The yardstick for the inventory: one traversal by pyVmomi, a host of each VM, and nothing else.

No option, no check, no filter, no cache, no path, no owner mark, no second session. It is what an inventory of these
properties costs at the least: the answers of the server, and Ansible's own adding and writing of hosts.
"""

from __future__ import annotations

import os
import ssl

from ansible.plugins.inventory import BaseInventoryPlugin
from pyVmomi import SoapStubAdapter, VmomiSupport, vim, vmodl

DOCUMENTATION = """
name: bare
short_description: The yardstick of the benchmark
description: Reads the default properties of vforge.vsphere.vms.
options: {}
"""

Collector = vmodl.query.PropertyCollector

# The default of the option properties of vforge.vsphere.vms.
PROPERTIES = [
    "name",
    "config.cpuHotAddEnabled",
    "config.cpuHotRemoveEnabled",
    "config.instanceUuid",
    "config.hardware.numCPU",
    "config.template",
    "config.name",
    "config.uuid",
    "guest.hostName",
    "guest.ipAddress",
    "guest.guestId",
    "guest.guestState",
    "runtime.maxMemoryUsage",
    "customValue",
    "summary.runtime.powerState",
    "config.guestId",
]


class InventoryModule(BaseInventoryPlugin):
    """The plugin, as Ansible finds it."""

    NAME = "bare"

    def verify_file(self, path):
        """Whether a file is one for this plugin."""
        return path.endswith("bare.yml")

    def parse(self, inventory, loader, path, cache=True):
        """Make a host of each VM, in groups by guest OS and by state."""
        super().parse(inventory, loader, path, cache)
        for values in machines():
            name = values.pop("name")
            inventory.add_host(name)
            variables = {}
            for property_path, value in values.items():
                put(variables, property_path.split("."), value)
            if values.get("guest.ipAddress"):
                variables["ansible_host"] = values["guest.ipAddress"]
            host = inventory.get_host(name)
            for variable, value in variables.items():
                host.set_variable(variable, value)
            for group in (values.get("config.guestId"), values.get("summary.runtime.powerState")):
                if group:
                    inventory.add_host(name, inventory.add_group(self._sanitize_group_name(group)))


def put(variables, parts, value):
    """Put a value into mappings within each other."""
    for part in parts[:-1]:
        variables = variables.setdefault(part, {})
    variables[parts[-1]] = value


def machines():
    """The properties of each VM, page by page."""
    trust = ssl.create_default_context(cafile=os.environ["VMWARE_CA_PATH"])
    host, port = os.environ["VMWARE_HOST"], int(os.environ["VMWARE_PORT"])
    stub = SoapStubAdapter(host, port, "vim25/8.0.3.0", path="/sdk", sslContext=trust)
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    content.sessionManager.Login(os.environ["VMWARE_USER"], os.environ["VMWARE_PASSWORD"], None)
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    route = Collector.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
    what = Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=view, skip=True, selectSet=[route])],
        propSet=[Collector.PropertySpec(type=vim.VirtualMachine, pathSet=PROPERTIES)],
    )
    page = content.propertyCollector.RetrievePropertiesEx([what], Collector.RetrieveOptions(maxObjects=2500))
    while page is not None:
        for found in page.objects:
            yield {each.name: plain(each.val) for each in found.propSet}
        page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    content.sessionManager.Logout()
    stub.DropConnections()


def plain(value):
    """What JSON can hold, of the kinds that these properties have."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, VmomiSupport.DataObject):
        return {info.name: plain(getattr(value, info.name)) for info in value._GetPropertyList()}
    if value is None or type(value) in (str, bool):
        return value
    return int(value) if isinstance(value, int) else str(value)
