"""A headless Chromium that shows pages to tests, driven through its DevTools protocol over pipes."""
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from hosts import FULL

PATIENCE_S = 300  # a busy machine may leave the browser little time

# The facts of a page that tests ask for.
LOOK = """(() => {
  window.stop();  // a page that loads itself again must not do so while it is looked at
  const wide = document.documentElement.scrollWidth - window.innerWidth;
  const cut = [...document.querySelectorAll('main *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && (box.right > window.innerWidth + 1 || box.left < -1);
  }).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 60));
  const values = {}, rows = {};
  for (const e of document.querySelectorAll('[data-key]')) {
    if (e.dataset.name !== undefined)
      (rows[e.dataset.key] ??= []).push([e.dataset.name, Number(e.dataset.value), e.querySelector('.value').innerText]);
    else
      values[e.dataset.key] = e.dataset.value;
  }
  const tables = {};
  for (const t of document.querySelectorAll('table[id]'))
    tables[t.id] = [...t.querySelectorAll('tr:not(.head)')].map(r => [...r.querySelectorAll('td')].map(c => c.innerText));
  return JSON.stringify({title: document.title, text: document.body.innerText, wide, cut, values, rows, tables,
                         background: getComputedStyle(document.body).backgroundColor,
                         scripts: document.scripts.length});
})()"""


class Browser:
    """`prefix`: a command that runs the browser, such as one that enters a network namespace."""

    def __init__(self, prefix=()):
        self.profile = tempfile.mkdtemp(prefix="crx-browser-")
        theirs_in, self.to = os.pipe()
        self.from_, theirs_out = os.pipe()
        wire = f"exec 3<&{theirs_in} 4>&{theirs_out}; exec \"$@\""
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", wire, "sh", *prefix, "/usr/bin/chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
             "--hide-scrollbars", f"--user-data-dir={self.profile}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=[theirs_in, theirs_out], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": self.profile, "LC_ALL": "C.UTF-8"})
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer, self.number, self.events, self.session = b"", 0, [], None
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def receive(self, until):
        while b"\0" not in self.buffer:
            if not select.select([self.from_], [], [], max(0, until - time.monotonic()))[0]:
                raise AssertionError("the browser does not answer")
            data = os.read(self.from_, 1 << 20)
            if not data:
                raise AssertionError("the browser has ended")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = self.receive(until)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_event(self, method, count):
        """Waits until there are `count` events of this name."""
        until = time.monotonic() + PATIENCE_S
        while sum(event.get("method") == method for event in self.events) < count:
            self.events.append(self.receive(until))

    def look(self, url, width=1280, dark=False, picture=None):
        """Loads a page; returns what LOOK finds, with `errors`, the complaints of the console. picture: a path for a PNG."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        for _ in range(3):
            self.events = []
            failed = self.call("Page.navigate", url=url).get("errorText")
            if failed:
                raise AssertionError(f"{url}: {failed}")
            self.wait_event("Page.loadEventFired", 1)
            told = self.call("Runtime.evaluate", expression=LOOK, returnByValue=True)
            if "value" in told["result"]:
                break  # otherwise the page was just being loaded again by itself
        else:
            raise AssertionError(f"{url}: {told}")
        found = json.loads(told["result"]["value"])
        if picture:
            height = self.call("Page.getLayoutMetrics")["cssContentSize"]["height"]
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                             clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})["data"]
            with open(picture, "wb") as file:
                file.write(base64.b64decode(data))
        found["errors"] = [
            event for event in self.events
            if event.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Network.loadingFailed")
            or event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] in ("error", "warning")]
        return found

    def close(self):
        self.process.kill()
        self.process.wait(30)
        os.close(self.to)
        os.close(self.from_)
        shutil.rmtree(self.profile, ignore_errors=True)


def check_looks(test, browser, url, pictures=None, name="", all_of_them=FULL):
    """Looks at a page on a desk in light and on a phone in dark, or at `all_of_them`, with the other two: nothing is cut off,
    the console is silent, and the colours differ. Returns what the first look found. pictures: a folder for PNG files."""
    looks = {}
    for width, dark in ((1280, False), (375, True), (375, False), (1280, True))[:4 if all_of_them else 2]:
        path = pictures and f"{pictures}/{name}-{width}-{'dark' if dark else 'light'}.png"
        look = looks[width, dark] = browser.look(url, width, dark, path)
        with test.subTest(url=url, width=width, dark=dark):
            test.assertEqual((look["wide"], look["cut"]), (0, []))
            test.assertEqual(look["errors"], [])
            test.assertEqual(look["scripts"], 0)
    test.assertNotEqual(looks[1280, False]["background"], looks[375, True]["background"])
    test.assertEqual(looks[1280, False]["values"].keys(), looks[375, True]["values"].keys())
    return looks[1280, False]
