"""What the view of a run costs: opening 10,000 entries, scrolling them, bytes an entry on the wire, and what a notebook of 20 runs holds.

`python -m tests.benchmarks.bench_view`
"""

from __future__ import annotations

import json
import time

import nbformat

from tests.browser.page import chromium, live_page, show
from tests.notebook.sample_run import finished, long
from workbench.notebook.static import bundle
from workbench.notebook.view import RunView

STEPS = 1250  # of 8 entries each
EVERY = 8
"""Entries between two deltas: what comes in a tenth of a second from a quick run."""

SCROLL = """async (selector) => {
    const box = selector ? document.querySelector(selector) : document.scrollingElement;
    const gaps = [];
    let last = performance.now();
    for (let frame = 0; frame < 120; frame++) {
        box.scrollTop += Math.max(40, box.scrollHeight / 120);
        await new Promise(requestAnimationFrame);
        gaps.push(performance.now() - last);
        last = performance.now();
    }
    gaps.sort((a, b) => a - b);
    return { median: gaps[60], worst: gaps.at(-1), dropped: gaps.filter((gap) => gap > 34).length };
}"""
OPEN = """async () => {
    host.close();
    const began = performance.now();
    host.close = host.open("second");
    await new Promise(requestAnimationFrame);
    document.body.getBoundingClientRect();
    return performance.now() - began;
}"""
RECORD = """() => {
    host.model.send = ({ what, after }) => {
        const row = { kind: "tool call", what: "x", at: "09:30:00.000", hash: "ab" };
        const rows = Array.from({ length: 100 }, (_, i) => ({ ...row, seq: after + i + 1 }));
        for (const [event, act] of host.listeners) if (event === "msg:custom") act({ what, after, total: after + 100, rows });
    };
    document.querySelectorAll("[role=tab]")[3].click();
}"""


def main() -> None:
    entries = long(STEPS)
    began = time.perf_counter()
    view = RunView()
    for entry in entries:
        view.apply(entry)
    full = view.full()
    folded, size = time.perf_counter() - began, len(json.dumps(full)) / 1e6
    print(f"{len(entries):,} entries: folded into a view in {folded:.2f} s, {size:.2f} MB when opened late")

    followed, sent, version, messages = RunView(), 0, 0, 0
    for start in range(0, len(entries), EVERY):
        for entry in entries[start : start + EVERY]:
            followed.apply(entry)
        sent += len(json.dumps(followed.delta(version) if version else followed.full()))
        version, messages = followed.version, messages + 1
    print(f"followed live: {messages:,} messages, {sent / len(entries):.0f} bytes an entry")

    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        show(page, live_page(json.loads(json.dumps(full))))
        opened = sorted(page.evaluate(OPEN) for _ in range(5))
        print(f"opened in the page in {opened[2]:.0f} ms (median of 5)")
        print(f"steps scrolled: {_said(page.evaluate(SCROLL, ''))}")
        page.evaluate(RECORD)
        print(f"record scrolled: {_said(page.evaluate(SCROLL, '.record'))}")

    for name, sample in (("of three steps", finished), ("of 300 steps", long)):
        drawn = RunView()
        for entry in sample():
            drawn.apply(entry)
        data = bundle(drawn.full())
        output = nbformat.v4.new_output("display_data", data)
        one, twenty = (
            len(nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output]) for _ in range(count)])))
            for count in (1, 20)
        )
        print(f"saved: one run {name} {one / 1e3:.0f} kB, a notebook of 20 {twenty / 1e6:.2f} MB")


def _said(frames: dict[str, float]) -> str:
    return f"{frames['dropped']} of 120 frames over 34 ms, median {frames['median']:.1f} ms, worst {frames['worst']:.1f} ms"


if __name__ == "__main__":
    main()
