/**
 * What the parts of the view are built with. The scripts of this folder are joined into one module by workbench/notebook/assets.py, in
 * the order given there. Recorded text reaches the page as text nodes only.
 */
/** @param {string} tag @param {string} [cls] @param {...(Node|string|null|undefined|false)} kids */
function h(tag, cls, ...kids) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  node.append(...kids.filter((kid) => kid || kid === ""));
  return node;
}

/** Give a node attributes, and return it. */
function has(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function button(cls, label, act) {
  const node = h("button", cls, label);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

const badge = (b) => h("span", `badge ${b.tone}`, has(h("i", "", b.icon), { "aria-hidden": "true" }), b.word);

const span = (ms) => {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
};

const many = (n) => n.toLocaleString("en");
const remark = (text) => h("p", "dim", text);
const fold = (cls, label, ...kids) => h("details", cls, h("summary", "", label), ...kids);
const cutNote = (t, ending) => t.cut && remark(`the ${ending ? "last" : "first"} ${many(t.text.length)} of ${many(t.length)} characters`);
const traceNode = (e) => e?.trace && fold("more", "Traceback", h("pre", "", e.trace));

function block(kind, label, ...kids) {
  return h("div", `block ${kind}`, label && h("h4", "", label), ...kids);
}

const textBlock = (label, t, ending) => block("", label, h("pre", "", t.text), cutNote(t, ending));

function problemText(e) {
  return `${e.type}${e.line ? ` on line ${e.line}` : ""}: ${e.message.text}`;
}

const errorBlock = (label, e) => block("error", label, h("pre", "", problemText(e)), cutNote(e.message), traceNode(e));

function codeBlock(code, badLine, asking = []) {
  const pre = h("pre", "code");
  let line = null;
  const next = () => {
    const number = pre.childNodes.length + 1;
    pre.append((line = h("span", number === badLine ? "l bad" : asking.includes(number) ? "l asks" : "l")));
  };
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
      // no clipboard on plain http
      getSelection().selectAllChildren(pre);
      copy.textContent = "Selected; press Ctrl+C";
    }
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  });
  copy.setAttribute("aria-label", code.cut ? "Copy the code shown" : "Copy the code");
  return block("", "", h("div", "title", h("h4", "", asking.length ? "Code; the marked line waits" : "Code"), copy), pre, cutNote({ ...code, text: plain }));
}

/** A long value, written with one item a line, as lists that fold; any other text as it is. */
function valueNode(t) {
  const lines = t.text.split("\n");
  if (lines.length < 4 || !/[[({]$/.test(lines[0]) || t.cut) return h("pre", "", t.text);
  const root = h("div", "tree");
  const open = [root];
  for (const line of lines) {
    const words = line.trim();
    if (/^[\])}]+,?$/.test(words)) {
      open.pop().append(h("div", "", words));
    } else if (/[[({]$/.test(words)) {
      const branch = fold("", words);
      branch.open = open.length < 3;
      open.at(-1).append(branch);
      open.push(branch);
    } else open.at(-1).append(h("div", "", words));
  }
  return root;
}

/** @param {string[]} head @param {(string|Node)[][]} rows */
function tableNode(head, rows, numeric = () => false) {
  const line = (tag, cells) => h("tr", "", ...cells.map((cell, i) => h(tag, numeric(i, cell) ? "num" : "", cell)));
  return h("div", "scroll", h("table", "", h("thead", "", line("th", head)), h("tbody", "", ...rows.map((row) => line("td", row)))));
}

function diffNode(changes) {
  return h("pre", "diff", ...changes.map(({ sign, text }) => h("span", sign === "+" ? "add" : sign === "-" ? "del" : "", `${sign} ${text}\n`)));
}
