"""Moves that must fail: the program is unchanged, and the message gives the reason."""
import os
import subprocess

import crxtest
from crxtest import lines_of, state_of, until
from failing import FailureTest


class Failures(FailureTest):
    def fails(self, *options, exits=(1, 3), words=(), process=None, **named):
        process = process or self.start()
        before = state_of(process)
        result = self.source.migrate(process, self.target, *options, **named)
        self.check_unharmed(process, before, result, exits, *words)
        self.check_finish(f"{result}")
        return result

    def test_nobody_listens(self):
        self.target.kill_agent()
        self.fails(words=[self.target.address], exits=(1, 3))

    def test_pid_is_taken(self):
        process = self.start()
        self.target.set_next_pid(process.pid)
        other = self.target.spawn(["sleep", "1000"])
        self.addCleanup(other.kill)
        self.assertEqual(other.pid, process.pid)
        self.fail_with(process, [str(process.pid)])
        self.assertTrue(other.alive(), "the process that had the PID at the destination was ended")

    def test_thread_id_is_taken(self):
        process = self.start()
        thread = max(int(t) for t in os.listdir(process.proc("task")))
        self.target.set_next_pid(thread)
        other = self.target.spawn(["sleep", "1000"])
        self.addCleanup(other.kill)
        self.assertEqual(other.pid, thread)
        self.fail_with(process, [str(thread)])
        self.assertTrue(other.alive())

    def fail_with(self, process, words, *options, **named):
        before = state_of(process)
        result = self.source.migrate(process, self.target, *options, **named)
        self.check_unharmed(process, before, result, (1, 3), *words)
        self.check_finish(f"{result}")
        return result

    def test_library_is_missing(self):
        folder = self.ring.path("lib")
        os.makedirs(folder, exist_ok=True)
        copy = f"{folder}/libvictim.so"
        subprocess.run(["cp", self.library, copy], check=True)
        process = self.start(library=copy)
        self.target.run(["mount", "-t", "tmpfs", "none", folder])
        self.addCleanup(self.target.unbind, folder)
        result = self.fail_with(process, ["libvictim.so"])
        self.assertEqual(result.exit, 3, f"refused by preflight: {result}")

    def test_library_is_another_build(self):
        process = self.start(library=self.library)
        self.assertEqual(os.path.getsize(self.library), os.path.getsize(self.other))
        self.target.bind(self.other, self.library)
        self.addCleanup(self.target.unbind, self.library)
        result = self.fail_with(process, ["libvictim.so"])
        self.assertEqual(result.exit, 3, f"refused by preflight: {result}")

    def test_program_is_missing(self):
        folder = self.ring.path("bin")
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["cp", self.program, f"{folder}/counter"], check=True)
        program, type(self).program = self.program, f"{folder}/counter"
        try:
            process = self.start()
            self.target.run(["mount", "-t", "tmpfs", "none", folder])
            self.addCleanup(self.target.unbind, folder)
            self.fail_with(process, ["counter"])
        finally:
            type(self).program = program

    def test_written_file_differs(self):
        process = self.start()
        other = f"{self.base}.other"
        with open(other, "w") as file:
            file.write("something else\n")
        self.target.bind(other, self.output)
        self.addCleanup(self.target.unbind, self.output)
        self.fail_with(process, [self.output])

    def test_file_is_missing(self):
        process = self.start()
        folder = os.path.dirname(self.output)
        self.target.run(["mount", "-t", "tmpfs", "none", folder])
        self.addCleanup(self.target.unbind, folder)
        self.fail_with(process, [self.output])

    def test_disk_full_for_deleted_file(self):
        folder = f"{self.target.dir}/state/.ghosts"  # where the agent makes deleted files
        os.makedirs(folder, mode=0o700, exist_ok=True)
        process = self.start(ghost_kib=800)
        self.target.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder])
        self.addCleanup(self.target.unbind, folder)
        self.fail_with(process, ["space"])

    def test_deleted_file_above_the_limit(self):
        process = self.start(ghost_kib=2048)
        self.fail_with(process, ["--ghost-limit"])

    def test_certificate_of_another_authority(self):
        keys = os.path.join(crxtest.ROOT, "deploy", "crx-keys")
        other = self.ring.path("other-tls")
        subprocess.run([keys, other, self.source.address, self.target.address], check=True, capture_output=True)
        self.fails(tls=f"{other}/{self.source.address}", words=["certificate"])
        self.target.restart_agent(tls=f"{other}/{self.target.address}")
        try:
            self.fails(words=["certificate"])
        finally:
            self.target.restart_agent()

    def test_certificate_of_another_name(self):
        self.target.restart_agent(tls=self.source.tls)
        try:
            self.fails(words=["certificate", self.target.address])
        finally:
            self.target.restart_agent()

    def expired(self, host):
        """Returns a certificate for the host, of the right authority, that expired years ago."""
        folder = self.ring.path(f"expired-{host.name}")
        os.makedirs(folder, exist_ok=True)
        authority = next(os.path.join(self.ring.dir, "tls", "ca", n)
                         for n in sorted(os.listdir(self.ring.path("tls/ca"))) if "key" in n)
        with open(f"{folder}/ca.cnf", "w") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={folder}\ndatabase={folder}/index\nserial={folder}/serial\n"
                       "default_md=sha256\npolicy=p\ncopy_extensions=copy\nx509_extensions=x\n[p]\ncommonName=supplied\n"
                       f"[x]\nsubjectAltName=IP:{host.address}\nextendedKeyUsage=serverAuth,clientAuth\n")
        open(f"{folder}/index", "w").close()
        with open(f"{folder}/serial", "w") as file:
            file.write("1000\n")
        run = lambda *argv: subprocess.run(argv, check=True, capture_output=True)
        run("openssl", "req", "-new", "-key", f"{host.tls}/key.pem", "-subj", f"/CN={host.address}", "-out",
            f"{folder}/csr.pem")
        run("openssl", "ca", "-batch", "-config", f"{folder}/ca.cnf", "-in", f"{folder}/csr.pem", "-out",
            f"{folder}/cert.pem", "-notext", "-cert", f"{host.tls}/ca.pem", "-keyfile", authority, "-startdate",
            "20200101000000Z", "-enddate", "20210101000000Z")
        for name in ("ca.pem", "key.pem"):
            run("cp", "-p", f"{host.tls}/{name}", folder)
        return folder

    def test_certificate_has_expired(self):
        self.fails(tls=self.expired(self.source), words=["expired"])
        try:  # an agent may refuse to start with it
            self.target.restart_agent(tls=self.expired(self.target))
        except AssertionError:
            self.assertIn("expired", self.target.agent_tail(5))
            self.target.agent.wait_end(5)
        else:
            self.fails(words=["expired"])
        finally:
            self.target.restart_agent()

    def test_hook_refuses(self):
        for stage in ("pre-freeze", "frozen", "prepared"):
            with self.subTest(side="source", stage=stage):
                self.fails("--hook", f'test "$CRX_STAGE" != {stage}', words=["hook", stage], exits=(1,))

    def test_hook_refuses_at_the_destination(self):
        self.target.restart_agent("--hook", 'test "$CRX_STAGE" != prepared')
        try:
            self.fails(words=["hook", "prepared"], exits=(1,))
        finally:
            self.target.restart_agent()

    def test_check_only(self):
        process = self.start()
        before = state_of(process)
        result = self.source.migrate(process, self.target, "--check-only")
        self.assertEqual(result.exit, 0, f"{result}")
        self.wait_progress("after --check-only")
        self.assertEqual(state_of(process), before)
        self.check_finish()

    def test_timeout(self):
        self.fails("--timeout", "1", "--hook", 'test "$CRX_STAGE" != frozen || sleep 3', exits=(1,))

    def test_the_process_writes_too_fast(self):
        program, output, go = self.ring.compile("writer"), self.ring.path("fast.out"), self.ring.path("fast.go")
        process = self.source.spawn([program, go, "16", "50"], stdout=output)
        self.addCleanup(process.kill)
        until(lambda: lines_of(output) == ["ready"], "the writer has filled its memory")
        before = state_of(process)
        result = self.source.migrate(process, self.target, "--on-no-converge", "fail", "--max-downtime", "1",
                                     "--max-bandwidth", "20M")
        self.assertEqual(result.exit, 1, f"{result}")
        self.assertRegex(result.stderr, f"the process writes faster than {self.target.name} takes it: a stop would last about [0-9]+ ms; "
                                        "raise --max-downtime, or use --on-no-converge throttle or accept")
        self.assertEqual(state_of(process), before, f"{result}")
        open(go, "w").close()
        self.assertEqual(process.wait(), 0)
        self.assertEqual(lines_of(output)[-1], "PASS")

    def test_failed_moves_leave_nothing_then_it_moves(self):
        process = self.start()
        before = state_of(process)
        for _ in range(3):
            result = self.source.migrate(process, self.target, "--hook", 'test "$CRX_STAGE" != prepared')
            self.check_unharmed(process, before, result, (1,), "hook")
            until(lambda: not self.target.find(process.pid), "the destination forgets it")
        _, result = self.move(process, self.target)
        self.wait_progress(f"after the move: {result}")
        self.check_finish(f"{result}")

    def test_no_such_process(self):
        result = self.source.migrate(32000, self.target)
        self.assertIn(result.exit, (1, 3), f"{result}")
        self.assertIn("32000", result.stderr)


if __name__ == "__main__":
    crxtest.main()
