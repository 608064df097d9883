// Charts in plain SVG. Colours and font sizes are in the style sheet.

const SVG = "http://www.w3.org/2000/svg";
const DASHES = [null, "6 3", "8 3 2 3", "2 2", "10 3", "4 2 1 2", "1 3"];
const CHANCE = 0.5;
const NARROW = matchMedia("(max-width: 640px)");

// A look is {name, dash, shape}: a class of the style sheet, and a marker or null.

/** The look of a scorer: grey and without markers unless it is in focus. */
function scorerLook(place) {
  const slot = DATA.looks.scorer[place];
  return slot === null ? { name: "other", dash: null, shape: null } : { name: `s${slot}`, dash: DASHES[slot], shape: slot };
}

/** The look of a data set: solid where `key` is "in", dashed where it is "out". */
function datasetLook(key, place) {
  const slot = DATA.looks[key][place];
  const dash = key === "in" ? null : DASHES[1 + (slot + Math.floor(slot / 7)) % 6];
  return { name: `d${slot % 7}`, dash, shape: null };
}

/** The look of what is neither scorer nor data set. */
function plainLook(place) {
  return { name: "plain", dash: DASHES[place], shape: place };
}

/** Layout width for a chart in the cell dialog; narrower on a phone, to keep the font size. */
function cellWidth() {
  return NARROW.matches ? 340 : 460;
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Round numbers between two ends, approximately the requested count. */
function niceTicks(low, high, count = 4) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * unit).find((s) => s >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return ticks.map((tick) => Number(tick.toPrecision(12)));
}

function short(number) {
  return String(Number(number.toPrecision(6))).replace("-", MINUS);
}

/** Position of an epoch on the axis: early epochs are spread out, and 0 is included. */
function epochPlace(epoch) {
  return Math.log2(1 + epoch);
}

/**
 * A frame with axes. x and y are {low, high, ticks: [[place, label]], label}.
 * Returns the SVG, its inner group and the two scales.
 */
function frame({ width = 320, height = 210, x, y, label, bottom = 40 }) {
  const left = Math.max(54, 26 + 6.2 * Math.max(...y.ticks.map(([, text]) => text.length))); // long numbers have room
  const inner = { x: left, y: 10, width: width - left - 12, height: height - bottom - 10 };
  const atX = (place) => inner.x + ((place - x.low) / (x.high - x.low || 1)) * inner.width;
  const atY = (place) => inner.y + inner.height - ((place - y.low) / (y.high - y.low || 1)) * inner.height;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" });
  const floor = inner.y + inner.height;
  for (const [place, text] of y.ticks) {
    root.append(svg("line", { class: "grid", x1: inner.x, x2: inner.x + inner.width, y1: atY(place), y2: atY(place) }));
    root.append(svg("text", { class: "tick", x: inner.x - 6, y: atY(place) + 3.5, "text-anchor": "end" }, text));
  }
  let taken = -Infinity;
  for (const [place, text] of x.ticks) {
    const at = atX(place);
    root.append(svg("line", { class: "axis", x1: at, x2: at, y1: floor, y2: floor + 4 }));
    const half = 3.1 * text.length;
    if (at - half < taken + 3) continue; // the label would touch the previous label
    taken = at + half;
    const isLast = at + half > width - 2;
    root.append(svg("text", { class: "tick", x: isLast ? width - 2 : at, y: floor + 16, "text-anchor": isLast ? "end" : "middle" }, text));
  }
  root.append(svg("line", { class: "axis", x1: inner.x, x2: inner.x + inner.width, y1: floor, y2: floor }));
  root.append(svg("text", { class: "label", x: inner.x + inner.width / 2, y: height - 6, "text-anchor": "middle" }, x.label));
  root.append(svg("text", { class: "label", transform: `translate(10 ${inner.y + inner.height / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label));
  return { root, inner, atX, atY };
}

function path(points) {
  return points.map(([x, y], k) => `${k ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** Splits a line into pieces at gaps. */
function pieces(points) {
  const found = [[]];
  for (const point of points) {
    if (point === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((piece) => piece.length);
}

function marker(shape, x, y) {
  const r = 3;
  const shapes = [
    () => svg("circle", { cx: x, cy: y, r }),
    () => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
    () => svg("path", { d: `M${x} ${y - r - 1}L${x + r + 1} ${y + r}L${x - r - 1} ${y + r}Z` }),
    () => svg("path", { d: `M${x} ${y - r - 1}L${x + r + 1} ${y}L${x} ${y + r + 1}L${x - r - 1} ${y}Z` }),
    () => svg("path", { d: `M${x} ${y + r + 1}L${x + r + 1} ${y - r}L${x - r - 1} ${y - r}Z` }),
    () => svg("path", { d: `M${x - 1.5} ${y - r - 1}h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5Z` }),
  ];
  const drawn = shapes[shape % shapes.length]();
  drawn.classList.add("marker");
  return drawn;
}

/** Epochs of all points, ascending. */
function epochsOf(series) {
  return [...new Set(series.flatMap((one) => one.points.map((point) => point.epoch)))].sort((a, b) => a - b);
}

/** Lines by epoch; each series is {label, look, points: [{epoch, value, low, high}]}. */
function epochChart({ series, label, yLabel, epochs = epochsOf(series), domain = null, chance = null, at = null, ...size }) {
  const points = series.flatMap((one) => one.points);
  const y = domain ?? spread(points.map((point) => point.value));
  const { root, inner, atX, atY } = frame({
    ...size, label,
    x: { ...ends(epochs.map(epochPlace)), ticks: epochs.map((e) => [epochPlace(e), String(e)]), label: UNIT },
    y: { ...y, ticks: niceTicks(y.low, y.high).map((t) => [t, short(t)]), label: yLabel },
  });
  if (chance !== null) {
    root.append(svg("line", { class: "chance", x1: inner.x, x2: inner.x + inner.width, y1: atY(chance), y2: atY(chance) }));
  }
  if (at !== null) {
    root.append(svg("line", { class: "here", x1: atX(epochPlace(at)), x2: atX(epochPlace(at)), y1: inner.y, y2: inner.y + inner.height }));
  }
  for (const one of series) {
    const group = svg("g", { class: `series ${one.look.name}` });
    const known = one.look.name === "other" ? [] : one.points.filter((point) => point.low !== null && point.low !== undefined);
    if (known.length > 1) {
      const upper = known.map((p) => [atX(epochPlace(p.epoch)), atY(p.high)]);
      const lower = known.map((p) => [atX(epochPlace(p.epoch)), atY(p.low)]).reverse();
      group.append(svg("path", { class: "band", d: `${path([...upper, ...lower])}Z` }));
    }
    const line = one.points.map((p) => [atX(epochPlace(p.epoch)), atY(p.value)]);
    group.append(svg("path", { class: "line", d: path(line), "stroke-dasharray": one.look.dash }, svg("title", {}, one.label)));
    line.forEach(([px, py], k) => {
      if (one.look.shape === null) return;
      const dot = marker(one.look.shape, px, py);
      const point = one.points[k];
      const interval = point.low === null || point.low === undefined ? "" : ` [${fixed(point.low)}, ${fixed(point.high)}]`;
      dot.append(svg("title", {}, `${one.label}, ${UNIT} ${point.epoch}: ${fixed(point.value)}${interval}`));
      group.append(dot);
    });
    root.append(group);
  }
  return root;
}

function ends(places) {
  const low = Math.min(...places);
  const high = Math.max(...places);
  return low === high ? { low: low - 0.5, high: high + 0.5 } : { low, high };
}

/** A domain around values, with a margin. */
function spread(values) {
  const { low, high } = ends(values.filter((found) => found !== null));
  const air = 0.06 * (high - low);
  return { low: low - air, high: high + air };
}

function legend(entries) {
  return el("ul", { class: "legend" }, entries.map(({ label, look }) => {
    const key = svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true", class: `series ${look.name}` },
      svg("path", { class: "line", d: "M1 5L25 5", "stroke-dasharray": look.dash }),
      look.shape === null ? null : marker(look.shape, 13, 5));
    return el("li", {}, key, label);
  }));
}

const SIDES = [["in", "ID"], ["out", "OOD"]];

/** Two histograms with shared bins; heights are the share of groups on each side. */
function histogramChart(bins, names, looks) {
  const totals = SIDES.map(([side]) => bins[side].reduce((a, b) => a + b, 0));
  const most = Math.max(...SIDES.flatMap(([side], k) => bins[side].map((count) => count / totals[k])));
  const y = { low: 0, high: most * 1.05 };
  const { root, atX, atY } = frame({
    width: cellWidth(), height: 240,
    label: `Histogram of the scores of ${names[0]} (ID) and ${names[1]} (OOD)`,
    x: { low: bins.low, high: bins.high, ticks: bins.ticks.map(([at, text]) => [at, text.replace("-", MINUS)]), label: `score, higher is more OOD${bins.asinh ? " (asinh scale)" : ""}` },
    y: { ...y, ticks: niceTicks(0, y.high).map((t) => [t, short(t)]), label: "share of groups" },
  });
  SIDES.forEach(([side], k) => {
    const width = (bins.high - bins.low) / bins[side].length;
    const outline = [[atX(bins.low), atY(0)]];
    bins[side].forEach((count, bin) => {
      const height = atY(count / totals[k]);
      outline.push([atX(bins.low + bin * width), height], [atX(bins.low + (bin + 1) * width), height]);
    });
    outline.push([atX(bins.high), atY(0)]);
    root.append(svg("g", { class: `series ${looks[k].name}` },
      svg("path", { class: "fill", d: path(outline) }),
      svg("path", { class: "line thin", d: path(outline), "stroke-dasharray": looks[k].dash })));
  });
  return root;
}

/** ROC curve; the first threshold that catches 95 % of OOD is marked. */
function rocChart(roc, isLog, look) {
  const totals = [roc.in.at(-1), roc.out.at(-1)];
  const least = 1 / totals[0];
  const place = (share) => (isLog ? Math.log10(Math.max(share, least / 2)) : share);
  const decades = [];
  for (let k = Math.floor(Math.log10(least)); k <= 0; k++) decades.push([k, String(Number((10 ** k).toPrecision(3)))]);
  const x = isLog
    ? { low: Math.log10(least / 2), high: 0, ticks: decades.filter(([k]) => k >= Math.log10(least / 2)), label: "ID flagged (log)" }
    : { low: 0, high: 1, ticks: [0, 0.25, 0.5, 0.75, 1].map((t) => [t, short(t)]), label: "ID flagged (false positives)" };
  const { root, inner, atX, atY } = frame({
    width: cellWidth(), height: 240, x,
    y: { low: 0, high: 1, ticks: [0, 0.25, 0.5, 0.75, 1].map((t) => [t, short(t)]), label: "OOD caught" },
    label: "ROC curve: share of OOD groups caught against share of ID groups flagged",
  });
  const chance = Array.from({ length: 41 }, (_, k) => x.low + ((x.high - x.low) * k) / 40)
    .map((at) => [atX(at), atY(isLog ? 10 ** at : at)]);
  root.append(svg("path", { class: "chance", d: path(chance) }));
  const points = roc.in.map((flagged, k) => [flagged / totals[0], roc.out[k] / totals[1]]);
  root.append(svg("g", { class: `series ${look.name}` }, svg("path", { class: "line", d: path(points.map(([a, b]) => [atX(place(a)), atY(b)])) })));
  const [fpr, tpr] = points[roc.at95];
  const px = atX(place(fpr));
  const isRight = px > inner.x + inner.width * 0.6;
  root.append(svg("line", { class: "here", x1: inner.x, x2: inner.x + inner.width, y1: atY(0.95), y2: atY(0.95) }),
    svg("g", { class: "series plain" }, svg("circle", { class: "marker", cx: px, cy: atY(tpr), r: 4.5 })),
    svg("text", { class: "note", x: px + (isRight ? -8 : 8), y: atY(tpr) + 17, "text-anchor": isRight ? "end" : "start" }, `FPR95 = ${fixed(fpr)}`));
  return root;
}

/** Bands of log squared gradient norms by layer, ID and OOD. */
function layerChart(bands, names, said, looks) {
  const rows = bands.map(unpackBand);
  const known = rows.flat(2).filter((found) => found !== null);
  const y = spread(known.length ? known : [0, 1]);
  const count = names.length;
  const ticks = niceTicks(0, Math.max(1, count - 1), 6).filter(Number.isInteger);
  const { root, inner, atX, atY } = frame({
    width: 820, height: 250,
    label: "Log squared gradient norm of each layer, in-distribution and OOD",
    x: { low: 0, high: Math.max(1, count - 1), ticks: ticks.map((t) => [t, String(t)]), label: "layer" },
    y: { ...y, ticks: niceTicks(y.low, y.high).map((t) => [t, short(t)]), label: "log squared norm" },
  });
  rows.forEach(([low, middle, high], place) => {
    const group = svg("g", { class: `series ${looks[place].name}` });
    const at = (line) => line.map((found, k) => (found === null ? null : [atX(k), atY(found)]));
    const lower = pieces(at(low));
    pieces(at(high)).forEach((upper, k) => {
      group.append(svg("path", { class: "band", d: `${path([...upper, ...[...lower[k]].reverse()])}Z` }));
    });
    for (const piece of pieces(at(middle))) {
      group.append(svg("path", { class: "line thin", d: path(piece), "stroke-dasharray": looks[place].dash }));
    }
    root.append(group);
  });
  const cursor = svg("line", { class: "here", y1: inner.y, y2: inner.y + inner.height, visibility: "hidden" });
  root.append(cursor);
  let shown = -1;
  const show = (layer) => {
    if (layer < 0 || layer >= count) return;
    shown = layer;
    cursor.setAttribute("x1", atX(layer));
    cursor.setAttribute("x2", atX(layer));
    cursor.setAttribute("visibility", "visible");
    said.textContent = `Layer ${layer}, ${names[layer]}: median ${fixed(rows[0][1][layer])} ID, ${fixed(rows[1][1][layer])} OOD`;
  };
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 820;
    show(Math.round(((x - inner.x) / inner.width) * Math.max(1, count - 1)));
  });
  root.setAttribute("tabindex", "0");
  root.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(shown + step);
  });
  return root;
}

/** A small picture of the AUROC and its interval, from 0 to 1. */
function whisker(row) {
  const at = (share) => 2 + share * 86;
  const low = COLUMNS.auroc_low[row];
  return svg("svg", { viewBox: "0 0 90 12", class: `whisker${isWrongWay(row) ? " under" : ""}`, "aria-hidden": "true" },
    svg("line", { class: "grid", x1: 2, x2: 88, y1: 6, y2: 6 }),
    svg("line", { class: "axis", x1: at(CHANCE), x2: at(CHANCE), y1: 1, y2: 11 }),
    low === null ? null : svg("line", { class: "interval", x1: at(low), x2: at(COLUMNS.auroc_high[row]), y1: 6, y2: 6 }),
    svg("circle", { cx: at(COLUMNS.auroc[row]), cy: 6, r: 3 }));
}

/** Shows an example of a sheet: text, or a tile of an atlas on a canvas after the picture has loaded. */
function tile(sheet, place, label, zoom) {
  if (sheet.texts) return el("bdi", { class: "text", title: label }, sheet.texts[place]);
  const canvas = el("canvas", { width: sheet.width, height: sheet.height, role: "img", "aria-label": label, title: label });
  canvas.style.width = `${sheet.width * zoom}px`;
  canvas.style.height = `${sheet.height * zoom}px`;
  const left = (place % sheet.columns) * sheet.width;
  const top = Math.floor(place / sheet.columns) * sheet.height;
  picture(sheet).then((image) => {
    canvas.getContext("2d").drawImage(image, left, top, sheet.width, sheet.height, 0, 0, sheet.width, sheet.height);
  });
  return canvas;
}

const PICTURES = new Map();

function picture(sheet) {
  if (!PICTURES.has(sheet)) {
    const image = new Image();
    image.src = sheet.png;
    PICTURES.set(sheet, image.decode().then(() => image));
  }
  return PICTURES.get(sheet);
}
