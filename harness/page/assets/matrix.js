// The AUROC matrix: trainings and scorers down, OOD sets across, for one epoch and group size.

const MOST_LINES = 60;

/** Draws the matrix of the rows that pass the filters; what is not chosen is said above it. */
function drawMatrix(parent, rows, filters, open) {
  const size = filters.group_size ?? Math.min(...CHOICES.group_size.map(([b]) => b));
  const shown = rows.filter((row) => COLUMNS.group_size[row] === size && (
    filters.epoch !== null || COLUMNS.epoch[row] === LAST_EPOCH.get(trainingOf(row))));
  const lines = new Map();
  for (const row of shown) {
    const key = placeWithout(row, "out", "epoch");
    if (!lines.has(key)) lines.set(key, new Map());
    lines.get(key).set(COLUMNS.out[row], row);
  }
  if (!lines.size) {
    parent.replaceChildren(hint("No cell passes the filters at this epoch and group size."));
    return;
  }
  const which = filters.epoch === null ? "the last epoch of each training" : `epoch ${filters.epoch}`;
  const left = lines.size > MOST_LINES ? ` The first ${MOST_LINES} of ${lines.size} lines; filters show others.` : "";
  parent.replaceChildren(
    el("h3", {}, `At ${which}, groups of ${size}`),
    hint("Bold is the best of its column in the printed tables, over all epochs; ~ cannot be told from it; " +
      `▼ is below 0.5 beyond error${ANY_BEATEN ? "; # is beaten by a trivial baseline" : ""}. A number opens its cell.${left}`),
    ...families([...lines.values()].slice(0, MOST_LINES)).map((family) => matrixTable(family, open)));
}

/** Lines that share OOD sets, directly or through others, belong into one table. */
function families(lines) {
  const found = [];
  for (const line of lines) {
    const family = { outs: new Set(line.keys()), lines: [line] };
    for (const other of found.filter((one) => [...family.outs].some((out) => one.outs.has(out)))) {
      family.outs = new Set([...other.outs, ...family.outs]);
      family.lines = [...other.lines, ...family.lines];
      found.splice(found.indexOf(other), 1);
    }
    found.push(family);
  }
  return found;
}

function matrixTable(family, open) {
  const outs = [...family.outs].sort((a, b) => a - b);
  const caption = `AUROC against ${outs.map((out) => NAMES.out[out]).join(", ")}`;
  const trainings = new Map();
  for (const line of family.lines) {
    const [row] = line.values();
    trainings.set(trainingOf(row), [...(trainings.get(trainingOf(row)) ?? []), line]);
  }
  const table = el("table", { class: "matrix" },
    el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Scorer"),
      outs.map((out) => el("th", { scope: "col", class: "out" }, NAMES.out[out])))),
    [...trainings.values()].map((lines) => matrixBlock(lines, outs, open)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
}

/** The scorers of one training, under its name. */
function matrixBlock(lines, outs, open) {
  const [row] = lines[0].values();
  const seed = CHOICES.seed.length > 1 ? `, seed ${COLUMNS.seed[row]}` : "";
  const title = el("th", { scope: "rowgroup", colspan: outs.length + 1, class: "training" },
    el("span", {}, el("b", {}, value("model", row)), ` on ${value("in", row)}${seed}`));
  return el("tbody", {}, el("tr", {}, title), lines.map((line) => el("tr", {},
    el("th", { scope: "row" }, NAMES.scorer[COLUMNS.scorer[line.values().next().value]]),
    outs.map((out) => matrixCell(line.get(out), open)))));
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
    el("span", { class: "after", "aria-hidden": "true" }, (mark === "tied" ? "~" : "") + (isBeaten(row) ? "#" : "")),
    isBeaten(row) ? hidden(", beaten by a trivial baseline") : null,
    MARKS[mark] ? hidden(mark === "best" ? ", best" : ", tied with the best") : null);
}
