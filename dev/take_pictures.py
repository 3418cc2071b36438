"""Take pictures of the pages that elmokit makes: report, map, explorer, API; 1280 and 360 pixels wide, light and dark.

    python dev/take_pictures.py FOLDER    # needs Chromium, the extras `test` and `server`

docs/pictures/map-light.png is one of them; those of the explorer are taken by tests/explorer.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from run_docs import ROOT, serve

TABLE = "examples/product_tweets.csv"
WIDTHS, SCHEMES = (1280, 360), ("light", "dark")


def make_pages(folder: Path) -> dict[str, str]:
    """A report and a map, by name."""
    pages = {"report": folder / "report.html", "map": folder / "map.html"}
    train = ["classify", "train", TABLE, "--text", "tweet", "--label", "label", "--out", str(folder / "model")]
    draw = ["map", TABLE, "--text", "tweet", "--color", "label", "--out", str(pages["map"])]
    for arguments in ([*train, "--html", str(pages["report"]), "--learning-curve"], draw):
        subprocess.run([sys.executable, "-m", "elmokit", *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return {name: path.as_uri() for name, path in pages.items()}


def main(folder: Path) -> None:
    """Take all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as made, serve() as address, sync_playwright() as driver:
        pages = make_pages(Path(made)) | {"explorer": address, "api": f"{address}/docs"}
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in WIDTHS:
            for scheme in SCHEMES:
                page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
                page.set_default_timeout(180_000)  # a busy machine
                for name, url in pages.items():
                    page.goto(url, wait_until="networkidle")
                    page.wait_for_function("() => !document.querySelector('.busy, [aria-busy]')")
                    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
                    inside = page.evaluate("document.documentElement.scrollWidth")
                    print(f"{name} {width} {scheme}: {inside} pixels wide")
                page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
