// Details of a cell, on demand: numbers, scores, examples, layers, epochs and command.

class CellView {
  /** `changed` is called with the shown row, or null after closing. */
  constructor(dialog, changed) {
    this.dialog = dialog;
    this.changed = changed;
    this.row = null;
    this.rows = [];
    this.isLog = false;
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => {
      this.row = null;
      this.changed(null);
      if (dialog.contains(document.activeElement)) document.getElementById("auroc").focus(); // a link had opened it
    });
  }

  /** Shows a cell; the buttons move through `rows`. */
  open(row, rows, baseline) {
    this.rows = rows;
    this.baseline = baseline;
    this.draw(row);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  /** Shows another cell and keeps the focus on the pressed button. */
  turn(row, label) {
    this.draw(row);
    this.dialog.scrollTop = 0;
    const button = this.dialog.querySelector(`[data-turn="${label}"]`);
    (button.disabled ? this.dialog.querySelector("h2") : button).focus();
  }

  draw(row) {
    this.row = row;
    this.changed(row);
    const at = this.rows.indexOf(row);
    const turn = (label, to) => el("button", {
      type: "button", "data-turn": label, disabled: to === undefined, onclick: () => this.turn(to, label),
    }, label);
    this.dialog.replaceChildren(...present([
      el("header", {},
        el("h2", { id: "cell-title", tabindex: -1 }, titleOf(row)),
        el("div", { class: "buttons" },
          turn("Previous", at > 0 ? this.rows[at - 1] : undefined),
          turn("Next", at >= 0 ? this.rows[at + 1] : undefined),
          linkButton(),
          el("button", { type: "button", onclick: () => this.dialog.close(), class: "primary" }, "Close"))),
      this.numbers(row), this.scores(row), this.examples(row), this.layers(row), this.epochs(row),
      this.samples(row), this.command(row),
    ]));
  }

  numbers(row) {
    if (COLUMNS.auroc[row] === null) {
      const status = value("status", row);
      const message = value("message", row) || (status === "pending" ? "This cell is not computed yet." : "");
      return el("p", {}, el("span", { class: `status ${status}` }, statusWord(row)), " ", message);
    }
    const pairs = [
      ["AUROC", `${fixed(COLUMNS.auroc[row])} [${fixed(COLUMNS.auroc_low[row])}, ${fixed(COLUMNS.auroc_high[row])}]`],
      ["AUPR", `${fixed(COLUMNS.aupr[row])} OOD, ${fixed(COLUMNS.aupr_in[row])} ID`],
      ["FPR95", fixed(COLUMNS.fpr95[row])],
      ["Groups", `${COLUMNS.n_in[row]} ID, ${COLUMNS.n_out[row]} OOD, fitted to ${COLUMNS.n_fit[row]}`],
      [capital(BITS), `${signedBits("bits_per_dim_in", row)} ID, ${signedBits("bits_per_dim_out", row)} OOD`],
      ["Likelihood", likelihoodWords(value("likelihood", row)) || null],
      ["OVL", `${fixed(COLUMNS.ovl[row])} ${BITS}, ${fixed(COLUMNS.ovl_scores[row])} scores`],
      ["Published", COLUMNS.published[row] === null ? null
        : `${fixed(COLUMNS.published[row], 4)} (difference ${signed(publishedDifference(row), 4)}, ${COLUMNS.within_error[row] ? "within" : "beyond"} error)`],
      ["Beaten by", value("beaten_by", row) || null],
      this.baseline === null ? ["", null] : [`Against ${NAMES.scorer[this.baseline]}`, signed(differences(this.baseline)[row])],
    ].filter(([, text]) => text !== null);
    const list = el("dl", { class: "numbers" }, pairs.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
    return isWrongWay(row)
      ? el("div", {}, list, el("p", { class: "wrong-way" }, "▼ The score is the wrong way round here: the 95 % interval of the AUROC lies below 0.5."))
      : list;
  }

  scores(row) {
    if (COLUMNS.auroc[row] === null) return null;
    const found = DATA.details[row];
    if (!found) return section("Scores", hint("Histogram and ROC of this cell are left out to keep the page small; a page for part of the suite (--only) includes them."));
    const names = [value("in", row), value("out", row)];
    const roc = el("div");
    const box = el("input", { type: "checkbox", id: "log-roc", onchange: () => { this.isLog = box.checked; drawRoc(); } });
    box.checked = this.isLog;
    const drawRoc = () => roc.replaceChildren(rocChart(found.roc, this.isLog, scorerLook(COLUMNS.scorer[row])));
    drawRoc();
    return section("Scores", el("div", { class: "pair" },
      el("figure", {}, histogramChart(found.bins, names, sideLooks(row)), el("figcaption", {}, sidesLegend(row))),
      el("figure", {}, roc, el("figcaption", { class: "choices" }, el("label", {}, box, " logarithmic axis"), el("span", {}, "Ring: the first threshold that catches 95 % of the OOD groups.")))));
  }

  examples(row) {
    if (COLUMNS.auroc[row] === null) return null;
    const places = DATA.examples.rows[row];
    const missing = [...new Set([value("in", row), value("out", row)])].filter((name) => name in DATA.examples.without);
    const notes = missing.map((name) => hint(`No examples of ${name}: ${DATA.examples.without[name]}.`));
    if (!places) {
      const why = missing.length ? notes : hint("Examples of this cell are left out to keep the page small; a page for part of the suite (--only) includes them.");
      return section("Examples", why);
    }
    const sides = SIDES.map(([, label], k) => (places[k] === null ? null : this.exampleSide(DATA.examples.sides[places[k]], label)));
    return section("Examples", hint(COLUMNS.group_size[row] > 1 ? "Each frame is a group." : null), el("div", { class: "pair" }, sides), notes);
  }

  exampleSide(side, label) {
    const sheet = DATA.examples.sets[side.set];
    const zoom = Math.max(1, Math.floor(64 / Math.max(sheet.width, sheet.height)));
    const strip = (groups) => el("ul", { class: "strip" }, groups.map((group) => el("li", {},
      el("span", { class: "tiles" }, group.tiles.map((place) => tile(sheet, place, `test example ${sheet.ids[place]} of ${side.set}`, zoom))),
      el("span", { class: "score" }, group.score.toLocaleString("en", { minimumSignificantDigits: 4, maximumSignificantDigits: 4 }).replace("-", MINUS)))));
    return el("div", {}, el("h4", {}, `${side.set} (${label})`),
      el("p", { class: "which" }, "most OOD"), strip(side.most),
      el("p", { class: "which" }, "least OOD"), strip(side.least));
  }

  layers(row) {
    const places = DATA.layers.rows[row];
    if (!places) return null;
    const bands = places.map((place) => DATA.layers.bands[place]);
    const said = el("figcaption", { "aria-live": "polite" }, "Median and 5 % to 95 % band over the groups. Point at a layer, or use the arrow keys, to read the values.");
    return section("Layer by layer", el("figure", {},
      el("div", { class: "wide" }, layerChart(bands, DATA.layers.names[bands[0].names], said, sideLooks(row))),
      sidesLegend(row), said));
  }

  epochs(row) {
    const key = placeWithout(row, "epoch");
    const along = [];
    for (let other = 0; other < CELLS; other++) {
      if (COLUMNS.auroc[other] !== null && placeWithout(other, "epoch") === key) along.push(other);
    }
    if (along.length < 2) return null;
    const points = along.sort((a, b) => COLUMNS.epoch[a] - COLUMNS.epoch[b]).map(pointOf);
    return section(`Along the ${UNIT}s`, el("figure", { class: "narrow" }, epochChart({
      series: [{ label: value("scorer", row), look: scorerLook(COLUMNS.scorer[row]), points }],
      label: `AUROC of ${value("scorer", row)} along the ${UNIT}s`, yLabel: "AUROC",
      domain: { low: 0, high: 1 }, chance: CHANCE, at: COLUMNS.epoch[row], width: cellWidth(),
    })));
  }

  samples(row) {
    const sheet = DATA.samples.sheets.find((one) => one.model === value("model", row) && one.in === value("in", row) &&
      one.seed === COLUMNS.seed[row] && one.epoch === COLUMNS.epoch[row]);
    return sheet ? section(`Samples of the model at this ${UNIT}`, sampleGrid(sheet)) : null;
  }

  command(row) {
    if (!DATA.command) return null; // of a suite that was built in Python
    const parts = commandOf(row);
    const button = el("button", { type: "button", onclick: () => copy(parts.join(" "), button) }, "Copy");
    const shown = parts.map((part, k) => [k ? " " : null, el("span", {}, part)]);
    return section("Compute this cell", el("pre", { class: "command" }, el("code", {}, present(shown).flat())), button);
  }
}

function section(title, ...children) {
  return el("section", {}, el("h3", {}, title), ...children);
}

function hint(text) {
  return text === null ? null : el("p", { class: "hint" }, text);
}

function pointOf(row) {
  return { epoch: COLUMNS.epoch[row], value: COLUMNS.auroc[row], low: COLUMNS.auroc_low[row], high: COLUMNS.auroc_high[row] };
}

function sideLooks(row) {
  return SIDES.map(([side]) => datasetLook(side, COLUMNS[side][row]));
}

function sidesLegend(row) {
  return legend(SIDES.map(([side, label], k) => ({ label: `${value(side, row)} (${label})`, look: sideLooks(row)[k] })));
}

function sampleGrid(sheet) {
  const zoom = Math.max(1, Math.floor(40 / Math.max(sheet.width, sheet.height)));
  const count = sheet.texts ? sheet.texts.length : Math.min(16, sheet.columns * sheet.columns);
  const grid = el("div", { class: "grid-of-samples" }, Array.from({ length: count }, (_, k) => tile(sheet, k, `sample ${k + 1}`, zoom)));
  grid.style.setProperty("--columns", sheet.columns ?? 1);
  return grid;
}

/** Copies the address, which opens the same cell. */
function linkButton() {
  const button = el("button", { type: "button", onclick: () => copy(location.href, button) }, "Copy link");
  return button;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text and copy it";
  }
}
