/** The timeline: a lane for each kind of work, bars to scale; and the same as a table. */
// beyond this many, bars too close to be told apart are drawn as one
const BARS = 600;
// of the table
const ROWS = 100;
const LANES = ["model", "sandbox", "tools", "tasks", "human"];
const LANE_NAME = { human: "you" };

class Timeline {
  constructor(ui) {
    this.ui = ui;
    // bar index → node
    this.bars = new Map();
    this.axis = h("div", "axis", h("span", "", "0"), h("span"));
    this.strip = has(h("div", "time"), { role: "group", "aria-label": "Timeline; arrow keys move from bar to bar, Enter opens the step" });
    this.strip.addEventListener("keydown", (event) => this.move(event));
    this.table = fold("more", "Timeline as a table");
    this.table.addEventListener("toggle", () => this.drawTable());
  }

  clear() {
    this.bars.forEach((node) => node.remove());
    this.bars.clear();
  }

  draw(timeline) {
    const { strip, bars } = this;
    const total = Math.max(1, this.ui.now(), ...timeline.slice(-50).map((bar) => bar.end_ms ?? 0));
    strip.hidden = this.table.hidden = timeline.length < 3;
    strip.style.setProperty("--t", total);
    const lanes = LANES.filter((lane) => timeline.some((bar) => bar.lane === lane));
    if (strip.dataset.lanes !== lanes.join()) {
      strip.dataset.lanes = lanes.join();
      bars.clear();
      const drawn = lanes.flatMap((lane) => [h("span", "lane", h("span", "", LANE_NAME[lane] ?? lane), h("b", "")), h("div", "track")]);
      strip.replaceChildren(...drawn, this.axis);
    }
    this.axis.lastChild.textContent = span(total);
    const sums = {};
    const rows = {};
    const last = {};
    for (const bar of timeline) {
      const end = bar.end_ms ?? total;
      sums[bar.lane] = (sums[bar.lane] ?? 0) + end - bar.start_ms;
      rows[bar.lane] = Math.max(rows[bar.lane] ?? 1, bar.row + 1);
      const place = bar.lane + bar.row;
      const before = last[place];
      let node = bars.get(bar.index);
      if (timeline.length > BARS && before?.tone === bar.badge.tone && bar.start_ms - before.end < total / BARS) {
        node?.remove();
        bars.delete(bar.index);
        before.node.style.setProperty("--e", (before.end = end));
        continue;
      }
      if (!node) {
        node = button("", "", () => this.ui.select(bar.step));
        node.tabIndex = bars.size ? -1 : 0;
        node.dataset.index = bar.index;
        bars.set(bar.index, node);
        strip.children[2 * lanes.indexOf(bar.lane) + 1].append(node);
      }
      last[place] = { node, end, tone: bar.badge.tone };
      if (node.drawn === bar.changed && node.drawn !== undefined) continue;
      node.drawn = bar.changed ?? 0;
      node.className = `bar ${bar.lane} ${bar.badge.tone}`;
      node.dataset.step = bar.step;
      node.style.setProperty("--s", bar.start_ms);
      node.style.setProperty("--row", bar.row);
      if (bar.end_ms == null) node.style.removeProperty("--e");
      else node.style.setProperty("--e", bar.end_ms);
      node.title = `${bar.label}, step ${bar.step + 1}, ${bar.end_ms == null ? "" : `${span(bar.end_ms - bar.start_ms)}, `}${bar.badge.word}`;
      node.setAttribute("aria-label", node.title);
    }
    lanes.forEach((lane, i) => {
      strip.children[2 * i].lastChild.textContent = span(sums[lane]);
      strip.children[2 * i + 1].style.setProperty("--rows", rows[lane]);
    });
    this.drawTable();
  }

  /** Show which bars belong to the step that was selected. */
  mark(index) {
    for (const node of this.bars.values()) node.classList.toggle("on", Number(node.dataset.step) === index);
  }

  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = [...this.bars.values()].sort((a, b) => a.dataset.index - b.dataset.index);
    const target = step && all[all.indexOf(document.activeElement) + step];
    if (!target) return;
    event.preventDefault();
    document.activeElement.tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  }

  drawTable() {
    if (!this.table.open) return;
    const rows = this.ui.view().timeline.slice(-ROWS).map((bar) => {
      const took = bar.end_ms == null ? "" : span(bar.end_ms - bar.start_ms);
      return [LANE_NAME[bar.lane] ?? bar.lane, bar.label, String(bar.step + 1), span(bar.start_ms), took, bar.badge.word];
    });
    this.table.replaceChildren(this.table.firstChild, tableNode(["Lane", "What", "Step", "At", "Took", "Status"], rows, (i) => i > 2 && i < 5));
  }
}
