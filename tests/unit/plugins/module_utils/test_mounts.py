# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder below a place where a file system should be, and is not."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _mounts

_FSTAB = r"""# <file system> <mount point> <type> <options>
UUID=1 / ext4 defaults 0 1
UUID=2 none swap sw 0 0
server:/backups   /srv/backups   nfs4   rw,hard   0 0
server:/more /srv/our\040backups/ nfs4 noauto 0 0
#server:/old /srv/old nfs4 defaults 0 0
UUID=3 /home ext4 defaults 0 2
broken
"""

_ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
_HOME = "23 22 8:2 / /home rw,relatime shared:2 - ext4 /dev/sda2 rw\n"
_BACKUPS = "24 22 0:40 / /srv/backups rw,relatime shared:3 - nfs4 server:/backups rw\n"
_MORE = r"25 22 0:41 / /srv/our\040backups rw,relatime shared:4 - nfs4 server:/more rw" + "\n"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Has the system say what should be mounted, and what is."""

    def say(table, mounted):
        for name, text in (("TABLE", table), ("MOUNTED", mounted)):
            path = tmp_path / name
            if text is not None:
                path.write_text(text, encoding="utf-8")
            monkeypatch.setattr(_mounts, name, str(path))

    return say


@pytest.mark.parametrize(
    ("path", "mounted", "missing"),
    [
        ("/srv/backups", _ROOT, "/srv/backups"),
        ("/srv/backups/vsphere", _ROOT + _HOME, "/srv/backups"),
        ("/srv/backups/vsphere", _ROOT + _BACKUPS, ""),
        ("/srv/our backups/vsphere", _ROOT + _BACKUPS, "/srv/our backups"),
        ("/srv/our backups/vsphere", _ROOT + _MORE, ""),
        ("/srv/backups-2", _ROOT, ""),
        ("/srv/old", _ROOT, ""),
        ("/srv", _ROOT, ""),
        ("/none/repository", _ROOT, ""),
        # Of a root that is no mount itself, as in a changed root, nothing is said.
        ("/var/backups", _HOME, ""),
    ],
)
def test_a_folder_on_a_file_system_that_is_not_mounted_is_refused(system, path, mounted, missing):
    system(_FSTAB, mounted)
    if not missing:
        _mounts.check(path, what="backup repository")
        return
    with pytest.raises(_mounts.NotMounted) as caught:
        _mounts.check(path, what="backup repository")
    assert f"The backup repository {path} is on a file system that is not mounted" in caught.value.message
    assert (f"'mount {missing}'" in caught.value.hint, caught.value.error_code) == (True, "not_mounted")


def test_a_link_to_such_a_folder_is_refused(system, tmp_path):
    (tmp_path / "link").symlink_to("/srv/backups/vsphere")
    system(_FSTAB, _ROOT)
    with pytest.raises(_mounts.NotMounted):
        _mounts.check(str(tmp_path / "link"), what="backup repository")


@pytest.mark.parametrize(("table", "mounted"), [(None, _ROOT), (_FSTAB, None), ("", _ROOT), (_FSTAB, "")])
def test_a_system_that_does_not_say_it_refuses_nothing(system, table, mounted):
    system(table, mounted)
    _mounts.check("/srv/backups", what="backup repository")
