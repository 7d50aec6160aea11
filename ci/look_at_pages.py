"""Open every page of the built documentation in a window as wide as a phone's.

    python ci/look_at_pages.py BUILD CHROMIUM [PAGE ...]

BUILD is the folder with the pages in ``html``. Exits 1 and names what sticks out, where a page is
wider than the window. Of each PAGE (``topics/journey``) a picture and what a printer would get go
into BUILD/pages, for people to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WINDOW = {"width": 390, "height": 844}

# Elements of the article that end to the right of the window, and are not in one that scrolls.
STICKING_OUT = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = element => element !== null && (
        ["auto", "scroll", "hidden"].includes(getComputedStyle(element).overflowX)
        || scrolls(element.parentElement));
    const out = [...document.querySelectorAll("article *")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && box.right > width + 1 && !scrolls(element.parentElement);
    }).map(element => `${element.tagName}: ${element.textContent.trim().slice(0, 60)}`);
    if (document.documentElement.scrollWidth > width) out.push("the page scrolls sideways");
    return out;
}"""


def main() -> int:
    """Look at all of them."""
    build, chromium, *kept = sys.argv[1:]
    pages = {
        str(path.relative_to(Path(build, "html")).with_suffix("")): path.resolve()
        for path in sorted(Path(build, "html").rglob("*.html"))
        if path.relative_to(Path(build, "html")).parts[0] != "_static"
    }
    unknown = set(kept) - set(pages)
    if unknown or not pages:
        print(f"no such page: {', '.join(sorted(unknown)) or build}", file=sys.stderr)
        return 2
    Path(build, "pages").mkdir(exist_ok=True)
    wide = 0
    with sync_playwright() as playwright:
        # Its sandbox does not work for root, and these pages are ours.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW, device_scale_factor=1.5)
        for name, path in pages.items():
            page.goto(path.as_uri())
            for what in page.evaluate(STICKING_OUT):
                print(f"{name}: {what}")
                wide += 1
            if name in kept:
                to = Path(build, "pages", name.replace("/", "-"))
                page.screenshot(path=f"{to}.png", full_page=True)
                page.pdf(path=f"{to}.pdf", format="A4")
        browser.close()
    print(f"{len(pages)} pages, {wide} things wider than {WINDOW['width']} pixels")
    return 1 if wide else 0


if __name__ == "__main__":
    sys.exit(main())
