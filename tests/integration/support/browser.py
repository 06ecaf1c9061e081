"""A headless Chromium, driven over its DevTools protocol.

The protocol goes over a pipe (--remote-debugging-pipe: descriptors 3 and 4, JSON ended by NUL), so
there is no port to race for and no driver in between. One thread; events are kept as they come.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from .waiting import DEADLINE, wait_for

PROGRAMS = ("chromium-headless-shell", "chromium")
# Nothing of its own on the network; no sandbox, which would need rights that containers do not give;
# nothing there but pages of ours is opened.
FLAGS = ("--headless", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-GB")
# A browser that starts from a cold disk on a busy machine.
PATIENCE = 4 * DEADLINE


def program():
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def _pipe():
    """Both ends above the descriptors that the child gets."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 16) for end in ends]
    for end in ends:
        os.close(end)
    return high


class Browser:
    """`with Browser(directory) as browser: page = browser.page()`"""

    def __init__(self, directory):
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        self._last, self._buffer, self._results, self.events = 0, b"", {}, []
        # bash: it alone of the shells redirects descriptors of two digits.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", program(), *FLAGS,
             f"--user-data-dir={directory}/browser", "about:blank"],
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "TZ": "UTC"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(f"{directory}/browser.log", "wb"), pass_fds=(commands, answers),
            start_new_session=True)
        os.close(commands)
        os.close(answers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send("Browser.close")  # it may end before it answers
        os.close(self._commands)
        os.close(self._answers)
        self.process.wait(PATIENCE)

    def send(self, method, session=None, **parameters):
        """Does not wait for the result; its number."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        return self._last

    def command(self, method, session=None, **parameters):
        """Its result; events that come meanwhile are kept."""
        number = self.send(method, session, **parameters)
        end = time.monotonic() + PATIENCE
        while number not in self._results:
            assert time.monotonic() < end, f"the browser does not answer {method}"
            self.listen(1.0)
        answer = self._results.pop(number)
        assert "error" not in answer, (method, parameters, answer["error"])
        return answer["result"]

    def listen(self, seconds=0.0):
        """Takes what has come; waits for it at most so long."""
        if not select.select([self._answers], [], [], seconds)[0]:
            return
        data = os.read(self._answers, 1 << 20)
        assert data, "the browser has ended"
        *whole, self._buffer = (self._buffer + data).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self._results[message["id"]] = message
            else:
                self.events.append(message)

    def page(self):
        return Page(self)


class Page:
    """A tab. `trouble()` and `requests()` tell of everything since it was made."""

    def __init__(self, browser):
        self.browser = browser
        target = browser.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.command("Target.attachToTarget", targetId=target,
                                       flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method, **parameters):
        return self.browser.command(method, self.session, **parameters)

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def events(self, *methods):
        self.browser.listen()
        return [event["params"] for event in self.browser.events
                if event["method"] in methods and event.get("sessionId") == self.session]

    def open(self, url):
        before = len(self.events("Page.loadEventFired"))
        self.command("Page.navigate", url=url)
        wait_for(lambda: len(self.events("Page.loadEventFired")) > before, f"{url} to load", PATIENCE)

    def value(self, expression):
        """Of a JavaScript expression, as JSON has it."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True,
                              awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)}).textContent")

    def wait_text(self, selector, condition, what):
        """Until the element's text meets the condition; the text."""
        def look():
            text = self.text(selector)
            return (text,) if condition(text) else None
        return wait_for(look, what, PATIENCE)[0]

    def requests(self):
        """The addresses that were asked for."""
        return [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]

    def trouble(self):
        """What the console says, violated policies included, and uncaught exceptions."""
        return [str(event) for event in self.events("Log.entryAdded", "Runtime.consoleAPICalled",
                                                    "Runtime.exceptionThrown")]

    def screen(self, width, height=900, dark=False, scale=1):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height,
                     deviceScaleFactor=scale, mobile=width < 600)
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def picture(self):
        """A PNG of what the screen shows."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])
