"""The page in a browser, as a person has it before them: with its script and without, wide and narrow, light and dark, on paper."""

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.image import imread

from dualib.cli.main import main

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TABLE = ",noun,verb,adj\nrun,3,9,0\nhouse,12,1,2\nred,2,0,9\ngo,2,14,1\n"
LONG = "a label so long that it would not fit on a telephone if it were not wrapped"

if BROWSER is None and not os.environ.get("DUALIB_BROWSER"):
    pytest.skip("no Chromium here (DUALIB_BROWSER=1 makes that an error)", allow_module_level=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "t.csv").write_text(TABLE + f"{LONG},4,4,5\n", encoding="utf-8")
    assert main(["report", str(folder / "t.csv"), "-q", "--betas", "1,2,4,8,32", "-o", str(folder / "page.html")]) == 0
    return folder / "page.html"


def browse(page, *options, width=1000, height=1400):
    """What Chromium prints of it."""
    profile = page.parent / "profile"
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"),
            *(f"--window-size={width},{height}", "--virtual-time-budget=2000", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def with_script(page, script):
    """The page with a person's acts at its end; what they see is written into the body's data."""
    acted = page.with_name("acted.html")
    acted.write_text(
        page.read_text(encoding="utf-8").replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8"
    )
    return acted


def seen(document, name):
    return re.search(rf'data-{name}="([^"]*)"', re.search(r"<body[^>]*>", document).group()).group(1)


READ = """
const see = (name) => document.body.setAttribute("data-" + name, document.getElementById("numbers").textContent + " | " +
  [...document.querySelectorAll("#rows tr")].map((row) => row.innerText.replace(/\\s+/g, " ")).join(" / "));
"""


def test_the_slider_and_the_points_show_the_clusters_of_each_beta(page):
    acts = """
    const slider = document.getElementById("slider");
    slider.value = 0; slider.dispatchEvent(new Event("input")); see("least");
    slider.value = 4; slider.dispatchEvent(new Event("input")); see("most");
    const point = document.querySelectorAll("[data-point]")[1];
    point.dispatchEvent(new MouseEvent("mouseenter")); see("hovered");
    document.body.dataset.value = slider.value + point.classList.contains("chosen");
    document.body.dataset.live = document.getElementById("live").hidden;
    document.body.dataset.cursor = document.querySelector(".cursor").getAttribute("transform");
    """
    document = browse(with_script(page, READ + acts), "--dump-dom")
    assert seen(document, "live") == "false"
    assert seen(document, "least").startswith("beta 1: 1 cluster,") and seen(document, "least").count("/") == 0
    assert seen(document, "most").startswith("beta 32: ") and LONG in seen(document, "most")
    assert seen(document, "hovered").startswith("beta 2: ")
    assert seen(document, "value") == "1true"
    assert float(re.search(r"translate\(([\d.]+)", seen(document, "cursor")).group(1)) > 60.0  # a fifth of the way in log beta


def test_nothing_is_wider_than_the_window(page):
    measure = "document.body.dataset.wide = document.documentElement.scrollWidth + '>' + window.innerWidth;"
    for width in (1300, 500):
        found = seen(browse(with_script(page, measure), "--dump-dom", width=width), "wide").replace("&gt;", ">")
        inside, window = map(int, found.split(">"))
        assert inside <= window <= width


def test_light_and_dark(page):
    """The ground is light or dark as the reader's system has it, and there is ink of the other kind on both."""
    for scheme, is_light in ((1, True), (0, False)):
        picture = page.with_name(f"scheme{scheme}.png")
        browse(page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}")
        pixels = imread(picture)[..., :3].mean(axis=2)
        assert (np.median(pixels) > 0.9) if is_light else (np.median(pixels) < 0.2)
        assert 0.005 < np.mean(np.abs(pixels - np.median(pixels)) > 0.4) < 0.3


def test_without_a_script_the_tables_are_there_and_the_slider_is_not(page):
    plain = page.with_name("plain.html")
    text = re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.S)
    measure = "document.body.dataset.shown = document.getElementById('live').getClientRects().length;"
    measure += "document.body.dataset.text = document.getElementById('clusters').innerText.replace(/\\s+/g, ' ');"
    plain.write_text(text.replace("</body>", f"<script>{measure}</script></body>"), encoding="utf-8")
    document = browse(plain, "--dump-dom")
    assert seen(document, "shown") == "0"
    assert "house" in seen(document, "text") and "rate" in seen(document, "text") and LONG in seen(document, "text")


def test_it_prints(page):
    paper = page.with_name("page.pdf")
    browse(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    printed = paper.read_bytes()
    assert printed.startswith(b"%PDF") and 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8


def test_the_page_asks_for_nothing(page):
    """No request but for the page itself, by the browser's own account."""
    count = "document.body.dataset.asked = performance.getEntriesByType('resource').length;"
    assert seen(browse(with_script(page, count), "--dump-dom"), "asked") == "0"
