"""crx-image and crx-check: their output for people."""
import json
import os
import subprocess

import crxtest
import hosts
from test_dump import Heap


class Image(Heap):
    def test_show_decode_verify(self):
        process = self.start(16)
        self.dump(process, f"{self.dir}/set", "-R")
        code, text = self.run_tool("crx-image", "show", f"{self.dir}/set")
        self.assertEqual(code, 0, text)
        for word in (f"{process.pid} heap", "16.", self.program, self.output, "fd 1", "a dump of process"):
            self.assertIn(word, text)
        shown = json.loads(self.run_tool("crx-image", "--json", "show", f"{self.dir}/set")[1])
        self.assertEqual([(level["kind"], level["pid"]) for level in shown["sets"]], [("dump", process.pid)])
        task = shown["tasks"][0]
        self.assertEqual((task["pid"], task["comm"], task["exe"]), (process.pid, "heap", self.program))
        self.assertIn({"fd": 1, "file": self.output}, task["fds"])
        self.assertGreater(task["bytes"], 16 << 20)
        code, text = self.run_tool("crx-image", "decode", f"{self.dir}/set")
        self.assertEqual(code, 0, text)
        images = {entry["image"]: entry for entry in map(json.loads, text.splitlines())}
        self.assertEqual(images["pstree.img"]["entries"][0]["pid"], process.pid)
        self.assertEqual(images["inventory.img"]["entries"][0]["img_version"], 2)
        self.assertTrue(images[f"mm-{process.pid}.img"]["entries"][0]["vmas"])
        code, text = self.run_tool("crx-image", "decode", f"{self.dir}/set", "files")
        self.assertEqual((code, len(text.splitlines())), (0, 1), text)
        code, text = self.run_tool("crx-image", "verify", f"{self.dir}/set")
        self.assertEqual(code, 0, text)
        with open(f"{self.dir}/set/pages-1.img", "r+b") as file:
            file.seek(9 << 20)
            file.write(b"!")
        code, text = self.run_tool("crx-image", "verify", f"{self.dir}/set")
        self.assertEqual(code, 1, text)
        self.assertIn("pages-1.img: it was altered: the MiB at offset 9437184", text)

    def test_check(self):
        code, text = self.run_tool("crx-check", "--json")
        self.assertEqual(code, 0, text)
        answer = json.loads(text)
        self.assertTrue(answer["works"])
        features = {feature["name"]: feature for feature in answer["features"]}
        self.assertEqual(features["pagemap-scan"]["answer"], "yes")
        for feature in answer["features"]:
            self.assertTrue(feature["lost_without"] and feature["remedy"] and feature["used_for"], feature)
        process = self.start(16)
        self.report(process, f"{self.dir}/1", "--pre")
        self.assertIn(process.pid, json.loads(self.run_tool("crx-check", "--json")[1])["tracked"])
        self.assertIn("can be moved", self.run_tool("crx-check", "--all")[1])

    def test_check_without_privileges(self):
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all",
                               f"{hosts.BIN}/crx-check", "--json"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, cwd="/")
        self.assertEqual(done.returncode, 1, done.stderr)
        answers = {feature["name"]: feature["answer"] for feature in json.loads(done.stdout)["features"]}
        self.assertEqual(answers["clone3-set-tid"], "unknown")
        self.assertEqual(answers["cap-sys-admin"], "no")
        self.assertEqual(answers["process-vm"], "yes")


if __name__ == "__main__":
    crxtest.main()
