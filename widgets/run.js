/**
 * The live view of one run. Python sends a whole `view` once and then a `delta` at most ten times a second (workbench/notebook/wire.py
 * defines both); a delta is merged into the model's `view`, so another view of the same model, or one opened later, draws everything
 * without asking. Recorded text reaches the page as text nodes only.
 */
const WINDOW = 200; // steps in the page at once; earlier ones come on request
const CHUNK = 100;
const BARS = 600; // beyond this many, bars too close to be told apart are drawn as one
const LANES = ["model", "sandbox", "tools", "tasks", "human"];
const LANE_NAME = { human: "you" };

/** @param {string} tag @param {string} [cls] @param {...(Node|string|null|undefined|false)} kids */
function h(tag, cls, ...kids) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  node.append(...kids.filter((kid) => kid || kid === ""));
  return node;
}

function button(cls, label, act) {
  const node = h("button", cls, label);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

const badge = (b) => {
  const icon = h("i", "", b.icon);
  icon.setAttribute("aria-hidden", "true");
  return h("span", `badge ${b.tone}`, icon, b.word);
};

const span = (ms) => {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

/** Bring the model's view forward by the delta it holds; harmless to repeat. */
function absorb(model) {
  const view = model.get("view");
  const delta = model.get("delta");
  if (!view?.steps || !delta?.version || delta.version <= view.version) return view;
  if (delta.since > view.version) {
    model.send({ type: "refresh" });
    return view;
  }
  Object.assign(view.summary, delta.summary);
  mergeItems(view.timeline, delta.timeline, delta.version);
  mergeItems(view.steps, delta.steps, delta.version);
  view.seq = delta.seq;
  view.version = delta.version;
  return view;
}

function mergeItems(items, changed, version) {
  for (const change of changed) {
    const item = (items[change.index] ??= {});
    const { calls, requests, ...fields } = change;
    Object.assign(item, fields, { changed: version });
    if (calls) mergeItems((item.calls ??= []), calls, version);
    if (requests) mergeItems((item.requests ??= []), requests, version);
  }
}

const cutNote = (t, ending) =>
  t.cut && h("p", "dim", `${ending ? "the last" : "the first"} ${t.text.length.toLocaleString("en")} of ${t.length.toLocaleString("en")} characters`);

function block(kind, label, ...kids) {
  return h("div", `block ${kind}`, label && h("h4", "", label), ...kids);
}

const textBlock = (kind, label, t, ending) => block(kind, label, h("pre", "", t.text), cutNote(t, ending));

function problemText(e) {
  return `${e.type}${e.line ? ` on line ${e.line}` : ""}: ${e.message.text}`;
}

function codeBlock(code, badLine) {
  const pre = h("pre", "code");
  let line = null;
  const next = () => pre.append((line = h("span", pre.childNodes.length + 1 === badLine ? "l bad" : "l")));
  next();
  for (const [kind, text] of code.tokens) {
    text.split("\n").forEach((piece, i) => {
      if (i) {
        line.append("\n");
        next();
      }
      if (piece) line.append(kind ? h("span", kind, piece) : piece);
    });
  }
  const plain = code.tokens.map((token) => token[1]).join("");
  const copy = button("quiet", "Copy", async () => {
    try {
      await navigator.clipboard.writeText(plain);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(pre); // no clipboard on plain http
      copy.textContent = "Selected; press Ctrl+C";
    }
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  copy.setAttribute("aria-label", code.cut ? "Copy the code shown" : "Copy the code");
  return block("", "", h("div", "title", h("h4", "", "Code"), copy), pre, cutNote({ ...code, text: plain }));
}

function callRow(call) {
  const out = call.error ? problemText(call.error) : call.result?.text;
  const word = call.badge.tone === "ok" ? null : badge(call.badge);
  return h(
    "li", "",
    h("pre", "", `${call.tool}(${call.args.text}${call.args.cut ? " …" : ""})`),
    h("span", "meta dim", call.took, word),
    out != null && h("pre", "out", `→ ${out}`),
    call.result && cutNote(call.result),
  );
}

/** What a field holds, as JSON; null when it was left as it was. Throws where it should be JSON and is not. */
function valueOf({ reads, start }, text) {
  if (start && text === start) return null;
  if (reads === "text") return JSON.stringify(text);
  try {
    JSON.parse(text.trim() || "null");
    return text.trim() || "null";
  } catch (error) {
    if (reads === "any") return JSON.stringify(text);
    throw error;
  }
}

/** A question to a person: open, it has what wire.py gives it to answer with; answered, it says what was decided. */
function askCard(asked, send) {
  const card = h("div", asked.open ? "ask open" : "ask", h("p", "", h("b", "", asked.title)));
  const { tool, args } = asked;
  if (tool || args.text !== "None") card.append(h("pre", "", tool ? `${tool}(${args.text}${args.cut ? " …" : ""})` : args.text));
  if (args.cut) card.append(cutNote(args));
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", asked.title);
  if (!asked.open) {
    card.append(h("p", "", asked.answer, asked.took && ` (after ${asked.took})`));
    if (asked.note) card.append(h("p", "prose dim", asked.note.text));
    if (asked.value) card.append(h("pre", "", `→ ${asked.value.text}`));
    return card;
  }
  const wrong = h("p", "wrong");
  wrong.setAttribute("role", "alert");
  const fields = asked.fields.map((field) => {
    const area = h("textarea", field.name);
    area.spellcheck = false;
    area.value = field.start;
    return { ...field, area };
  });
  const decide = ({ decision, value }) => {
    const message = { type: "decide", request_id: asked.id, decision, subject_hash: asked.subject_hash, value_json: value, note: null };
    for (const { name, decisions, area, ...field } of fields) {
      if (!decisions.includes(decision)) continue;
      try {
        if (name === "note") message.note = area.value.trim() || null;
        else message.value_json = valueOf(field, area.value);
      } catch (error) {
        wrong.textContent = `This is not JSON: ${error.message}`;
        if (area.parentNode.open === false) area.parentNode.open = true;
        area.focus();
        return;
      }
    }
    wrong.textContent = "";
    for (const each of controls) each.disabled = true;
    send(message);
  };
  const buttons = asked.choices.map((choice) => button("", choice.label, () => decide(choice)));
  const controls = [...buttons, ...fields.map(({ area }) => area)];
  card.append(
    ...asked.say.map((text) => h("p", "dim", text)),
    ...fields.map(({ label, start, area }) => {
      area.ariaLabel = label;
      return start ? h("details", "more", h("summary", "", label), area) : h("label", "", label, area);
    }),
    wrong,
    h("div", "row", ...buttons, h("span", "dim", buttons.length ? "In code: " : "Answer it in code: ", h("code", "", asked.code))),
  );
  card.reopen = () => controls.forEach((each) => (each.disabled = false));
  return card;
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
        h("span", "no", String(step.number)), h("span", "say", step.headline, step.aside && h("span", "dim", ` ${step.aside}`)), h("span", "num cost", step.cost), took, badge(step.badge),
      );
      this.seen = step.changed;
    }
    if (!this.node.open && !this.body.firstChild) return;
    const error = step.error;
    this.part("thought", step.thought, () => step.thought && block("", "Thought", h("p", "prose", step.thought.text), cutNote(step.thought)));
    this.part("reply", step.reply, () => step.reply && textBlock("", this.busy ? "Reply so far" : "Reply", step.reply, this.busy));
    this.part("code", step.code && `${step.code.length} ${error?.line}`, () => step.code && codeBlock(step.code, error?.line));
    this.part("calls-box", step.calls.length > 0, () => {
      this.drawn.calls = [];
      this.drawn["calls-slot"] = h("ol", "calls");
      return step.calls.length && block("", "Tool calls", this.drawn["calls-slot"]);
    });
    this.list("calls", step.calls, callRow);
    const hidden = step.calls_total - step.calls.length;
    this.part("calls-more", hidden, () => hidden > 0 && h("p", "dim", `and ${hidden.toLocaleString("en")} more calls`));
    this.part("asks-box", true, () => (this.drawn["asks-slot"] = h("div")));
    this.list("asks", step.requests, (asked) => askCard(asked, this.ui.send));
    this.part("prints", step.prints, () => step.prints && textBlock("", "Output", step.prints, this.busy));
    this.part("value", step.value, () => step.value && textBlock("", "Value", step.value));
    this.part("error", error, () => error && block("error", "Error", h("pre", "", problemText(error)), cutNote(error.message)));
    this.part("note", step.note, () => step.note && block("", "", h("p", "prose dim", step.note.text)));
    const small = [step.engine, step.tokens].filter(Boolean).join(" · ");
    this.part("small", small, () => small && block("", "", h("p", "dim", small)));
  }
}

function render({ model, el }) {
  const nodes = new Map(); // step index → StepNode
  const bars = new Map();
  const chosen = new Map(); // step index → open, as the person left it
  let first = 0;
  let wanted = false; // whether the person asked for earlier steps
  let drawn = -1;
  let clock = { elapsed: -1, at: 0 };

  const view = () => model.get("view");
  const now = () => clock.elapsed + (view().summary.live ? performance.now() - clock.at : 0);
  const send = (message) => model.send(message);
  const ui = { view, now, send, chosen };

  const status = h("span");
  status.setAttribute("role", "status");
  status.setAttribute("aria-live", "polite");
  const title = h("h3");
  const stop = button("", "Stop", () => {
    stop.disabled = true;
    stop.textContent = "Stopping…";
    send({ type: "stop" });
  });
  const facts = h("p", "facts");
  const hint = h("p", "hint");
  const notice = h("p", "notice");
  notice.setAttribute("role", "alert");
  const outcome = h("div");
  const time = h("div", "time");
  time.setAttribute("role", "group");
  time.setAttribute("aria-label", "Timeline; arrow keys move from bar to bar");
  const table = h("details", "more", h("summary", "", "Timeline as a table"));
  const earlier = button("earlier", "", () => {
    first = Math.max(0, first - CHUNK);
    wanted = true;
    draw(true);
  });
  const list = h("div", "steps");
  list.setAttribute("role", "log");
  list.setAttribute("aria-label", "Steps");
  list.setAttribute("aria-live", "off");
  const root = h("section", "wb-run", h("div", "head", status, title, stop), facts, hint, notice, outcome, time, table, list);
  el.append(root);

  function drawSummary(s) {
    if (clock.elapsed !== s.elapsed_ms) clock = { elapsed: s.elapsed_ms, at: performance.now() };
    const word = `${s.badge.icon}${s.badge.word}`;
    if (status.dataset.word !== word) {
      status.dataset.word = word;
      status.replaceChildren(badge(s.badge));
      root.setAttribute("aria-label", `Run: ${s.title}`);
    }
    title.textContent = s.title;
    stop.hidden = !s.live;
    const parts = [s.steps, s.live ? span(now()) : s.took, s.model, s.tokens, s.calls, s.cost, s.reason];
    facts.replaceChildren(...parts.filter(Boolean).map((part) => h("span", "", part)));
    hint.textContent = s.hint;
    const seen = JSON.stringify([s.answer, s.error, s.failed_step]);
    if (outcome.dataset.seen !== seen) {
      outcome.dataset.seen = seen;
      const where = s.failed_step ? `Error in step ${s.failed_step}` : "Error";
      outcome.replaceChildren(
        ...[
          s.task.text.trim() !== s.title && more("The task", h("p", "prose", s.task.text), cutNote(s.task)),
          s.answer && textBlock("answer", "Answer", s.answer),
          s.error && block("error", where, h("pre", "", problemText(s.error))),
        ].filter(Boolean),
      );
    }
  }

  const more = (label, ...kids) => h("details", "more block", h("summary", "", label), ...kids);

  function drawTime(timeline) {
    const total = Math.max(1, now(), ...timeline.slice(-50).map((bar) => bar.end_ms ?? 0));
    time.hidden = table.hidden = timeline.length < 3;
    time.style.setProperty("--t", total);
    const lanes = LANES.filter((lane) => timeline.some((bar) => bar.lane === lane));
    if (time.dataset.lanes !== lanes.join()) {
      time.dataset.lanes = lanes.join();
      bars.clear();
      time.replaceChildren(...lanes.flatMap((lane) => [h("span", "lane", h("span", "", LANE_NAME[lane] ?? lane), h("b", "")), h("div", "track")]), axis);
    }
    axis.lastChild.textContent = span(total);
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
        node = button("", "", () => select(bar.step));
        node.tabIndex = bars.size ? -1 : 0;
        node.dataset.index = bar.index;
        bars.set(bar.index, node);
        time.children[2 * lanes.indexOf(bar.lane) + 1].append(node);
      }
      last[place] = { node, end, tone: bar.badge.tone };
      if (node.drawn === bar.changed && node.drawn !== undefined) continue;
      node.drawn = bar.changed ?? 0;
      node.className = `bar ${bar.lane} ${bar.badge.tone}`;
      node.style.setProperty("--s", bar.start_ms);
      node.style.setProperty("--row", bar.row);
      if (bar.end_ms == null) node.style.removeProperty("--e");
      else node.style.setProperty("--e", bar.end_ms);
      node.title = `${bar.label}, step ${bar.step + 1}, ${bar.end_ms == null ? "" : `${span(bar.end_ms - bar.start_ms)}, `}${bar.badge.word}`;
      node.setAttribute("aria-label", node.title);
    }
    lanes.forEach((lane, i) => {
      time.children[2 * i].lastChild.textContent = span(sums[lane]);
      time.children[2 * i + 1].style.setProperty("--rows", rows[lane]);
    });
    if (table.open) drawTable(timeline);
  }
  const axis = h("div", "axis", h("span", "", "0"), h("span"));

  time.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const all = [...bars.values()].sort((a, b) => a.dataset.index - b.dataset.index);
    const target = step && all[all.indexOf(document.activeElement) + step];
    if (!target) return;
    event.preventDefault();
    document.activeElement.tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  });

  function drawTable(timeline) {
    const cells = (tag, ...texts) => h("tr", "", ...texts.map((text, i) => h(tag, i > 2 && i < 5 ? "num" : "", text)));
    const rows = timeline.slice(-CHUNK).map((bar) => {
      const took = bar.end_ms == null ? "" : span(bar.end_ms - bar.start_ms);
      return cells("td", LANE_NAME[bar.lane] ?? bar.lane, bar.label, String(bar.step + 1), span(bar.start_ms), took, bar.badge.word);
    });
    const head = h("thead", "", cells("th", "Lane", "What", "Step", "At", "Took", "Status"));
    table.replaceChildren(table.firstChild, h("table", "", head, h("tbody", "", ...rows)));
  }
  table.addEventListener("toggle", () => table.open && drawTable(view().timeline));

  function select(index) {
    if (index < first) {
      first = index;
      wanted = true;
    }
    chosen.set(index, true);
    draw(true);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const { node, line } = nodes.get(index);
    node.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
    line.focus({ preventScroll: true });
  }

  /** Leave out early steps nobody looks at, once there are too many. */
  function slide(count) {
    if (count - first <= WINDOW || wanted) return;
    const next = count - CHUNK;
    const gone = [...nodes.values()].filter((each) => each.index < next);
    const seen = gone.some(({ node }) => node.contains(document.activeElement) || node.getBoundingClientRect().bottom > 0);
    if (gone.length && seen && count - first < 5 * WINDOW) return;
    first = next;
  }

  function drawSteps(steps, live, all) {
    slide(steps.length);
    for (const [index, { node }] of nodes) {
      if (index >= first) continue;
      node.remove();
      nodes.delete(index);
    }
    earlier.hidden = first === 0;
    earlier.textContent = `Show ${Math.min(CHUNK, first)} of ${first} earlier steps`;
    for (let index = steps.length - 1; index >= first; index--) {
      const step = steps[index];
      let each = nodes.get(index);
      const fresh = !each;
      if (fresh) {
        each = new StepNode(index, ui);
        nodes.set(index, each);
        list.insertBefore(each.node, nodes.get(index + 1)?.node ?? null);
      }
      const open = chosen.get(index) ?? (step.hold || (live && index === steps.length - 1));
      if (each.node.open !== open) each.node.open = open;
      if (fresh || all || step.end_ms == null || (step.changed ?? 0) > drawn) each.draw();
    }
  }

  function draw(all) {
    const current = absorb(model);
    if (!current?.steps) {
      if (drawn < 0) el.replaceChildren("This run has ended; run.show() draws it from its record.");
      return;
    }
    if (!root.isConnected) el.replaceChildren(root);
    drawSummary(current.summary);
    drawTime(current.timeline);
    drawSteps(current.steps, current.summary.live, all);
    drawn = current.version;
  }

  const onDelta = () => draw(false);
  const onView = () => {
    nodes.forEach(({ node }) => node.remove());
    bars.forEach((node) => node.remove());
    nodes.clear();
    bars.clear();
    draw(true);
  };
  const onNotice = () => {
    const said = model.get("notice");
    notice.textContent = said?.text ?? "";
    if (!said?.text) return;
    stop.disabled = false;
    stop.textContent = "Stop";
    root.querySelectorAll(".ask").forEach((card) => card.reopen?.());
  };
  model.on("change:delta", onDelta);
  model.on("change:view", onView);
  model.on("change:notice", onNotice);
  list.before(earlier);
  onNotice();
  draw(true);
  const timer = setInterval(() => view()?.summary?.live && root.isConnected && draw(false), 1000);
  return () => {
    clearInterval(timer);
    model.off("change:delta", onDelta);
    model.off("change:view", onView);
    model.off("change:notice", onNotice);
  };
}

/** Deltas are merged even while no view is open: a cell scrolled out of the page must not miss one. */
function initialize({ model }) {
  const onDelta = () => absorb(model);
  model.on("change:delta", onDelta);
  return () => model.off("change:delta", onDelta);
}

export default { initialize, render };
