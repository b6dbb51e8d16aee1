#!/usr/bin/env python3
"""Proves that lint.py sees each kind of fault, on small trees made for it."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lint  # noqa: E402


def faults(**files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return list(lint.check_tree(root))


def include(path, header):
    return faults(**{path: f'#include "{header}"\n'})


class Arrows(unittest.TestCase):
    def test_forbidden(self):
        for path, header in [
            ("common/base/a.cpp", "common/proc/maps.hpp"),
            ("common/proc/a.cpp", "common/kernel/uffd.hpp"),
            ("common/kernel/a.cpp", "common/remote/batch.hpp"),
            ("common/image/a.cpp", "common/kernel/uffd.hpp"),
            ("common/remote/a.cpp", "common/image/core.pb.h"),
            ("common/base/a.cpp", "google/protobuf/message.h"),
            ("common/kernel/a.cpp", "asio.hpp"),
            ("common/image/a.cpp", "wire/link.hpp"),
            ("wire/a.cpp", "agent-src/session.hpp"),
            ("agent-src/a.cpp", "agent-dst/session.hpp"),
            ("agent-src/collect/a.cpp", "agent-dst/vessel/vessel.hpp"),
            ("agent-dst/front/a.cpp", "agent-src/session.hpp"),
            ("agent-src/collect/a.cpp", "wire/link.hpp"),
            ("agent-src/memory/a.cpp", "wire/messages.pb.h"),
            ("agent-dst/vessel/a.cpp", "asio/io_context.hpp"),
            ("agent-dst/restore/a.cpp", "wire/link.hpp"),
        ]:
            with self.subTest(path=path, header=header):
                self.assertTrue(include(path, header))

    def test_allowed(self):
        for path, header in [
            ("common/base/a.cpp", "common/base/fd.hpp"),
            ("common/remote/a.cpp", "common/proc/status.hpp"),
            ("common/image/a.cpp", "google/protobuf/message_lite.h"),
            ("wire/a.cpp", "common/image/image_store.hpp"),
            ("wire/a.cpp", "asio/io_context.hpp"),
            ("agent-src/session.cpp", "agent-src/collect/timers.hpp"),
            ("agent-src/session.cpp", "wire/link.hpp"),
            ("agent-src/collect/a.cpp", "agent-src/options.hpp"),
            ("agent-src/collect/a.cpp", "agent-src/memory/tracker.hpp"),
            ("agent-dst/restore/a.cpp", "agent-dst/vessel/vessel.hpp"),
            ("agent-dst/restore/a.cpp", "common/image/core.pb.h"),
            ("tests/unit/a.cpp", "agent-src/session.hpp"),
            ("common/base/a.cpp", "vector"),
        ]:
            with self.subTest(path=path, header=header):
                self.assertEqual(include(path, header), [])


class Files(unittest.TestCase):
    def test_shape(self):
        self.assertIn("#pragma once", faults(**{"wire/a.hpp": "int x;\n"})[0])
        self.assertEqual(faults(**{"wire/a.hpp": "#pragma once\n"}), [])
        self.assertIn("501 lines", faults(**{"wire/a.cpp": "\n" * 501})[0])
        own = {"wire/a.hpp": "#pragma once\n", "wire/a.cpp": '#include <x>\n#include "wire/a.hpp"\n'}
        self.assertIn("first include", faults(**own)[0])

    def test_owned_calls(self):
        for line in ["::close(fd);", "  ::munmap (p, n);", "f(PTRACE_DETACH);", "if (::ptrace(x)) {"]:
            with self.subTest(line=line):
                self.assertEqual(len(faults(**{"agent-src/a.cpp": line + "\n"})), 1)
        for path, line in [("common/base/fd.cpp", "::close(fd);"), ("common/remote/a.cpp", "::ptrace(PTRACE_DETACH);"),
                           ("wire/a.cpp", "stream.close();"), ("wire/a.cpp", "Fd::close();"),
                           ("wire/a.cpp", "// ::close(fd)"), ("tests/unit/a.cpp", "::close(fd);")]:
            with self.subTest(path=path, line=line):
                self.assertEqual(faults(**{path: line + "\n"}), [])


if __name__ == "__main__":
    unittest.main()
