# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring an OVF or OVA to a template that is ready for linked clones, once."""

DOCUMENTATION = r"""
module: cached_ovf_template
short_description: Bring an OVF or OVA to a template that is ready for linked clones, once
version_added: 0.9.0
description:
  - Makes a template of an OVF package, with a delta disk on every disk, so that linked clones
    can be made of it in a second. Where the template is there already, it does nothing, and
    reads no disk to find that out.
  - The template carries the digest of the descriptor and of every disk. The same name with the same
    content is done; the same name with other content is what O(on_mismatch) is for.
  - Any number of runs, on any machines, may ask for the same template at the same time. One uploads
    it and the others wait for that one; where it dies, another takes over. A vCenter folder can
    hold a name only once, and that is all that this needs, no lock file and no other server.
  - Nothing half-sent stays. A failure or a signal aborts the import, whereupon vCenter removes it.
    When all is sent, a lost connection, a busy VM or a late answer is asked again, and a failure
    leaves the VM for the next run, which makes the template of it without sending anything. A
    signal removes it then, too.
  - What a killed run leaves is removed by vCenter with its lease, which the next run on the same
    machine ends where it can, or is finished by the next run.
  - Files of the package that the chosen hardware does not use are verified, and not sent. A file
    that is no disk, and that this vCenter has no place for, is left out with a warning.
  - The package is read where the module runs, which is the controller unless the task is delegated.
options:
  state:
    description:
      - V(absent) removes the template. It is refused while VMs depend on its disks.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the template. A folder can hold a name only once, so each cluster needs a name or a
        folder of its own.
    type: str
    required: true
  source:
    description:
      - The package. A path, or a C(file:), C(http:) or C(https:) address, of an OVA or of an OVF
        descriptor with its disks beside it.
      - An OVA is never unpacked. Whether it is one is seen from its content, not from its name.
      - A user, a password and a query in an address are taken out of it before anything is shown,
        as if they were set by O(source_username), O(source_password) and O(source_query).
      - Required with O(state=present).
    type: str
  source_query:
    description:
      - Query of the address, without its question mark, such as that of a
        presigned address. Shown nowhere.
    type: str
  source_username:
    description:
      - User for the server of an http or https source (basic authentication). Shown nowhere, since
        some servers take a token for it.
    type: str
  source_password:
    description:
      - Password of O(source_username), without which it is refused.
    type: str
  source_headers:
    description:
      - Headers for each request to the server of the source, such as one with a token. They are not
        sent to another server that it redirects to, and shown nowhere.
    type: json
  source_ca_path:
    description:
      - PEM file of the certificate authorities to trust for an https
        source instead of the system's.
    type: path
  source_validate_certs:
    description:
      - Whether the certificate of the server of an https source is verified.
    type: bool
    default: true
  transfer:
    description:
      - V(push) sends the disks from the machine that the module runs on to the ESXi host.
      - V(pull) lets the ESXi host fetch them from the http or https source itself. The host then
        needs to reach the server. Its certificate is verified from here and pinned for the host.
      - vCenter 9.0 and later take no SHA-1 thumbprint of that certificate, but the certificate
        itself. V(pull) from an https source needs pyvmomi 9.0 or later there.
    type: str
    choices: [push, pull]
    default: push
  verify:
    description:
      - When the files are held against the digests of the manifest. What is sent from here is
        always looked at on its way to the host, and a wrong byte aborts the import. V(before) reads
        the files before anything is made in vCenter as well. V(stream) does not.
      - By default V(before) for files of this machine and for O(transfer=pull), and V(stream) for
        addresses, which are then read once.
      - With O(transfer=pull) the digest that the host reports of what it has fetched is compared
        with what was read from here. A host that reports none is an error, V(upload_unverified).
      - V(none) is for O(transfer=pull) alone, and not possible with O(certificate_ca_path).
        It trusts the server of the source for all that O(checksum) does not cover; an
        O(checksum) is enforced all the same.
      - A file that the manifest leaves out is read before in any case, since its digest
        is part of what the template is.
      - Where the template is there already, nothing of this is needed, and no disk
        that is in the manifest is read.
    type: str
    choices: [before, stream, none]
  checksum:
    description:
      - V(auto) remembers the digests of files that the manifest leaves out, and takes a file with
        the same size and time of last change (for addresses the same C(ETag) or C(Last-Modified))
        for the same, as make and rsync do. That serves only to find the template that is there
        already. Before an import the files are read again. V(always) reads them every time.
      - A digest, such as V(sha256:2c26b46b...), is what the source must have. For an OVA this is
        the digest of the whole file, which is read each time. For an OVF package it is that of its
        descriptor. SHA-1, SHA-256, SHA-384 and SHA-512 are understood.
    type: str
    default: auto
  certificate_ca_path:
    description:
      - PEM file of certificate authorities. If set, the package must be signed (a C(.cert) file),
        the signed manifest must name the descriptor and every file by SHA-256, SHA-384 or SHA-512,
        and the signer's certificate must come from one of these authorities, or be one of them.
      - The chain of certificates is verified as RFC 5280 says, with dates, key usage and path
        length. A certificate that says what it is for must be for signing code. One of a web server
        is not. Certificates that are revoked are not looked for.
      - Needs the Python library C(cryptography), 45 or later.
    type: path
  datacenter:
    description:
      - Name or path of the datacenter to look in. Needed where there are several
        and O(folder) is no whole path.
    type: str
  folder:
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - By default the VM folder of the datacenter itself.
    type: str
  cluster:
    description:
      - Name or path of the cluster, or of a host that is in none. Needed where there are several,
        unless O(host) or O(resource_pool) tells.
    type: str
  host:
    description:
      - Name of the ESXi host. By default the one with most free memory, of those that are
        connected, not in maintenance mode, and see the datastore and the networks.
    type: str
  resource_pool:
    description:
      - Name or path of the resource pool. By default the cluster's own.
    type: str
  datastore:
    description:
      - Name of the datastore. By default the one that most of the hosts see, and of
        these the one with most free space.
    type: str
  datastore_cluster:
    description:
      - Name of a datastore cluster, of which the datastore with most free space is taken.
        Not together with O(datastore).
    type: str
  storage_policy:
    description:
      - Name of a storage policy for the VM and its disks. Only datastores that it allows are taken.
    type: str
  networks:
    description:
      - For each network of the descriptor the network of the cluster to connect it to, by its name,
        its inventory path (or the last parts of it) or its moid. A name that several networks have
        is refused, and the choices are listed.
    type: dict
  default_network:
    description:
      - Network of the cluster for those networks of the descriptor that O(networks) does not
        name. Named as in O(networks).
    type: str
  properties:
    description:
      - Values for the properties of the descriptor (vApp properties), by their keys. Shown
        nowhere, since they may hold secrets.
      - What a property takes follows from its type. A boolean is sent as V(True) or
        V(False), as vCenter wants it.
    type: json
  enable_hidden_properties:
    description:
      - Whether O(properties) may set those that the maker of the package does not let users set
        (C(ovf:userConfigurable="false")). Without it they are refused.
    type: bool
    default: false
  deployment_option:
    description:
      - ID of a deployment option of the descriptor. By default the one that
        the descriptor declares as such.
    type: str
  virtual_system:
    description:
      - ID of the VM in the descriptor that the template is made of, where the package is a vApp of
        several VMs. An error names them. A vApp of one VM needs no choice.
      - It is part of what the template is. Two templates of two VMs of one
        package have different digests.
    type: str
  disk_provisioning:
    description:
      - How the disks take space.
    type: str
    choices: [thin, thick, eagerZeroedThick]
    default: thin
  hardware_version:
    description:
      - Hardware version of the template, such as V(vmx-19). By default what
        vCenter makes of the descriptor.
    type: str
  annotation:
    description:
      - Notes of the template. By default those of the descriptor.
    type: str
  on_mismatch:
    description:
      - What to do when a template of other content has the name.
      - V(fail) changes nothing. V(keep_both) makes the new one under the name with the first digits
        of its digest, as in V(web-1a2b3c4d).
      - V(replace) does the same, and then lets the old and the new one exchange their names, so
        that the name always means a whole template. The old one stays, see O(remove_old_versions).
      - Only the content is compared. Other options are not applied to a template that is there.
    type: str
    choices: [fail, replace, keep_both]
    default: fail
  remove_old_versions:
    description:
      - Whether other versions of the template in its folder are removed. One that somebody has renamed, or that VMs
        depend on stays, with a warning.
    type: bool
    default: false
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
      - As many disks are sent at the same time.
    type: int
    default: 8
  takeover_after:
    description:
      - Seconds after which a run that makes the template and gives no sign of life is taken for
        dead. While it uploads, vCenter itself knows whether it lives, and this does not matter. A
        run that has left the template for the next one, or was killed on the same machine, is not
        waited for.
    type: int
    default: 60
  timeout:
    description:
      - Seconds that the task may take, from its beginning. The upload, and waiting
        for other runs, are part of it.
    type: int
    default: 3600
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
requirements:
  - defusedxml >= 0.7.1
  - cryptography >= 45 (with O(certificate_ca_path))
attributes:
  check_mode:
    support: full
    details:
      - Reads and checks the package, finds the place, and asks vCenter
        what it makes of the descriptor.
  diff_mode:
    support: full
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - The user needs the privileges C(VApp.Import) and C(Resource.AssignVMToPool) on the resource
    pool, C(Datastore.AllocateSpace) on the datastore and C(Network.Assign) on the networks. On the
    folder, so that VMs in it inherit them, C(VApp.Import), C(VirtualMachine.Inventory.Create),
    C(VirtualMachine.Inventory.Delete) (an import that fails is removed, as are templates),
    C(VirtualMachine.Config.AdvancedConfig), C(VirtualMachine.Config.AddNewDisk),
    C(VirtualMachine.Config.RemoveDisk) and C(VirtualMachine.Provisioning.MarkAsTemplate); with
    O(on_mismatch=replace) C(VirtualMachine.Config.Rename), with O(storage_policy)
    C(StorageProfile.View). All but the last are asked for before anything is made, in check mode,
    too.
  - ESXi hosts take the disks at their own address, port 443. Their certificates are the ones that
    vCenter names, and no others are accepted, whatever O(validate_certs) says.
seealso:
  - module: vforge.vsphere.cached_ovf_template_info
  - module: vforge.vsphere.linked_clone
  - name: Guide OVF templates
    description: From an OVA to linked clones, what is verified when, and what happens when runs die.
    link: https://github.com/vforge/vforge.vsphere/blob/main/docs/docsite/rst/guide_ovf_templates.rst
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A template of an appliance, uploaded the first time and never again
  vforge.vsphere.cached_ovf_template:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    name: debian-13
    source: /srv/images/debian-13.ova
    datacenter: Berlin
    folder: templates
    cluster: production
    datastore_cluster: fast
    default_network: servers
  register: debian

- name: The same from a web server that asks for a password, as an image that is replaced every week
  vforge.vsphere.cached_ovf_template:
    name: debian-13
    source: https://images.example.com/debian-13/debian-13.ovf
    source_username: builder
    source_password: "{{ images_password }}"
    datacenter: Berlin
    folder: templates
    cluster: production
    networks:
      VM Network: servers
      Storage: storage
    on_mismatch: replace
    remove_old_versions: true

- name: What would be done, and would vCenter take the descriptor?
  vforge.vsphere.cached_ovf_template:
    name: debian-13
    source: /srv/images/debian-13.ova
    cluster: production
    default_network: servers
  check_mode: true
"""

RETURN = r"""
template:
  description: The template.
  returned: success
  type: dict
  contains:
    name:
      description: Its name; with O(on_mismatch=keep_both) possibly that of a version.
      type: str
      sample: debian-13
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
      sample: /Berlin/vm/templates/debian-13
    instance_uuid:
      description: Instance UUID.
      type: str
    digest:
      description: Digest of the package that it was made of.
      type: str
    host:
      description: ESXi host.
      type: str
    cluster:
      description: Cluster.
      type: str
    datastores:
      description: Datastores.
      type: list
      elements: str
    version_of:
      description: The name that was asked for when it was made.
      type: str
    source:
      description: Where it came from.
      type: str
    state:
      description:
        - V(ready). After a failure V(importing) or V(unpublished) for what is left to the next run.
      type: str
    actions:
      description: What this run did to it, as RV(actions).
      type: list
      elements: str
    changed:
      description: Whether this run changed it.
      type: bool
    seconds:
      description: Seconds that vCenter has worked on it after the upload. V(null) where it did not.
      type: float
    error:
      description: Why it could not be made, with C(error_code) and C(msg).
      type: dict
actions:
  description:
    - What this run did, or in check mode would do. Some of V(imported), V(waited)
      (for another run), V(completed) (what another run had left), V(swapped) (the
      names of two versions) and V(removed).
    - After a failure also what was done of a step that did not come to its end. V(import_started)
      where it is not known whether all of it is gone, V(taken_over) and V(delta_disks_added) of
      what another run had left, V(renamed) of the version that was to make room, V(started) where
      vCenter still worked on the removal of another version.
  returned: success
  type: list
  elements: str
  sample: [imported]
digest:
  description: Digest of the package, over its descriptor and every file.
  returned: success with O(state=present)
  type: str
  sample: sha256:99a5ac28d48817dbb03d73a4745bc7c731ec821cdc369045c274d677f0e9f8a6
source:
  description:
    - The package, with C(label), C(size) and the digests of its C(files). If its signature was
      verified, with the name of the C(signer), the SHA-256 of the certificate
      (C(signer_fingerprint)) and the name of the trusted authority that vouches for it
      (C(signer_authority)). Without O(certificate_ca_path) these are empty.
  returned: success with O(state=present)
  type: dict
descriptor_warnings:
  description: What vCenter remarks on the descriptor, in its own words. An error
    has C(descriptor_errors), too.
  returned: success with O(state=present)
  type: list
  elements: str
transfer:
  description:
    - Bytes C(sent) to hosts, bytes C(read) to know digests, and C(seconds) of sending.
    - C(attempts) are those that the file with most took, which is 1 where none was sent again.
  returned: success with O(state=present)
  type: dict
removed_versions:
  description: Paths of the templates that were removed, or in check mode would be.
  returned: success
  type: list
  elements: str
kept_versions:
  description: Old versions that stay since VMs depend on them, with
    C(path), C(moid) and C(used_by).
  returned: success
  type: list
  elements: dict
failures:
  description: What failed, with C(name), C(error_code) and C(msg), the template or an old version.
  returned: success, or a failure after the package was read
  type: list
  elements: dict
timing:
  description: Seconds by phase.
  returned: always
  type: dict
calls:
  description: SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total),
    C(by_method), C(bytes_received) and, of these, C(bytes_by_phase).
  returned: when a connection was tried
  type: dict
error_code:
  description:
    - A stable code for what went wrong, such as V(checksum_mismatch), V(signature_invalid),
      V(signature_missing), V(unsafe_package), V(invalid_package), V(source_unreadable),
      V(source_changed), V(upload_unverified), V(descriptor_refused), V(digest_mismatch),
      V(name_taken), V(upload_failed), V(incomplete_upload), V(no_permission), V(in_use) or
      V(invalid_option).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.model import OvfOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.task import run as run_template


def argument_spec():
    """The options of the module."""
    place = ("datacenter", "folder", "cluster", "host", "resource_pool", "datastore", "datastore_cluster", "storage_policy")
    return {
        **_argspec.connection(),
        **{option: {"type": "str"} for option in place},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "source": {"type": "str"},
        "source_query": {"type": "str", "no_log": True},
        "source_username": {"type": "str", "no_log": True},
        "source_password": {"type": "str", "no_log": True},
        "source_headers": {"type": "json", "no_log": True},
        "source_ca_path": {"type": "path"},
        "source_validate_certs": {"type": "bool", "default": True},
        "transfer": {"type": "str", "choices": ["push", "pull"], "default": "push"},
        "verify": {"type": "str", "choices": ["before", "stream", "none"]},
        "checksum": {"type": "str", "default": "auto"},
        "certificate_ca_path": {"type": "path"},
        "networks": {"type": "dict"},
        "default_network": {"type": "str"},
        "properties": {"type": "json", "no_log": True},
        "enable_hidden_properties": {"type": "bool", "default": False},
        "deployment_option": {"type": "str"},
        "virtual_system": {"type": "str"},
        "disk_provisioning": {"type": "str", "choices": ["thin", "thick", "eagerZeroedThick"], "default": "thin"},
        "hardware_version": {"type": "str"},
        "annotation": {"type": "str"},
        "on_mismatch": {"type": "str", "choices": ["fail", "replace", "keep_both"], "default": "fail"},
        "remove_old_versions": {"type": "bool", "default": False},
        **_argspec.parallel(),
        "takeover_after": {"type": "int", "default": 60},
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {
            "mutually_exclusive": [["datastore", "datastore_cluster"]],
            "required_if": [["state", "present", ["source"]]],
            "required_by": {"source_password": ["source_username"], "source_query": ["source"]},
        },
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), OvfOptions.from_params)
    run(
        module,
        OvfOptions.from_params,
        lambda session, options: run_template(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
