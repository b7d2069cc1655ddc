"""Take the pictures of the documentation, light and dark: ``python -m tools.screenshots docs/images``.

It runs the demo, which takes some minutes, and opens its pages in a browser. That takes ``pip install playwright`` and a
Chromium: one of the system, or the one that ``playwright install chromium`` brings.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MODEL = "flight_delays"
LAST = "2013-03"
"""The last partition of the demo, which promotes a candidate."""
SIZE = {"width": 1280, "height": 720}
COLOURS = 128
"""Colours of a picture: screens have few, and a picture is to be small."""
_PATIENCE = 120_000  # milliseconds: the demo may still have work to do
# Without these, Debian's Chromium looks for hosts of its maker at each start.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Place(NamedTuple):
    """A running demo."""

    url: str
    user: str
    password: str


class Shot(NamedTuple):
    """A picture.

    :param path: below Airflow's address.
    :param text: what stands on the page once it has come up.
    :param framed: whether the page shows it in a frame.
    :param link: selector of the link on that page which leads to the one that is meant; "" for the page itself.
    """

    name: str
    path: str
    text: str
    framed: bool = False
    link: str = ""


SHOTS = (
    Shot("run", f"/dags/{MODEL}.train/runs", f"{LAST}: promoted", link="td a[href*='/runs/']"),
    Shot("drift", f"/mlops/reports/{MODEL}/{LAST}/drift.html", f"{MODEL} {LAST}", framed=True),
    Shot("card", f"/mlops/reports/{MODEL}/{LAST}/model_card.html", MODEL),
)


def main(folder: Path) -> None:
    """Run the demo, and take every picture in both themes, into a folder."""
    with demo() as place:
        take(place, folder)


def take(place: Place, folder: Path) -> None:
    """Take every picture of a demo that runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        for theme in ("light", "dark"):
            page = _logged_in(browser, place, theme)
            for shot in SHOTS:
                page.goto(f"{place.url}{shot.path}")
                if shot.link:
                    page.locator(shot.link).first.click()
                scope = page.frame_locator("iframe") if shot.framed else page
                scope.get_by_text(shot.text).first.wait_for()
                page.wait_for_load_state("networkidle")
                file = folder / f"{shot.name}-{theme}.png"
                page.screenshot(path=file, animations="disabled")
                shrink(file)
        browser.close()


@contextmanager
def demo() -> Iterator[Place]:
    """Run the demo until the block ends, and return where it is once it has replayed its months."""
    with TemporaryDirectory() as home:
        command = [sys.executable, "-m", "airflow_mlops.local.demo", "--keep", "--to", LAST, "--home", home]
        # Wide, so that no line is broken.
        wide = {**os.environ, "COLUMNS": "200"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=wide) as process:
            try:
                yield _up(process)
            finally:
                process.send_signal(signal.SIGINT)


def _up(process: subprocess.Popen[str]) -> Place:
    assert process.stdout is not None
    place = None
    for line in process.stdout:
        sys.stdout.write(line)
        if match := re.search(r"Airflow is up .*: (http\S+)\s+\((\S+) / (\S+)\)", line):
            place = Place(*match.groups())
        if place and line.startswith("Airflow stays up"):
            return place
    raise SystemExit("The demo ended before its pages could be opened.")


def _logged_in(browser: Browser, place: Place, theme: str) -> Page:
    page = browser.new_context(viewport=SIZE, color_scheme=theme).new_page()
    page.set_default_timeout(_PATIENCE)
    page.goto(f"{place.url}/auth/login")
    page.get_by_label("Username").fill(place.user)
    page.get_by_label("Password").fill(place.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/login" not in url)
    return page


def shrink(path: Path) -> None:
    """Write a picture again with few colours."""
    from PIL import Image

    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLOURS)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
