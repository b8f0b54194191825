# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What outlives a job in a container: by the mounts of containers as podman and Kubernetes make them."""

from __future__ import annotations

import importlib
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _job_container, _mounts
from ansible_collections.vforge.vsphere.plugins.plugin_utils.argument_specs import argument_spec

AWX = {"AWX_PRIVATE_DATA_DIR": "/srv/awx/awx_7_x", "AWX_ISOLATED_DATA_DIR": "/runner/artifacts/7"}
RUNNER = {"AWX_ISOLATED_DATA_DIR": "/runner/artifacts/7"}
NO_CONTAINER = {"AWX_ISOLATED_DATA_DIR": "/home/me/job/artifacts/7"}

PODMAN = r"""
611 498 0:58 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d
612 611 0:62 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
613 611 0:63 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
620 611 8:1 /srv/awx/awx_7_x /runner rw,relatime - ext4 /dev/sda1 rw
621 611 0:50 / /mnt/backups rw,relatime shared:1 - nfs4 nas:/backups rw,vers=4.2
622 611 0:51 / /mnt/two\040words rw,relatime - nfs4 nas:/other rw
623 611 0:52 / /mnt/scratch rw,nosuid - tmpfs tmpfs rw,size=1g
624 611 0:53 / /etc/pki/ca-trust rw - overlay overlay rw,lowerdir=/etc/pki/ca-trust,upperdir=/e,workdir=/f
626 611 0:27 /private /mnt/private rw,nosuid - tmpfs tmpfs rw
625 611 0:54 /mnt/inner /mnt/inner rw - overlay overlay rw,lowerdir=/a,upperdir=/g,workdir=/h
"""
KUBERNETES = """
900 800 0:200 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c
901 900 0:201 / /proc rw - proc proc rw
902 900 8:16 / /mnt/backups rw,relatime - ext4 /dev/sdb rw
903 900 8:1 /var/lib/kubelet/pods/u-1/volumes/kubernetes.io~empty-dir/s /mnt/empty rw,relatime - ext4 /dev/sda1 rw
904 900 8:1 /srv/kept /mnt/of-the-node rw,relatime - ext4 /dev/sda1 rw
"""
# The root of a container need not be an overlay: it may be a dataset of ZFS.
ON_ZFS = """
900 800 0:200 / / rw,relatime - zfs pool/containers/1 rw
902 900 8:16 / /mnt/backups rw,relatime - ext4 /dev/sdb rw
"""
MACHINE = """
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
"""
NOT_REMOVED, CONTAINER, PRIVATE = "", "removed with all that is in it", "which AWX removes"
MEMORY, OVERLAY, EMPTY_DIR = "in memory alone", "mounted as an overlay", "an emptyDir of the pod"


@pytest.mark.parametrize(
    ("environment", "mounts", "path", "reason"),
    [
        (AWX, PODMAN, "/mnt/backups", NOT_REMOVED),
        (AWX, PODMAN, "/mnt/backups/vforge", NOT_REMOVED),
        (AWX, PODMAN, "/mnt/two words/vforge", NOT_REMOVED),
        (AWX, PODMAN, "/mnt/backups-of-mine", CONTAINER),
        (AWX, PODMAN, "/mnt", CONTAINER),
        (AWX, PODMAN, "/srv/backups", CONTAINER),
        (AWX, PODMAN, "/runner/project/backups", PRIVATE),
        (AWX, PODMAN, "/mnt/scratch/backups", MEMORY),
        (AWX, PODMAN, "/dev/backups", MEMORY),
        (AWX, PODMAN, "/etc/pki/ca-trust/backups", OVERLAY),
        # Folders of the execution node: of its own /tmp, and of one that is a container itself.
        (AWX, PODMAN, "/mnt/private/backups", NOT_REMOVED),
        (AWX, PODMAN, "/mnt/inner/backups", NOT_REMOVED),
        (AWX, KUBERNETES, "/mnt/backups", NOT_REMOVED),
        (AWX, KUBERNETES, "/mnt/empty/backups", EMPTY_DIR),
        (AWX, KUBERNETES, "/mnt/of-the-node", NOT_REMOVED),
        ({**AWX, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, ON_ZFS, "/mnt/backups", NOT_REMOVED),
        ({**AWX, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, ON_ZFS, "/srv/backups", CONTAINER),
        (AWX, KUBERNETES, "/runner/project/backups", CONTAINER),
        # ansible-runner leaves the private data directory where it was.
        (RUNNER, PODMAN, "/runner/project/backups", NOT_REMOVED),
        (RUNNER, PODMAN, "/srv/backups", CONTAINER),
        # A container in which somebody works, and a machine.
        ({}, PODMAN, "/srv/backups", NOT_REMOVED),
        (NO_CONTAINER, MACHINE, "/srv/backups", NOT_REMOVED),
        (AWX, MACHINE, "/srv/backups", NOT_REMOVED),
    ],
)
def test_what_stays_of_a_job(environment, mounts, path, reason, tmp_path, monkeypatch):
    file = tmp_path / "mountinfo"
    file.write_text(mounts.lstrip(), encoding="utf-8")
    monkeypatch.setattr(_mounts, "MOUNTED", str(file))
    said = _job_container.why_not_kept(path, environment)
    assert said.startswith(f"{path} lies in ") if reason else said == ""
    assert reason in said


def test_a_link_into_a_mounted_folder_stays(tmp_path, monkeypatch):
    mounted, link = tmp_path / "mounted", tmp_path / "link"
    mounted.mkdir()
    link.symlink_to(mounted)
    file = tmp_path / "mountinfo"
    file.write_text(f"{PODMAN.strip()}\n700 611 0:70 / {mounted} rw - nfs4 nas:/third rw\n", encoding="utf-8")
    monkeypatch.setattr(_mounts, "MOUNTED", str(file))
    assert _job_container.why_not_kept(str(link / "vforge"), AWX) == ""
    assert CONTAINER in _job_container.why_not_kept(str(tmp_path / "other"), AWX)


def test_without_a_list_of_mounts_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(_mounts, "MOUNTED", str(tmp_path / "none"))
    assert _job_container.why_not_kept("/srv/backups", AWX) == ""


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("vm_export", {"dest": "/srv/exports"}, ["/srv/exports"]),
        (
            "cbt_changed_areas",
            {"state_file": "/srv/state.json", "areas_directory": "/srv/areas"},
            ["/srv/state.json", "/srv/areas"],
        ),
        ("vm_restore", {"repository": "/srv/backups", "dest": "/srv/restored"}, ["/srv/restored"]),
        ("vmdk", {"state": "exported", "path": "/srv/disk.vmdk"}, ["/srv/disk.vmdk"]),
        ("vmdk", {"state": "converted", "path": "/srv/disk.vmdk", "destination": "/srv/disk.qcow2"}, ["/srv/disk.qcow2"]),
        # It is read there, and kept in vSphere.
        ("vmdk", {"state": "imported", "path": "/srv/disk.vmdk", "datastore_path": "[a] b/b.vmdk"}, []),
        ("instant_clone", {"name": "web-1"}, []),
    ],
)
def test_what_a_module_writes_to_be_kept(name, given, kept):
    action = importlib.import_module(f"ansible_collections.vforge.vsphere.plugins.action.{name}").ActionModule
    spec = argument_spec(name)
    assert set(given) <= set(spec)
    assert action.kept(types.SimpleNamespace(KEPT=action.KEPT), given) == kept
