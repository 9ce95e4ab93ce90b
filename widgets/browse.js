/**
 * The runs of a store as a table that can be searched: what is found is found in the page; what is opened, compared or forked is drawn by
 * the kernel below. Joined to dom.js.
 */
const SHOWN = 200;

function field(label, input) {
  return h("label", "", label, input);
}

function choice(words, all) {
  const select = h("select", "");
  for (const word of [all, ...words]) {
    const option = h("option", "", word);
    option.value = word === all ? "" : word;
    select.append(option);
  }
  return select;
}

function render({ model, el }) {
  const root = h("section", "wb-run wb-runs");
  const chosen = new Set();
  const search = has(h("input", ""), { type: "search", placeholder: "words of the task, an id" });
  const status = h("span", "");
  const notice = has(h("p", "notice"), { role: "status" });
  const body = h("tbody", "");
  const since = has(h("input", ""), { type: "date" });
  const until = has(h("input", ""), { type: "date" });
  const least = has(h("input", ""), { type: "number", min: 0, step: "any", placeholder: "any" });
  const compare = button("", "Compare", () => model.send({ compare: [...chosen] }));
  const fork = button("", "Fork…", () => model.send({ fork: [...chosen][0] }));
  const refresh = button("", "Refresh", () => model.send({ refresh: true }));
  const columns = ["", "Run", "Status", "Model", "Started, UTC", "Took", "Steps", "Calls", "Cost"];
  const head = h("tr", "");
  columns.forEach((name, at) => head.append(has(h("th", at > 4 ? "num" : "", name || h("span", "sep", "choose")), { scope: "col" })));
  let filters = {};

  function build() {
    const rows = model.get("rows");
    const words = (name) => [...new Set(rows.flatMap((row) => row[name]))].filter(Boolean).sort();
    const before = Object.fromEntries(Object.entries(filters).map(([name, select]) => [name, select.value]));
    filters = {
      status: choice(words("status"), "every status"),
      model: choice(words("model"), "every model"),
      tools: choice(words("tools"), "every tool"),
    };
    for (const [name, select] of Object.entries(filters)) {
      select.value = before[name] ?? "";
      select.addEventListener("change", draw);
    }
    bar.replaceChildren(
      field("Search", search),
      field("Status", filters.status),
      field("Model", filters.model),
      field("Tool", filters.tools),
      field("From", since),
      field("To", until),
      field("Cost from $", least),
    );
    draw();
  }

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = model.get("rows");
    const fits = (row) =>
      words.every((word) => `${row.id} ${row.title}`.toLowerCase().includes(word)) &&
      Object.entries(filters).every(([name, select]) => !select.value || [row[name]].flat().includes(select.value)) &&
      (!since.value || row.started >= since.value) &&
      (!until.value || row.started.slice(0, 10) <= until.value) &&
      row.usd >= Number(least.value);
    const found = rows.filter(fits);
    body.replaceChildren(...found.slice(0, SHOWN).map(line));
    for (const id of chosen) if (!rows.some((row) => row.id === id)) chosen.delete(id);
    const more = found.length > SHOWN ? `, the first ${SHOWN} shown` : "";
    const shown = new Set(found.slice(0, SHOWN).map((row) => row.id));
    const unseen = [...chosen].filter((id) => !shown.has(id)).length;
    status.textContent = `${found.length} of ${rows.length} runs${more}${unseen ? `; ${unseen} ticked and not shown` : ""}`;
    press();
  }

  /** What is done with the runs that are ticked. */
  function press() {
    compare.disabled = chosen.size !== 2;
    fork.disabled = chosen.size !== 1;
  }

  function line(row) {
    const tick = has(h("input", ""), { type: "checkbox", "aria-label": `choose run ${row.id.slice(0, 8)}` });
    tick.checked = chosen.has(row.id);
    tick.addEventListener("change", () => {
      if (tick.checked) chosen.add(row.id);
      else chosen.delete(row.id);
      press();
    });
    const open = button("open", row.title || row.id.slice(0, 8), () => model.send({ open: row.id }));
    open.title = `Open run ${row.id}`;
    const cells = [row.model, row.started, row.took, row.steps, row.calls, row.cost];
    return h(
      "tr",
      "",
      h("td", "", tick),
      h("td", "title", open, row.origin && h("span", "dim", row.origin)),
      h("td", "", badge(row.badge)),
      ...cells.map((cell, at) => has(h("td", at > 1 ? "num" : at ? "" : "model", String(cell)), at ? {} : { title: cell })),
    );
  }

  const bar = h("div", "filters");
  for (const input of [search, since, until, least]) input.addEventListener("input", draw);
  const told = () => (notice.textContent = model.get("notice"));
  model.on("change:rows", build);
  model.on("change:notice", told);
  status.setAttribute("aria-live", "polite");
  root.append(
    h("div", "head", h("h3", "", "Runs")),
    bar,
    h("div", "found", status, compare, fork, refresh),
    h("div", "scroll", h("table", "runs", h("thead", "", head), body)),
    notice,
  );
  el.append(root);
  build();
  told();
  return () => {
    model.off("change:rows", build);
    model.off("change:notice", told);
  };
}

export default { render };
