"""Telling local disks from network ones, by the text of /proc/mounts."""

import pytest

from workbench.adapters.places import filesystem_of, is_network

MOUNTS = r"""
sysfs /sys sysfs rw 0 0
/dev/vda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/ann/local xfs rw 0 0
//nas/data /mnt/my\040data cifs rw 0 0
me@host: /home/ann/remote fuse.sshfs rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/tmp /tmp nfs rw 0 0
half a line
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/srv/records.db", "ext4", False),
        ("/home", "nfs4", True),
        ("/home/ann/project/.workbench/records.db", "nfs4", True),
        ("/home/ann/local/records.db", "xfs", False),
        ("/home/ann/locality/records.db", "nfs4", True),
        ("/home/ann/remote/records.db", "fuse.sshfs", True),
        ("/mnt/my data/records.db", "cifs", True),
        ("/tmp/records.db", "nfs", True),
    ],
)
def test_the_deepest_and_latest_mount_that_holds_a_path_decides(path, kind, network):
    assert filesystem_of(path, MOUNTS) == kind
    assert is_network(kind) is network


def test_without_mounts_nothing_is_known():
    assert filesystem_of("/srv/records.db", "") == ""
    assert is_network("") is False
