"""The live page in a real browser, against a real server."""

import shutil
import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from tests.server.page_checks import faults
from tests.server.server_stage import StageBot
from tests.server.test_page import browser, served
from tests.stores.turn_stage import NEW, composed, hit, lookup_of
from tests.telemetry.records import turn

from teller.telemetry import Telemetry
from teller.turn import MissReason, Source, Toggle, ToggleRecord

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="chromium and chromedriver are missing"
    ),
]
TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def board(chrome):
    """Opens the page of a server; left before the server stops, and without an error in the console."""
    stack = []

    def opened(telemetry=None, **limits):
        context = served(StageBot(), telemetry=telemetry or Telemetry(), **limits)
        stack.append(context)
        st, _ = context.__enter__()
        chrome.get_log("browser")
        return Board(chrome, st)

    yield opened
    severe = [entry["message"] for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
    chrome.get("about:blank")
    for context in stack:
        context.__exit__(None, None, None)
    assert [message for message in severe if "401" not in message] == []


class Board:
    def __init__(self, driver, st):
        self.driver, self.stage = driver, st
        driver.get(f"{st.url}/dashboard")

    def wait(self, fact, within_s=15.0):
        WebDriverWait(self.driver, within_s, poll_frequency=0.05).until(lambda _: fact())

    def text(self, name):
        return self.driver.find_element(By.ID, name).text

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)


def used(looks: list[float] | None = None) -> Telemetry:
    """Telemetry whose numbers grow at every look: three hits, a miss, and twenty answers that were not grounded."""
    telemetry = Telemetry()
    seen = [] if looks is None else looks

    async def read():
        seen.append(time.time())
        for record in (hit(1), hit(2), hit(3), composed(4, miss_reason=MissReason.UNCERTAIN)):
            telemetry.recorder.lookup_finished(lookup_of(record))
            telemetry.recorder.turn_finished(record)
        for _ in range(20):
            telemetry.recorder.turn_finished(turn(source=Source.MODEL, grounded=False))
        return [
            ("teller_cache_false_hit_limit_ratio", (), 0.01),
            ("teller_cache_class_open", ("public",), 1),
            ("teller_cache_class_open", ("product",), 0),
            ("teller_cache_class_certified", ("public",), 1),
            ("teller_cache_certified_bound_ratio", ("public",), 0.0081),
            ("teller_adapter_info", (NEW, "live"), 1.0),
            ("teller_adapter_served", (), 1),
            ("teller_turn_log_shed_total", (), 4),
        ]

    telemetry.watch(read)
    telemetry.recorder.adapter_toggled(ToggleRecord(time.time(), Toggle.ENABLE, None, NEW, "<b>ann</b>", "released"))
    return telemetry


def test_the_page_shows_the_numbers_as_they_come(board):
    page = board(used(), max_calls=7)
    page.wait(lambda: page.text("hit-rate") == "75.0 %")
    assert page.text("calls-active") == "0 of 7"
    page.wait(lambda: float(page.text("turns-rate")) > 0)
    assert "open, certified" in page.text("classes")
    assert "at most 0.81 %" in page.text("classes")
    assert "Miss, uncertain" in page.text("outcomes")
    assert NEW in page.text("adapter")
    assert "by <b>ann</b>" in page.text("toggles")
    first = page.text("turns-note")
    page.wait(lambda: page.text("turns-note") != first)
    assert page.one("#hits-curve path")


def test_what_deserves_a_look_is_said_in_words(board):
    page = board(used())
    page.wait(lambda: page.text("concerns"))
    assert "product is closed" in page.text("concerns")
    assert "4 records of the turn log were lost" in page.text("concerns")
    page.wait(lambda: "generated answers were not grounded" in page.text("concerns"))
    assert page.text("health") == f"{len(page.text('concerns').splitlines())} to look at"


def test_a_server_at_rest_is_well_and_says_that_nothing_was_asked(board):
    page = board()
    page.wait(lambda: page.text("health") == "All well")
    assert page.text("hit-rate") == "–"
    assert page.text("sound-note") == "No spoken turns"
    assert page.text("sources-none") == "No turns in the last minutes"
    assert page.text("outcomes-none") == "No lookups in the last minutes"
    assert not page.one("#sources").is_displayed()


def test_a_server_that_is_gone_is_not_called_well(chrome):
    with served(StageBot(), telemetry=Telemetry()) as (st, _):
        page = Board(chrome, st)
        page.wait(lambda: page.text("health") == "All well")
    page.wait(lambda: page.text("health") == "Not known")
    assert "No connection" in page.text("connection")
    chrome.get("about:blank")


def test_the_page_asks_for_the_token_and_goes_on_with_it(board):
    page = board(token=TOKEN)
    page.wait(lambda: page.one("#token-dialog").get_attribute("open"))
    page.one("#token").send_keys(TOKEN)
    page.one("#token-form button").click()
    page.wait(lambda: page.text("connection") == "Live")


def test_the_keyboard_pauses_and_changes_colours(board):
    looks: list[float] = []
    page = board(used(looks))
    page.wait(lambda: page.text("hit-rate") == "75.0 %")
    page.one("body").send_keys("p")  # no letter does anything: they belong to screen readers and speech input
    assert page.one("#pause").get_attribute("aria-pressed") == "false"
    page.one("#pause").send_keys(Keys.ENTER)
    assert page.one("#pause").get_attribute("aria-pressed") == "true"
    before, looked = page.text("turns-note"), len(looks)
    page.wait(lambda: len(looks) > looked + 2)  # the one before the last was sent
    assert page.text("turns-note") == before
    colour = page.one("body").value_of_css_property("background-color")
    page.one("#theme").send_keys(Keys.ENTER)
    assert page.one("body").value_of_css_property("background-color") != colour


@pytest.mark.parametrize("size", [(360, 740), (1280, 800), (1920, 1080)])
def test_nothing_is_wider_than_the_screen(board, size):
    page = board(used())
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600},
    )
    try:
        page.wait(lambda: page.text("hit-rate") == "75.0 %")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= size[0]
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_readable_named_and_large_enough(board, dark):
    page = board(used())
    page.wait(lambda: page.text("hit-rate") == "75.0 %")
    assert faults(page.driver, dark=dark) == []
