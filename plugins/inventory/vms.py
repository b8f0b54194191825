# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs of one vCenter or several as hosts of an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vms
short_description: VMs of vCenters as an inventory
version_added: 0.9.0
author:
  - The vforge.vsphere authors (@vforge)
description:
  - Reads the VMs of one vCenter or several in a number of calls that does not grow with them, some
    pages of long answers apart, and makes a host of each, with its properties as variables.
  - The file has a name that ends in C(vms.yml), C(vms.yaml), C(vmware_vms.yml) or
    C(vmware_vms.yaml). Its options have the names that C(vmware.vmware.vms) gives them, so that the
    line C(plugin) is all that has to be changed in a file of that plugin.
  - VMs that this collection has made come into groups by fleet, by parent and by template, see
    O(group_by_origin).
  - What guests and owners of VMs write, such as names, notes and host names, is never taken for a
    template. A VM whose name could not be a host's, and an address that several VMs report, are
    left out with a warning.
notes:
  - Passwords may be templates, such as a lookup, or encrypted by Ansible Vault.
extends_documentation_fragment:
  - vforge.vsphere.connection
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description: Names this plugin.
    type: str
    required: true
    choices: [vforge.vsphere.vms]
  connection_timeout:
    description:
      - Seconds that one request to the vCenter may take.
  vcenters:
    description:
      - Several vCenters, each with options of its own, such as O(hostname) and O(password). What an
        entry does not set is taken from the options of the file, and then from the environment.
      - Each host then has the variable C(vcenter). A name that two vCenters have is the first
        one's, see O(hostnames).
    type: list
    elements: dict
  properties:
    description:
      - The properties of VirtualMachine that become variables, by their paths in the API, such as
        V(config.hardware.numCPU), or a whole branch, such as V(guest). V(all) is every property,
        which takes long.
      - Options that use a property, such as O(keyed_groups), find it only when it is named here.
      - C(config.guestId), C(summary.runtime.powerState), C(path) and C(moid) are always there. So
        is C(name) for the options of this file; it becomes a variable of the hosts only where it is
        named here, since Ansible warns of variables of this name.
    type: list
    elements: str
    default:
      - config.cpuHotAddEnabled
      - config.cpuHotRemoveEnabled
      - config.instanceUuid
      - config.hardware.numCPU
      - config.template
      - config.name
      - config.uuid
      - guest.hostName
      - guest.ipAddress
      - guest.guestId
      - guest.guestState
      - runtime.maxMemoryUsage
      - customValue
      - summary.runtime.powerState
      - config.guestId
  property_filters:
    description:
      - By property path a pattern, or a list of patterns of which one must fit, as in a shell and
        in either case. VMs that pass all of them are read; nothing but these properties is read of
        the others.
      - This is much cheaper than O(filter_expressions), where it can say what is meant.
    type: dict
    default: {}
  filter_expressions:
    description:
      - Jinja expressions; a VM for which one of them is true is left out.
      - A VM for which one fails, as where it names what the VM does not have, is kept, as with
        other inventory plugins. A warning says for how many that is so; with O(strict) it is an
        error. Write C(default) into an expression for what not every VM has.
    type: list
    elements: str
    default: []
    aliases: [filters]
  search_paths:
    description:
      - Inventory paths of datacenters, folders, clusters, hosts, resource pools or vApps, such as
        V(/DC0/vm/web) or V(/DC0/host/cluster). VMs below them are read, however deep. By default
        all are.
    type: list
    elements: str
    default: []
  hostnames:
    description:
      - Jinja expressions for the name of the host. The first one that comes to a text is taken.
      - Where two VMs come to the same name, the first one by path gets it, and a warning names the
        others; with O(strict) that is an error.
    type: list
    elements: str
    default: [name]
  gather_compute_objects:
    description:
      - Whether hosts get the variables C(cluster) and C(esxi_host), each with C(name) and C(moid).
    type: bool
    default: false
  gather_tags:
    description:
      - Whether hosts get the variables C(tags), names by ID, and C(tags_by_category), for each
        category a list of such pairs. Tags come from the REST API, which wants a session of its
        own, and the Python library requests.
      - It costs three calls, and one more for each tag and each category in
        use, however many VMs there are.
    type: bool
    default: false
  group_by_origin:
    description:
      - Whether the owner marks of this collection are read. A VM that it has made gets the variable
        C(vforge), with C(fleet), C(parent) and C(template) as far as they apply, and is in the
        groups C(vforge_fleet_NAME), C(vforge_fleet_NAME_clones) or C(vforge_fleet_NAME_parents),
        C(vforge_parent_NAME), C(vforge_template_NAME) and C(vforge_template_NAME_DIGEST), of which
        the last has the first digits of the digest of the package.
      - A parent that O(search_paths) or filters leave out is named by its instance UUID, in the
        group and in C(vforge.parent).
    type: bool
    default: true
  group_by_paths:
    description:
      - Whether each folder is a group, as C(DC0), C(DC0_vm) and C(DC0_vm_web), each the child of
        the one before.
    type: bool
    default: false
  group_by_paths_prefix:
    description: What the names of the groups of O(group_by_paths) begin with.
    type: str
    default: ""
  set_ansible_host:
    description:
      - Whether C(ansible_host) is the address that VMware Tools report, where it is one that
        another machine can reach and no other VM reports it too. O(compose) can set another.
    type: bool
    default: true
  sanitize_property_names:
    description: Whether the names of properties are written in snake case, as C(num_cpu).
    type: bool
    default: false
  flatten_nested_properties:
    description:
      - Whether nested properties become variables with dots in their names, as
        C(config.hardware.numCPU).
    type: bool
    default: false
  keyed_groups:
    default:
      - key: config.guestId
        separator: ""
      - key: summary.runtime.powerState
        separator: ""
"""

EXAMPLES = r"""
# Everything in the file web.vms.yml; the vCenter, user and password come from the environment, as AWX's credential sets them.
# See it with: ansible-inventory -i web.vms.yml --graph
---
plugin: vforge.vsphere.vms

# What runs in two folders, in groups by guest OS and by fleet.
---
plugin: vforge.vsphere.vms
hostname: vcenter.example.com
username: reader@vsphere.local
password: "{{ lookup('ansible.builtin.env', 'VCENTER_PASSWORD') }}"
search_paths: [/DC0/vm/web, /DC0/vm/db]
property_filters:
  runtime.powerState: poweredOn
  config.template: "false"
properties: [config.hardware.numCPU, config.hardware.memoryMB, guest.guestFamily]
keyed_groups:
  - key: guest.guestFamily
    prefix: os
compose:
  ansible_user: "'root'"

# Two vCenters, by cluster.
---
plugin: vforge.vsphere.vms
username: reader@vsphere.local
vcenters:
  - hostname: vcenter-a.example.com
  - hostname: vcenter-b.example.com
    ca_path: /etc/ssl/certs/vcenter-b.pem
gather_compute_objects: true
keyed_groups:
  - key: cluster.name
    prefix: cluster
"""

import collections
import contextlib
import difflib
import gc
import typing as t

import jinja2
from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec, _secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.names import listing
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import require
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.rest import RestSession
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._inventory import model
from ansible_collections.vforge.vsphere.plugins.module_utils._inventory.read import (
    check_properties,
    every_property,
    read_machines,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._text import one_line, plain
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.tags import read_tags
from ansible_collections.vforge.vsphere.plugins.plugin_utils import host_names
from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed_texts
from ansible_collections.vforge.vsphere.plugins.plugin_utils.untrusted import untrusted

_ENDINGS = ("vms.yml", "vms.yaml")

# Always read, since groups and names are made of them by default.
_ALWAYS = ("config.guestId", "summary.runtime.powerState")

# Options that decide what is read: a cache that was filled with others is not used.
_OF_READING = ("properties", "property_filters", "search_paths", "gather_compute_objects", "gather_tags", "group_by_origin")


@contextlib.contextmanager
def _without_collector() -> t.Iterator[None]:
    """Let no garbage collector run: thousands of VMs are millions of values, which it would look
    through again and again, and none of them is in a circle. It saves a tenth of the processor
    time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _failure(text: str) -> AnsibleParserError:
    """An error whose text may hold what guests and owners of VMs write."""
    return AnsibleParserError(one_line(text))


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The plugin, as Ansible finds it."""

    NAME = "vforge.vsphere.vms"

    def verify_file(self, path: str) -> bool:
        """Whether a file is one for this plugin, by its name."""
        return bool(super().verify_file(path)) and path.endswith(_ENDINGS)

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Fill the inventory with what a file asks for."""
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        self._check(config, path)
        try:
            with _without_collector():
                self._fill(config, path, cache)
        except VforgeError as error:
            hint = f" {error.hint}" if error.hint else ""
            raise _failure(f"{path}: {error.message}{hint} [{error.error_code}]") from None

    def warn(self, text: str) -> None:
        """Warn of something, which may hold what guests and owners of VMs write."""
        self.display.warning(one_line(text))

    def _compose(self, template: t.Any, variables: dict[str, t.Any], *more: t.Any, **others: t.Any) -> t.Any:
        """As Ansible does it. The commonest expressions, which only name a property, need no Jinja:
        with thousands of VMs compiling them is most of what an inventory costs."""
        if not self.get_option("use_extra_vars"):
            found = model.named(variables, template)
            if found is not None:
                return found
        return super()._compose(template, variables, *more, **others)

    def _check(self, config: dict[str, t.Any], path: str) -> None:
        """Refuse what would quietly be ignored, and so list VMs that nobody asked for.

        :raises AnsibleParserError: for an option that there is not, or
            a filter that is no expression.
        """
        known = {"plugin", *self._options}
        described = constants.config.get_configuration_definitions(self.plugin_type, self._load_name)
        known |= {alias for option in described.values() for alias in option.get("aliases", ())}
        for name in config:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=3)
                hint = f" Nearest names: {', '.join(near)}." if near else ""
                raise AnsibleParserError(f"{path}: there is no option {name}.{hint}")
        for name, value in config.items():
            if isinstance(value, list) and None in value:
                which = f"item {value.index(None) + 1} of {name}"
                raise AnsibleParserError(f"{path}: {which} is null. Give it a value, or take it out.")
        for expression in self.get_option("filter_expressions"):
            try:
                jinja2.Environment(autoescape=False).parse(f"{{{{ {expression} }}}}")  # noqa: S701 (nothing is rendered)
            except jinja2.TemplateSyntaxError as error:
                raise AnsibleParserError(f"{path}: filter_expressions: {expression!r} is no expression: {error}") from None

    def _fill(self, config: dict[str, t.Any], path: str, cache: bool) -> None:
        vcenters = self._vcenters(config, path)
        asked = {name: self.get_option(name) for name in _OF_READING}
        asked["vcenters"] = [vcenter.cache_key() for vcenter in vcenters]
        # Ansible sets ``cache`` to False to have it filled again.
        kept = self._kept(path) if cache else {}
        if kept.get("asked") == asked:
            found = [(where, model.Machine(**fields)) for where, fields in kept["vms"]]
        else:
            found = [(vcenter.hostname, vm) for vcenter in vcenters for vm in self._read(vcenter)]
            if self.get_option("cache"):
                fields = [(where, dict(vars(machine))) for where, machine in found]
                self._cache[self.get_cache_key(path)] = {"asked": asked, "vms": fields}
        _Hosts(self, several=len(vcenters) > 1).add(found)

    def _kept(self, path: str) -> dict[str, t.Any]:
        if not self.get_option("cache"):
            return {}
        try:
            kept: dict[str, t.Any] = self._cache[self.get_cache_key(path)]
        except KeyError:
            return {}
        return kept

    def _vcenters(self, config: dict[str, t.Any], path: str) -> list[ConnectionOptions]:
        """The vCenters that a file names."""
        spec = _argspec.connection()
        known = {alias: name for name, option in spec.items() for alias in (name, *option.get("aliases", ()))}
        own = {known[name]: value for name, value in config.items() if name in known}
        entries = self.get_option("vcenters")
        found = []
        for entry in entries if entries is not None else [{}]:
            if not isinstance(entry, dict) or set(entry) - set(known):
                raise AnsibleParserError(
                    f"{path}: an entry of vcenters is no mapping of options of a connection, which are {', '.join(spec)}."
                )
            given = {**own, **{known[name]: value for name, value in entry.items()}}
            given = {name: self.templar.template(value) for name, value in given.items()}
            # Sealed, or ansible-core 2.22 would look for a password that is a word in all that the run still shows.
            checked = ArgumentSpecValidator(spec, **_argspec.connection_rules()).validate(sealed_texts(given))
            if checked.error_messages:
                raise AnsibleParserError(f"{path}: {'; '.join(checked.error_messages)}")
            found.append(ConnectionOptions.from_params(_secrets.unsealed(checked.validated_parameters)))
        if not found:
            raise AnsibleParserError(f"{path}: vcenters is empty. Leave it out, or name a vCenter.")
        return found

    def _read(self, vcenter: ConnectionOptions) -> list[model.Machine]:
        require()
        properties = self.get_option("properties")
        params = {name: self.get_option(name) for name in _OF_READING}
        params["properties"] = [*(every_property() if "all" in properties else properties), *_ALWAYS]
        if vcenter.doubt:
            self.warn(vcenter.doubt)
        options = model.options_from(params)
        check_properties(options)
        with Session(vcenter, self.warn) as session:
            machines = read_machines(session, options)
        if self.get_option("gather_tags"):
            with RestSession(vcenter, self.warn) as rest:
                tags = read_tags(rest)
            for machine in machines:
                machine.values.update(tags.get(machine.moid) or {"tags": {}, "tags_by_category": {}})
        return machines


class _Hosts:
    """Makes hosts of VMs.

    :param several: whether there are several vCenters.
    """

    def __init__(self, plugin: InventoryModule, *, several: bool) -> None:
        self._plugin = plugin
        self._several = several
        self._strict = plugin.get_option("strict")
        self._options = {
            name: plugin.get_option(name)
            for name in (
                "compose",
                "filter_expressions",
                "flatten_nested_properties",
                "group_by_paths",
                "group_by_paths_prefix",
                "groups",
                "hostnames",
                "keyed_groups",
                "sanitize_property_names",
                "set_ansible_host",
            )
        }
        self._refused: dict[str, list[str]] = {}
        # By expression: why it fails for the first VM, and the paths of all for which it does.
        self._unfiltered: dict[str, tuple[str, list[str]]] = {}

    def add(self, found: list[tuple[str, model.Machine]]) -> None:
        """Add them all; what was left out is said in a few warnings, however many there are."""
        reporters = collections.Counter(vm.address for _where, vm in found)
        names: set[str] = set()
        for where, machine in found:
            variables = self._variables(where, machine)
            if self._is_filtered(machine, variables):
                continue
            name = self._name(machine, variables)
            why = self._objection(name, names)
            if why:
                self._refuse(f"no hosts of the inventory are made of them, since {why}", machine)
                continue
            names.add(name)
            self._add(name, machine, variables)
            if self._options["set_ansible_host"] and machine.address:
                if reporters[machine.address] == 1:
                    self._plugin.inventory.set_variable(name, "ansible_host", machine.address)
                else:
                    self._refuse(f"ansible_host is not set, since each of them reports {machine.address}", machine)
            self._construct(name, variables)
        for why, paths in self._refused.items():
            self._plugin.warn(f"{len(paths)} VMs: {why}: {listing(sorted(paths))}.")
        for expression, (why, paths) in self._unfiltered.items():
            self._plugin.warn(
                f"filter_expressions: {expression!r} fails for {len(paths)} VMs, which are kept: "
                f"{listing(sorted(paths))}. {why}"
            )

    def _objection(self, name: str, names: set[str]) -> str:
        """Why VMs of a name are no hosts; or empty.

        :param names: of the hosts that there are already.
        """
        if not name:
            return f"of hostnames none comes to a text ({listing(self._options['hostnames'])})"
        why = "is that of another VM" if name in names else host_names.objection(name)
        return f"the name of each {why}" if why else ""

    def _variables(self, where: str, machine: model.Machine) -> dict[str, t.Any]:
        values = machine.values
        if self._options["sanitize_property_names"]:
            values = model.in_snake_case(values)
        if self._options["flatten_nested_properties"]:
            values = model.flat(values)
        more = {"vcenter": where} if self._several else {}
        return untrusted({"name": machine.name, **values, **more})

    def _add(self, name: str, machine: model.Machine, variables: dict[str, t.Any]) -> None:
        inventory = self._plugin.inventory
        inventory.add_host(name)
        host = inventory.get_host(name)
        for variable, value in variables.items():
            if variable != "name" or "name" in machine.values:
                host.set_variable(variable, value)
        chains = list(model.groups_of(machine.values.get(model.ORIGIN) or {}))
        if self._options["group_by_paths"]:
            chains.append(model.path_groups(machine.path, self._options["group_by_paths_prefix"]))
        for chain in chains:
            above = None
            for each in chain:
                group = inventory.add_group(self._plugin._sanitize_group_name(each))
                if above:
                    inventory.add_child(above, group)
                above = group
            if above:
                inventory.add_host(name, above)

    def _construct(self, name: str, variables: dict[str, t.Any]) -> None:
        """Variables and groups that the file composes; groups may use composed variables."""
        plugin, options = self._plugin, self._options
        if options["compose"]:
            plugin._set_composite_vars(options["compose"], variables, name, strict=self._strict)
            variables = {**variables, **plugin.inventory.get_host(name).vars}
        plugin._add_host_to_composed_groups(options["groups"], variables, name, strict=self._strict, fetch_hostvars=False)
        plugin._add_host_to_keyed_groups(options["keyed_groups"], variables, name, strict=self._strict, fetch_hostvars=False)

    def _is_filtered(self, machine: model.Machine, variables: dict[str, t.Any]) -> bool:
        for expression in self._options["filter_expressions"]:
            try:
                if self._plugin._compose(expression, variables):
                    return True
            except Exception as error:
                if self._strict:
                    raise _failure(f"filter_expressions: {expression!r} fails for {machine.path}: {error}") from error
                _why, paths = self._unfiltered.setdefault(expression, (str(error), []))
                paths.append(machine.path)
        return False

    def _name(self, machine: model.Machine, variables: dict[str, t.Any]) -> str:
        for expression in self._options["hostnames"]:
            try:
                name = self._plugin._compose(expression, variables)
            except Exception as error:
                if self._strict:
                    raise _failure(f"hostnames: {expression!r} fails for {machine.path}: {error}") from error
                continue
            if name:
                # Without the mark of a text that is no template, of up to ansible-core 2.18. A host's name has no need
                # of it, since none with braces is taken; and `ansible-inventory --list`, which AWX reads, would print a
                # mapping where it has to print a name.
                return plain(name)
        return ""

    def _refuse(self, why: str, machine: model.Machine) -> None:
        if self._strict:
            raise _failure(f"{machine.path}: {why}. Without strict it is left out.")
        self._refused.setdefault(why, []).append(machine.path)
