/** Steps: a line each, and under it what happened. */
function callRow({ tool, args, prints, pictures, result, table, error, badge: mark, took }) {
  const out = error ? problemText(error) : result?.text;
  const shown = table
    ? tableNode(table.head, table.rows, (_, cell) => /^-?[\d.,]+$/.test(cell))
    : result && out.includes("\n") && valueNode(result);
  const rest = table && table.total > table.rows.length && remark(`the first ${table.rows.length} of ${many(table.total)} rows`);
  return h(
    "li", error ? "bad" : "",
    h("pre", "", h("span", "fn", tool), `(${args.text}${args.cut ? " …" : ""})`),
    h("span", "meta dim", took, mark.tone !== "ok" && badge(mark)),
    prints && h("div", took ? "said" : "said busy", h("small", "", "printed"), h("pre", "", prints.text), cutNote(prints, !took)),
    ...pictures.map(({ src, alt }) => (src ? has(h("img", "said"), { src, alt }) : h("p", "said dim", alt))),
    out != null && (shown ? h("div", "out", shown, rest) : h("pre", "out", `→ ${out}`)),
    result && !table && cutNote(result),
    traceNode(error),
  );
}

/** One step's node. Its body is drawn when it is open; each part is drawn again only when its own data changed. */
class StepNode {
  constructor(index, ui) {
    this.index = index;
    this.ui = ui;
    this.drawn = {};
    this.line = h("summary");
    this.body = h("div", "body");
    this.node = h("details", "step", this.line, this.body);
    this.line.addEventListener("click", () => ui.chosen.set(index, !this.node.open));
    this.node.addEventListener("toggle", () => this.draw());
  }

  /** A part of the body, in its fixed place. `seen` is compared with what was drawn last. */
  part(name, seen, make) {
    let slot = this.drawn[name];
    if (!slot) this.body.append((slot = this.drawn[name] = { node: h("div", "slot") }).node);
    if (slot.seen === seen) return;
    slot.seen = seen;
    const old = slot.node.querySelector("pre");
    const end = !old || old.scrollTop + old.clientHeight >= old.scrollHeight - 4;
    const top = old?.scrollTop ?? 0;
    slot.node.replaceChildren(...[make()].filter(Boolean));
    const pre = slot.node.querySelector("pre");
    if (pre && old) pre.scrollTop = end && this.busy ? pre.scrollHeight : top;
  }

  list(name, items, make) {
    const nodes = (this.drawn[name] ??= []);
    const slot = this.drawn[`${name}-slot`];
    items.forEach((item, i) => {
      const seen = item.changed ?? 0;
      if (nodes[i]?.seen === seen) return;
      const node = make(item);
      if (nodes[i]) nodes[i].node.replaceWith(node);
      else slot.append(node);
      nodes[i] = { node, seen };
    });
  }

  draw() {
    const step = this.ui.view().steps[this.index];
    const ms = (step.end_ms ?? this.ui.now()) - step.start_ms;
    this.busy = step.end_ms == null;
    if (this.seen !== step.changed || this.seen === undefined || this.busy) {
      const took = h("span", "num took", step.took || span(ms));
      this.line.replaceChildren(
        h("span", "no", String(step.number)),
        h("span", "say", step.headline, step.aside && h("span", "dim", ` ${step.aside}`)),
        badge(step.badge),
        h("span", "num cost", step.cost),
        took,
      );
      this.seen = step.changed;
    }
    if (!this.node.open && !this.body.firstChild) return;
    const error = step.error;
    const field = (name, make) => this.part(name, step[name], () => step[name] && make(step[name]));
    field("thought", (t) => block("", "Thought", h("p", "prose", t.text), cutNote(t)));
    field("reply", (t) => textBlock(this.busy ? "Reply so far" : "Reply", t, this.busy));
    const lines = step.code && `${step.code.length} ${error?.line} ${step.asking}`;
    this.part("code", lines, () => step.code && codeBlock(step.code, error?.line, step.asking));
    this.part("calls-box", step.calls.length > 0, () => {
      this.drawn.calls = [];
      this.drawn["calls-slot"] = h("ol", "calls");
      return step.calls.length && block("", "Tool calls", this.drawn["calls-slot"]);
    });
    this.list("calls", step.calls, callRow);
    const hidden = step.calls_total - step.calls.length;
    this.part("calls-more", hidden, () => hidden > 0 && remark(`and ${many(hidden)} more calls`));
    this.part("asks-box", true, () => (this.drawn["asks-slot"] = h("div")));
    this.list("asks", step.requests, (asked) => askCard(asked, this.ui));
    field("prints", (t) => textBlock("Output", t, this.busy));
    field("value", (t) => textBlock("Value", t));
    field("error", (e) => errorBlock("Error", e));
    field("note", (t) => block("", "", h("p", "prose dim", t.text)));
    const small = [step.engine, step.tokens].filter(Boolean).join(" · ");
    this.part("small", small, () => small && block("", "", remark(small)));
  }
}

