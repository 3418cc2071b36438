"""The HTML report and the map in a real Chromium: readable on a phone, in light and dark, and nothing is fetched."""

import importlib.resources

import numpy as np
import pytest

from unit.tasks.encoders import WordHash, messages

SIZES = (360, 768, 1280)
NAMES = ("short", "a rather long name of a group that wraps on a phone")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    pytest.importorskip("sklearn", reason="needs the extra tasks")
    pytest.importorskip("matplotlib", reason="needs the extra plots")
    from elmokit.tasks.classify import TextClassifier
    from elmokit.tasks.classify.evaluate import fit_and_report
    from elmokit.tasks.classify.html_report import report_page
    from elmokit.tasks.maps import Plane, map_page

    folder = tmp_path_factory.mktemp("pages")
    texts, labels = messages(120)
    report = fit_and_report(TextClassifier(WordHash(), C=1.0), texts, labels, baselines=False, learning_curve=True)
    (folder / "report.html").write_text(report_page(report, source="tweets.csv"), encoding="utf-8")
    plane = Plane(np.random.default_rng(0).normal(size=(120, 2)))
    page = map_page(plane, texts, [NAMES[int(label)] for label in labels], title="tweets.csv: 120 texts, PCA")
    (folder / "map.html").write_text(page, encoding="utf-8")
    return folder


@pytest.fixture
def opened(chromium, pages):
    contexts = []

    def show(name, width, scheme, **options):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options)
        contexts.append(context)
        page, noise = context.new_page(), []
        page.on("console", lambda message: noise.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("request", lambda request: noise.append(request.url) if request.url.startswith("http") else None)
        page.goto((pages / name).as_uri())
        assert noise == []
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report.html", "map.html"])
def test_pages_fit_every_width_and_follow_the_readers_colors(opened, name, scheme):
    for width in SIZES:
        page = opened(name, width, scheme)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        paper = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        lightness = sum(int(part) for part in paper[4:-1].split(",")) / 3
        assert (lightness < 60) == (scheme == "dark"), paper
        for cell in page.query_selector_all("td.text"):
            assert cell.bounding_box()["width"] > 180, "a text is not one letter a line"
        for picture in page.query_selector_all("img"):
            assert picture.evaluate("image => image.complete && image.naturalWidth > 100")
            assert picture.bounding_box()["width"] <= width
        assert "tweets.csv" in page.title()


def test_the_maps_search_counts_its_matches(opened):
    page = opened("map.html", 1280, "light")
    texts = page.evaluate("() => JSON.parse(document.getElementById('data').textContent).texts")
    page.fill("input", "broken")
    n = sum("broken" in text for text in texts)
    assert page.inner_text("output") == f"{n} of {len(texts)} texts"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report.html", "map.html"])
def test_axe_finds_nothing_to_complain_of_in_pages(opened, name, scheme):
    pytest.importorskip("axe_playwright_python", reason="axe is not installed (extra test)")
    axe = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    for width in (360, 1280):
        page = opened(name, width, scheme, bypass_csp=True)
        page.evaluate(axe)
        violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []
