// The AUROC matrix: trainings and scorers down, OOD sets across, for one epoch and group size.

const MOST_LINES = 150;
const matrixOrder = { out: null, down: true };

/** Draws the matrix for the rows that pass the filters; a heading names the epoch and group size. */
function drawMatrix(parent, rows, filters, open) {
  const sortBy = (out) => {
    const again = matrixOrder.out === out;
    Object.assign(matrixOrder, again && !matrixOrder.down ? { out: null, down: true } : { out, down: !again });
    drawMatrix(parent, rows, filters, open);
    parent.querySelector(`[data-out="${out}"]`)?.focus();
  };
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
    parent.replaceChildren(hint(`No cell passes the filters at this ${UNIT} and group size.`));
    return;
  }
  const which = filters.epoch === null ? `the last ${UNIT} of each training` : `${UNIT} ${filters.epoch}`;
  const left = lines.size > MOST_LINES ? ` Only the first ${MOST_LINES} of ${lines.size} lines are shown; use the filters to see others.` : "";
  parent.replaceChildren(
    el("h3", {}, `At ${which}, groups of ${size}`),
    hint(`Bold is the best of its column in the printed tables, over all ${UNIT}s; ~ does not differ significantly from the best; ` +
      `▼ is below 0.5 beyond error${ANY_BEATEN ? "; # is beaten by a trivial baseline" : ""}. Select a number to open the cell, or the name of an OOD set to sort the scorers.${left}`),
    ...families([...lines.values()].slice(0, MOST_LINES)).map((family) => matrixTable(family, open, sortBy)));
}

/** Groups lines into tables: lines that share OOD sets, directly or indirectly, share a table. */
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

function matrixTable(family, open, sortBy) {
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
      outs.map((out) => matrixHead(out, sortBy)))),
    [...trainings.values()].map((lines) => matrixBlock(lines, outs, open)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
}

function matrixHead(out, sortBy) {
  const isSorted = out === matrixOrder.out;
  const order = isSorted ? (matrixOrder.down ? "descending" : "ascending") : "none";
  return el("th", { scope: "col", class: "out", "aria-sort": order },
    el("button", { type: "button", "data-out": out, title: "sort the scorers of each training", onclick: () => sortBy(out) },
      NAMES.out[out], isSorted ? el("span", { class: "arrow", "aria-hidden": "true" }, matrixOrder.down ? "▼" : "▲") : null));
}

/** The scorers of a training, below the name of the training. */
function matrixBlock(lines, outs, open) {
  const [row] = lines[0].values();
  const seed = CHOICES.seed.length > 1 ? `, seed ${COLUMNS.seed[row]}` : "";
  const title = el("th", { scope: "rowgroup", colspan: outs.length + 1, class: "training" },
    el("span", {}, el("b", {}, value("model", row)), ` on ${value("in", row)}${seed}${likelihoodNote(value("likelihood", row))}`));
  const { out: by, down } = matrixOrder;
  const aurocOf = (line) => (line.has(by) ? COLUMNS.auroc[line.get(by)] : null);
  const ordered = by === null ? lines : sortedBy(lines, aurocOf, down);
  return el("tbody", {}, el("tr", {}, title), ordered.map((line) => el("tr", {},
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

/** The AUROC of a cell, shown as a button that opens the cell. */
function aurocButton(row, open) {
  const mark = value("mark", row);
  const auroc = COLUMNS.auroc[row];
  const status = value("status", row);
  const text = auroc === null ? statusWord(row) : fixed(auroc);
  return el("button", { type: "button", class: `auroc ${mark} ${auroc === null ? "status " + status : ""}`, onclick: () => open(row), title: hoverText(row) },
    isWrongWay(row) ? [el("span", { "aria-hidden": "true", class: "wrong" }, "▼"), hidden("wrong way round ")] : null,
    text,
    el("span", { class: "after", "aria-hidden": "true" }, (mark === "tied" ? "~" : "") + (isBeaten(row) ? "#" : "")),
    isBeaten(row) ? hidden(", beaten by a trivial baseline") : null,
    MARKS[mark] ? hidden(mark === "best" ? ", best" : ", tied with the best") : null);
}

function hoverText(row) {
  const interval = COLUMNS.auroc_low[row] === null ? "" : ` – 95 % interval ${fixed(COLUMNS.auroc_low[row])} to ${fixed(COLUMNS.auroc_high[row])}`;
  return titleOf(row) + interval;
}
