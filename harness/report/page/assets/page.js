// The page: filters, theme, the table of cells, and the sections below it.

const MOST_PANELS = 12;
const filters = { ...UNSET };
const view = new CellView(document.getElementById("cell"), () => remember());
let shownRows = [];
let deltas = differences(null);

function open(row) {
  history.pushState(null, "", location.href); // so that Back closes the cell
  view.open(row, cellTable.sorted, filters.baseline);
}

/** Writes what is shown into the address. */
function remember() {
  const address = addressOf(filters, view.row);
  if (location.hash.replace(/^#/, "") !== address) history.replaceState(null, "", `#${address}`);
}

/** Shows what the address says. */
function follow() {
  const found = readAddress(location.hash);
  const isSection = !location.hash.includes("=") && location.hash.length > 1;
  if (isSection) return; // a link to a part of the page
  Object.assign(filters, found.filters);
  showFilters();
  deltas = differences(filters.baseline);
  cellTable.setColumns(cellColumns());
  draw();
  if (found.cell !== null && found.cell !== view.row) view.open(found.cell, cellTable.sorted, filters.baseline);
  if (found.cell === null && view.row !== null) view.dialog.close();
}

function byName(key) {
  const order = NAMES[key].map((name, place) => [name, place]).sort(([a], [b]) => a.localeCompare(b, "en"));
  const rank = [];
  order.forEach(([, place], k) => { rank[place] = k; });
  return (row) => rank[COLUMNS[key][row]];
}

function nameColumn(key, head = false) {
  return { key, label: LABELS[key], sort: byName(key), draw: (row) => el("bdi", {}, value(key, row)), head };
}

function numberColumn(key, digits = 3, title = null) {
  return { key, label: LABELS[key], title, number: true, sort: (row) => COLUMNS[key][row], draw: (row) => fixed(COLUMNS[key][row], digits) };
}

/** Bits per dimension. Exact values, bounds and estimates are not ranked against one another. */
function bitsColumn(key, side) {
  const title = `${BITS_NAME}, mean over the ${side} examples; \u2264 is an upper bound, \u2248 an estimate; sorts each kind of likelihood by itself`;
  const sort = (row) => COLUMNS[key][row] === null ? null : COLUMNS.likelihood[row] * 1e9 + COLUMNS[key][row];
  return { ...numberColumn(key, 3, title), sort, draw: (row) => signedBits(key, row) };
}

function cellColumns() {
  const optional = (isThere, column) => (isThere ? [column] : []);
  const has = (key) => COLUMNS[key].some((found) => found !== null);
  return [
    nameColumn("scorer", true),
    ...optional(CHOICES.model.length > 1, nameColumn("model")),
    nameColumn("in"), nameColumn("out"),
    numberColumn("group_size", 0, "examples in a group"), numberColumn("epoch", 0),
    ...optional(CHOICES.seed.length > 1, numberColumn("seed", 0)),
    { ...numberColumn("auroc"), pin: true, draw: (row) => aurocButton(row, open) },
    { key: "auroc_low", label: LABELS.auroc_low, sort: (row) => COLUMNS.auroc_low[row], draw: drawInterval, title: "95 % interval of the AUROC for other test examples and another fit; sorts by its lower end" },
    ...optional(filters.baseline !== null, {
      key: "delta", label: `vs ${NAMES.scorer[filters.baseline]}`, number: true, title: "AUROC minus the AUROC of the baseline on the same cell",
      sort: (row) => deltas[row], draw: (row) => drawDelta(deltas[row], 3),
    }),
    ...optional(has("published"), {
      key: "published", label: "vs published", number: true, title: "AUROC minus the published AUROC; ! is beyond 1.96 standard errors",
      sort: publishedDifference, draw: drawPublished,
    }),
    numberColumn("aupr"), numberColumn("fpr95", 3, "ID flagged when 95 % of OOD is caught; lower is better"),
    ...optional(has("bits_per_dim_in"), bitsColumn("bits_per_dim_in", "ID")),
    ...optional(has("bits_per_dim_out"), bitsColumn("bits_per_dim_out", "OOD")),
    ...optional(has("ovl"), numberColumn("ovl", 3, `overlap of the densities of ${BITS_NAME}`)),
    numberColumn("ovl_scores", 3, "overlap of the densities of the scores"), numberColumn("aupr_in", 3, "AUPR with in-distribution as the positive class"),
  ];
}

function drawInterval(row) {
  if (COLUMNS.auroc[row] === null) return "–";
  return el("span", { class: "between" }, whisker(row), el("span", {}, `${fixed(COLUMNS.auroc_low[row])} to ${fixed(COLUMNS.auroc_high[row])}`));
}

function drawDelta(delta, digits) {
  return el("span", { class: delta === null || delta === 0 ? null : delta > 0 ? "plus" : "minus" }, signed(delta, digits));
}

function drawPublished(row) {
  const delta = publishedDifference(row);
  if (delta === null) return "–";
  const isBeyond = COLUMNS.within_error[row] === false;
  return el("span", {}, signed(delta), isBeyond ? [el("span", { class: "wrong", "aria-hidden": "true" }, " !"), hidden(" beyond error")] : null);
}

// Filters

const FILTER_LABELS = { model: "Model", in: "In-distribution", out: "OOD", scorer: "Scorer", group_size: "Group size b", epoch: capital(UNIT), seed: "Seed" };

function picker(key, label, entries, all, change) {
  const chosen = el("select", { id: `filter-${key}`, onchange: () => change(chosen.value) },
    all === null ? null : el("option", { value: "" }, all),
    entries.map(([given, text]) => el("option", { value: given }, text)));
  return el("label", { for: `filter-${key}` }, el("span", {}, label), chosen);
}

function drawFilters(form) {
  const pickers = ["model", "in", "out", "scorer", "group_size", "epoch", "seed"]
    .filter((key) => CHOICES[key].length > 1)
    .map((key) => picker(key, FILTER_LABELS[key], CHOICES[key], "all", (given) => {
      filters[key] = given === "" ? null : Number(given);
      update();
    }));
  const hasPublished = COLUMNS.published.some((found) => found !== null);
  const shows = Object.entries(SHOW).filter(([name]) => (name !== "published" || hasPublished) && (name !== "beaten" || ANY_BEATEN));
  const folded = DATA.looks.scorer.filter((slot) => slot !== null).length;
  const folds = [["focus", `${folded} in focus`], ["all", `all ${NAMES.scorer.length}`]];
  form.append(searchBox(), ...pickers,
    picker("show", "Show", shows.map(([name, [text]]) => [name, text]), null, (given) => { filters.show = given; update(); }),
    folded < NAMES.scorer.length ? picker("scorers", "Scorers shown", folds, null, (given) => { filters.scorers = given; update(); }) : "",
    picker("baseline", "Difference to", CHOICES.scorer, "no scorer", (given) => {
      filters.baseline = given === "" ? null : Number(given);
      compare();
    }),
    el("button", { type: "reset" }, "Reset"));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    Object.assign(filters, UNSET);
    compare();
  });
}

/** Search in all names; the page follows after a pause in typing. */
function searchBox() {
  let waiting;
  const box = el("input", {
    type: "search", id: "filter-search", placeholder: "names", oninput: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { filters.search = box.value.trim(); update(); }, 150);
    },
  });
  return el("label", { for: "filter-search" }, el("span", {}, "Search"), box);
}

/** Shows the filters in the form. */
function showFilters() {
  for (const [key, found] of Object.entries(filters)) {
    const control = document.getElementById(`filter-${key}`);
    if (control) control.value = found === null ? "" : String(found);
  }
}

function compare() {
  deltas = differences(filters.baseline);
  cellTable.setColumns(cellColumns());
  update();
}

function update() {
  draw();
  remember();
}

function draw() {
  shownRows = filtered(filters);
  cellTable.setItems(shownRows);
  const rows = inFocus(shownRows, filters);
  drawMatrix(document.getElementById("matrix"), rows, filters, open);
  drawModels(document.getElementById("side-by-side"), shownRows, filters, open);
  drawCurves(document.getElementById("curves"), rows);
}

// Along the epochs

function drawCurves(parent, rows) {
  const groups = new Map();
  for (const row of rows) {
    if (COLUMNS.auroc[row] === null) continue;
    const key = ["model", "in", "out", "group_size"].map((one) => COLUMNS[one][row]).join("/");
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  const drawn = [...groups.values()].filter((found) => new Set(found.map((row) => COLUMNS.epoch[row])).size > 1);
  if (!drawn.length) {
    parent.replaceChildren(hint(`No cell that passes the filters was scored at more than one ${UNIT}.`));
    return;
  }
  const panels = drawn.slice(0, MOST_PANELS);
  const scorers = [...new Set(panels.flat().map((row) => COLUMNS.scorer[row]))].sort((a, b) => a - b);
  const left = drawn.length > MOST_PANELS ? ` Only the first ${MOST_PANELS} of ${drawn.length} panels are shown; use the filters above to see others.` : "";
  const others = scorers.filter((scorer) => DATA.looks.scorer[scorer] === null).length;
  const grey = others ? ` Grey: ${others} ${others === 1 ? "scorer" : "scorers"} not in focus; point at a curve to read its name.` : "";
  const seeds = CHOICES.seed.length > 1 ? " AUROC and interval bounds are means over the seeds." : "";
  parent.replaceChildren(
    hint(`AUROC of the cells that pass the filters, with 95 % intervals.${seeds}${left}${grey}`),
    legend(scorers.filter((scorer) => DATA.looks.scorer[scorer] !== null).map((scorer) => ({ label: NAMES.scorer[scorer], look: scorerLook(scorer) }))),
    el("div", { class: "panels" }, panels.map((found) => curvePanel(found, scorers))));
}

function curvePanel(rows, scorers) {
  const [first] = rows;
  const title = `${value("in", first)} against ${value("out", first)}, b = ${COLUMNS.group_size[first]}`;
  const drawn = sortedBy(scorers, (scorer) => DATA.looks.scorer[scorer] === null ? 0 : 1, false);
  const series = drawn.map((scorer) => ({
    label: NAMES.scorer[scorer], look: scorerLook(scorer), points: meansByEpoch(rows.filter((row) => COLUMNS.scorer[row] === scorer)),
  })).filter((one) => one.points.length);
  return el("figure", {},
    el("figcaption", {}, el("b", {}, value("model", first)), " ", title),
    epochChart({ series, label: `AUROC along the ${UNIT}s: ${value("model", first)}, ${title}`, yLabel: "AUROC", domain: { low: 0, high: 1 }, chance: CHANCE }));
}

function meansByEpoch(rows) {
  const epochs = new Map();
  for (const row of rows) {
    const epoch = COLUMNS.epoch[row];
    epochs.set(epoch, [...(epochs.get(epoch) ?? []), pointOf(row)]);
  }
  const mean = (points, key) => points.reduce((sum, point) => sum + point[key], 0) / points.length;
  return [...epochs].sort(([a], [b]) => a - b).map(([epoch, points]) => ({
    epoch, value: mean(points, "value"), low: mean(points, "low"), high: mean(points, "high"),
  }));
}

// How early is enough

function drawVerdicts(parent) {
  const rows = DATA.epochs.rows;
  if (!rows.length) {
    const why = CELLS <= DATA.epochs.most ? `No row has two ${UNIT}s that can be compared.`
      : `Left out, because the suite has more than ${DATA.epochs.most.toLocaleString("en")} cells; a page for part of the suite (--only) includes this table.`;
    parent.replaceChildren(hint(why));
    return;
  }
  const text = (key, label, head = false) => ({ key, label, head, sort: (row) => row[key], draw: (row) => el("bdi", {}, row[key]) });
  const number = (key, label, draw, title) => ({ key, label, title, number: true, sort: (row) => row[key], draw });
  const area = el("div");
  parent.replaceChildren(
    hint(`any ${UNIT}: going back from the last ${UNIT}, the earliest that is shown not to be worse than any other by ${rows[0].margin} or more ` +
      `(one-sided 95 % limits of the difference). last ${UNIT}: the same, against the last ${UNIT} only. paper: the ${UNIT} with the highest AUROC on these same groups, ` +
      "which is too high on the groups that chose it. A dash: nothing is shown, or nothing is saved."), area);
  const table = new SortedTable(area, {
    caption: "How early is enough", unit: "rows",
    columns: [
      text("model", "Model"), text("in", "ID"), text("out", "OOD"), text("scorer", "Scorer", true),
      number("group_size", "b", (row) => String(row.group_size)),
      { ...text("rule", "Rule"), draw: (row) => RULES[row.rule] },
      number("epoch", capital(UNIT), (row) => row.epoch === null ? "not shown" : el("b", {}, String(row.epoch))),
      number("last_epoch", "Last", (row) => String(row.last_epoch)),
      number("auroc", "AUROC", (row) => orDash(row.auroc, fixed)),
      number("auroc_last", "AUROC at last", (row) => orDash(row.auroc_last, fixed)),
      number("ovl_scores", "OVL", (row) => orDash(row.ovl_scores, fixed), "overlap of the scores of ID and OOD groups"),
      number("difference", "Gain over last", drawGain),
      number("training_saved", "Training saved", (row) => orDash(row.training_saved, (x) => `${Math.round(100 * x)} %`)),
    ],
  });
  table.setItems(rows);
}

const RULES = { any: `any ${UNIT}`, last: `last ${UNIT}`, paper: "paper" };

function orDash(number, format) {
  return number === null ? "–" : format(number);
}

function drawGain(row) {
  if (row.epoch === null) return "–";
  if (row.epoch === row.last_epoch) return "same";
  if (row.difference_low === null) return signed(row.difference);
  return `${signed(row.difference)} [${signed(row.difference_low)}, ${signed(row.difference_high)}]`;
}

// Theme

const THEMES = ["system", "light", "dark"];

function setTheme(theme) {
  const button = document.getElementById("theme");
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
  try { localStorage.setItem("bench-theme", theme); } catch { /* storage may be disabled in the browser */ }
}

function storedTheme() {
  try { return localStorage.getItem("bench-theme"); } catch { return null; }
}

function startTheme() {
  let theme = THEMES.includes(storedTheme()) ? storedTheme() : "system";
  setTheme(theme);
  document.getElementById("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    setTheme(theme);
  });
}

// CSV

function download() {
  const link = el("a", {
    href: URL.createObjectURL(new Blob([csv(cellTable.sorted)], { type: "text/csv" })),
    download: `${DATA.suite.replace(/[^\w.-]+/g, "-")}.csv`,
  });
  link.click();
  URL.revokeObjectURL(link.href);
}

startTheme();
drawFilters(document.getElementById("filters"));
const cellTable = new SortedTable(document.getElementById("cells"), {
  caption: "All cells that pass the filters", unit: "cells", columns: cellColumns(),
  tools: [el("button", { type: "button", id: "csv", onclick: download }, "Download as CSV")],
});
draw();
drawVerdicts(document.getElementById("verdicts"));
drawTrainings(document.getElementById("losses"));
drawSamples(document.getElementById("samples"));
if (location.hash.includes("=")) follow();
addEventListener("hashchange", follow);
document.documentElement.dataset.ready = "";
