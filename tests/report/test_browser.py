"""The page in a real browser: it loads, offline and without an error, and a person without a mouse can use it.

One headless Chromium for all tests; they are left out where there is none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report.browser import Browser, find_browser, running_browser
from tests.report.full_example import CORES_A_CHIP, full_figures, full_report
from toolchain.report.html import render_html

HOSTILE = "<img src=x onerror=alert(1)>&\"'</style>"
FOCUSABLE = "[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility())"
PAPER_PX = 718
"""A4 less Chromium's margins of 1 cm, at 96 px an inch."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium on PATH; apt-get install chromium")
    with running_browser(executable) as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_html(full_report(), full_figures()), encoding="utf-8")
    return file.as_uri()


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    usual = full_report()
    cores = tuple(replace(core, population=HOSTILE) for core in usual.placement.cores[:30])
    figures = full_figures()
    others = [
        replace(s, why=HOSTILE, rasters={HOSTILE: {HOSTILE: s.rasters["float"]["hidden"]}}) for s in figures.others
    ]
    report = replace(
        usual,
        name=HOSTILE,
        target=HOSTILE,
        vendor=HOSTILE,
        placement=replace(usual.placement, cores=cores, reasons={HOSTILE: HOSTILE}),
        provenance={HOSTILE: HOSTILE, "sha256": {HOSTILE: HOSTILE}, "repeat": [HOSTILE]},
    )
    weights = {HOSTILE: next(iter(figures.weights.values()))}
    file: Path = tmp_path_factory.mktemp("hostile") / "report.html"
    file.write_text(render_html(report, replace(figures, others=others, weights=weights)), encoding="utf-8")
    return file.as_uri()


def complaints(browser: Browser) -> list[object]:
    """What the page logged or threw."""
    kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
    return [e for e in browser.events if e["method"] in kinds]


def requested(browser: Browser) -> list[str]:
    sent = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


@pytest.mark.parametrize("dark", [False, True])
def test_it_loads_without_an_error_and_asks_for_nothing_else(browser: Browser, page: str, dark: bool) -> None:
    browser.open(page, dark=dark)
    assert requested(browser) == [page]
    assert complaints(browser) == []
    assert browser.evaluate("document.title").startswith("shd on loihi2: pass")
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)")


def test_a_name_with_markup_in_it_stays_text(browser: Browser, hostile_page: str) -> None:
    browser.open(hostile_page)
    assert requested(browser) == [hostile_page]
    assert complaints(browser) == []
    assert browser.evaluate("document.querySelectorAll('img, script, iframe').length") == 0
    assert browser.evaluate("document.querySelector('h1').innerText").startswith(HOSTILE)
    assert browser.evaluate("document.querySelector('.core .tip b').textContent").endswith(HOSTILE)
    assert browser.evaluate("document.querySelectorAll('style').length") == 1


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_only_tables_scroll_sideways(browser: Browser, page: str, hostile_page: str, width: int) -> None:
    for url in (page, hostile_page):
        browser.open(url, width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        outside = browser.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => e.checkVisibility())"
            ".filter(e => !e.closest('.scroll, svg, pre, .tip') && e.getBoundingClientRect().left >= 0)"
            f".filter(e => e.getBoundingClientRect().right > {width} + 0.5).map(e => e.outerHTML.slice(0, 80))"
        )
        assert outside == []


def test_structure_says_what_everything_is(browser: Browser, page: str) -> None:
    browser.open(page)
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.querySelectorAll('main, nav[aria-label], header, h1').length") == 4
    levels = browser.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    faults = browser.evaluate(
        """(() => {
          const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
          const about = e => (e.getAttribute('aria-labelledby') || '').split(' ');
          const named = e => about(e).every(id => document.getElementById(id)?.textContent);
          const drawn = s => s.getAttribute('aria-hidden') !== 'true';
          const all = selector => [...document.querySelectorAll(selector)];
          return {
            twice: ids.filter((id, i) => ids.indexOf(id) !== i),
            nowhere: all('a[href^="#"]').filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.hash),
            unnamed: all('a, summary').filter(e => !(e.getAttribute('aria-label') || e.textContent).trim()).length,
            silent: all('svg').filter(s => drawn(s) && !(s.getAttribute('role') === 'img' && named(s))).length,
            uncaptioned: all('table').filter(t => !t.caption?.textContent.trim()).length,
            unscoped: all('th').filter(t => !t.scope).length,
            unlabelled: all('section').filter(s => !named(s)).length,
            regions: all('[role=region]').filter(r => !r.getAttribute('aria-label')).length,
          };
        })()"""
    )
    assert {name: found for name, found in faults.items() if found} == {}


def test_tab_reaches_everything_in_order_and_each_is_seen(browser: Browser, page: str) -> None:
    browser.open(page)
    wanted = browser.evaluate(f"(window.wanted = {FOCUSABLE}).length")
    assert wanted > 3 * CORES_A_CHIP
    for position in range(wanted):
        browser.press("Tab")
        at, inside, outlined = browser.evaluate(
            """(() => {
              const e = document.activeElement, r = e.getBoundingClientRect(), s = getComputedStyle(e);
              const across = r.width > 0 && r.right > 0 && r.left < innerWidth;
              const down = r.bottom > 0 && r.top < innerHeight;
              const outlined = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
              return [wanted.indexOf(e), across && down, outlined];
            })()"""
        )
        assert (at, inside, outlined) == (position, True, True)


def test_a_core_says_its_use_and_leads_to_its_row(browser: Browser, page: str) -> None:
    browser.open(page)
    browser.evaluate("document.querySelectorAll('.core')[19].focus({focusVisible: true})")
    tip = "document.querySelectorAll('.core')[19].querySelector('.tip')"
    assert browser.evaluate(f"{tip}.checkVisibility()")
    text = browser.evaluate(f"{tip}.innerText")
    assert "Chip 1, core 7: hidden" in text
    # 6400 bits times 19 + 100.
    assert "synaptic memory 761,600 of 1,048,576 (73%)" in text
    assert text.startswith(browser.evaluate(f"{tip}.querySelector('b').innerText"))
    hidden_by_tip = browser.evaluate(
        f"document.activeElement.getBoundingClientRect().bottom > {tip}.getBoundingClientRect().top"
    )
    assert not hidden_by_tip
    browser.press("Enter")
    row = "document.querySelector('tr:target')"
    assert browser.evaluate(f"{row}.checkVisibility()")
    assert browser.evaluate(f"{row}.innerText").split()[:3] == ["1", "7", "hidden"]
    top = browser.evaluate(f"{row}.getBoundingClientRect().top")
    assert 0 <= top < 900


def test_pointing_at_a_core_shows_it_too(browser: Browser, page: str) -> None:
    browser.open(page)
    x, y = browser.evaluate(
        """(() => { const e = document.querySelectorAll('.core')[35]; e.scrollIntoView({block: 'center'});
          const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"""
    )
    browser.point_at(x, y)
    shown = browser.evaluate(
        "[...document.querySelectorAll('.tip')].filter(t => t.checkVisibility()).map(t => t.innerText)"
    )
    assert len(shown) == 1
    assert "Chip 2, core 11: readout" in shown[0]


def test_one_sample_is_open_at_a_time_and_the_keyboard_chooses(browser: Browser, page: str) -> None:
    browser.open(page)
    opened = "[...document.querySelectorAll('details.sample')].map(d => d.open)"
    assert browser.evaluate(opened) == [True, False, False]
    browser.evaluate("document.querySelectorAll('details.sample summary')[2].focus()")
    browser.press("Enter")
    assert browser.evaluate(opened) == [False, False, True]
    assert browser.evaluate("document.querySelectorAll('details.sample')[2].querySelector('svg').checkVisibility()")
    browser.press(" ")
    assert browser.evaluate(opened) == [False, False, False]


def test_contents_lead_to_sections(browser: Browser, page: str) -> None:
    browser.open(page)
    for position in range(browser.evaluate("document.querySelectorAll('nav a').length")):
        link = f"document.querySelectorAll('nav a')[{position}]"
        browser.evaluate(f"{link}.focus()")
        browser.press("Enter")
        assert browser.evaluate(f"document.querySelector('section:target').id === {link}.hash.slice(1)")


def test_paper_has_all_of_every_table(browser: Browser, page: str) -> None:
    browser.open(page, width=PAPER_PX, media="print")
    cut = browser.evaluate(
        f"""[...document.querySelectorAll('table, svg, .map')].filter(e => e.checkVisibility())
          .filter(e => e.getBoundingClientRect().right > {PAPER_PX} + 0.5)
          .map(e => (e.caption?.textContent ?? e.tagName) + ' ' + e.getBoundingClientRect().right)"""
    )
    assert cut == []
    folded = browser.evaluate(
        "[...document.querySelectorAll('details')]"
        ".filter(d => d.lastElementChild.getBoundingClientRect().height < 1).length"
    )
    assert folded == 0
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.pdf().startswith(b"%PDF")
