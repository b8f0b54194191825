# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capv_template_references
short_description: Tell which templates Cluster API still refers to
version_added: 0.9.0
description:
  - Looks in Git working trees and in objects of management clusters for what names
    a template, a VSphereMachineTemplate, a VSphereMachine or a VSphereVM, and tells
    which templates nothing refers to.
  - In doubt a template is used. Whatever ends in its name refers to it, and so does a file of a
    tree that has its name or its instance UUID anywhere in its text, such as values of Helm,
    patches and variables of a ClusterClass. A file of such objects that is no YAML is an error.
  - It connects to no vCenter and to no Kubernetes, changes nothing, and does
    all of its work on the controller.
options:
  templates:
    description:
      - The templates, as M(vforge.vsphere.cached_ovf_template_info) returns them. Each has at
        least C(name) and C(instance_uuid).
    type: list
    elements: dict
    required: true
  trees:
    description:
      - Folders with manifests, such as Git working trees. All files C(.yaml), C(.yml) and
        C(.json) below them are read, but not what is in C(.git). Files with templates of Jinja
        or Helm have to be left out by O(ignore).
    type: list
    elements: path
    default: []
  ignore:
    description:
      - Folders and files, by their paths in the trees, that are not read,
        as patterns such as V(charts/*).
    type: list
    elements: str
    default: []
  objects:
    description:
      - Objects of management clusters, as C(kubernetes.core.k8s_info) returns them in C(resources).
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: none
seealso:
  - name: Role vforge.vsphere.capv_node_template
    description: Calls it.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/capv_node_template/README.md
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Which templates are there?
  vforge.vsphere.cached_ovf_template_info:
    folder: /DC0/vm/templates
  register: there

- name: Which of them does no cluster use?
  vforge.vsphere.capv_template_references:
    templates: "{{ there.templates }}"
    trees: [/srv/git/clusters]
  register: asked
"""

RETURN = r"""
used:
  description: The templates that something refers to, with C(name), C(path),
    C(instance_uuid) and C(referred_by).
  returned: success
  type: list
  elements: dict
unused:
  description: The templates that nothing refers to, with C(name), C(path) and C(instance_uuid).
  returned: success
  type: list
  elements: dict
references:
  description:
    - How many references to templates were found, those to templates that are not asked about
      included. With V(0) it is likely that the wrong trees or clusters were looked in.
  returned: success
  type: int
error_code:
  description: A stable code for what went wrong, such as V(invalid_option).
  returned: on failure
  type: str
"""
