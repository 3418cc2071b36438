"""The page in a real Chromium: click, type, see the result; by mouse, by key, in light, dark and on a phone.

Every test ends with the same three demands: nothing on the console, no request but to our own server, no exception.
"""

import importlib.resources
import json
import os
import re
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

WIDE, PHONE = (1280, 900), (360, 740)
NASTY = [
    "<img src=x onerror=alert(1)> and a word",
    "<script>alert(2)</script> \"quoted\" 'too' & so on",
    "javascript:alert(3) {{7*7}} ${8*8} </li></ol>",
    "😀 naïve 👍🏽 words — नमस्ते दुनिया, Ünïcödé",
    "a" * 400,
]


@contextmanager
def opened(chromium, address, *, size=WIDE, scheme="light", wait=True, **options):
    """A page of its own, watched; the demands are checked when it closes."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)
    noise, requests, dialogs = [], [], []
    page.on("console", lambda message: noise.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.noise, page.requests = noise, requests
    page.goto(f"{address}/")
    if wait:
        page.wait_for_selector("#lines .word[aria-pressed=true]")
        settled(page)
    yield page
    assert noise == []
    assert dialogs == []
    assert requests
    assert all(url.startswith(f"{address}/") for url in requests)
    context.close()


def settled(page):
    """Nothing is being asked or looked up any more. (Functions, not strings: the policy forbids eval.)"""
    page.wait_for_function("() => !document.querySelector('.busy, [aria-busy]')")


@pytest.fixture
def page(chromium, address):
    with opened(chromium, address) as found:
        yield found


def choose(page, word, line):
    page.locator("#lines li").nth(line).get_by_text(word, exact=True).click()
    settled(page)


def pick(page, name):
    """Choose a radio button, whose own box is invisible behind its label."""
    page.get_by_role("radio", name=name, exact=True).check()


def replace_all(page, texts):
    page.click("#edit")
    page.fill("#text", "\n".join(texts))
    page.press("#text", "Control+Enter")
    page.wait_for_selector("#lines:not([hidden])")
    settled(page)


def slide(page, layer):
    page.locator("#layer").fill(str(layer))


def test_it_opens_on_the_tutorials_example(page):
    lines = page.locator("#lines li p").all_inner_texts()
    assert lines[:2] == ["I read the book yesterday.", "Can you read the letter now?"]
    assert page.inner_text(".word[aria-pressed=true]") == "read"
    assert page.inner_text("#asked") == "of read in “I read the book yesterday.”"
    assert page.locator(".dot").count() == len(lines)
    assert page.locator(".near").count() == 10
    assert page.locator("table.heat tbody tr").count() == 6
    assert page.locator("table.heat tbody tr").first.locator("td").count() == 7
    assert "3 layers" in page.inner_text("#model")


def test_a_clicked_word_is_looked_up(page):
    choose(page, "letter", 1)
    assert page.inner_text("#asked").startswith("of letter in “Can you read the")
    assert "occurs in no other place" in page.inner_text("#neighbours")
    assert "occurs once here" in page.inner_text("#plane")
    pick(page, "Any word")
    assert page.locator(".near").count() == 10


def test_a_neighbour_leads_to_its_own_place(page):
    first = page.locator(".near").first
    sentence = first.locator(".context").inner_text()
    first.click()
    settled(page)
    assert page.locator(".line:has(.word[aria-pressed=true]) p").inner_text() == sentence
    assert page.locator("#asked").inner_text().endswith(f"“{sentence}”")


def test_a_typed_sentence_joins_the_others(page):
    before = page.locator(".dot").count()
    page.fill("#new", "Nobody would read such a thing.")
    page.press("#new", "Enter")
    page.wait_for_function(f"() => document.querySelectorAll('.dot').length === {before + 1}")
    assert page.locator("#lines li p").last.inner_text() == "Nobody would read such a thing."
    assert page.input_value("#new") == ""
    assert page.inner_text(".word[aria-pressed=true]") == "read"
    choose(page, "Nobody", before)
    assert page.inner_text("#asked").startswith("of Nobody")


def test_pasted_lines_become_sentences(page):
    before = page.locator("#lines li").count()
    page.focus("#new")
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text/plain", "One more.\\r\\n\\n  And another one.  \\n");
            document.querySelector("#new").dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    page.wait_for_function(f"() => document.querySelectorAll('#lines li').length === {before + 2}")
    assert page.locator("#lines li p").all_inner_texts()[-2:] == ["One more.", "And another one."]


def test_all_sentences_can_be_edited_at_once_and_stay_after_a_reload(page):
    replace_all(page, ["A cat sat.", "", "   ", "The cat saw a dog."])
    assert page.locator("#lines li p").all_inner_texts() == ["A cat sat.", "The cat saw a dog."]
    assert page.evaluate("document.activeElement.id") == "edit"
    page.reload()
    page.wait_for_selector("#lines .word")
    settled(page)
    assert page.locator("#lines li p").all_inner_texts() == ["A cat sat.", "The cat saw a dog."]
    choose(page, "cat", 0)
    assert page.locator(".dot").count() == 2


def test_a_removed_sentence_is_gone_and_the_choice_stays(page):
    before = page.locator("#lines li").count()
    choose(page, "read", 3)
    page.locator("#lines li").first.hover()
    page.get_by_label("Remove sentence 1", exact=True).click()
    page.wait_for_function(f"() => document.querySelectorAll('#lines li').length === {before - 1}")
    settled(page)
    assert page.locator(".line:has(.word[aria-pressed=true]) p").inner_text().startswith("He read it twice")
    assert page.locator("#lines li p").first.inner_text() == "Can you read the letter now?"


def test_without_sentences_everything_says_so(page):
    replace_all(page, [])
    assert "No sentences yet" in page.inner_text("#lines")
    for part in ("#neighbours", "#plane", "#table"):
        assert "add" in page.inner_text(part).lower()
    page.get_by_role("button", name="bank").click()
    settled(page)
    assert page.locator(".word[aria-pressed=true]").inner_text() == "bank"


def test_the_slider_moves_without_asking_again(page):
    asked = len(page.requests)
    last = page.locator(".score").all_inner_texts()
    slide(page, 0)
    assert set(page.locator(".score").all_inner_texts()) == {"1.00"}
    assert "the same vector" in page.inner_text(".shares")
    assert page.locator("#layer").get_attribute("aria-valuetext") == "characters"
    assert "letters alone" in page.inner_text("#layer-about") or "characters alone" in page.inner_text("#layer-about")
    slide(page, 2)
    assert page.locator(".score").all_inner_texts() == last
    page.click("#mix")
    assert page.get_attribute("#mix", "aria-pressed") == "true"
    assert page.locator(".score").all_inner_texts() != last
    page.click("#mix")
    assert page.locator(".score").all_inner_texts() == last
    assert len(page.requests) == asked


def test_points_of_the_map_move_apart_with_the_layers(page):
    def spread():
        page.wait_for_timeout(700)  # until they have arrived
        boxes = page.evaluate(
            "[...document.querySelectorAll('.dot')].map((d) => d.getBoundingClientRect()).map((b) => [b.x, b.y])"
        )
        return max(x for x, _ in boxes) - min(x for x, _ in boxes)

    slide(page, 0)
    together = spread()
    slide(page, 2)
    assert spread() > 2 * together


def test_the_map_is_drawn_again_each_time_its_room_changes(page):
    dots = page.locator(".dot").count()
    widths = []
    for width in (900, 700, 1100):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        assert page.locator(".dot").count() == dots
        widths.append(page.evaluate("document.querySelector('.dot').ownerSVGElement.getBoundingClientRect().width"))
    assert len(set(widths)) == 3


def test_a_point_of_the_map_reads_its_sentence(page):
    dot = page.locator(".dot").nth(4)
    dot.click()
    settled(page)
    text = "We read about the war in the paper yesterday."
    assert page.inner_text(".caption").startswith(text)
    assert page.locator(".line:has(.word[aria-pressed=true]) p").inner_text() == text
    assert "chosen" in dot.get_attribute("class")


def test_two_sentences_are_compared_word_by_word(page):
    page.select_option("#second", "2")
    settled(page)
    heads = page.locator("table.heat thead th").all_inner_texts()
    assert heads == ["She", "read", "the", "whole", "story", "last", "night", "."]
    cell = page.locator("table.heat tbody tr").nth(1).locator("td").nth(1)
    cell.hover()
    assert re.fullmatch(r"read and read: 0\.\d\d", page.inner_text(".readout"))
    slide(page, 0)
    assert cell.get_attribute("aria-label") == "read and read: 1.00"


def test_the_way_by_keys_alone(page):
    def focused():
        return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")

    def until(wanted, key="Tab", most=40):
        for _ in range(most):
            page.keyboard.press(key)
            if focused() == wanted:
                return
        raise AssertionError(f"{key} never came to {wanted}")

    def ringed():
        return page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"

    page.keyboard.press("Tab")
    assert focused() == "Skip to the results"
    assert ringed()
    until("read")  # the word list is one stop, and this its chosen word (after the example of that name)
    until("read")
    assert page.evaluate("document.activeElement.className") == "word"
    assert ringed()
    page.keyboard.press("ArrowRight")
    assert focused() == "the"
    page.keyboard.press("End")
    assert focused() == "."
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('li').textContent").startswith("Can you")
    page.keyboard.press("Home")
    assert focused() == "Can"
    page.keyboard.press("Enter")
    settled(page)
    assert page.inner_text("#asked").startswith("of Can")
    assert focused() == "Can"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    settled(page)
    assert page.inner_text("#asked").startswith("of read")
    until("layer")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#layer", "aria-valuetext") == "syntax"
    until("mix")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('dot')"):
            break
    here = page.evaluate("document.activeElement.getAttribute('aria-label')")
    moved = set()
    for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
        moved.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert moved - {here}
    page.keyboard.press("Enter")
    settled(page)
    assert page.evaluate("document.activeElement.classList.contains('chosen')"), "focus stays where it was"
    until("second")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == page.inner_text(".readout")
    assert page.evaluate("[document.activeElement.cellIndex, document.activeElement.parentNode.rowIndex]") == [2, 2]


def test_a_neighbour_chosen_by_key_takes_the_focus_along(page):
    page.locator(".near").nth(2).focus()
    page.keyboard.press("Enter")
    settled(page)
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_hostile_sentences_are_text_and_nothing_else(page):
    replace_all(page, [*NASTY, *NASTY])
    assert page.locator("#lines li p").all_inner_texts() == [*NASTY, *NASTY]
    assert page.locator("main img, main script, main a, main iframe").count() == 0
    for word in ("onerror", "alert", "words"):
        page.locator("#lines").get_by_text(word, exact=True).first.click()
        settled(page)
        assert page.locator(".dot").count() >= 2
    pick(page, "Any word")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_half_a_character_becomes_a_whole_one(page):
    page.evaluate("document.querySelector('#new').value = 'half \\ud83d of it'")
    page.press("#new", "Enter")
    page.wait_for_function("() => document.querySelector('#lines').lastChild.textContent.includes('half')")
    assert "half \ufffd of it" in page.locator("#lines li p").last.inner_text()


def test_the_policy_stops_what_is_not_ours(chromium, address):
    with opened(chromium, address) as page:
        failed = page.evaluate("fetch('https://example.com/').then(() => 'went out', () => 'stopped')")
        assert failed == "stopped"
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
        )
        assert page.evaluate("window.ran") is None
        assert len(page.noise) >= 2, "the browser tells of both"
        assert all(
            "Content Security Policy" in text or "Refused" in text or "Failed to fetch" in text for text in page.noise
        )
        page.noise.clear()
        page.requests[:] = [url for url in page.requests if url != "https://example.com/"]


def test_failures_are_told_and_can_be_tried_again(chromium, address):
    with opened(chromium, address) as page:
        page.route("**/explorer/word", lambda route: route.abort())
        choose(page, "letter", 1)
        page.wait_for_selector("#alarm:not([hidden])")
        assert "does not answer" in page.inner_text("#alarm")
        assert page.locator(".busy").count() == 0
        page.unroute("**/explorer/word")
        page.get_by_role("button", name="Try again").click()
        settled(page)
        assert page.locator("#alarm").is_hidden()
        assert "occurs once here" in page.inner_text("#plane")
        assert all("ERR_FAILED" in text for text in page.noise)
        page.noise.clear()


def test_what_the_server_refuses_is_told_in_its_words(chromium, address):
    with opened(chromium, address) as page:
        page.click("#edit")
        page.fill("#text", "\n".join(["a " * 1000] * 7))
        page.get_by_role("button", name="Read them").click()
        page.wait_for_selector("#alarm:not([hidden])")
        assert "More than 6,000 words; send fewer at once." in page.inner_text("#alarm")
        assert page.locator("#text").is_visible(), "nothing that was typed is lost"
        assert all("413" in text for text in page.noise)
        page.noise.clear()


def test_a_server_that_asks_for_a_token_gets_it(chromium, address):
    with opened(chromium, address, wait=False) as page:
        settled(page)
        seen = []

        def guard(route):
            seen.append(route.request.headers.get("authorization"))
            if seen[-1] == "Bearer open sesame":
                return route.continue_()
            body = json.dumps({"error": {"message": "Incorrect API key provided."}})
            return route.fulfill(status=401, content_type="application/json", body=body)

        page.route("**/explorer/*", guard)
        page.reload()
        page.fill("#token", "open sesame")
        page.get_by_role("button", name="Go on").click()
        page.wait_for_selector(".dot")
        settled(page)
        assert page.locator("#alarm").is_hidden()
        assert seen[0] is None
        assert all("401" in text for text in page.noise)
        page.noise.clear()


def test_no_index_says_how_to_make_one(page):
    pick(page, "Index")
    assert "elmokit index build" in page.inner_text("#neighbours")
    assert page.locator("#with-index").is_hidden()


def test_an_open_index_answers_and_joins_the_map(chromium, indexed):
    with opened(chromium, indexed) as page:
        assert "index of 18 occurrences" in page.inner_text("#model")
        pick(page, "Index")
        settled(page)
        assert "read" in page.locator(".near .context strong").all_inner_texts()
        before = page.locator(".dot").count()
        page.get_by_label("with the index").check()
        page.wait_for_function(f"() => document.querySelectorAll('.dot').length === {before + 2}")
        page.locator(".dot.far").first.click()
        assert "from the index" in page.inner_text(".caption")
        page.get_by_role("button", name="Add it to yours").click()
        page.wait_for_function(
            "() => document.querySelector('#lines').lastChild.textContent.startsWith('He read the news')"
        )
        settled(page)


def test_dark_is_followed_chosen_and_kept(chromium, address):
    def brightness(page):
        colour = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()")
        return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) / 3

    with opened(chromium, address, scheme="dark") as page:
        assert brightness(page) < 60
        page.emulate_media(color_scheme="light")
        page.wait_for_timeout(300)  # the system's change is an event
        assert brightness(page) > 200
        pick(page, "Dark")
        assert brightness(page) < 60
        page.reload()
        page.wait_for_selector(".dot")
        assert brightness(page) < 60
        assert page.get_by_role("radio", name="Dark").is_checked()
        settled(page)


@pytest.mark.parametrize("width", [320, 360, 600, 800, 1024])
def test_no_width_scrolls_sideways(chromium, address, width):
    with opened(chromium, address, size=(width, 740)) as page:

        def too_wide():
            return page.evaluate("document.documentElement.scrollWidth - innerWidth") > 0

        assert not too_wide()
        replace_all(page, ["word " * 60, *NASTY])
        choose(page, "words", 4)
        assert not too_wide()
        page.click("#edit")
        assert not too_wide()


def test_a_phone_goes_to_the_results(chromium, address):
    with opened(chromium, address, size=PHONE, has_touch=True) as page:
        page.locator("#lines li").nth(0).get_by_text("book", exact=True).tap()
        settled(page)
        page.wait_for_function("() => document.querySelector('#results').getBoundingClientRect().top < 200")
        assert page.locator(".bin").first.evaluate("(node) => getComputedStyle(node).opacity") != "0"


def test_who_wants_less_motion_gets_none(chromium, address):
    with opened(chromium, address, reduced_motion="reduce") as page:
        durations = "[...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
        assert set(page.evaluate(durations)) == {"0s"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_to_complain_of(chromium, address, scheme, size):
    pytest.importorskip("axe_playwright_python", reason="axe is not installed (extra test)")
    axe = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

    def complaints():
        page.wait_for_timeout(600)  # colours have arrived
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in found["violations"]]

    with opened(chromium, address, scheme=scheme, size=size, bypass_csp=True) as page:
        page.evaluate(axe)
        assert complaints() == []
        page.click("#mix")
        pick(page, "Any word")
        choose(page, "letter", 1)
        assert complaints() == []
        pick(page, "Index")
        page.click("#edit")
        assert complaints() == []
        page.fill("#text", "")
        page.get_by_role("button", name="Read them").click()
        settled(page)
        assert complaints() == []


@contextmanager
def described(chromium, address, **options):
    """The page that describes the API, drawn."""
    with opened(chromium, f"{address}", wait=False, **options) as page:
        settled(page)
        page.goto(f"{address}/docs")
        page.wait_for_selector("#routes .card")
        yield page


def test_the_description_of_the_api_shows_every_route_and_field(chromium, address):
    with urllib.request.urlopen(f"{address}/openapi.json", timeout=30) as answer:
        schema = json.load(answer)
    with described(chromium, address) as page:
        text = page.inner_text("#routes")
        for path, methods in schema["paths"].items():
            for method, operation in methods.items():
                assert f"{method.upper()} {path}" in text
                assert all(status in text for status in operation["responses"])
        body = schema["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for name, field in body["properties"].items():
            assert name in text
            assert field["description"] in text
        pick(page, "Dark")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_to_complain_of_in_the_description_of_the_api(chromium, address, scheme, size):
    pytest.importorskip("axe_playwright_python", reason="axe is not installed (extra test)")
    axe = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    with described(chromium, address, scheme=scheme, size=size, bypass_csp=True) as page:
        page.wait_for_timeout(600)  # colours have arrived
        page.evaluate(axe)
        violations = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in violations] == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        if "ELMOKIT_PICTURES" in os.environ:
            name = f"api-{'wide' if size == WIDE else 'phone'}-{scheme}.png"
            page.screenshot(path=Path(os.environ["ELMOKIT_PICTURES"]) / name)


@pytest.mark.skipif("ELMOKIT_PICTURES" not in os.environ, reason="set ELMOKIT_PICTURES to a folder to take screenshots")
def test_pictures_for_the_documentation(chromium, address):
    folder = Path(os.environ["ELMOKIT_PICTURES"])
    folder.mkdir(parents=True, exist_ok=True)
    for name, size, scheme in (
        ("light", (1280, 1000), "light"),
        ("dark", (1280, 1000), "dark"),
        ("phone", PHONE, "light"),
    ):
        with opened(chromium, address, size=size, scheme=scheme) as page:
            if name == "dark":
                page.get_by_role("button", name="bank").click()
            settled(page)
            page.wait_for_timeout(700)
            page.evaluate("document.activeElement.blur()")
            page.screenshot(path=folder / f"explorer-{name}.png", full_page=name != "phone")
