"""Looks at report pages in a browser: `python3 reports/tests/browser.py OUT PAGE..`.

Needs `pip install playwright` and a Chromium (`apt-get install chromium`). For each page it takes screenshots on a
desktop and on a phone, light and dark, into OUT; goes through the controls with mouse, keyboard and touch; and fails if
the page logs an error, asks for anything but itself, is wider than its window, or draws too slowly while zooming.
"""

import pathlib
import sys

from playwright.sync_api import sync_playwright

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
# Between two frames while zooming, median; the screen's own rate is 16.7 ms.
FRAME_MS_MAX = 33.0

ZOOM = """async () => {
  view.set(0, END);
  const scripted = [], shown = [];
  let last = await new Promise(requestAnimationFrame);
  for (let i = 0; i < 60; i++) {
    view.zoom(END * 0.4, i < 30 ? 0.85 : 1 / 0.85);
    const now = await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    scripted.push(window.trialFrameMs);
    shown.push((now - last) / 2);
    last = now;
  }
  const median = (list) => list.sort((a, b) => a - b)[30];
  return { messages: M.n, script: median(scripted), median: median(shown), p95: shown[57] };
}"""


def look(browser, page_path, name, out):
    url = page_path.resolve().as_uri()
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                has_touch=size == "phone",
                device_scale_factor=2 if size == "phone" else 1,
            )
            page = context.new_page()
            problems, requests = [], []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
            page.on("request", lambda request: requests.append(request.url))
            page.goto(url)
            page.wait_for_timeout(400)
            tall = min(page.evaluate("document.documentElement.scrollHeight"), 6000)
            clip = {"x": 0, "y": 0, "width": width, "height": tall}
            page.screenshot(path=out / f"{name}-{size}-{scheme}.png", full_page=True, clip=clip)
            too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert too_wide <= 0, f"{name} {size}: {too_wide} pixels wider than the window"
            if page.query_selector("#lanes"):
                use(page, out / f"{name}-{size}-{scheme}-zoomed.png")
            assert requests == [url], f"{name}: {requests}"
            assert not problems, f"{name}: {problems}"
            if size == "desktop" and scheme == "light" and page.query_selector("#lanes"):
                times = page.evaluate(ZOOM)
                print(
                    f"{name}: {times['messages']} messages, script {times['script']:.1f} ms,"
                    f" a frame every {times['median']:.1f} ms (p95 {times['p95']:.1f}) while zooming"
                )
                assert times["median"] < FRAME_MS_MAX, times
            context.close()


def use(page, picture):
    """Keys, buttons, filters and a drag, each with what it must change."""
    span = lambda: page.evaluate("view.to - view.from")
    page.locator("#lanes").focus()
    before = span()
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_timeout(100)
    assert span() < before / 8, "the key + zooms in"
    start = page.evaluate("view.from")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("view.from") > start, "the key → moves on"
    page.keyboard.press("0")
    page.keyboard.press("n")
    page.wait_for_timeout(100)
    assert page.locator("#inspect .mono").count() == 1, "the key n tells of something"
    page.evaluate("view.show(VIOLATIONS.length ? VIOLATIONS[0].us : END * 0.4, END / 60)")
    page.wait_for_timeout(150)
    box = page.locator("#lanes").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    start = page.evaluate("view.from")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 60, box["y"] + 60)
    page.mouse.up()
    assert page.evaluate("view.from") > start, "a drag to the left moves on"
    filtered = page.evaluate("(() => { let n = 0; spacetime.each(() => n++); return n; })()")
    page.locator("#kinds button").first.click()
    fewer = page.evaluate("(() => { let n = 0; spacetime.each(() => n++); return n; })()")
    assert fewer <= filtered, "a filter leaves out"
    page.locator("#kinds button").first.click()
    page.wait_for_timeout(100)
    page.locator("#lanes").screenshot(path=picture)


def main():
    out, pages = pathlib.Path(sys.argv[1]), [pathlib.Path(path) for path in sys.argv[2:]]
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for path in pages:
            look(browser, path, path.parent.name, out)
        browser.close()
    print(f"{len(pages)} pages looked at: 0 failed")


if __name__ == "__main__":
    main()
