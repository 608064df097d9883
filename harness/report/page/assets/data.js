"use strict";
// Data behind the page: columns of cells, embedded as JSON. Names are indices into lists of names.

const DATA = JSON.parse(document.getElementById("data").textContent);
const CELLS = DATA.cells;
const COLUMNS = Object.fromEntries(Object.entries(DATA.columns).map(([key, column]) => [key, unpacked(column)]));
const NAMES = DATA.names;
const UNIT = DATA.unit;
const BITS = DATA.bits;
const BITS_NAME = BITS === "bits/dim" ? "bits per dimension" : BITS;
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const PLACE = ["model", "in", "out", "scorer", "epoch", "group_size", "seed"];
const LABELS = {
  model: "Model", in: "ID", out: "OOD", scorer: "Scorer", epoch: capital(UNIT), group_size: "b",
  seed: "Seed", status: "Status", mark: "Mark", auroc: "AUROC", auroc_low: "95 % interval",
  aupr: "AUPR", aupr_in: "AUPR ID", fpr95: "FPR95", ovl: "OVL", ovl_scores: "OVL scores",
  bits_per_dim_in: "bits ID",
  bits_per_dim_out: "bits OOD", likelihood: "Likelihood", n_in: "ID groups", n_out: "OOD groups",
};
const MARKS = { best: "best", tied: "tied" };
const MINUS = "\u2212";

function unpacked(column) {
  if (Array.isArray(column)) return column;
  if ("all" in column) return new Array(CELLS).fill(column.all);
  if ("at" in column) return column.at.map((place) => column.of[place]);
  return column.millionths.map((found) => (found === null ? null : found / 1e6));
}

/** A value of a cell: text for names, a number for numbers, null if missing. */
function value(key, row) {
  const found = COLUMNS[key][row];
  return key in NAMES ? NAMES[key][found] : found;
}

/** The status of a cell, as a word for people. */
function statusWord(row) {
  const status = value("status", row);
  return status === "unsupported" ? "n/a" : status;
}

/** The distinct values of a column: numbers ascending, names in suite order. */
function choices(key) {
  if (key in NAMES) return NAMES[key].map((name, place) => [place, name]);
  const distinct = [...new Set(COLUMNS[key])].sort((a, b) => a - b);
  return distinct.map((number) => [number, String(number)]);
}

const CHOICES = Object.fromEntries(PLACE.map((key) => [key, choices(key)]));
const LAST_EPOCH = lastEpochs();

function lastEpochs() {
  const last = new Map();
  for (let row = 0; row < CELLS; row++) {
    const key = trainingOf(row);
    last.set(key, Math.max(last.get(key) ?? 0, COLUMNS.epoch[row]));
  }
  return last;
}

function trainingOf(row) {
  return `${COLUMNS.model[row]}/${COLUMNS.in[row]}/${COLUMNS.seed[row]}`;
}

/** A key shared by all cells that are equal except for the named keys. */
function placeWithout(row, ...left) {
  return PLACE.filter((key) => !left.includes(key)).map((key) => COLUMNS[key][row]).join("/");
}

/** Whether the whole interval of the AUROC lies below chance. */
function isWrongWay(row) {
  return COLUMNS.auroc_high[row] !== null && COLUMNS.auroc_high[row] < 0.5;
}

/** Whether a trivial baseline has a higher AUROC in the same cell. */
function isBeaten(row) {
  return value("beaten_by", row) !== "";
}

const ANY_BEATEN = NAMES.beaten_by.some((text) => text !== "");

const SHOW = {
  all: ["all cells", () => true],
  best: ["best, or not significantly different", (row) => ["best", "tied"].includes(value("mark", row))],
  wrong: ["AUROC below 0.5 beyond error", isWrongWay],
  beaten: ["beaten by a trivial baseline", isBeaten],
  published: ["with a published value", (row) => COLUMNS.published[row] !== null],
  none: ["without a number", (row) => COLUMNS.auroc[row] === null],
};

/** The rows that pass the filters: {model: place, ..., epoch: number, show: name, search: text}; null is all. */
function filtered(filters) {
  const asked = PLACE.filter((key) => filters[key] !== null);
  const passes = SHOW[filters.show][1];
  const words = filters.search.toLowerCase().split(/\s+/).filter((word) => word).map(places);
  const rows = [];
  for (let row = 0; row < CELLS; row++) {
    if (asked.every((key) => COLUMNS[key][row] === filters[key]) && passes(row) && words.every((word) => contains(word, row))) rows.push(row);
  }
  return rows;
}

/** For each kind of name, which names contain a word. */
function places(word) {
  return ["model", "in", "out", "scorer"].map((key) => [key, NAMES[key].map((name) => name.toLowerCase().includes(word))]);
}

function contains(word, row) {
  return word.some(([key, found]) => found[COLUMNS[key][row]]);
}

/** The rows of scorers in focus, unless the filters ask for all scorers or for particular ones. */
function inFocus(rows, filters) {
  if (filters.scorers === "all" || filters.scorer !== null || filters.search !== "") return rows;
  return rows.filter((row) => DATA.looks.scorer[COLUMNS.scorer[row]] !== null);
}

/** AUROC minus the AUROC of another scorer on the same cell, by row; null if one is missing. */
function differences(scorer) {
  const found = new Array(CELLS).fill(null);
  if (scorer === null) return found;
  const baseline = new Map();
  for (let row = 0; row < CELLS; row++) {
    if (COLUMNS.scorer[row] === scorer) baseline.set(placeWithout(row, "scorer"), row);
  }
  for (let row = 0; row < CELLS; row++) {
    const other = baseline.get(placeWithout(row, "scorer"));
    if (other === undefined || COLUMNS.auroc[row] === null) continue;
    if (COLUMNS.auroc[other] === null) continue;
    found[row] = COLUMNS.auroc[row] - COLUMNS.auroc[other];
  }
  return found;
}

function publishedDifference(row) {
  const published = COLUMNS.published[row];
  return published === null || COLUMNS.auroc[row] === null ? null : COLUMNS.auroc[row] - published;
}

/** The shell command that computes a cell, in parts between which a line may break. */
function commandOf(row) {
  const named = ["model", "in", "out", "scorer"].map((key) => DATA.arguments[key][COLUMNS[key][row]]);
  const counted = ["epoch", "group_size", "seed"].map((key) => `${key}=${COLUMNS[key][row]}`);
  return [DATA.command, ...[...named, ...counted].map((text) => `--only ${text}`)];
}

function titleOf(row) {
  const seed = CHOICES.seed.length > 1 ? `, seed ${COLUMNS.seed[row]}` : "";
  return `${value("model", row)}, ${value("in", row)} against ${value("out", row)}: ` +
    `${value("scorer", row)}, b = ${COLUMNS.group_size[row]}, ${UNIT} ${COLUMNS.epoch[row]}${seed}`;
}

/** Rows in CSV: a missing number is an empty field; text is quoted if a spreadsheet would read a formula. */
function csv(rows) {
  const keys = [...PLACE, "status", "message", "mark", "beaten_by", "auroc", "auroc_se", "auroc_low",
    "auroc_high", "aupr", "fpr95", "n_in", "n_out", "bits_per_dim_in", "bits_per_dim_out", "ovl",
    "ovl_scores", "aupr_in", "bits_per_dim_midpoint_in", "bits_per_dim_midpoint_out", "likelihood",
    "published", "published_se", "within_error"];
  const lines = rows.map((row) => keys.map((key) => csvField(value(key, row))).join(","));
  return [keys.join(","), ...lines].join("\n") + "\n";
}

function csvField(found) {
  if (found === null) return "";
  if (typeof found !== "string") return String(found);
  const text = DATA.formula.some((start) => found.startsWith(start)) ? `'${found}` : found;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const BITS_SIGNS = { lower_bound: "\u2264", estimate: "\u2248" };

/** What the log-probability of a model is, in words; empty if unknown. */
function likelihoodWords(kind) {
  return kind.replace("_", " ");
}

/** What the log-probability of a model is, after its name. */
function likelihoodNote(kind) {
  return kind ? ` (likelihood: ${likelihoodWords(kind)})` : "";
}

/** Bits per dimension, with a sign for an upper bound or an estimate. */
function signedBits(key, row) {
  const number = COLUMNS[key][row];
  return number === null ? fixed(null) : (BITS_SIGNS[value("likelihood", row)] ?? "") + fixed(number);
}

function fixed(number, digits = 3) {
  if (number === null || number === undefined) return "–";
  return number.toFixed(digits).replace("-", MINUS);
}

function signed(number, digits = 3) {
  if (number === null || number === undefined) return "–";
  const text = Math.abs(number).toFixed(digits);
  if (Number(text) === 0) return text;
  return (number < 0 ? MINUS : "+") + text;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

/** Unpacks a band into three rows: 5 %, median and 95 % by layer; null is a missing value. */
function unpackBand(band) {
  const bytes = bytesOf(band.steps);
  const steps = new DataView(bytes.buffer);
  const width = band.most - band.least || 1;
  const values = Array.from({ length: bytes.length / 2 }, (_, k) => {
    const step = steps.getUint16(2 * k, true);
    return step === 65535 ? null : band.least + (step / 65534) * width;
  });
  const layers = values.length / 3;
  return [0, 1, 2].map((quantile) => values.slice(quantile * layers, (quantile + 1) * layers));
}

/** An element with attributes, listeners (`on...`) and children; text is never read as markup. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, given] of Object.entries(attributes)) {
    if (given === null || given === undefined || given === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), given);
    else element.setAttribute(name, given === true ? "" : String(given));
  }
  element.append(...present(children));
  return element;
}

/** Flattens lists of children and removes null. */
function present(children) {
  return children.flat().filter((child) => child !== null && child !== undefined);
}

/** A text for screen readers only. */
function hidden(text) {
  return el("span", { class: "hidden" }, text);
}
