"""The status page, in a real browser."""

import os
import signal
from pathlib import Path

import pytest

from support import browser as chromium
from support.load import Load
from support.metrics import Admin
from support.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(chromium.program() is None, reason="no Chromium; deploy/packages/test has it"),
    # One browser at a time: it is the heaviest thing here.
    pytest.mark.xdist_group("browser"),
]

BAD_PATH = "/gate/<script>document.title='broken'</script><b>x</b>"


@pytest.fixture
def page(tmp_path):
    with chromium.Browser(tmp_path) as browser:
        yield browser.page()


def address(server):
    return f"http://127.0.0.1:{server.admin_port}"


def open_page(page, server):
    Admin(server)  # waits until it listens
    page.screen(1100, 1000)
    page.open(address(server) + "/")


def rows(page, table):
    return page.value(f"[...document.querySelectorAll('#{table} tr')]"
                      ".map((row) => [...row.cells].map((cell) => cell.textContent))")


def test_it_shows_what_happens(saola, page):
    server = saola(config={"app": {"workers": 2, "threads": 3}}, admin=True)
    open_page(page, server)
    page.wait_text("#rate", lambda text: text == "0", "a rate of nothing")
    page.wait_text("#state", lambda text: text == "serving", "the state")
    with server.connect() as held, Load(server) as load:
        held.request("GET", BAD_PATH + "?name=shown")
        server.wait_gate("shown")
        first = page.wait_text("#rate", lambda text: text not in ("0", "–"), "a rate")
        page.wait_text("#rate", lambda text: text not in ("0", "–", first), "another rate")
        for quantile in ("p50", "p90", "p99"):
            page.wait_text(f"#{quantile}", lambda text: text.endswith("s"), quantile)
        page.wait_text("#workers", lambda text: BAD_PATH in text, "the path of what runs")
        page.wait_text("#workers", lambda text: "since" in text and "%" in text, "times and CPU")
        assert sorted(int(row[1]) for row in rows(page, "workers")) == sorted(server.workers())
        [app] = rows(page, "apps")
        assert app[1:3] == ["yes", "2 of 2"], app
        [certificate] = rows(page, "certificates")
        assert certificate[1] == str(server.certs.ecdsa.certificate) and "in " in certificate[2]
        assert int(page.text("#connections")) >= 1
        assert page.value("document.querySelector('#rate').parentNode"
                          ".querySelector('polyline').points.length") > 2
        assert page.value("document.title").startswith("Saola: ")
        assert page.value("document.querySelectorAll('main script, td b').length") == 0
        picture = page.picture()
        server.open_gate("shown")
        assert held.response().status == 200
    load.check()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    if os.environ.get("SAOLA_SCREENSHOT"):  # docs/images/status_page.png
        Path(os.environ["SAOLA_SCREENSHOT"]).write_bytes(picture)
    server.send_signal(signal.SIGHUP)
    page.wait_text("#server", lambda text: "ago, succeeded" in text, "the reload")
    assert page.trouble() == []
    outside = [url for url in page.requests()
               if not url.startswith((address(server) + "/", "data:,"))]
    assert outside == []


def test_it_fits_a_phone_and_the_dark(saola, page):
    server = saola(config={"app": {"workers": 2}}, admin=True)
    open_page(page, server)
    page.wait_text("#workers", lambda text: "ready" in text, "the workers")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.value(background)
    page.screen(360, 740, dark=True)
    assert page.value(background) != light
    assert page.value("document.documentElement.scrollWidth") <= 360
    assert page.trouble() == []


def test_it_says_when_nobody_answers_and_goes_on_later(saola, page):
    server = saola(admin=True)
    open_page(page, server)
    page.wait_text("#state", lambda text: text == "serving", "the state")
    assert page.value("document.querySelector('#banner').hidden")
    os.kill(server.pid, signal.SIGSTOP)  # the supervisor: /status fails, /metrics does not
    try:
        page.wait_text("#banner", lambda text: "/status: answered 503" in text, "the complaint")
        assert "/metrics" not in page.text("#banner")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    wait_for(lambda: page.value("document.querySelector('#banner').hidden"), "the end of it")
    page.wait_text("#state", lambda text: text == "serving", "the state")
    server.stop()
    page.wait_text("#banner", lambda text: text.count("does not answer") == 2, "the complaint")
    assert page.text("#state") == "no answer"


def test_it_asks_nothing_while_it_is_hidden(saola, page):
    server = saola(admin=True)
    open_page(page, server)
    page.wait_text("#state", lambda text: text == "serving", "the state")
    hide = ("Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))")
    page.value(hide % "true")
    finished = ("Network.loadingFinished", "Network.loadingFailed")
    wait_for(lambda: len(page.events(*finished)) == len(page.requests()), "the last answers")
    asked = len(page.requests())
    # A minute, as its timers see it.
    page.command("Emulation.setVirtualTimePolicy", policy="advance", budget=60_000)
    wait_for(lambda: page.events("Emulation.virtualTimeBudgetExpired"), "a minute",
             chromium.PATIENCE)
    assert len(page.requests()) == asked
    page.value(hide % "false")
    wait_for(lambda: len(page.requests()) >= asked + 2, "questions again")


def test_a_browser_asks_for_the_token(saola, page, tmp_path):
    token = tmp_path / "token"
    token.write_text("open sesame\n")
    server = saola(admin=True, config={"admin": {"token_file": str(token)}})
    Admin(server)
    page.command("Fetch.enable", handleAuthRequests=True)
    given = {"response": "ProvideCredentials", "username": "me", "password": "open sesame"}
    page.send("Page.navigate", url=address(server) + "/")  # answered after the credentials
    answered = set()

    def settle():
        for event in page.events("Fetch.requestPaused"):
            if event["requestId"] not in answered:
                answered.add(event["requestId"])
                page.command("Fetch.continueRequest", requestId=event["requestId"])
        asked = page.events("Fetch.authRequired")
        for event in asked:
            if id(event) not in answered:
                answered.add(id(event))
                page.command("Fetch.continueWithAuth", requestId=event["requestId"],
                             authChallengeResponse=given)
        there = any(event["frame"]["url"].startswith(address(server))
                    for event in page.events("Page.frameNavigated"))
        return asked and there and page.value(
            "document.querySelector('#state')?.textContent") == "serving"

    wait_for(settle, "the page", chromium.PATIENCE)
    challenge = page.events("Fetch.authRequired")[0]["authChallenge"]
    assert challenge["scheme"] == "basic" and "token" in challenge["realm"]
