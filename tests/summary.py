#!/usr/bin/env python3
"""Prints how many tests of the last `tests/run.sh --full` have passed and failed, as one line.

    tests/summary.py [BUILD]    BUILD: the build directory, default build/dev

It counts the tests of ctest (BUILD/results/ctest.xml, in the format of JUnit) and the fuzzers (BUILD/results/fuzz).
"""
import glob
import json
import sys
from xml.etree import ElementTree


def main():
    results = (sys.argv[1] if len(sys.argv) > 1 else "build/dev") + "/results"
    suite = ElementTree.parse(f"{results}/ctest.xml").getroot()
    failed = int(suite.get("failures")) + int(suite.get("disabled"))
    skipped = int(suite.get("skipped"))
    passed = int(suite.get("tests")) - failed - skipped
    for path in glob.glob(f"{results}/fuzz/*.json"):
        with open(path) as file:
            found = json.load(file)["found"]
        failed, passed = failed + (found > 0), passed + (found == 0)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))


if __name__ == "__main__":
    main()
