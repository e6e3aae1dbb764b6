"""The page of an audit that is under way, in headless Chromium."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from begun import Begun

from chromium import headless, needs_chromium
from dormant.watch.pages import Pages
from dormant.watch.server import PageServer

pytestmark = needs_chromium


def test_cells_fill_in_by_themselves_until_the_report_is_there(whole: Path, tmp_path: Path):
    from selenium.webdriver.support.ui import WebDriverWait

    run = Begun(whole, tmp_path / "run")
    with (
        PageServer(Pages(run.path), 0, lambda _: None) as server,
        headless() as driver,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def shown(selector: str) -> str:
            # In one step: what was found may be replaced before it is read.
            return driver.execute_script(
                "return document.querySelector(arguments[0])?.textContent", selector
            )

        def wait(condition: Any) -> None:
            WebDriverWait(driver, 20, poll_frequency=0.1).until(condition)

        try:
            driver.get(server.address)
            # It is lost where the page is loaded anew.
            driver.execute_script("window.stays = true")
            assert shown("#cells-done") == "0 of 4"
            run.fill("base", "plain", 40)
            run.fill("tuned", "plain", 16)
            wait(lambda _: shown("#cells-done") == "1 of 4")
            row = "[data-prompts=plain]"
            assert shown(f"{row} .counts .base") == "40 of 40"
            assert shown(f"{row} .counts .tuned") == "16 of 40"
            assert len(driver.find_elements("css selector", f"{row} circle")) == 2
            assert driver.find_elements("css selector", f"{row} line.tuned"), "its interval"
            assert driver.execute_script("return window.stays === true")
            assert driver.find_elements("css selector", ".verdict") == []

            run.path.rename(run.path.with_name("away"))
            wait(lambda _: "has vanished" in shown("#trouble"))
            assert shown("#cells-done") == "1 of 4", "what was seen stays"
            run.path.with_name("away").rename(run.path)
            wait(lambda _: shown("#trouble") == "")
            said = [entry["message"] for entry in driver.get_log("browser")]
            assert all("404" in message for message in said), said

            run.finish()
            wait(lambda _: driver.find_elements("css selector", ".card.lost"))
            assert not driver.execute_script("return window.stays === true")
            assert driver.get_log("browser") == []
        finally:
            server.shutdown()
            thread.join()
