"""Signed image sets, and sets whose author is not root: crx-dump --sign, crx-restore --require-signature, crx-image verify, the
policy of an agent's store."""
import glob
import json
import os
import shutil
import subprocess

import crxtest
import hosts
from hosts import lines_of, read_text, until
import test_store
from test_dump import Heap

NAME = "a.example"


def make_keys(folder, *words):
    subprocess.run([f"{hosts.ROOT}/deploy/crx-keys", *words[:-1], folder, words[-1]], check=True, stdout=subprocess.DEVNULL)


class Keys(Heap):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = f"{cls.base}/keys"
        make_keys(cls.keys, NAME)
        cls.tls = ["--tls-dir", f"{cls.keys}/{NAME}"]

    def sign(self, process, name, *options):
        self.dump(process, f"{self.dir}/{name}", "--sign", *self.tls, *options)
        return f"{self.dir}/{name}"

    def verify(self, images, *options, tls=None):
        return self.run_tool("crx-image", "verify", "--require-signature", *(tls or self.tls), *options, images)

    def restores(self, images, *options, code=0):
        """Tries the set, with which nothing is done."""
        result, text = self.run_tool("crx-restore", "-n", "--require-signature", *self.tls, "-D", images, "--check-only", *options)
        self.assertIn(result, (0, 3) if code == 0 else (code,), text)
        return text

    def refused_as(self, images, *words):
        text = self.restores(images, code=1)
        for word in words:
            self.assertIn(word, text)
        code, text = self.verify(images)
        self.assertEqual(code, 1, text)
        for word in words:
            self.assertIn(word, text)

    def sign_with(self, images, tls):
        """As an attacker, or an old host, would: with openssl, which asks nobody."""
        subprocess.run(["openssl", "cms", "-sign", "-binary", "-outform", "DER", "-in", f"{images}/crx-integrity.img", "-signer",
                        f"{tls}/cert.pem", "-inkey", f"{tls}/key.pem", "-out", f"{images}/crx-signature.img"], check=True)


class Signed(Keys):
    def test_sign_and_restore(self):
        process = self.start(16)
        digest = self.digest()
        images = self.sign(process, "set")
        self.wait_gone(process)
        # openssl agrees: the format is CMS.
        subprocess.run(["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", f"{images}/crx-signature.img", "-content",
                        f"{images}/crx-integrity.img", "-CAfile", f"{self.keys}/{NAME}/ca.pem", "-purpose", "sslclient", "-out",
                        "/dev/null"], check=True, stderr=subprocess.DEVNULL)
        code, text = self.verify(images)
        self.assertEqual(code, 0, text)
        self.assertIn(f"{images} is signed by {NAME}", text)
        self.assertEqual(json.loads(self.verify(images, "--json")[1])["signers"], [NAME])
        self.assertIn("has a signature, which --require-signature checks", self.run_tool("crx-image", "verify", images)[1])
        code, text = self.run_tool("crx-restore", "-D", images, "-d", "--require-signature", "--json", *self.tls)
        self.assertEqual(code, 0, text)
        self.assertIn(f"crx-restore: {images} is signed by {NAME}", text)
        told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        self.assertIn({"event": "signed", "set": images, "signer": NAME}, told)
        self.assertEqual(self.digest(), digest)
        self.host.find(process.pid).kill()
        self.wait_gone(process)
        # Nobody who does not ask for signatures notices them.
        self.restore(images, pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_every_file_is_covered(self):
        process = self.start(8)
        images = self.sign(process, "set", "-R")
        self.restores(images)
        kinds = set()
        for path in sorted(glob.glob(f"{images}/*.img")):
            with open(path, "rb") as file:
                before = file.read()
            name = os.path.basename(path)
            kinds.add(name.rstrip(".img0123456789").rstrip("-"))
            at = len(before) // 2
            with open(path, "wb") as file:
                file.write(before[:at] + bytes([before[at] ^ 1]) + before[at + 1:])
            code, text = self.verify(images)
            self.assertEqual(code, 1, f"{name}: {text}")
            if name != "crx-integrity.img":
                self.assertIn(name, text)
            if not name.startswith("pages-"):  # they are read when the restore needs them
                self.restores(images, code=1)
            os.unlink(path)
            code, text = self.verify(images)
            self.assertEqual(code, 1, f"{name}: {text}")
            self.restores(images, code=1)
            with open(path, "wb") as file:
                file.write(before)
        for kind in ("core", "mm", "pagemap", "pages", "fdinfo", "fs", "files", "pstree", "inventory", "crx-task", "crx-integrity",
                     "crx-signature"):
            self.assertIn(kind, kinds)
        with open(f"{images}/ghost-file-1.img", "wb") as file:
            file.write(b"new")
        self.refused_as(images, "ghost-file-1.img", "it does not belong to the set")
        os.unlink(f"{images}/ghost-file-1.img")
        self.restores(images)

    def test_altered_page_is_not_restored(self):
        process = self.start(8)
        images = self.sign(process, "set")
        self.wait_gone(process)
        with open(f"{images}/pages-1.img", "r+b") as file:
            file.seek(3 << 20)
            file.write(b"!!")
        code, text = self.run_tool("crx-restore", "-D", images, "-d", "--require-signature", *self.tls)
        self.assertEqual(code, 1, text)
        self.assertIn("pages-1.img: it was altered: the MiB at offset 3145728", text)
        self.assertIsNone(self.host.find(process.pid))

    def test_whose_signature(self):
        process = self.start(8)
        self.dump(process, f"{self.dir}/unsigned", "-R")
        self.refused_as(f"{self.dir}/unsigned", "crx-signature.img: the set is not signed", "use a set that crx-dump --sign made")
        images = self.sign(process, "set", "-R")
        other = self.sign(process, "other", "-R")
        shutil.copy(f"{images}/crx-signature.img", f"{self.dir}/signature")
        shutil.copy(f"{other}/crx-signature.img", f"{images}/crx-signature.img")
        self.refused_as(images, "it is not a signature of this set", "use another copy of the set")
        shutil.copy(f"{other}/crx-integrity.img", f"{images}/crx-integrity.img")
        self.refused_as(images, "it was altered, or belongs to another set")
        foreign = f"{self.dir}/foreign"
        make_keys(foreign, "stranger.example")
        self.sign_with(other, f"{foreign}/stranger.example")
        self.refused_as(other, "stranger.example signed it, whose certificate is not from", "a host of this authority")
        make_keys(self.keys, "--days", "-1", "expired.example")
        self.sign_with(other, f"{self.keys}/expired.example")
        self.refused_as(other, "the certificate of expired.example, which signed it, expired on", "with a valid certificate")
        self.dump(process, f"{self.dir}/late", "-R", "--sign", "--tls-dir", f"{self.keys}/expired.example", code=3)
        self.assertFalse(os.path.exists(f"{self.dir}/late"))
        make_keys(self.keys, "revoked.example")
        self.sign_with(other, f"{self.keys}/revoked.example")
        self.assertEqual(self.verify(other)[0], 0)
        make_keys(self.keys, "--revoke", "revoked.example")
        self.addCleanup(os.unlink, f"{self.keys}/{NAME}/crl.pem")
        self.refused_as(other, "the certificate of revoked.example, which signed it, is in", "a set that another host has signed")
        self.assertEqual(self.verify(f"{self.dir}/other", tls=["--tls-dir", f"{self.dir}/none"])[0], 1)

    def test_chain(self):
        process = self.start(16)
        self.dump(process, f"{self.dir}/0", "--pre")
        text = self.dump(process, f"{self.dir}/1", "--sign", *self.tls, "--prev-images-dir", "../0", code=3)
        self.assertIn("the set is not signed", text)
        self.assertIn("continue a set that crx-dump --sign made, or leave out --sign", text)
        self.sign(process, "1", "--pre")
        self.change()
        self.sign(process, "2", "--pre", "--prev-images-dir", "../1")
        digest = self.change()
        images = self.sign(process, "3", "--prev-images-dir", "../2")
        self.wait_gone(process)
        code, text = self.verify(images)
        self.assertEqual(code, 0, text)
        self.assertIn(f"{images}/parent/parent is signed by {NAME}", text)
        os.rename(f"{self.dir}/1/crx-signature.img", f"{self.dir}/kept")
        self.refused_as(images, "3/parent/parent/crx-signature.img: the set is not signed")
        os.rename(f"{self.dir}/kept", f"{self.dir}/1/crx-signature.img")
        code, text = self.run_tool("crx-image", "dedup", images)
        self.assertEqual(code, 1, text)
        self.assertIn("is signed, and freeing pages would void its signature", text)
        self.restore(images, "--require-signature", *self.tls, pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_wrong_usage(self):
        for words in (["crx-dump", "-t", "1", "-D", "/x", "--sign", "--page-server", "127.0.0.1:1"],
                      ["crx-dump", "-t", "1", "-D", "/x", "--sign", "--auto-dedup", "--prev-images-dir", "../1"],
                      ["crx-image", "show", "--require-signature", "/x"], ["crx-image", "verify", "--tls-dir", "/x", "/x"],
                      ["crx-restore", "-D", "/x", "--tls-dir", "/x"]):
            code, text = self.run_tool(*words)
            self.assertEqual(code, 2, text)


class Forged(Keys):
    """What somebody who may write to signed sets, but has no certificate for signing, could try."""

    def issue(self, name, uses):
        """A certificate of the same authority that crx-keys would not issue; returns its folder."""
        folder, ca = f"{self.dir}/{name}", f"{self.keys}/ca"
        os.mkdir(folder)
        shutil.copy(f"{ca}/ca.pem", folder)
        with open(f"{folder}/extensions", "w") as file:
            file.write(f"subjectAltName=DNS:{name}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={uses}\n")
        for words in (["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{folder}/key.pem"],
                      ["req", "-new", "-key", f"{folder}/key.pem", "-subj", f"/CN={name}", "-out", f"{folder}/request"],
                      ["x509", "-req", "-in", f"{folder}/request", "-CA", f"{ca}/ca.pem", "-CAkey", f"{ca}/key.pem", "-days", "1",
                       "-extfile", f"{folder}/extensions", "-out", f"{folder}/cert.pem"]):
            subprocess.run(["openssl", *words], check=True, stderr=subprocess.DEVNULL)
        os.chmod(f"{folder}/key.pem", 0o600)
        return folder

    def test_uses_of_the_certificate(self):
        process = self.start(4)
        images = self.sign(process, "set", "-R")
        client, server = self.issue("client.example", "clientAuth"), self.issue("server.example", "serverAuth")
        self.sign_with(images, server)
        self.refused_as(images, "crx-signature.img", "the certificate of server.example", "is not for signing",
                        "issue a new certificate for that host with crx-keys")
        text = self.dump(process, f"{self.dir}/none", "-R", "--sign", "--tls-dir", server, code=3)
        self.assertIn(f"no peer accepts {server}/cert.pem: its extendedKeyUsage does not contain clientAuth; issue a new certificate", text)
        self.assertFalse(os.path.exists(f"{self.dir}/none"))
        self.sign_with(images, client)
        self.restores(images)
        self.dump(process, f"{self.dir}/other", "-R", "--sign", "--tls-dir", client)
        self.restores(f"{self.dir}/other")

    def test_files_of_another_set(self):
        process = self.start(4)
        images = self.sign(process, "set", "-R")
        self.change()
        other = self.sign(process, "other", "-R")
        swapped = 0
        for name in sorted(os.listdir(images)):
            with open(f"{images}/{name}", "rb") as file:
                own = file.read()
            with open(f"{other}/{name}", "rb") as file:
                foreign = file.read()
            if own == foreign:
                continue
            swapped += 1
            with open(f"{images}/{name}", "wb") as file:
                file.write(foreign)
            code, text = self.verify(images)
            self.assertEqual(code, 1, f"{name}: {text}")
            self.assertIn("use another copy of the set", text)
            with open(f"{images}/{name}", "wb") as file:
                file.write(own)
        self.assertGreater(swapped, 3)  # pages, core, the manifest, the signature
        self.restores(images)

    def test_another_parent(self):
        process = self.start(8)
        self.sign(process, "old", "--pre")
        self.sign(process, "1", "--pre")
        self.change()
        images = self.sign(process, "2", "-R", "--prev-images-dir", "../1")
        self.restores(images)
        os.rename(f"{self.dir}/1", f"{self.dir}/kept")
        self.refused_as(images, "2/parent does not lead to the set", "put that set back")
        os.rename(f"{self.dir}/old", f"{self.dir}/1")
        self.refused_as(images, "2/parent is not the set that", "put that set back")
        os.unlink(f"{images}/parent")
        self.refused_as(images, "2/parent does not lead to the set", "put that set back")
        shutil.rmtree(f"{self.dir}/1")
        os.rename(f"{self.dir}/kept", f"{self.dir}/1")
        os.symlink("../1", f"{images}/parent")
        self.restores(images)
        whole = self.sign(process, "3", "-R")
        os.symlink("../1", f"{whole}/parent")
        self.refused_as(whole, "3/parent: the set was signed without a parent", "; remove it")

    def test_other_files_in_the_folder(self):
        process = self.start(4)
        images = self.sign(process, "set", "-R")
        for name in ("core-1.img", "crx-task-1.img", "pages-9.img", "stats.img", "memfd.img"):
            with open(f"{images}/{name}", "w") as file:
                file.write("x")
            self.refused_as(images, f"set/{name}: it does not belong to the set", "use another copy of the set")
            os.unlink(f"{images}/{name}")
        for name in ("stats-restore.img", "notes.txt"):  # as CRIU and people leave them
            with open(f"{images}/{name}", "w") as file:
                file.write("x")
        self.restores(images)

    def test_tools(self):
        process = self.start(4)
        images = self.sign(process, "set", "-R")
        code, text = self.run_tool("crx-image", "show", images)
        self.assertEqual(code, 0, text)
        self.assertIn("has a signature, which verify --require-signature checks", text)
        self.assertTrue(json.loads(self.run_tool("crx-image", "show", "--json", images)[1])["sets"][0]["signature"])
        self.assertEqual(self.run_tool("crx-image", "decode", images)[0], 0)
        code, text = self.run_tool("crx-image", "decode", images, "crx-signature.img")
        self.assertEqual(code, 0, text)
        self.assertIn(f'"bytes":{os.path.getsize(f"{images}/crx-signature.img")}', text)
        # An unsigned set in the same folder leaves nothing of the signature.
        self.dump(process, images, "-R")
        self.assertEqual(self.run_tool("crx-image", "verify", images)[0], 0)
        self.assertFalse(json.loads(self.run_tool("crx-image", "show", "--json", images)[1])["sets"][0]["signature"])
        self.refused_as(images, "crx-signature.img: the set is not signed", "use a set that crx-dump --sign made")

    def test_no_keys(self):
        process = self.start(4)
        images = self.sign(process, "set", "-R")
        nowhere = ["--tls-dir", f"{self.dir}/nowhere"]
        text = self.dump(process, f"{self.dir}/none", "-R", "--sign", *nowhere, code=3)
        self.assertIn(f"{self.dir}/nowhere/ca.pem", text)
        self.assertIn("crx-keys", text)
        self.assertFalse(os.path.exists(f"{self.dir}/none"))
        for words in (["crx-restore", "-d", "-D", images], ["crx-image", "verify", images]):
            code, text = self.run_tool(*words, "--require-signature", *nowhere)
            self.assertEqual(code, 1, text)
            self.assertIn(f"{self.dir}/nowhere/ca.pem", text)
            self.assertIn("crx-keys", text)
        # To check is no privilege: it takes the authority's certificate only.
        os.mkdir(f"{self.dir}/nowhere")
        shutil.copy(f"{self.keys}/ca/ca.pem", f"{self.dir}/nowhere")
        self.assertEqual(self.verify(images, tls=nowhere)[0], 0)


class SignedStore(test_store.Store):
    test_nothing_is_written_at_the_source = test_incremental = test_names = test_too_much = test_interrupted = None
    test_keeping = test_what_is_used_is_kept = None

    def test_policy(self):
        process = self.start(32)
        with open(f"{self.dir}/crx.conf", "w") as file:
            file.write("require-signature = true\n")
        self.serve("--config", f"{self.dir}/crx.conf")
        text = self.send(process, "1", "-R", code=3)
        self.assertIn("the agent stores signed sets only (--require-signature)", text)
        self.assertIn("use crx-dump --sign", text)
        self.send(process, "1", "--pre", "--sign")
        digest = self.change()
        self.send(process, "2", "--sign", "--prev-set", "1")
        tls = ["--require-signature", "--tls-dir", f"{self.tls}/127.0.0.1"]
        code, text = self.run_tool("crx-image", "verify", *tls, f"{self.store}/2")
        self.assertEqual(code, 0, text)
        self.assertIn(f"{self.store}/2/parent is signed by localhost", text)
        self.assertIn("is signed by localhost", read_text(f"{self.dir}/agent.log"))
        self.wait_gone(process)
        code, text = self.run_tool("crx-restore", "--store", self.store, "--name", "2", "-d", *tls)
        self.assertEqual(code, 0, text)
        self.assertEqual(self.digest(), digest)

    def test_tree(self):
        """Shared memory and several processes: the source says of every file what the agent makes of it."""
        self.program = f"{self.base}/herd"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", self.program, f"{hosts.PROGRAMS}/herd.c"], check=True)
        process = self.start(8)
        self.serve()
        self.send(process, "plain", "-R", "--track-mem")
        self.assertIn("the set is not signed", self.send(process, "2", "--sign", "--prev-set", "plain", code=3))
        self.send(process, "1", "-R", "--track-mem", "--sign")
        digest = self.digest()
        self.send(process, "2", "--sign", "--prev-set", "1")
        self.wait_gone(process)
        code, text = self.run_tool("crx-restore", "--store", self.store, "--name", "2", "-d", "--require-signature", "--tls-dir",
                                   f"{self.tls}/127.0.0.1")
        self.assertEqual(code, 0, text)
        self.assertEqual(self.digest(), digest)


class OtherAuthors(Heap):
    WARNING = "the author of a set can do anything that root can"

    def warned(self, images, *options):
        text = self.run_tool("crx-restore", "-n", "-D", images, "--check-only", *options)[1]
        lines = [line for line in text.splitlines() if self.WARNING in line]
        self.assertLessEqual(len(lines), 1, text)
        return lines[0] if lines else ""

    def test_warning(self):
        process = self.start(8)
        self.dump(process, f"{self.dir}/1", "--pre")
        self.dump(process, f"{self.dir}/2", "-R", "--prev-images-dir", "../1")
        images, parent = f"{self.dir}/2", f"{self.dir}/1"
        self.assertEqual(self.warned(images), "")
        for path, words in ((images, images), (f"{images}/files.img", f"{images}/files.img"), (parent, f"{images}/parent")):
            os.chown(path, 4321, 0)
            self.assertIn(f"{words} belongs to uid 4321", self.warned(images))
            os.chown(path, 0, 0)
            os.chmod(path, 0o777)
            self.assertIn(f"{words} may be written by all users", self.warned(images))
            os.chmod(path, 0o770)
            self.assertEqual(self.warned(images), "")
            os.chown(path, 0, 4321)
            os.chmod(path, 0o770)
            self.assertIn(f"{words} may be written by group 4321", self.warned(images))
            os.chown(path, 0, 0)
        os.chmod(images, 0o777)
        self.assertEqual(self.warned(images, "--require-signature", "--tls-dir", self.dir), "")


class Incomplete(Heap):
    """A set without crx's own files, as CRIU makes it, in which something is missing: it was restored without."""

    def test_missing_images(self):
        process = self.start(8)
        images = f"{self.dir}/set"
        self.dump(process, images)
        self.wait_gone(process)
        for path in glob.glob(f"{images}/crx-*"):
            os.unlink(path)
        for kind in ("core", "mm", "pagemap", "fdinfo", "fs", "pages"):
            for path in sorted(glob.glob(f"{images}/{kind}-*.img")):
                os.rename(path, f"{self.dir}/kept")
                self.refused(images, path, "it is missing")
                self.assertIsNone(self.host.find(process.pid))
                code, text = self.run_tool("crx-restore", "-D", images, "--check-only")
                self.assertEqual(code, 1, text)
                self.assertIn(path, text)
                os.rename(f"{self.dir}/kept", path)
        self.restore(images, pid=process.pid)

    def test_missing_shared_memory(self):
        self.program = f"{self.base}/herd"
        subprocess.run(["cc", "-std=gnu17", "-O2", "-o", self.program, f"{hosts.PROGRAMS}/herd.c"], check=True)
        process = self.start(8)
        images = f"{self.dir}/set"
        self.dump(process, images)
        self.wait_gone(process)
        for path in glob.glob(f"{images}/crx-*"):
            os.unlink(path)
        objects = glob.glob(f"{images}/pagemap-shmem-*.img")
        self.assertEqual(len(objects), 2)  # of a mapping and of a memfd that nobody has mapped
        for path in objects:
            os.rename(path, f"{self.dir}/kept")
            self.refused(images, path, "it is missing", "cannot be restored without it")
            os.rename(f"{self.dir}/kept", path)
        self.restore(images, pid=process.pid)

    def test_missing_segments(self):
        output, images = f"{self.dir}/out", f"{self.dir}/set"
        process = self.host.spawn([f"{hosts.VICTIMS}/sysv_shm", f"{self.dir}/go"], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) or not process.alive(), "it says ready")
        self.dump(process, images)
        self.wait_gone(process)
        for path in glob.glob(f"{images}/crx-*"):
            os.unlink(path)
        segments = glob.glob(f"{images}/pagemap-shmem-*.img")
        self.assertEqual(len(segments), 2)
        for path in segments:
            os.rename(path, f"{self.dir}/kept")
            self.refused(images, path, "it is missing, and segment ", " cannot be restored without it")
            os.rename(f"{self.dir}/kept", path)


if __name__ == "__main__":
    crxtest.main()
