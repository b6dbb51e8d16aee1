"""sqlite3 during a long import into a file database: after five moves, the database is intact and complete."""
import os

import crxtest
from crxtest import until

ROWS = 2_000_000 if crxtest.FULL else 1_000_000


class Sqlite(crxtest.RingTest):
    def run_import(self, name, moves, journal):
        """Inserts rows by a script in many transactions; returns (count, sum, integrity) as sqlite3 reports them."""
        database, script = self.ring.path(f"{name}.db"), self.ring.path(f"{name}.sql")
        with open(script, "w") as file:
            file.write(f"PRAGMA journal_mode={journal};\nPRAGMA synchronous=OFF;\n"
                       "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT, value INTEGER);\nCREATE INDEX i ON t(value);\n")
            step = 10_000
            for start in range(0, ROWS, step):
                file.write(
                    f"INSERT INTO t WITH RECURSIVE n(x) AS (SELECT {start} UNION ALL SELECT x+1 FROM n WHERE "
                    f"x<{start + step - 1}) SELECT x, printf('row %d of the import', x), (x*7919)%1000003 FROM n;\n")
        log = self.ring.path(f"{name}.log")
        process = self.ring[0].spawn(["sqlite3", "-bail", database], stdin=script, stdout=log)
        try:
            for move in range(moves):
                have = os.path.getsize(database) if os.path.exists(database) else 0
                until(lambda: (os.path.exists(database) and os.path.getsize(database) > have) or not process.alive(),
                      "the database grows", 60)
                self.assertTrue(process.alive(), f"sqlite3 ended before move {move + 1}: {crxtest.read_text(log)}")
                process, _ = self.move(process, self.ring[move + 1], "--file-locks", "--ghost-limit", "64M")
            process.wait_end(300)
        finally:
            process.kill()
        self.assertIn(crxtest.read_text(log).strip(), (journal.lower(),), "what sqlite3 said")
        code, text = self.ring[0].run(["sqlite3", database, "SELECT count(*), sum(id), sum(value), sum(length(text)) "
                                       "FROM t; PRAGMA integrity_check;"], timeout=120)
        return text

    def compare(self, journal):
        plain = self.run_import(f"unmoved-{journal}", 0, journal)
        self.assertIn("ok", plain)
        self.assertTrue(plain.startswith(f"{ROWS}|"), plain)
        self.assertEqual(self.run_import(f"moved-{journal}", 5, journal), plain)

    def test_rollback_journal(self):
        self.compare("DELETE")


if __name__ == "__main__":
    crxtest.main()
