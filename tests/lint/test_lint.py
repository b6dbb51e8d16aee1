#!/usr/bin/env python3
"""Proves that lint.py sees each kind of fault, on small trees made for it."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import formatted  # noqa: E402
import headers  # noqa: E402
import lint  # noqa: E402
import names  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def faults(**files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return list(lint.check_tree(root))


def include(path, header):
    """The faults of one include, under the project's own rows."""
    rows = {f"{top}/CMakeLists.txt": (ROOT / top / "CMakeLists.txt").read_text()
            for top in ("common", "wire", "agent-src", "agent-dst")}
    return faults(**rows, **{"tests/README.md": "`unit/`", path: f'#include "{header}"\n'})


def only(**files):
    """Returns the findings about the files themselves."""
    return [fault for fault in faults(**files) if "crx_library row" not in fault and "README.md" not in fault]


class Arrows(unittest.TestCase):
    def test_forbidden(self):
        for path, header in [
            ("common/base/a.cpp", "common/proc/maps.hpp"),
            ("common/proc/a.cpp", "common/kernel/uffd.hpp"),
            ("common/kernel/a.cpp", "common/remote/batch.hpp"),
            ("common/image/a.cpp", "common/kernel/uffd.hpp"),
            ("common/remote/a.cpp", "common/image/schema/core.pb.h"),
            ("common/base/a.cpp", "google/protobuf/message.h"),
            ("common/kernel/a.cpp", "asio.hpp"),
            ("common/image/a.cpp", "wire/link.hpp"),
            ("wire/a.cpp", "agent-src/migrate/session.hpp"),
            ("agent-src/migrate/a.cpp", "agent-dst/migrate/destination_session.hpp"),
            ("agent-src/freeze/a.cpp", "agent-src/collect/kind/collector.hpp"),
            ("agent-src/collect/a.cpp", "agent-dst/vessel/vessel.hpp"),
            ("agent-dst/front/a.cpp", "agent-src/migrate/session.hpp"),
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
            ("wire/a.cpp", "common/kernel/files/file_identity.hpp"),
            ("wire/a.cpp", "asio/io_context.hpp"),
            ("agent-src/migrate/session.cpp", "agent-src/collect/kind/collector.hpp"),
            ("agent-src/migrate/session.cpp", "wire/link.hpp"),
            ("agent-src/dump/a.cpp", "agent-src/tool/migrate_options.hpp"),
            ("agent-src/collect/memory/a.cpp", "agent-src/memory/tracker.hpp"),
            ("agent-dst/restore/kind/a.cpp", "agent-dst/vessel/vessel.hpp"),
            ("agent-dst/restore/a.cpp", "common/image/schema/core.pb.h"),
            ("tests/unit/a.cpp", "agent-src/migrate/session.hpp"),
            ("common/base/a.cpp", "vector"),
        ]:
            with self.subTest(path=path, header=header):
                self.assertEqual(include(path, header), [])


class Rows(unittest.TestCase):
    def test_every_folder_has_one(self):
        self.assertIn("no crx_library row", faults(**{"wire/new/a.cpp": ""})[0])

    def test_none_points_back(self):
        rows = "crx_library(wire/a wire/b)\ncrx_library(wire/b wire/a)\n"
        self.assertIn("does not stand before it", faults(**{"wire/CMakeLists.txt": rows})[0])

    def test_full_folder(self):
        files = {f"wire/a{n}.cpp": "" for n in range(lint.MAX_FILES + 1)}
        self.assertIn("split it by purpose", faults(**{"wire/CMakeLists.txt": "crx_library(wire)\n"}, **files)[0])


class Folders(unittest.TestCase):
    def test_full_folder_of_tests(self):
        for suffix in ("py", "c", "cpp"):
            files = {f"tests/new/a{n}.{suffix}": "" for n in range(lint.MAX_FILES)}
            self.assertEqual(only(**files, **{"tests/new/README.md": ""}), [])
            self.assertIn("split it by purpose", only(**files, **{f"tests/new/b.{suffix}": ""})[0])

    def test_folder_of_tests_has_a_purpose(self):
        file = {"tests/new/deep/a.py": ""}
        for page, text, explained in [("tests/new/deep/README.md", "", True), ("tests/new/README.md", "`deep/`: x", True),
                                      ("tests/README.md", "`new/deep/`: x", True), ("tests/README.md", "`new/`: x", False),
                                      ("tests/new/README.md", "the deep ones", False), ("wire/README.md", "`deep/`", False)]:
            with self.subTest(page=page, text=text):
                self.assertEqual(faults(**file, **{page: text}) == [], explained)


class Files(unittest.TestCase):
    def test_shape(self):
        self.assertIn("#pragma once", only(**{"wire/a.hpp": "int x;\n"})[0])
        self.assertEqual(only(**{"wire/a.hpp": "#pragma once\n"}), [])
        self.assertIn("401 lines", only(**{"wire/a.cpp": "\n" * 401})[0])
        own = {"wire/a.hpp": "#pragma once\n", "wire/a.cpp": '#include <x>\n#include "wire/a.hpp"\n'}
        self.assertIn("first include", only(**own)[0])

    def test_long_functions(self):
        for length, found in ((58, 0), (59, 1)):
            text = "namespace a {\n\nint f(int b,\n      int c) {\n".replace("\n      int c", "") + "  g();\n" * length + "}\n\n}  // namespace a\n"
            self.assertEqual(len([fault for fault in only(**{"wire/a.cpp": text}) if "a function of" in fault]), found)

    def test_owned_calls(self):
        for line in ["::close(fd);", "  ::munmap (p, n);", "f(PTRACE_DETACH);", "if (::ptrace(x)) {",
                     "DIR* d = ::opendir(p);", "for (auto& e : std::filesystem::directory_iterator(p))",
                     "::waitpid(pid, nullptr, 0);", "if (::waitid(P_PID, 1, &i, WEXITED))", "const pid_t pid = ::fork();",
                     "::syscall(SYS_clone3, &args, sizeof args);"]:
            with self.subTest(line=line):
                self.assertEqual(len(only(**{"agent-src/a.cpp": line + "\n"})), 1)
        for path, line in [("common/base/fd.cpp", "::close(fd);"), ("common/remote/a.cpp", "::ptrace(PTRACE_DETACH);"),
                           ("common/base/directory.cpp", "::readdir(stream);"),
                           ("common/remote/a.cpp", "::waitpid(tid, &status, __WALL);"),
                           ("common/kernel/process/child_process.cpp", "return ::fork();"),
                           ("agent-dst/vessel/a.cpp", "Vessel::fork(parent);"),
                           ("wire/a.cpp", "stream.close();"), ("wire/a.cpp", "Fd::close();"),
                           ("wire/a.cpp", "// ::close(fd)"), ("tests/unit/a.cpp", "::close(fd);")]:
            with self.subTest(path=path, line=line):
                self.assertEqual(only(**{path: line + "\n"}), [])

    def test_catches(self):
        for text in ["} catch (...) {\n  ended = true;\n}\n", "} catch (const Error&) {\n  return {};\n}\n",
                     "} catch (std::exception &) {\n}\n"]:
            with self.subTest(text=text):
                self.assertEqual(len(only(**{"agent-src/a.cpp": text})), 1)
        for text in ["} catch (const Error& error) {\n  log(error);\n}\n", "} catch (const Error&) {  // the end of a session\n}\n",
                     "} catch (const Error&) {\n  // It has ended.\n}\n", "// catch (...) is not for us\n"]:
            with self.subTest(text=text):
                self.assertEqual(only(**{"agent-src/a.cpp": text}), [])


class Names(unittest.TestCase):
    def test_comments_and_documents(self):
        tree = {"wire/link.hpp": "class SourceLink {};\nconstexpr int kLimit = 1;\n", "common/base/fd.cpp": "int x;  // see fd.hpp\n"}
        self.assertEqual(names.check(tree), ["common/base/fd.cpp:1: names fd.hpp, which does not exist"])
        for line, count in [("SourceLink of wire/link.hpp, link.hpp, base/ and common/base", 0), ("SourceLinks", 1), ("kLimit", 0),
                            ("kLimits", 1), ("wire/lost/", 1), ("see base/lost.cpp", 1), ("wire/KIND.cpp", 0), ("fs/aio.c", 0)]:
            with self.subTest(line=line):
                for page in ({"docs/a.md": f"x\n{line}\n"}, {"wire/a.cpp": f"int y;\n// {line}\n"}, {"wire/b.cpp": f"\n/* {line}\n */"}):
                    faults = [fault for fault in names.check({**tree, **page}) if not fault.startswith("common")]
                    self.assertEqual(len(faults), count, faults)
                    self.assertTrue(all(":2: names" in fault for fault in faults), faults)
        self.assertEqual(len(names.check({"wire/a.cpp": 'puts("// lost.cpp");\n'})), 0)


class Subjects(unittest.TestCase):
    def test_form(self):
        for subject in ("wire: say what is said", "collect/files: carry FIFOs", "build, tests: link less"):
            self.assertIsNone(formatted.subject_fault(subject), subject)
        for subject in ("Fix things", "wire:x", "wire: " + "x" * 67):
            self.assertIsNotNone(formatted.subject_fault(subject), subject)


class Headers(unittest.TestCase):
    def test_one_that_does_not_compile_alone(self):
        with tempfile.NamedTemporaryFile("w", suffix=".hpp") as file:
            file.write("#pragma once\nstd::string name();\n")
            file.flush()
            self.assertIn(file.name, headers.fault(file.name))
            file.write("")
        self.assertIsNone(headers.fault("common/base/fd.hpp"))


if __name__ == "__main__":
    unittest.main()
