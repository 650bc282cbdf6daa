"""The page in a real browser, against a real server around a scripted bot."""

import asyncio
import shutil
import threading
import time
import wave
from contextlib import contextmanager

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from tests.server.page_checks import faults
from tests.server.server_stage import NOTICE, Line, Stage, StageBot, said, stage

from teller.turn import Answer, Citation, DataClass, Evidence, MissReason, Source, Tier

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed"),
]

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --use-fake-device-for-media-stream"
)
LOST_CARD = "I have lost my card, what do I do?"  # one of the page's examples
SCRIPT = {
    LOST_CARD: Line(
        Answer(
            "Freeze the card in the app straight away.",
            Source.CACHE,
            "cards.lost",
            DataClass.PUBLIC,
            (Citation("cards.lost", "Lost or stolen cards", "2026-11"),),
            evidence=Evidence(
                Tier.SEMANTIC, 4, "my card is gone", 0.934, 11, 12, 0.996, 0.01, {"values": "equal", "roles": "same"}
            ),
        ),
        timings_ms={"redact": 0.5, "cache": 4.5, "speak": 1.0},
    ),
    "My IBAN is GB33BUKB20201555555555": Line(
        Answer("I cannot see that.", Source.REFUSED, "policy.live_value", reason="live_value"),
        heard="My IBAN is [iban]",
        redacted=("iban",),
        miss_reason=MissReason.NOT_ELIGIBLE,
    ),
    "long": Line(said("On and on."), pieces=300, pause_s=0.02),
    "<img src=x onerror=alert(1)>": Line(said("<script>alert(1)</script><b>bold</b>")),
}


@contextmanager
def served(bot: StageBot, **limits):
    """A running server in a thread of its own; gives its stage and a way to do something in its loop."""
    ready, stop = threading.Event(), None
    box: list[Stage] = []
    loop = asyncio.new_event_loop()

    async def run() -> None:
        nonlocal stop
        stop = asyncio.Event()
        async with stage(bot, **limits) as st:
            box.append(st)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield box[0], loop.call_soon_threadsafe
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@contextmanager
def browser(folder, *flags: str):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), *flags, f"--user-data-dir={folder}", "--window-size=1400,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def tone_file(tmp_path_factory):
    """What the fake microphone hears, over and over: a second of 1 kHz, a second and a half of silence."""
    seconds = np.arange(48_000) / 48_000
    sound = np.concatenate([12_000 * np.sin(2 * np.pi * 1_000 * seconds), np.zeros(72_000)]).astype("<i2")
    path = tmp_path_factory.mktemp("sound") / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(sound.tobytes())
    return path


@pytest.fixture(scope="module")
def chrome(tmp_path_factory, tone_file):
    flags = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={tone_file}")
    with browser(tmp_path_factory.mktemp("profile"), *flags) as driver:
        yield driver


@contextmanager
def opened(driver, bot: StageBot, **limits):
    """The page of a server, left before the server stops: a page that is left alone would go on trying to connect."""
    with served(bot, **limits) as (st, do):
        try:
            yield Page(driver, st, do)
        finally:
            driver.get("about:blank")


@pytest.fixture
def page(chrome):
    """A fresh page on a fresh server; the test fails if the browser's console shows an error."""
    chrome.get_log("browser")
    with opened(chrome, StageBot(SCRIPT)) as page:
        page.wait(lambda: page.text("state") == "Ready")
        yield page
        severe = [entry["message"] for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
    assert [message for message in severe if "WebSocket" not in message] == []


class Page:
    def __init__(self, driver, st: Stage, do) -> None:
        self.driver, self.stage, self.bot, self.do = driver, st, st.bot, do
        driver.get(st.url)

    def wait(self, fact, within_s: float = 10.0) -> None:
        WebDriverWait(self.driver, within_s, poll_frequency=0.02).until(lambda _: fact())

    def all(self, selector: str):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.driver.find_element(By.ID, name).text

    def details(self) -> str:
        """Open the newest answer's details and read them."""
        self.all(".badge")[-1].click()
        self.wait(lambda: self.all(".details")[-1].text)
        return self.all(".details")[-1].text

    def ask(self, question: str) -> None:
        self.one("#question").send_keys(question, Keys.ENTER)

    def answered(self, count: int = 1) -> None:
        self.wait(lambda: len(self.all(".turn .total")) == count)


def test_a_click_on_an_example_shows_the_answer_its_source_and_the_evidence(page) -> None:
    next(button for button in page.all("#examples button") if button.text == LOST_CARD).click()
    page.answered()
    assert page.one(".answer").text == "Freeze the card in the app straight away."
    assert page.one(".badge").text == "Cache hit"
    assert page.text("spoken") == "Freeze the card in the app straight away."  # the live region
    details = page.details()
    for shown in (
        "my card is gone",
        "0.934",
        "11 of 12",
        "99.6 %",
        "at most 1.0 %",
        "Lost or stolen cards",
        "version 2026-11",
    ):
        assert shown in details
    assert [part.get_attribute("data-part") for part in page.all(".details .stack span")] == [
        "redact",
        "cache",
        "speak",
    ]
    assert "6.0 ms" in details
    assert page.text("total-turns") == "1"
    assert page.text("total-cache") == "100 %"
    assert page.text("total-median") == "6.0 ms"
    assert page.one(".badge").get_attribute("aria-expanded") == "true"


def test_what_was_redacted_is_a_chip(page) -> None:
    page.ask("My IBAN is GB33BUKB20201555555555")
    page.answered()
    assert page.one(".heard").text.split("\n") == ["My IBAN is", "IBAN removed"]
    assert "GB33" not in page.driver.page_source
    details = page.details()
    assert "It asks for a live value" in details
    assert "personal data never are" in details


def test_markup_in_questions_and_answers_is_text(page) -> None:
    page.ask("<img src=x onerror=alert(1)>")
    page.answered()
    assert page.one(".heard").text == "<img src=x onerror=alert(1)>"
    assert page.one(".answer").text == "<script>alert(1)</script><b>bold</b>"
    assert page.all(".turn img, .turn script, .turn b.bold") == []


def test_holding_the_button_asks_what_was_said_meanwhile(page) -> None:
    ActionChains(page.driver).click_and_hold(page.one("#mic")).perform()
    page.wait(lambda: page.text("meter-text") == "Let go to ask")
    assert page.text("state") == "Listening to you"
    page.wait(lambda: any("scaleY(0.08)" not in bar.get_attribute("style") for bar in page.all("#bars i")))
    time.sleep(1.0)
    ActionChains(page.driver).release().perform()
    page.answered()
    pcm = page.bot.orchestrator.speech[0].pcm
    assert pcm.rate_hz == 16_000
    assert 0.9 < pcm.duration_s < 8
    assert dominant_hz(pcm.samples) == pytest.approx(1_000, abs=15)


def dominant_hz(samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 16_000 / len(samples))


def test_holding_the_space_bar_asks_and_escape_drops_what_was_said(page) -> None:
    ActionChains(page.driver).key_down(Keys.SPACE).perform()
    page.wait(lambda: page.text("meter-text") == "Let go to ask")
    time.sleep(0.5)
    ActionChains(page.driver).key_up(Keys.SPACE).perform()
    page.answered()
    page.one("#question").click()  # while it is empty, a space is no text
    ActionChains(page.driver).key_down(Keys.SPACE).perform()
    page.wait(lambda: page.text("meter-text") == "Let go to ask")
    time.sleep(0.4)
    ActionChains(page.driver).send_keys(Keys.ESCAPE).key_up(Keys.SPACE).perform()
    page.wait(lambda: page.text("state") == "Ready")
    page.ask("typed words")
    page.answered(2)
    assert page.bot.orchestrator.heard == ["(spoken)", "typed words"]


def test_the_first_spoken_question_is_answered_after_the_spoken_notice(page) -> None:
    page.bot.orchestrator.line_s = 1.0
    page.driver.execute_script(
        "window.played = []; const start = AudioBufferSourceNode.prototype.start;"
        "AudioBufferSourceNode.prototype.start = function (at) {"
        " window.played.push([at, this.buffer.duration]); start.call(this, at); }"
    )
    page.one("#question").send_keys("typed first", Keys.ENTER)
    page.answered()
    page.wait(lambda: page.text("state") == "Ready")
    for turn in (2, 3):
        ActionChains(page.driver).click_and_hold(page.one("#mic")).perform()
        page.wait(lambda: page.text("meter-text") == "Let go to ask")
        time.sleep(0.4)
        ActionChains(page.driver).release().perform()
        page.answered(turn)
        page.wait(lambda: page.text("state") == "Ready")
    played = page.driver.execute_script("return window.played")
    lengths = [0.0, 0.0, 0.0]  # of what was played in one go: the typed answer, notice and answer, the last answer
    for (at, duration), (before, lasted) in zip(played, [(-9.0, 0.0), *played], strict=False):
        joined = abs(before + lasted - at) < 0.02
        lengths = [*lengths[:-1], lengths[-1] + duration] if joined else [*lengths[1:], duration]
    assert lengths == pytest.approx([0.2, 1.2, 0.2], abs=0.01)
    assert page.bot.orchestrator.said == [NOTICE]


def test_a_tap_speaks_until_the_next_tap(page) -> None:
    page.one("#mic").click()
    page.wait(lambda: page.text("meter-text") == "Tap again to ask")
    time.sleep(0.5)
    page.one("#mic").click()
    page.answered()
    assert page.bot.orchestrator.heard == ["(spoken)"]


def test_hands_free_asks_at_each_pause_until_it_is_switched_off(page) -> None:
    page.one("#hands-free").click()
    page.answered(2)
    page.one("#hands-free").click()
    page.wait(lambda: page.one("#hands-free").get_attribute("aria-checked") == "false")
    assert 0.5 < page.bot.orchestrator.speech[1].pcm.duration_s < 3.0


def test_escape_and_a_new_question_silence_the_answer(page) -> None:
    page.ask("long")
    page.wait(lambda: page.text("state") == "Speaking")
    assert page.one("#stop").is_displayed()
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    page.wait(lambda: page.text("state") == "Ready")
    assert page.bot.orchestrator.broken_off == 1
    page.ask("long")
    page.wait(lambda: page.text("state") == "Speaking")
    page.ask(LOST_CARD)
    page.answered()
    assert page.bot.orchestrator.broken_off == 2
    assert [turn.get_attribute("data-source") for turn in page.all(".turn")] == ["approved", "approved", "cache"]


def test_an_answer_can_be_heard_again(page) -> None:
    page.ask(LOST_CARD)
    page.answered()
    page.wait(lambda: page.text("state") == "Ready")
    page.one(".replay").click()
    page.wait(lambda: "playing" in page.one(".turn").get_attribute("class"))
    page.wait(lambda: "playing" not in page.one(".turn").get_attribute("class"))


def test_a_lost_connection_comes_back_with_a_new_call(page) -> None:
    page.ask("first")
    page.answered()
    page.do(lambda: [one.transport.abort() for one in page.stage.server.server_state.connections])
    page.wait(lambda: page.text("connection") != "Connected")
    page.wait(lambda: page.text("connection") == "Connected")
    assert page.one(".divider").text == "A new call began"
    page.ask("second")
    page.answered(2)


def test_an_error_is_shown_and_the_next_question_works(chrome) -> None:
    async def crash(_: str) -> None:
        raise RuntimeError("hunter2")

    with opened(chrome, StageBot({"crash": Line(said("never"), act=crash)})) as page:
        page.wait(lambda: page.text("state") == "Ready")
        page.ask("crash")
        page.wait(lambda: page.all(".failed"))
        assert "quote" in page.one(".failed").text
        assert "hunter2" not in chrome.page_source
        page.ask("fine")
        page.answered()


def test_a_call_that_was_ended_begins_anew_on_request(chrome) -> None:
    with opened(chrome, StageBot(), idle_timeout_s=0.3) as page:
        page.wait(lambda: page.text("state") == "Call ended")
        page.one("#alert-action").click()
        page.wait(lambda: page.text("state") == "Ready")
        assert len(page.bot.calls) == 2


def test_busy_lines_are_named_and_tried_again(chrome) -> None:
    with opened(chrome, StageBot(), max_calls=1) as page:
        page.wait(lambda: page.text("state") == "Ready")
        chrome.switch_to.new_window("tab")
        chrome.get(page.stage.url)
        page.wait(lambda: "busy" in page.text("connection"))
        chrome.close()
        chrome.switch_to.window(chrome.window_handles[0])


def test_a_server_with_a_token_asks_for_it_again_after_a_wrong_one(chrome) -> None:
    token = "a-token-of-some-length"
    with opened(chrome, StageBot(), token=token) as page:
        page.wait(lambda: page.one("#token-dialog").is_displayed())
        assert not page.one("#token-wrong").is_displayed()
        page.one("#token").send_keys("wrong", Keys.ENTER)
        page.wait(lambda: page.one("#token-wrong").is_displayed())
        assert faults(chrome) == []
        page.one("#token").send_keys(token, Keys.ENTER)
        page.wait(lambda: page.text("connection") == "Connected")
        assert token not in chrome.page_source
        assert token not in chrome.current_url


def test_a_refused_microphone_is_explained_and_typing_still_works(tmp_path) -> None:
    with browser(tmp_path / "profile") as driver, opened(driver, StageBot(SCRIPT)) as page:
        driver.execute_cdp_cmd(
            "Browser.setPermission",
            {"permission": {"name": "microphone"}, "setting": "denied", "origin": page.stage.url},
        )
        ActionChains(driver).click_and_hold(page.one("#mic")).perform()
        page.wait(lambda: page.one("#alert").is_displayed())
        assert "blocked for this page" in page.text("alert-text")
        ActionChains(driver).release().perform()
        page.wait(lambda: page.text("state") == "Ready")
        page.ask("typed")
        page.answered()


@pytest.mark.parametrize("width", [360, 390, 768, 1080, 1920])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width(page, width, theme) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    try:
        page.ask(LOST_CARD)
        page.answered()
        page.one(".badge").click()
        wide = page.driver.execute_script(
            "return [...document.querySelectorAll('body *')].filter((e) => e.offsetParent"
            " && !e.closest('.unseen, .skip')"
            " && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
        colour = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, colour[4:-1].split(","))) < 200) == (theme == "dark")
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_chosen_theme_outlives_a_reload(page) -> None:
    page.one("#theme").click()
    assert page.one("html").get_attribute("data-theme") == "dark"
    page.driver.refresh()
    assert page.one("html").get_attribute("data-theme") == "dark"
    page.one("#theme").click()
    assert page.one("html").get_attribute("data-theme") == "light"


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_readable_named_and_large_enough(page, dark) -> None:
    assert faults(page.driver, dark=dark) == []
    page.ask(LOST_CARD)
    page.answered()
    page.one(".badge").click()
    page.wait(lambda: page.text("state") == "Ready")
    assert faults(page.driver, dark=dark) == []
    for one in page.all("button, input, a[href]"):
        assert not one.is_displayed() or one.accessible_name


def test_escape_closes_the_numbers_over_the_conversation(page) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.one("#panel-open").click()
        assert page.one("#panel").is_displayed()
        page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        assert not page.one("#panel").is_displayed()
        assert page.driver.switch_to.active_element.get_attribute("id") == "panel-open"
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
