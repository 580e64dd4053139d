"""Make the pictures of docs/report.md again: python -m tests.report.screenshots BUNDLE [OTHER]

BUNDLE is a folder that `delayline deploy` made; of two, their comparison is drawn too.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from tests.report.browser import Browser, find_browser, running_browser

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
LARGEST_BYTES = 200_000
COLOURS = 128
"""Of the palette: flat colours and the edges of letters need no more, and a picture is a third of the size."""


def draw(bundle: Path, other: Path | None, folder: Path = FIGURES) -> list[Path]:
    """Write the pictures and say which."""
    executable = find_browser()
    if executable is None:
        raise SystemExit("no Chromium on PATH; apt-get install chromium")
    page = (bundle / "report.html").resolve().as_uri()
    with running_browser(executable) as browser:
        browser.open(page, width=1100, height=1400)
        made = [_save(browser, folder / "report_light.png")]
        browser.open(page, width=1100, height=1100, dark=True)
        browser.evaluate("document.querySelector('#spikes').scrollIntoView()")
        made.append(_save(browser, folder / "report_dark.png"))
        browser.open(page, width=390, height=844)
        made.append(_save(browser, folder / "report_phone.png"))
        browser.open(page, width=1100, height=640)
        browser.evaluate("document.querySelector('#resources').scrollIntoView()")
        browser.evaluate("document.querySelector('.core').focus({focusVisible: true, preventScroll: true})")
        made.append(_save(browser, folder / "report_cores.png"))
        if other is not None:
            made.append(_save_comparison(browser, bundle, other, folder / "report_comparison.png"))
    return made


def _save_comparison(browser: Browser, bundle: Path, other: Path, file: Path) -> Path:
    from toolchain.report.comparison import compare_bundles
    from toolchain.report.comparison_page import comparison_page

    with tempfile.TemporaryDirectory() as home:
        page = Path(home) / "comparison.html"
        page.write_text(comparison_page(compare_bundles(bundle, other)), encoding="utf-8")
        browser.open(page.as_uri(), width=1100, height=1050)
        return _save(browser, file)


def _save(browser: Browser, file: Path) -> Path:
    from PIL import Image

    picture = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    if file.stat().st_size > LARGEST_BYTES:
        raise SystemExit(f"{file}: {file.stat().st_size} bytes, {LARGEST_BYTES} at most; draw less")
    return file


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    for path in draw(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else None):
        print(path)
