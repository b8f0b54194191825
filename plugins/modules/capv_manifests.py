# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capv_manifests
short_description: Write a workload cluster of Cluster API Provider vSphere
  into a Git working tree, for Argo CD
version_added: 0.9.0
description:
  - Writes all that makes a Kubernetes cluster of Cluster API Provider vSphere (CAPV) and
    that registers it with Argo CD as manifests into a Git working tree. Argo CD of the
    management cluster applies them.
  - The same options write the same bytes. A second run changes nothing.
  - All files are written, or none. It makes no commit.
  - Files say in their first lines which cluster they are of, and what their content was. What
    somebody has edited is refused, see O(on_edited), and what others put beside them stays.
  - It connects to no vCenter and to no Kubernetes, and does all of its work on the controller.
options:
  state:
    description:
      - V(absent) removes the files of the cluster, all in one change. Sync waves have Argo CD
        remove what they have made in the safe order. It is refused while Applications of others
        in the tree go into the cluster, and while others have files in its folder below C(app),
        since Argo CD would remove what it has made of these, too.
    type: str
    choices: [present, absent]
    default: present
  path:
    description:
      - The Git working tree, or a folder in one.
      - It has C(capi-cluster/), C(management/) and C(app/), each with a folder for each cluster.
        C(management/management-app.yaml) is the Application to apply by hand once. It is written
        where it is missing, and left as it is from then on.
    type: path
    required: true
  name:
    description:
      - Name of the workload cluster. It is the name in Argo CD, too.
    type: str
    required: true
  namespace:
    description: Namespace of its objects in the management cluster.
    type: str
    default: default
  kubernetes_version:
    description:
      - Version of Kubernetes, such as V(v1.34.2). The template has to be made for it.
      - Required with O(state=present).
    type: str
  cluster_api_version:
    description: Version of the API of Cluster API that the management cluster serves.
    type: str
    choices: [v1beta1, v1beta2]
    default: v1beta2
  infrastructure_version:
    description:
      - Version of the API of CAPV that the management cluster serves.
        V(v1beta2) came with CAPV 1.16.
    type: str
    choices: [v1beta1, v1beta2]
    default: v1beta1
  vcenter:
    description:
      - The vCenter that CAPV makes machines in. Required with O(state=present).
    type: dict
    suboptions:
      server:
        description: Its name or address, with a port where that is not 443, such as V(vcenter.example.com:8443).
          The chart of the cloud provider reaches port 443 alone.
        type: str
        required: true
      datacenter:
        description: Name or path of the datacenter.
        type: str
        required: true
      thumbprint:
        description:
          - SHA-1 thumbprint of its certificate. It is what CAPV, the cloud provider and CSI
            compare; they know no other way to verify it.
        type: str
      insecure:
        description:
          - Has CAPV, the cloud provider and CSI verify nothing. Without it a missing thumbprint is
            refused, since CAPV takes one for this.
        type: bool
        default: false
  machines:
    description:
      - What machines have. O(control_plane) and each of O(workers) can have values of their own.
    type: dict
    suboptions: &machines
      template:
        description: Name or path of the template.
        type: str
      clone_mode:
        description:
          - How it is cloned. CAPV takes V(linkedClone) by default, and makes full clones without
            saying so where the template has no snapshot.
        type: str
        choices: [linkedClone, fullClone]
      snapshot:
        description: Snapshot of the template for linked clones. By default its current one.
        type: str
      cpus:
        description: Number of virtual CPUs, at least 2. By default 2.
        type: int
      cores_per_socket:
        description: Number of cores of each socket.
        type: int
      memory_mib:
        description: Memory in MiB. By default 8192.
        type: int
      disk_gib:
        description: Size of the first disk in GiB. For full clones alone; CAPV does
          nothing with it for linked ones.
        type: int
      hardware_version:
        description: Hardware version to upgrade clones to, such as V(vmx-19).
        type: str
      datastore:
        description: Name or path of the datastore.
        type: str
      storage_policy:
        description: Name of the storage policy.
        type: str
      folder:
        description: VM folder, by its name or path.
        type: str
      resource_pool:
        description: Resource pool, by its name or path.
        type: str
      networks:
        description: The network cards.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name or path of the network.
            type: str
            required: true
          dhcp4:
            description: Whether DHCP gives an IPv4 address. By default
              so where nothing else gives one.
            type: bool
          dhcp6:
            description: Whether DHCP gives an IPv6 address.
            type: bool
          nameservers:
            description: Addresses of DNS servers.
            type: list
            elements: str
          search_domains:
            description: DNS domains to search.
            type: list
            elements: str
          mtu:
            description: Largest size of a packet.
            type: int
          address_pools:
            description: Pools of Cluster API's IPAM that give addresses.
            type: list
            elements: dict
            suboptions:
              api_group:
                description: API group of the pool.
                type: str
                default: ipam.cluster.x-k8s.io
              kind:
                description: Kind of the pool.
                type: str
                default: InClusterIPPool
              name:
                description: Name of the pool.
                type: str
                required: true
  control_plane:
    description:
      - The nodes of the control plane. What is not set here is as O(machines) says.
    type: dict
    default: {}
    suboptions:
      replicas:
        description: How many there are; an odd number, since etcd runs on them. By default 1.
        type: int
      <<: *machines
  workers:
    description:
      - Pools of worker nodes. What is not set here is as O(machines) says.
      - A pool of other machines gets templates of other names, since CAPV's are immutable. So its
        nodes are replaced, a few at a time.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Name of the pool. With the name of the cluster it is the name of a MachineDeployment,
            which no other cluster of the tree may have in this namespace.
        type: str
        required: true
      replicas:
        description: How many nodes it has. Without it the number is not in Git, so
          that an autoscaler can set it.
        type: int
      failure_domain:
        description: Failure domain of its machines, a VSphereDeploymentZone.
        type: str
      <<: *machines
  endpoint:
    description: Where the API server of the workload cluster answers.
      Required with O(state=present).
    type: dict
    suboptions:
      host:
        description: Its address, or its name with O(endpoint.load_balancer=external).
        type: str
        required: true
      port:
        description: Its port.
        type: int
        default: 6443
      load_balancer:
        description:
          - V(kube_vip) runs kube-vip on the nodes of the control plane, which moves the address
            among them. With V(external) the address is one that you provide.
        type: str
        choices: [kube_vip, external]
        default: kube_vip
      interface:
        description: Network interface for kube-vip. By default it finds it.
        type: str
      image:
        description: Container image of kube-vip.
        type: str
        default: ghcr.io/kube-vip/kube-vip:v0.6.4
  pod_cidrs:
    description: Networks of pods. The CNI has to have the same. An empty list leaves them to the CNI.
    type: list
    elements: str
    default: [192.168.0.0/16]
  service_cidrs:
    description: Networks of services. By default kubeadm's.
    type: list
    elements: str
    default: []
  service_domain:
    description: DNS domain of services. By default kubeadm's.
    type: str
    default: ""
  ssh_user:
    description: User of the nodes that O(ssh_keys) may log in as. It may become root.
    type: str
    default: capv
  ssh_keys:
    description: Public SSH keys. Without one there is no such user.
    type: list
    elements: str
    default: []
  argocd:
    description: Argo CD of the management cluster. Required with O(state=present).
    type: dict
    suboptions:
      repo_url:
        description: Address of the repository, as Argo CD reads it. One
          with a password in it is refused.
        type: str
        required: true
      revision:
        description: Branch, tag or commit that it follows.
        type: str
        default: HEAD
      namespace:
        description: Namespace of Argo CD.
        type: str
        default: argocd
      project:
        description: Its project.
        type: str
        default: default
  addons:
    description:
      - What Argo CD brings into the workload cluster, each as an Application of its own, in the
        order network, cloud provider, storage.
    type: dict
    suboptions:
      cni:
        description: The network of pods. By default Calico's operator.
        type: dict
        suboptions: &addon
          revision:
            description: Version of the chart, or branch, tag or commit.
            type: str
            required: true
          repo_url:
            description: Repository. By default that of the makers.
            type: str
          chart:
            description: Name of a Helm chart.
            type: str
          path:
            description: Folder of a Git repository.
            type: str
          namespace:
            description: Namespace in the workload cluster.
            type: str
          values:
            description: Values for the chart. No secrets, since they are in Git.
            type: dict
      cloud_provider:
        description:
          - The vSphere cloud provider, without which nodes stay uninitialized. By default its
            chart, which is given the vCenter.
        type: dict
        suboptions: *addon
      csi:
        description: The vSphere CSI driver. By default its manifests for vanilla Kubernetes.
        type: dict
        suboptions: *addon
  credentials:
    description:
      - How the user and the password of the vCenter come to the management cluster. They
        are never written as they are.
      - Required with O(state=present).
    type: dict
    suboptions:
      method:
        description:
          - With V(sealed) O(credentials.command) makes of each Secret what may be in Git.
            With V(referenced) nothing is written, and you see to the Secrets that the guide
            names, such as by External Secrets.
        type: str
        choices: [sealed, referenced]
        default: sealed
      command:
        description:
          - Command and its arguments, such as C([kubeseal, --format, yaml, --cert, /etc/seal.pem]).
            It is given one Secret in YAML on its standard input, and prints one manifest. Output
            that holds the secret as it is, or in base64, is refused.
        type: list
        elements: str
      username:
        description: User of the vCenter.
        type: str
      password:
        description: Password of the user. Shown nowhere.
        type: str
      revision:
        description:
          - What you change with the user or the password, so that they are sealed again. Nothing in
            Git could tell otherwise, since the same Secret is never sealed to the same text, and a
            digest of a password would give it away.
        type: str
        default: "1"
  registration:
    description:
      - How Argo CD logs in to the workload cluster. A Secret of Argo CD is sealed of it, as of
        O(credentials). Where it is another login than before, such as since kubeadm has rotated the
        certificate, it is sealed again.
      - Without it the Secret of an earlier run stays. Before the cluster is up there is none.
    type: dict
    suboptions:
      ca:
        description: Certificate of the cluster's certificate authority, in PEM.
        type: str
        required: true
      client_certificate:
        description: Client certificate in PEM.
        type: str
      client_key:
        description: Key of the client certificate in PEM. Shown nowhere.
        type: str
      token:
        description: Token of a service account, in place of a client certificate. Shown nowhere.
        type: str
  on_edited:
    description:
      - What to do about a file that somebody has edited, or that no run has
        written. V(fail) changes nothing and names it. V(overwrite) writes it. A
        file of another cluster is always refused.
    type: str
    choices: [fail, overwrite]
    default: fail
  timeout:
    description: Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: full
    details:
      - Of a sealed Secret it says only that it is sealed again.
notes:
  - Needs git on the controller.
  - In check mode nothing is sealed. It is only made sure that the command is there.
  - What is written is held against the schemas of cluster-api 1.14.2, of
    cluster-api-provider-vsphere (main branch of August 2026, which serves both versions) and of
    Argo CD 3.6.1, and a real API server takes it in a strict dry run. Controllers of Cluster API
    1.14.2 and CAPV 1.14.0 have made machines of it on the simulated vCenter, and Argo CD 3.6.1 has taken it from Git.
  - Needs Argo CD 3.2 or later, whose Applications can retry with the newest commit.
seealso:
  - name: Role vforge.vsphere.capv_cluster
    description: Calls it.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/capv_cluster/README.md
  - name: Guide Kubernetes nodes
    description: From a node OVA to clusters that Argo CD keeps.
    link: https://github.com/vforge/vforge.vsphere/blob/main/docs/docsite/rst/guide_cluster_api.rst
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A cluster of one control plane node and three workers
  vforge.vsphere.capv_manifests:
    path: /srv/git/clusters
    name: prod
    kubernetes_version: v1.34.2
    vcenter:
      server: vcenter.example.com
      datacenter: Berlin
      thumbprint: "{{ vcenter_sha1 }}"
    machines:
      template: ubuntu-2404-kube-v1.34.2
      datastore: fast
      folder: kubernetes
      resource_pool: kubernetes
      networks: [{name: nodes}]
    control_plane: {replicas: 3}
    workers:
      - {name: md-0, replicas: 3, memory_mib: 16384}
    endpoint: {host: 10.0.50.40}
    argocd: {repo_url: "git@git.example.com:platform/clusters.git"}
    addons:
      cni: {revision: v3.30.3}
      cloud_provider: {revision: 1.34.0}
      csi: {revision: v3.5.0}
    credentials:
      command: [kubeseal, --format, yaml, --cert, /etc/kubeseal/management.pem]
      username: capv@vsphere.local
      password: "{{ capv_password }}"

- name: Remove it
  vforge.vsphere.capv_manifests:
    state: absent
    path: /srv/git/clusters
    name: prod
"""

RETURN = r"""
path:
  description: The folder in which files were written.
  returned: success
  type: str
files:
  description: The files that are not as they were, by their paths in the tree.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path in the tree.
      type: str
      sample: capi-cluster/prod/cluster.yaml
    action:
      description: V(created), V(updated) or V(removed).
      type: str
uncommitted:
  description:
    - Files that this run and earlier ones have written or removed for the cluster, and that no
      commit has, by their paths in the tree. Files that somebody has edited since are not among
      them. In check mode, those of earlier runs.
  returned: success
  type: list
  elements: str
registration:
  description:
    - V(written) where O(registration) is given, V(kept) where the Secret of an earlier run stays,
      V(pending) where there is none yet, or V(external) where it is not the task's.
  returned: success
  type: str
edited:
  description: The files that are not as a run has left them.
  returned: with the error code V(files_edited)
  type: list
  elements: str
applications:
  description: The Applications of others that still go into the cluster, with their files.
  returned: with the error code V(cluster_in_use)
  type: list
  elements: str
others:
  description: The files of others in the cluster's folder below C(app), of which Argo CD would
    remove what it has made.
  returned: with the error code V(cluster_in_use)
  type: list
  elements: str
error_code:
  description: A stable code for what went wrong, such as V(files_edited), V(cluster_in_use),
    V(no_working_tree) or V(sealing_failed).
  returned: on failure
  type: str
"""
