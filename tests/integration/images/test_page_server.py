"""Pages over the network in CRIU's protocol: crx-dump and criu dump to crx-agent --page-server, crx-dump to criu
page-server."""
import os
import shutil
import subprocess

import crxtest
import hosts
from criutest import criu, fetch
from hosts import lines_of, until
from test_dump import Heap


class PageServer(Heap):
    @classmethod
    def setUpClass(cls):
        fetch()
        super().setUpClass()
        cls.host.run(["ip", "link", "set", "lo", "up"])
        cls.tls = f"{cls.base}/tls"
        subprocess.run([f"{hosts.ROOT}/deploy/crx-keys", cls.tls, "127.0.0.1", "localhost"], check=True, stdout=subprocess.DEVNULL)

    def serve(self, *options, pages="pages"):
        os.makedirs(f"{self.dir}/{pages}", exist_ok=True)
        read_end, write_end = os.pipe()
        self.server = self.host.spawn([f"{hosts.BIN}/crx-agent", "--page-server", "--images-dir", f"{self.dir}/{pages}", "--port", "0",
                                       "--ready-fd", "9", *options], stdout=f"{self.dir}/server.log", fds={9: write_end})
        os.close(write_end)
        with os.fdopen(read_end) as ready:
            return int(ready.readline().split()[1])

    def join(self, pages="pages", images="set"):
        if pages == "pages":
            self.assertEqual(self.server.wait(20), 0, lines_of(f"{self.dir}/server.log"))
        names = [name for name in os.listdir(f"{self.dir}/{pages}") if name.endswith(".img")]
        self.assertTrue(any(name.startswith("pages-") for name in names), names)
        for name in names:
            shutil.copy(f"{self.dir}/{pages}/{name}", f"{self.dir}/{images}/{name}")

    def revive(self, process, digest):
        self.wait_gone(process)
        self.restore(f"{self.dir}/set", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_crx_to_crx_over_tls(self):
        process = self.start_inside(16)
        digest = self.digest()
        port = self.serve("--tls-dir", f"{self.tls}/127.0.0.1")
        self.dump(process, f"{self.dir}/set", "--page-server", f"127.0.0.1:{port}", "--tls-dir", f"{self.tls}/localhost")
        self.assertFalse(os.path.exists(f"{self.dir}/set/pages-1.img"), "no page is written at the source")
        self.join()
        self.revive(process, digest)

    def test_chain(self):
        process = self.start_inside(16)
        reports = []
        for turn in (1, 2, 3):
            parent = ["--prev-images-dir", f"../pages{turn - 1}"] if turn > 1 else []
            port = self.serve("--insecure", *parent, pages=f"pages{turn}")
            options = ["--prev-images-dir", f"../set{turn - 1}"] if turn > 1 else []
            report, text = self.report(process, f"{self.dir}/set{turn}", "--page-server", f"127.0.0.1:{port}", "--insecure",
                                       *(["--pre"] if turn < 3 else []), *options)
            self.assertFalse(any(name.startswith("pages-") for name in os.listdir(f"{self.dir}/set{turn}")))
            reports.append(report)
            self.assertEqual(self.server.wait(20), 0, lines_of(f"{self.dir}/server.log"))
            if turn < 3:
                digest = self.change()
        for report in reports[1:]:
            self.assertLess(report["pages"] * 10, reports[0]["pages"], reports)
            self.assertGreater(report["parent_pages"], reports[0]["pages"] // 2, reports)
        for turn in (1, 2, 3):
            self.join(f"pages{turn}", f"set{turn}")
        self.wait_gone(process)
        self.restore(f"{self.dir}/set3", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_a_server_without_the_parent_gets_all(self):
        process = self.start_inside(16)
        for turn in (1, 2):
            port = self.serve("--insecure", pages=f"pages{turn}")
            options = ["--prev-images-dir", "../set1"] if turn == 2 else ["--pre"]
            report, text = self.report(process, f"{self.dir}/set{turn}", "--page-server", f"127.0.0.1:{port}", "--insecure", *options)
            self.assertEqual(self.server.wait(20), 0, lines_of(f"{self.dir}/server.log"))
            if turn == 1:
                digest = self.change()
        self.assertIn("this dump is full", text)
        self.assertEqual(report["parent_pages"], 0)
        self.join("pages2", "set2")
        self.wait_gone(process)
        self.restore(f"{self.dir}/set2", pid=process.pid)
        self.assertEqual(self.digest(), digest)

    def test_a_stranger_is_refused_and_the_process_runs_on(self):
        process = self.start_inside(16)
        other = f"{self.dir}/other"
        subprocess.run([f"{hosts.ROOT}/deploy/crx-keys", other, "127.0.0.1"], check=True, stdout=subprocess.DEVNULL)
        port = self.serve("--tls-dir", f"{self.tls}/127.0.0.1")
        code, text = self.run_tool("crx-dump", "-t", process.pid, "-D", f"{self.dir}/set", "--page-server", f"127.0.0.1:{port}",
                                   "--tls-dir", f"{other}/127.0.0.1")
        self.assertEqual(code, 1, text)
        self.assertTrue(process.alive())
        self.assertEqual(self.server.wait(20), 1)

    def test_criu_to_crx(self):
        process = self.start_inside(16)
        digest = self.digest()
        port = self.serve("--insecure")
        os.mkdir(f"{self.dir}/set")
        code, text = self.host.run(criu("dump", "-t", process.pid, "-D", f"{self.dir}/set", "--page-server", "--address", "127.0.0.1",
                                        "--port", port, "-v4", "-o", "dump.log"), check=False)
        errors = [line for line in lines_of(f"{self.dir}/set/dump.log") if "Error" in line]
        self.assertEqual(code, 0, f"{text}{errors}{lines_of(f'{self.dir}/server.log')}")
        self.join()
        self.revive(process, digest)

    def test_crx_to_criu(self):
        process = self.start_inside(16)
        digest = self.digest()
        os.mkdir(f"{self.dir}/pages")
        port = 20000 + process.pid % 10000
        self.server = self.host.spawn(criu("page-server", "-D", f"{self.dir}/pages", "--address", "127.0.0.1", "--port", port, "-v4",
                                           "-o", "server.log"), stdout=f"{self.dir}/server.log")
        until(lambda: self.host.run(["ss", "-ltnH", f"sport = :{port}"])[1] or not self.server.alive(), "criu listens")
        self.dump(process, f"{self.dir}/set", "--page-server", f"127.0.0.1:{port}", "--insecure")
        os.unlink(f"{self.dir}/pages/server.log")
        self.join()
        self.revive(process, digest)


if __name__ == "__main__":
    crxtest.main()
