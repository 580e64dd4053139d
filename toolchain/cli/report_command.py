"""`delayline report`: one bundle, or two beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.cli.deploy_command import report_text
from toolchain.errors import BundleError, InputError


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
    from toolchain.report.comparison import read_report

    content = read_report(path)
    try:
        text = report_text(content, path)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"bundle {path}: report.json is damaged ({error!r}); deploy again") from error
    if open_page:
        _open(path / "report.html")
    return content if json else text


def _compare(first: Path, second: Path, html: Path | None, open_page: bool, json: bool) -> Any:
    from toolchain.report.comparison import compare_bundles
    from toolchain.report.comparison_page import comparison_page, comparison_text
    from toolchain.storage import write_atomically

    if open_page and html is None:
        raise InputError("--open: a comparison has no page yet; give --html FILE too")
    if html is not None and html.is_dir():
        raise InputError(f"--html {html}: is a folder; give the file to write")
    found = compare_bundles(first, second)
    if html is not None:
        write_atomically(html, comparison_page(found).encode())
        if open_page:
            _open(html)
    return found if json else comparison_text(found)


def _open(page: Path) -> None:
    import webbrowser

    webbrowser.open(page.resolve().as_uri())
