/** What a person is asked: a card with what it is about, fields and buttons. Answered, it says what was decided. */

/** A field's control. `read` gives the JSON of what stands in it, or null for nothing; it throws a sentence where that is no value. */
function control(field) {
  const { reads, start, label, needed, options } = field;
  const numeric = reads === "integer" || reads === "number";
  const plain = reads === "text" || reads === "code";
  const input = h(reads === "choice" ? "select" : numeric ? "input" : "textarea", field.key || field.name);
  if (reads === "choice") {
    if (!start || !needed) input.append(new Option("(not given)", ""));
    for (const [words, json] of options) input.append(new Option(words, json));
  } else input.spellcheck = false;
  if (numeric) input.inputMode = "decimal";
  if (reads === "code") input.classList.add("code");
  input.value = start;
  const read = () => {
    const text = plain ? input.value : input.value.trim();
    if (plain) return text || !field.key || needed || start ? JSON.stringify(text) : null;
    if (!text && needed) throw new Error(`${label} is needed`);
    if (!text) return field.key ? null : "null";
    if (numeric) {
      const value = Number(text);
      if (!Number.isFinite(value) || (reads === "integer" && !Number.isInteger(value))) {
        throw new Error(`${label}: ${text} is not ${reads === "integer" ? "a whole number" : "a number"}`);
      }
      return text.match(/^-?\d+$/) ? text : String(value);
    }
    try {
      JSON.parse(text);
      return text;
    } catch (error) {
      if (reads === "any") return JSON.stringify(text);
      throw new Error(`This is not JSON: ${error.message}`);
    }
  };
  const row = h("label", `field ${reads}`, h("span", "", label, needed && field.key && h("i", "", " *")), input, field.help && h("small", "dim", field.help));
  return { ...field, input, row, read, changed: () => input.value !== start };
}

/** The value that some controls amount to, as JSON: that of the only one, or an object of what is given. */
function valueOf(controls) {
  const pairs = [];
  for (const each of controls) {
    try {
      const json = each.read();
      if (!each.key) return json;
      if (json !== null && (each.given || each.changed())) pairs.push(`${JSON.stringify(each.key)}: ${json}`);
    } catch (error) {
      error.control = each;
      throw error;
    }
  }
  return `{${pairs.join(", ")}}`;
}

/** Lines of two texts beside each other: what is common at both ends stays, the middle is taken away and put in. */
function changedLines(before, after) {
  const [old, now] = [before.split("\n"), after.split("\n")];
  let [top, end] = [0, 0];
  while (top < Math.min(old.length, now.length) && old[top] === now[top]) top++;
  while (end < Math.min(old.length, now.length) - top && old.at(-1 - end) === now.at(-1 - end)) end++;
  const mark = (sign, lines) => lines.map((text) => ({ sign, text }));
  return [
    ...mark(" ", old.slice(Math.max(0, top - 1), top)),
    ...mark("-", old.slice(top, old.length - end)),
    ...mark("+", now.slice(top, now.length - end)),
    ...mark(" ", old.slice(old.length - end, old.length - end + 1)),
  ];
}

function askCard(asked, ui) {
  const card = h("div", asked.open ? "ask open" : "ask", h("p", "question", asked.title));
  const { tool, args } = asked;
  has(card, { role: "group", "aria-label": asked.title });
  if (asked.open && asked.why) card.append(remark(asked.why));
  if (asked.block) card.append(codeBlock(asked.block));
  else if (tool || args.text !== "None") {
    card.append(h("pre", "", tool && h("span", "fn", tool), tool ? `(${args.text}${args.cut ? " …" : ""})` : args.text));
    if (args.cut) card.append(cutNote(args));
  }
  if (!asked.open) {
    card.append(h("p", "decided", asked.answer, asked.at && h("span", "dim", ` at ${asked.at}, after ${asked.took}`)));
    if (asked.note) card.append(h("p", "prose dim", asked.note.text));
    if (asked.changes.length) card.append(diffNode(asked.changes));
    if (asked.value) card.append(h("pre", "", `→ ${asked.value.text}`));
    return card;
  }
  const wrong = has(h("p", "wrong"), { role: "alert" });
  const fields = asked.fields.map(control);
  const values = fields.filter(({ name }) => name === "value");
  const note = fields.find(({ name }) => name === "note");
  const decide = ({ decision, value, sends }) => {
    const message = { type: "decide", request_id: asked.id, decision, subject_hash: asked.subject_hash, value_json: value, note: null };
    try {
      if (sends.includes("value")) message.value_json = valueOf(values);
    } catch (error) {
      wrong.textContent = error.message;
      const place = error.control.input.closest("details");
      if (place) place.open = true;
      error.control.input.focus();
      return;
    }
    if (sends.includes("note")) message.note = note?.input.value.trim() || null;
    wrong.textContent = "";
    for (const each of controls) each.disabled = true;
    ui.send(message);
  };
  const buttons = asked.choices.map((choice) => {
    const made = button(choice.when ? "edited" : "", choice.label, () => decide(choice));
    made.choice = choice;
    return made;
  });
  const controls = [...buttons, ...fields.map(({ input }) => input)];
  const diff = h("div");
  const settle = () => {
    const changed = values.some((each) => each.changed());
    for (const each of buttons) {
      if (each.choice.when) each.disabled = !changed;
      else if (each.choice.decision === "approved") each.textContent = changed ? "Approve as asked" : "Approve";
    }
    const code = values.find(({ reads }) => reads === "code");
    diff.replaceChildren(...(code?.changed() ? [diffNode(changedLines(code.start, code.input.value))] : []));
  };
  card.addEventListener("input", settle);
  card.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const first = buttons.find((each) => each.choice.when && !each.disabled) ?? buttons.find((each) => each.choice.sends.includes("value"));
    (first ?? buttons[0])?.click();
    event.preventDefault();
  });
  const left = h("p", "left");
  const rows = values.map(({ row }) => row);
  const editor = asked.kind === "approval" && rows.length > 0;
  card.append(
    ...asked.say.map(remark),
    left,
    editor ? fold("more", `Change the ${asked.block ? "code" : "arguments"}`, ...rows, diff) : h("div", "form", ...rows),
    note?.row ?? "",
    wrong,
    h("div", "row", ...buttons),
    h("p", "code-way dim", buttons.length ? "In code: " : "Answer it in code: ", h("code", "", asked.code)),
  );
  card.tick = () => {
    if (asked.expires_ms == null) return;
    const ms = asked.expires_ms - ui.now();
    left.textContent = ms > 0 ? `It is decided without you in ${span(ms)}.` : "Its time is over.";
  };
  card.reopen = () => {
    controls.forEach((each) => (each.disabled = false));
    settle();
  };
  card.tick();
  settle();
  return card;
}
