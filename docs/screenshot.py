"""Take a picture of a page with headless Chromium.

    python docs/screenshot.py runs/demo/report.html docs/screenshots/report.png
    python docs/screenshot.py report.html dark.png --dark --width 420 --height 2000

Needs selenium (among the development dependencies), chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import base64
import shutil
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService


def main() -> None:
    """Read the command line and take the picture."""
    parser = argparse.ArgumentParser(description="Take a picture of a page.")
    parser.add_argument("page", help="a file, or a URL")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--width", type=int, default=1280, help="in CSS pixels")
    parser.add_argument("--height", type=int, help="in CSS pixels; default: the whole page")
    parser.add_argument("--scale", type=float, default=1.0, help="device pixels per CSS pixel")
    parser.add_argument("--dark", action="store_true", help="ask for the dark colours")
    parser.add_argument("--open", metavar="CSS", help="click this element first")
    parser.add_argument("--at", metavar="CSS", help="start at this element's top")
    args = parser.parse_args()
    url = args.page if "://" in args.page else Path(args.page).resolve(strict=True).as_uri()

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if browser_path is None or driver_path is None:
        parser.exit(2, "chromium and chromedriver are needed: apt-get install chromium-driver\n")
    options = ChromeOptions()
    options.binary_location = browser_path
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    with Chrome(options=options, service=ChromeService(driver_path)) as browser:
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {
                "features": [
                    {"name": "prefers-color-scheme", "value": "dark" if args.dark else "light"}
                ]
            },
        )
        # The viewport is set by the protocol, because windows have a least width.
        metrics = {"width": args.width, "deviceScaleFactor": args.scale, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": 900})
        browser.get(url)
        if args.open:
            browser.execute_script("document.querySelector(arguments[0]).click()", args.open)
        top = 0
        if args.at:
            top = browser.execute_script(
                "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY",
                args.at,
            )
        whole = browser.execute_script("return document.documentElement.scrollHeight")
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot",
            {
                "captureBeyondViewport": True,
                "clip": {
                    "x": 0,
                    "y": top,
                    "width": args.width,
                    "height": args.height or whole - top,
                    "scale": 1,
                },
            },
        )
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    args.picture.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
