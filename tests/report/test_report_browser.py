"""The page in headless Chromium: quiet, silent towards the network, usable by keyboard."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_fixtures import HOSTILE, demonstration, of_training, outcomes

from chromium import headless, needs_chromium
from dormant.report import write_report

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    return write_report(demonstration(), outcomes(), folder, "html").as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with headless() as driver:
        yield driver


@pytest.fixture
def browser(chromium: Any, url: str) -> Any:
    """The page, freshly opened at desktop size in light colours."""
    look(chromium, scheme="light", width=1280)
    chromium.get_log("browser")
    chromium.get_log("performance")
    chromium.get(url)
    return chromium


def look(driver: Any, *, scheme: str, width: int) -> None:
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {
            "features": [
                {"name": "prefers-color-scheme", "value": scheme},
                # Otherwise the driver clicks where things were before the page glided on.
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]
        },
    )
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )


def find(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def listed(driver: Any) -> int:
    return len(driver.find_elements("css selector", "#listing > li"))


def counted(driver: Any) -> int:
    """Items that fit, as the page says."""
    return int(find(driver, "#count").text.split()[0])


def wait(driver: Any, condition: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 5, poll_frequency=0.05).until(condition)


def choose(driver: Any, name: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(find(driver, f"#{name}")).select_by_visible_text(text)


def test_no_console_message_and_no_request(browser: Any, url: str) -> None:
    # Use everything once, then see what was said and asked for.
    find(browser, "#listing summary").click()
    find(browser, "#next").click()
    choose(browser, "outcome", "lost by tuning")
    for fold in browser.find_elements("css selector", "details.fold > summary"):
        fold.click()
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    assert url in requested, "the log does record requests"
    assert {address for address in requested if not address.startswith("data:")} == {url}


def test_the_policy_forbids_requests(browser: Any) -> None:
    refused = browser.execute_async_script(
        "fetch('data:,x').then(() => arguments[0](false), () => arguments[0](true))"
    )
    assert refused


def test_both_models_side_by_side(browser: Any) -> None:
    find(browser, "#pair summary").click()
    template, generation = browser.find_elements("css selector", "#pair tr.differs")
    assert template.text.split() == ["chat", "template", "differs", "0c9d3f11ab", "77aa01c3d2"]
    assert generation.text.split()[-3:] == ["none", "repetition_penalty", "1.05"]
    assert find(browser, "#pair .token .id").text == "17521"
    boxes = browser.find_elements("css selector", "#pair .tokens")
    assert len(boxes) == 2


def test_search_narrows(browser: Any) -> None:
    assert (counted(browser), listed(browser)) == (480, 20)
    find(browser, "#query").send_keys("ICL/copy umbrella")
    wait(browser, lambda _: counted(browser) < 480)
    narrowed = counted(browser)
    assert 0 < narrowed <= 120
    for row in browser.find_elements("css selector", "#listing .id"):
        assert row.text.startswith("icl/copy")
    find(browser, "#query").send_keys(" no such words")
    wait(browser, lambda _: listed(browser) == 0)
    assert "No item fits" in find(browser, "#count").text


def test_filters_agree_with_the_records(browser: Any) -> None:
    choose(browser, "ability", "icl/copy")
    assert counted(browser) == 120
    choose(browser, "transform", "dutch")
    choose(browser, "outcome", "lost, back under the transform")
    right = {
        (o.model, o.transform, o.item): o.correct
        for o in outcomes()
        if o.task == "icl/copy" and o.transform in ("plain", "dutch")
    }
    items = {item for _, _, item in right}
    expected = [
        item
        for item in items
        if right["base", "plain", item]
        and not right["tuned", "plain", item]
        and right["tuned", "dutch", item]
    ]
    assert counted(browser) == len(expected)
    marks = find(browser, "#listing .cellmarks").text.split()
    assert marks[:3] == ["✓", "→", "✗"]
    assert marks[5:] == ["✓", "dutch"]


def test_paging(browser: Any) -> None:
    choose(browser, "ability", "icl/plural")
    first = find(browser, "#listing .id").text
    assert not find(browser, "#previous").is_enabled()
    for _ in range(5):
        find(browser, "#next").click()
    assert find(browser, "#page").text == "Page 6 of 6"
    assert not find(browser, "#next").is_enabled()
    assert find(browser, "#listing .id").text != first


def test_four_cells_side_by_side(browser: Any) -> None:
    find(browser, "#query").send_keys("copy-007")
    wait(browser, lambda _: counted(browser) == 1)
    find(browser, "#listing summary").click()
    # What opens is filled in a task of its own.
    wait(browser, lambda _: browser.find_elements("css selector", ".four pre"))
    prompts = browser.find_elements("css selector", ".four pre")
    assert len(prompts) == 2
    assert HOSTILE in prompts[0].get_attribute("textContent")
    assert len(browser.find_elements("css selector", ".four table")) == 4
    record = next(o for o in outcomes() if o.item == "copy-007" and o.task == "icl/copy")
    table = find(browser, ".four table").text
    assert f"{record.target_logprob:.2f}".replace("-", "−") in table
    assert ("✓ right" if record.correct else "✗ wrong") in table
    left, right = prompts[0].rect, prompts[1].rect
    assert left["x"] + left["width"] <= right["x"]


def test_hostile_prompts_do_nothing(browser: Any) -> None:
    find(browser, "#query").send_keys("onerror")
    wait(browser, lambda _: counted(browser) == 4)
    for summary in browser.find_elements("css selector", "#listing summary"):
        summary.click()
    assert "owned" not in browser.title
    assert browser.find_elements("css selector", "img") == []


def test_keyboard(browser: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    press(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("class") == "skip"
    assert browser.switch_to.active_element.rect["x"] >= 0, "the skip link shows when focused"
    press("/")
    assert browser.switch_to.active_element.get_attribute("id") == "query"
    press("icl/copy")
    assert browser.switch_to.active_element.get_attribute("value") == "icl/copy"
    wait(browser, lambda _: counted(browser) == 120)
    for name in ("ability", "transform", "outcome"):
        press(Keys.TAB)
        assert browser.switch_to.active_element.get_attribute("id") == name
    press(Keys.TAB)
    assert browser.switch_to.active_element.tag_name == "summary"
    outline = browser.switch_to.active_element.value_of_css_property("outline-style")
    assert outline == "solid"
    press(Keys.ENTER)
    assert find(browser, "#listing details").get_attribute("open") is not None
    press(Keys.TAB)
    assert browser.switch_to.active_element.tag_name == "pre"


CONTRAST = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (node) => {
  for (; node; node = node.parentElement) {
    const colour = parse(getComputedStyle(node).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const poor = [];
let seen = 0;
for (const node of document.body.querySelectorAll('*')) {
  if (['SCRIPT', 'NOSCRIPT', 'OPTION'].includes(node.tagName)) continue;
  if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
  if (!node.getClientRects().length) continue;
  const style = getComputedStyle(node);
  const ink = parse(node instanceof SVGElement ? style.fill : style.color);
  const [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  seen += 1;
  if (ratio < 4.5) poor.push(`${node.tagName} ${node.className} ${ratio.toFixed(2)}`);
}
return {seen, poor, ground: ground(document.body)};
"""


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_contrast(browser: Any, scheme: str, dark: bool) -> None:
    """WCAG 2.2 AA (1.4.3): text stands out from its ground by 4.5 to 1."""
    look(browser, scheme=scheme, width=1280)
    find(browser, "#pair summary").click()
    find(browser, "#controls details.fold > summary").click()
    find(browser, "#listing summary").click()
    found = browser.execute_script(CONTRAST)
    assert found["poor"] == []
    assert found["seen"] > 300
    assert (sum(found["ground"]) < 200) == dark


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_sideways_scrolling(browser: Any, width: int) -> None:
    look(browser, scheme="light", width=width)
    find(browser, "#pair summary").click()
    find(browser, "#listing summary").click()
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width


def test_without_scripts(browser: Any, url: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(url)
        cards = browser.find_elements("css selector", ".card .verdict")
        assert [card.text.split()[-1] for card in cards] == [
            "Lost",
            "Suppressed",
            "Inconclusive",
            "Retained",
        ]
        assert "Searching needs JavaScript" in find(browser, "noscript").text
        assert not find(browser, "#browser").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_prints(browser: Any, tmp_path: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not find(browser, "nav").is_displayed()
    assert not find(browser, ".filters").is_displayed()
    assert find(browser, "#table table.grid").is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("width", [320, 1280])
def test_flips_fit_and_lead_to_all_of_them(browser: Any, tmp_path: Path, width: int) -> None:
    look(browser, scheme="light", width=width)
    browser.get(write_report(of_training(), outcomes(40), tmp_path, "html").as_uri())
    for details in ("details.flips", ".card details"):
        browser.execute_script(f"document.querySelector('{details}').open = true")
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    find(browser, "button.all-flips").click()
    plain = [one for one in outcomes(40, ("icl/copy",)) if one.transform == "plain"]
    right = {(one.model, one.item): one.correct for one in plain}
    lost = sum(
        right["base", item] and not right["tuned", item] for model, item in right if model == "base"
    )
    wait(browser, lambda driver: counted(driver) == lost)
