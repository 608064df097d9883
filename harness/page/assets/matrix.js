// The AUROC matrix: trainings and scorers down, OOD sets across, for one epoch and group size.

const MOST_LINES = 60;

/** Draws the matrix of the rows that pass the filters; what is not chosen is said above it. */
function drawMatrix(parent, rows, filters, open) {
  const size = filters.group_size ?? Math.min(...CHOICES.group_size.map(([b]) => b));
  const shown = rows.filter((row) => COLUMNS.group_size[row] === size && (
    filters.epoch !== null || COLUMNS.epoch[row] === LAST_EPOCH.get(trainingOf(row))));
  const outs = [...new Set(shown.map((row) => COLUMNS.out[row]))].sort((a, b) => a - b);
  const lines = new Map();
  for (const row of shown) {
    const key = placeWithout(row, "out", "epoch");
    if (!lines.has(key)) lines.set(key, new Map());
    lines.get(key).set(COLUMNS.out[row], row);
  }
  const which = filters.epoch === null ? "the last epoch of each training" : `epoch ${filters.epoch}`;
  const caption = `AUROC at ${which}, groups of ${size}`;
  if (!lines.size) {
    parent.replaceChildren(el("p", { class: "hint" }, "No cell passes the filters at this epoch and group size."));
    return;
  }
  const all = [...lines.values()];
  const heads = ["Model", "ID", "Scorer", ...(CHOICES.seed.length > 1 ? ["Seed"] : [])];
  const table = el("table", { class: "matrix" },
    el("caption", {}, caption, el("span", { class: "hint" }, matrixHint(all.length))),
    el("thead", {}, el("tr", {},
      heads.map((head) => el("th", { scope: "col" }, head)),
      outs.map((out) => el("th", { scope: "col", class: "out" }, NAMES.out[out])))),
    el("tbody", {}, all.slice(0, MOST_LINES).map((line, place) => matrixLine(line, outs, all[place - 1], open))));
  parent.replaceChildren(el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table));
}

function matrixHint(lines) {
  const left = lines > MOST_LINES ? ` The first ${MOST_LINES} of ${lines} lines; filters show others.` : "";
  return " Bold is the best of its column in the printed tables, ~ cannot be told from it, " +
    `▼ is below 0.5 beyond error. A number opens its cell.${left}`;
}

function matrixLine(line, outs, before, open) {
  const [row] = line.values();
  const other = before?.values().next().value;
  const isNew = other === undefined || value("model", row) !== value("model", other) || value("in", row) !== value("in", other);
  const repeat = isNew ? null : "repeat";
  return el("tr", { class: isNew ? "first" : null },
    el("td", { class: repeat }, value("model", row)),
    el("td", { class: repeat }, value("in", row)),
    el("th", { scope: "row" }, value("scorer", row)),
    CHOICES.seed.length > 1 ? el("td", {}, String(COLUMNS.seed[row])) : null,
    outs.map((out) => matrixCell(line.get(out), open)));
}

function matrixCell(row, open) {
  if (row === undefined) return el("td", { class: "empty" }, el("span", { class: "hidden" }, "no such cell"));
  const auroc = COLUMNS.auroc[row];
  if (auroc === null) return el("td", { class: "none" }, aurocButton(row, open));
  const cell = el("td", { class: `heat ${auroc < 0.5 ? "under" : "over"}` }, aurocButton(row, open));
  cell.style.setProperty("--share", `${Math.round(Math.abs(auroc - 0.5) * 2 * 55)}%`);
  return cell;
}

/** The AUROC of a cell as the button that opens it. */
function aurocButton(row, open) {
  const mark = value("mark", row);
  const auroc = COLUMNS.auroc[row];
  const status = value("status", row);
  const text = auroc === null ? status : fixed(auroc);
  return el("button", { type: "button", class: `auroc ${mark} ${auroc === null ? "status " + status : ""}`, onclick: () => open(row), title: titleOf(row) },
    isWrongWay(row) ? [el("span", { "aria-hidden": "true", class: "wrong" }, "▼"), hidden("wrong way round ")] : null,
    text,
    mark === "tied" ? el("span", { "aria-hidden": "true", class: "tilde" }, "~") : null,
    MARKS[mark] ? hidden(mark === "best" ? ", best" : ", tied with the best") : null);
}
