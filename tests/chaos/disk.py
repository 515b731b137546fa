"""disk.py - the broker's disk: a small file system of its own, which can be filled."""

import errno
import os
import subprocess

PIECE = bytes(64 << 10)


class Disk:
    def __init__(self, path, size):
        self.path = path
        self.filler = os.path.join(path, "filler")
        os.makedirs(path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "chaos", path], check=True)

    def fill(self):
        """To the last byte, as far as nobody frees some meanwhile."""
        fd = os.open(self.filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            while True:
                os.write(fd, PIECE)
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
        finally:
            os.close(fd)

    def is_full(self):
        return os.path.exists(self.filler)

    def empty(self):
        if self.is_full():
            os.unlink(self.filler)

    def unmount(self):
        subprocess.run(["umount", "-l", self.path], check=False)
