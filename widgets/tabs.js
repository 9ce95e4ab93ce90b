/**
 * The tabs beside the steps: the graph with the way taken through it, the conversation, and the record entry by entry. What they show is
 * asked for when somebody looks: `{ type: "page", what, after }` is answered by a message that holds some rows.
 */
// of a line of the record
const HEIGHT = 24;
// rows in an answer
const PAGE = 100;
const DRAWN = new Set(["svg", "title", "desc", "style", "g", "rect", "circle", "polygon", "path", "text"]);

/** A drawing made by Python, taken over element by element. Its style sheet must not reach the page, so it stands in a shadow root. */
function drawing(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  for (const node of [parsed, ...parsed.querySelectorAll("*")]) {
    const acts = [...node.attributes].some(({ name }) => name.startsWith("on") || name.includes("href"));
    if (!DRAWN.has(node.localName) || acts) return h("p", "", "This is no drawing of a graph.");
  }
  return document.importNode(parsed, true);
}

const LIT =
  ".was > * { stroke-width: 2.6 } text { stroke: none } .unseen { opacity: .38 } path.unseen { opacity: .22 }" +
  ".now > :not(text) { stroke: #0b62c4; stroke-width: 4 } path.was { stroke-width: 3 }";

class GraphTab {
  constructor(ui) {
    this.ui = ui;
    this.said = remark("");
    this.place = h("div", "graph");
    this.node = h("div", "", this.said, this.place);
  }

  show() {
    if (this.svg) this.draw();
    else this.ui.ask("graph", 0);
  }

  take({ rows }) {
    this.svg = rows[0] && drawing(rows[0].svg);
    this.said.textContent = this.svg ? "" : "This process does not have the run's graph.";
    if (!this.svg) return;
    const root = this.place.shadowRoot ?? this.place.attachShadow({ mode: "open" });
    root.replaceChildren(h("style", "", LIT), this.svg);
    this.draw();
  }

  draw() {
    if (!this.svg) return;
    const { now, times, taken } = this.ui.view().way;
    const mark = (node, count, here) => {
      node.classList.toggle("was", count > 0);
      node.classList.toggle("unseen", !count);
      node.classList.toggle("now", here);
    };
    for (const node of this.svg.querySelectorAll("[data-node]")) {
      const { node: name } = node.dataset;
      mark(node, name === "Start" ? 1 : times[name], now.includes(name));
    }
    for (const edge of this.svg.querySelectorAll("[data-edge]")) mark(edge, taken[edge.dataset.edge], false);
    const visits = Object.entries(times).map(([name, count]) => `${name}${count > 1 ? ` ×${count}` : ""}`);
    this.said.textContent = `${now.length ? `Now at ${now.join(", ")}. ` : ""}Been at: ${visits.join(", ")}.`;
  }
}

class MessagesTab {
  constructor(ui) {
    this.ui = ui;
    this.rows = [];
    this.list = h("ol", "messages");
    this.more = button("", "Show more", () => ui.ask("messages", this.rows.length));
    this.node = h("div", "", this.list, this.more);
    this.more.hidden = true;
  }

  show() {
    this.ui.ask("messages", this.rows.length);
  }

  draw() {
    if (this.more.hidden) this.show();
  }

  take({ after, rows, total }) {
    if (after !== this.rows.length) return;
    this.rows.push(...rows);
    this.list.append(...rows.map(({ role, step, body }) => h("li", role, h("h4", "", h("b", "", role), ` entry ${step}`), h("pre", "", body.text), cutNote(body))));
    this.more.hidden = this.rows.length >= total;
    if (!total) this.list.replaceChildren(h("li", "dim", "No messages."));
  }
}

class RecordTab {
  constructor(ui) {
    this.ui = ui;
    this.rows = [];
    this.asked = new Set();
    this.answers = 0;
    this.inner = h("div", "inner");
    this.box = has(h("div", "record", this.inner), { tabindex: 0, role: "group", "aria-label": "Entries of the record" });
    this.box.addEventListener("scroll", () => this.draw());
    this.entry = h("pre", "entry");
    this.entry.hidden = true;
    this.said = remark("");
    this.node = h("div", "", this.said, this.box, this.entry);
  }

  show() {
    this.draw();
  }

  draw() {
    const total = this.ui.view().seq;
    const first = Math.max(0, Math.floor(this.box.scrollTop / HEIGHT) - 10);
    const last = Math.min(total, first + Math.ceil((this.box.clientHeight || 400) / HEIGHT) + 20);
    this.said.textContent = `${many(total)} entries; press one to read it.`;
    this.inner.style.height = `${total * HEIGHT}px`;
    const seen = `${first} ${last} ${this.answers}`;
    if (seen === this.seen) return;
    this.seen = seen;
    const lines = [];
    for (let i = first; i < last; i++) {
      const row = this.rows[i];
      const page = Math.floor(i / PAGE) * PAGE;
      // the last page is asked for again when it has grown
      const wanted = `${page} to ${Math.min(total, page + PAGE)}`;
      if (!row && !this.asked.has(wanted)) {
        this.asked.add(wanted);
        this.ui.ask("record", page);
      }
      const line = button("line", "", () => this.ui.ask("entry", i));
      line.style.top = `${i * HEIGHT}px`;
      line.append(...(row ? [String(row.seq), row.kind, row.what, row.at, row.hash] : [String(i + 1), "…", "", "", ""]).map((words) => h("span", "", words)));
      lines.push(line);
    }
    this.inner.replaceChildren(...lines);
  }

  take({ what, after, rows }) {
    if (what === "entry") {
      this.entry.hidden = !rows.length;
      this.entry.textContent = rows[0]?.body.text ?? "";
      this.entry.tabIndex = 0;
      this.entry.focus({ preventScroll: true });
      return;
    }
    rows.forEach((row, i) => (this.rows[after + i] = row));
    this.answers++;
    this.draw();
  }
}
