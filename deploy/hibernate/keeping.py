"""The set of each program: IMAGES/NAME/set as long as it waits for its restore, IMAGES/NAME/restored afterwards."""
import datetime
import os
import shutil
import time

from crxlib.errors import Failure

WAITING, RESTORED = "set", "restored"


class Kept:
    """What is kept of one program."""

    def __init__(self, images, name):
        self.images, self.folder = images, os.path.join(images, name)
        self.set, self.restored = os.path.join(self.folder, WAITING), os.path.join(self.folder, RESTORED)

    def waits(self):
        """Whether a set waits for its restore."""
        return os.path.exists(os.path.join(self.set, "inventory.img"))

    def age_s(self):
        return time.time() - os.stat(os.path.join(self.set, "inventory.img")).st_mtime

    def make_folder(self):
        try:
            os.makedirs(self.images, mode=0o700, exist_ok=True)
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise Failure(f"{self.folder}: {error.strerror}; name another folder with images in [hibernate]") from None

    def put_aside(self):
        """Renames a set that was never restored, so that another one can take its place; returns the new path."""
        now = datetime.datetime.now(datetime.timezone.utc)
        path = os.path.join(self.folder, f"left-{now.strftime('%Y%m%dT%H%M%S')}")
        os.rename(self.set, path)
        self.sync()
        return path

    def mark_restored(self):
        """The set is used up; it stays until the next one is saved."""
        shutil.rmtree(self.restored, ignore_errors=True)
        os.rename(self.set, self.restored)
        self.sync()

    def forget_restored(self):
        shutil.rmtree(self.restored, ignore_errors=True)

    def sync(self):
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
