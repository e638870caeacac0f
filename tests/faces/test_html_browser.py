"""The HTML report in a browser, from a file: sorting, links, keyboard, dark mode, narrow screens, copying, and nothing in the console."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trainer_props.reports import html

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
MISSING += ["selenium"] if importlib.util.find_spec("selenium") is None else []
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} missing: the browser tests need them")

SAMPLE = Path(__file__).parents[1] / "samples" / "result.json"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield made
    finally:
        made.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    html.write(path, json.loads(SAMPLE.read_text(encoding="utf-8")))
    return path.as_uri()


@pytest.fixture
def browser(driver: Chrome, address: str) -> Iterator[Chrome]:
    """The page, freshly loaded, in a light window of 1000 by 800; whatever a test does, it must leave nothing in the console."""
    look(driver, "light", 1000)
    driver.get("about:blank")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []


def look(driver: Chrome, scheme: str, width: int, media: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features, "media": media})
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def find(driver: Chrome, selector: str) -> WebElement:
    return driver.find_element("css selector", selector)


def first_table(driver: Chrome, number: int) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelector('#properties table').tBodies[0].rows].map(row => row.cells[arguments[0]].textContent)", number
    )  # type: ignore[no-any-return]


def headings(driver: Chrome) -> list[WebElement]:
    return find(driver, "#properties table thead").find_elements("css selector", "button")


def aria_sort(driver: Chrome) -> list[str]:
    return driver.execute_script(
        "return [...document.querySelector('#properties table').tHead.rows[0].cells].map(cell => cell.getAttribute('aria-sort'))"
    )  # type: ignore[no-any-return]


def press(driver: Chrome, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def focused(driver: Chrome) -> Any:
    return driver.switch_to.active_element


def hear(driver: Chrome, text: str) -> None:
    """Wait until the page says this to those who can't see it."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 10).until(lambda _: find(driver, "#said").get_attribute("textContent") == text)


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, by the Web Content Accessibility Guidelines."""
    parts = [float(each) / 255 for each in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def style(driver: Chrome, selector: str, name: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    return driver.execute_script(script, selector, name)  # type: ignore[no-any-return]


def test_a_click_sorts_and_another_turns_it_round(browser: Chrome) -> None:
    assert aria_sort(browser) == ["ascending", *["none"] * 5]
    headings(browser)[2].click()
    assert first_table(browser, 2) == ["1000", "900", "232", "40", "0"]  # as numbers, the largest first
    assert aria_sort(browser) == ["none", "none", "descending", *["none"] * 3]
    headings(browser)[2].click()
    assert first_table(browser, 2) == ["0", "40", "232", "900", "1000"]
    assert aria_sort(browser)[2] == "ascending"
    headings(browser)[1].click()
    names = first_table(browser, 1)
    assert names == sorted(names)
    assert aria_sort(browser) == ["none", "ascending", *["none"] * 4]


def test_everything_is_reached_and_done_by_the_keyboard(browser: Chrome) -> None:
    press(browser, "\ue004")
    assert focused(browser).text == "Skip to the summary"
    reached = []
    for _ in range(80):
        press(browser, "\ue004")
        reached.append(focused(browser).text)
        if reached[-1] == "violated":
            break
    assert {"Summary", "Violations 3", "copy", "property", "evaluated"} <= {" ".join(each.split()) for each in reached}
    press(browser, "\ue007")
    assert first_table(browser, 4)[:3] == ["9", "3", "1"]
    press(browser, " ")
    assert first_table(browser, 4)[-1] == "9"
    assert style(browser, "thead button:focus-visible", "outlineStyle") == "solid"


def test_a_link_leads_to_its_violation_and_back(browser: Chrome) -> None:
    find(browser, ".index a[href*='silent_setters']").click()
    assert browser.current_url.endswith("#arguments.silent_setters_keep_their_documented_defaults--48c05854")
    article = find(browser, "article:target")
    place = browser.execute_script("return arguments[0].getBoundingClientRect().top", article)
    assert 0 <= place < 200  # below the bar that stays at the top
    article.find_element("css selector", ".back").click()
    assert browser.current_url.endswith("#summary")
    find(browser, "#properties a[href*='updates_close']").click()
    assert find(browser, "article:target h3").text == "violated steps.updates_close_windows"


def test_copy_without_network(browser: Chrome) -> None:
    command = find(browser, "article .command")
    command.find_element("css selector", "button").click()
    hear(browser, "copied")
    browser.execute_script("""
        Object.defineProperty(navigator, "clipboard", {value: undefined});
        document.execCommand = () => false;
    """)
    second = browser.find_elements("css selector", "article .command")[1]
    second.find_element("css selector", "button").click()
    hear(browser, "selected: copy it by the keyboard")
    assert browser.execute_script("return String(getSelection())") == "trainer-props script steps.updates_close_windows--fe2ede75"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_legible_in_light_and_dark(browser: Chrome, scheme: str) -> None:
    look(browser, scheme, 1000)
    paper = style(browser, "body", "backgroundColor")
    assert (luminance(paper) < 0.05) is (scheme == "dark")
    for selector in ("body", ".dim", "a", ".verdict-word", "dd.expected pre", "dd.observed pre", ".place", "tr.known", "tr.idle", ".tag"):
        assert contrast(style(browser, selector, "color"), paper) >= 4.5, selector
    assert contrast(style(browser, "svg text", "fill"), paper) >= 4.5
    strokes = browser.execute_script(
        "return [...document.querySelectorAll('svg path')].map(each => getComputedStyle(each).stroke).filter(each => each != 'none')"
    )
    assert len(set(strokes)) > 3
    assert sum(contrast(each, paper) >= 3 for each in set(strokes)) >= 3


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_is_wider_than_the_screen(browser: Chrome, width: int) -> None:
    look(browser, "light", width)
    assert browser.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    for each in browser.find_elements("css selector", "article, article pre, .command"):
        box = each.rect
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_print(browser: Chrome) -> None:
    look(browser, "dark", 800, "print")
    assert style(browser, "body", "color") == "rgb(0, 0, 0)"
    assert {style(browser, selector, "display") for selector in ("body > header", "button", ".back")} == {"none"}
    pages = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pages.startswith(b"%PDF")


def test_script_of_a_result_does_not_run(driver: Chrome, tmp_path: Path) -> None:
    data = json.loads(SAMPLE.read_text(encoding="utf-8"))
    text = "</script><script>document.title = 'mine'</script><img src=x onerror=\"document.title = 'mine'\">"
    data["violations"][0] |= {"statement": text, "observed": [text, {text: text}], "divergence": text, "id": text, "notes": [text]}
    html.write(tmp_path / "page.html", data)
    driver.get((tmp_path / "page.html").as_uri())
    assert driver.title == "3 new violations in my_pkg.train:make_trainer · trainer-props"
    # what an escaped page can't do, its policy forbids as well
    driver.execute_script("const made = document.createElement('div'); made.innerHTML = arguments[0]; document.body.append(made)", text)
    driver.get_screenshot_as_png()
    assert driver.title != "mine"
    assert {each["source"] for each in driver.get_log("browser")} <= {"security"}


def test_screenshot(browser: Chrome, tmp_path: Path) -> None:
    shots = {}
    for scheme in ("light", "dark"):
        look(browser, scheme, 1000)
        assert browser.save_screenshot(tmp_path / f"{scheme}.png")
        shots[scheme] = (tmp_path / f"{scheme}.png").read_bytes()
    assert min(map(len, shots.values())) > 20_000
    assert shots["light"] != shots["dark"]
