"""`delayline report`: one bundle, or two beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.cli.deploy_command import report_text
from toolchain.errors import InputError


def run(bundle: Path, other: Path | None, html: Path | None, open_page: bool, json: bool) -> Any:
    """What to print of one bundle or of two; writes the page of a comparison where one is asked for."""
    if other is not None:
        return _compare(bundle, other, html, open_page, json)
    if html is not None:
        raise InputError(
            f"--html {html}: the page of one bundle is in it already, {bundle / 'report.html'}; give a second bundle "
            "to compare with"
        )
    return _show(bundle, open_page, json)


def _show(path: Path, open_page: bool, json: bool) -> Any:
    """The verdict and the ladder of a bundle, from its report.json."""
    from toolchain.report.reading import from_reports, read_report

    content = read_report(path)
    with from_reports(path):
        text = report_text(content, path)
    if open_page:
        _open(path / "report.html")
    return content if json else text


def _compare(first: Path, second: Path, html: Path | None, open_page: bool, json: bool) -> Any:
    from toolchain.report.comparison import compare_bundles
    from toolchain.report.comparison_page import comparison_page, comparison_text
    from toolchain.report.reading import from_reports
    from toolchain.storage import write_atomically

    if open_page and html is None:
        raise InputError("--open: a comparison has no page yet; give --html FILE too")
    if html is not None and html.is_dir():
        raise InputError(f"--html {html}: is a folder; give the file to write")
    found = compare_bundles(first, second)
    with from_reports(first, second):
        page, text = comparison_page(found).encode(), comparison_text(found)
    if html is not None:
        write_atomically(html, page)
        if open_page:
            _open(html)
    return found if json else text


def _open(page: Path) -> None:
    import webbrowser

    webbrowser.open(page.resolve().as_uri())
