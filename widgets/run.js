/**
 * The live view of one run. Python sends a whole `view` once and then a `delta` at most ten times a second (workbench/notebook/wire.py
 * defines both); a delta is merged into the model's `view`, so another view of the same model, or one opened later, draws everything
 * without asking.
 */
// steps in the page at once; earlier ones come on request
const WINDOW = 200;
const CHUNK = 100;

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
  Object.assign(view.way, delta.way);
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

/** A row of tabs and what each shows; `change` is told which one has been chosen. */
function tabs(names, panels, change) {
  const buttons = names.map((name) => has(button("tab", name, () => choose(name)), { role: "tab" }));
  const row = has(h("div", "tabs", ...buttons), { role: "tablist", "aria-label": "What of the run to see" });
  function choose(name) {
    names.forEach((each, i) => {
      const here = each === name;
      has(buttons[i], { "aria-selected": here, tabindex: here ? 0 : -1 });
      has(panels[i], { role: "tabpanel", "aria-label": each }).hidden = !here;
    });
    change(name);
  }
  row.addEventListener("keydown", (event) => {
    const target = buttons[buttons.indexOf(document.activeElement) + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? NaN)];
    if (!target) return;
    event.preventDefault();
    target.focus();
    target.click();
  });
  return { row, choose };
}

function render({ model, el }) {
  // step index → StepNode
  const nodes = new Map();
  // step index → open, as the person left it
  const chosen = new Map();
  let first = 0;
  // whether the person asked for earlier steps
  let wanted = false;
  let drawn = -1;
  let clock = { elapsed: -1, at: 0 };
  let shown = "Steps";

  const view = () => model.get("view");
  const now = () => clock.elapsed + (view().summary.live ? performance.now() - clock.at : 0);
  const send = (message) => model.send(message);
  const ask = (what, after) => send({ type: "page", what, after });
  const ui = { view, now, send, ask, chosen, select };
  const timeline = new Timeline(ui);
  const others = { Graph: new GraphTab(ui), Messages: new MessagesTab(ui), Record: new RecordTab(ui) };

  const status = has(h("span"), { role: "status", "aria-live": "polite" });
  const title = h("h3");
  const stop = button("stop", "Stop", () => {
    stop.disabled = true;
    stop.textContent = "Stopping…";
    send({ type: "stop" });
  });
  const facts = h("p", "facts");
  const hint = h("p", "hint");
  const notice = has(h("p", "notice"), { role: "alert" });
  const outcome = h("div");
  const earlier = button("earlier", "", () => {
    first = Math.max(0, first - CHUNK);
    wanted = true;
    draw(true);
  });
  const list = has(h("div", "steps"), { role: "log", "aria-label": "Steps", "aria-live": "off" });
  const names = ["Steps", ...Object.keys(others)];
  const panels = [h("div", "", earlier, list), ...Object.values(others).map(({ node }) => h("div", "panel", node))];
  const bar = tabs(names, panels, (name) => {
    shown = name;
    others[name]?.show();
  });
  const root = h("section", "wb-run", h("div", "head", status, title, stop), facts, hint, notice, outcome, timeline.strip, timeline.table, bar.row, ...panels);
  // else j, k and Enter would move between JupyterLab's cells
  root.dataset.lmSuppressShortcuts = "true";
  el.append(root);

  /** j and k, or the arrows, go from step to step; Enter and the space bar open them, as summaries do. */
  list.addEventListener("keydown", (event) => {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    const here = event.target.closest?.("summary")?.parentNode;
    const next = step > 0 ? here?.nextElementSibling : here?.previousElementSibling;
    if (!step || !here?.classList.contains("step") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    next?.querySelector("summary").focus();
  });
  list.addEventListener("focusin", (event) => {
    const each = [...nodes.values()].find(({ node }) => node.contains(event.target));
    if (each) timeline.mark(each.index);
  });

  function drawSummary(s) {
    if (clock.elapsed !== s.elapsed_ms) clock = { elapsed: s.elapsed_ms, at: performance.now() };
    const word = `${s.badge.icon}${s.badge.word}`;
    if (status.dataset.word !== word) {
      status.dataset.word = word;
      const pill = badge(s.badge);
      pill.classList.add("pill");
      status.replaceChildren(pill);
      root.setAttribute("aria-label", `Run: ${s.title}`);
    }
    title.textContent = s.title;
    stop.hidden = !s.live;
    const parts = [s.steps, s.live ? span(now()) : s.took, s.model, s.tokens, s.calls, s.cost, s.reason, s.name];
    facts.replaceChildren(...parts.filter(Boolean).map((part) => h("span", "", part)));
    hint.textContent = s.hint;
    const seen = JSON.stringify([s.answer, s.error, s.failed_step]);
    if (outcome.dataset.seen !== seen) {
      outcome.dataset.seen = seen;
      outcome.replaceChildren(
        ...[
          s.task.text.trim() !== s.title && fold("more block", "The task", h("p", "prose", s.task.text), cutNote(s.task)),
          s.answer && block("answer", "Answer", valueNode(s.answer), cutNote(s.answer)),
          s.error && errorBlock(`Error${s.failed_step ? ` in step ${s.failed_step}` : ""}`, s.error),
        ].filter(Boolean),
      );
    }
  }

  function select(index) {
    if (index < first) {
      first = index;
      wanted = true;
    }
    chosen.set(index, true);
    if (shown !== "Steps") bar.choose("Steps");
    draw(true);
    timeline.mark(index);
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
      if (drawn < 0) el.replaceChildren("This run has ended; run.show() draws it.");
      return;
    }
    if (!root.isConnected) el.replaceChildren(root);
    drawSummary(current.summary);
    timeline.draw(current.timeline);
    drawSteps(current.steps, current.summary.live, all);
    if (current.version !== drawn) others[shown]?.draw();
    root.querySelectorAll(".ask.open").forEach((card) => card.tick());
    drawn = current.version;
  }

  const onDelta = () => draw(false);
  const onView = () => {
    nodes.forEach(({ node }) => node.remove());
    timeline.clear();
    nodes.clear();
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
  const onPage = (page) => ({ graph: others.Graph, messages: others.Messages }[page?.what] ?? others.Record).take(page);
  const heard = { "change:delta": onDelta, "change:view": onView, "change:notice": onNotice, "msg:custom": onPage };
  for (const [event, act] of Object.entries(heard)) model.on(event, act);
  bar.choose("Steps");
  onNotice();
  draw(true);
  const timer = setInterval(() => view()?.summary?.live && root.isConnected && draw(false), 1000);
  return () => {
    clearInterval(timer);
    for (const [event, act] of Object.entries(heard)) model.off(event, act);
  };
}

/** Deltas are merged even while no view is open: a cell scrolled out of the page must not miss one. */
function initialize({ model }) {
  const onDelta = () => absorb(model);
  model.on("change:delta", onDelta);
  return () => model.off("change:delta", onDelta);
}

export default { initialize, render };
