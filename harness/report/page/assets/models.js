// Models side by side: pairs of data sets down, models across by family, for one scorer.

const MOST_PAIRS = 60;
const modelsChoice = { scorer: null };

/** Draws the models for the rows that pass the filters. */
function drawModels(parent, rows, filters, open) {
  const size = filters.group_size ?? Math.min(...CHOICES.group_size.map(([b]) => b));
  const known = rows.filter((row) => COLUMNS.group_size[row] === size && COLUMNS.auroc[row] !== null && (
    filters.epoch !== null || COLUMNS.epoch[row] === LAST_EPOCH.get(trainingOf(row))));
  const scorers = [...new Set(known.map((row) => COLUMNS.scorer[row]))].sort((a, b) => a - b);
  const shown = scorers.includes(modelsChoice.scorer) ? modelsChoice.scorer : bestScorer(known);
  const pairs = new Map();
  for (const row of known.filter((one) => COLUMNS.scorer[one] === shown)) {
    const key = `${COLUMNS.in[row]}/${COLUMNS.out[row]}/${COLUMNS.seed[row]}`;
    if (!pairs.has(key)) pairs.set(key, new Map());
    pairs.get(key).set(COLUMNS.model[row], row);
  }
  const compared = [...pairs.values()].filter((models) => models.size > 1);
  if (!compared.length) {
    parent.replaceChildren(hint("No two models that pass the filters have a number for the same data sets."));
    return;
  }
  const choice = picker("models-scorer", "Scorer", scorers.map((scorer) => [scorer, NAMES.scorer[scorer]]), null, (given) => {
    modelsChoice.scorer = Number(given);
    drawModels(parent, rows, filters, open);
    document.getElementById("filter-models-scorer").focus();
  });
  choice.querySelector("select").value = String(shown);
  const which = filters.epoch === null ? `the last ${UNIT} of each training` : `${UNIT} ${filters.epoch}`;
  const all = new Set(compared.flatMap((found) => [...found.keys()])).size;
  const mean = compared.some((found) => found.size === all) ? " The mean is over the lines in which all models have a number." : "";
  const left = compared.length > MOST_PAIRS ? ` Only the first ${MOST_PAIRS} of ${compared.length} pairs are shown.` : "";
  parent.replaceChildren(
    el("div", { class: "choice" }, choice),
    hint(`AUROC at ${which}, groups of ${size}. Bold is the highest of its line, not a test; other marks are as above.${mean}${left}`),
    modelsTable(compared.slice(0, MOST_PAIRS), shown, open));
}

/** The scorer with the highest mean AUROC among those of most rows. */
function bestScorer(rows) {
  const sums = new Map();
  for (const row of rows) {
    const { sum, count } = sums.get(COLUMNS.scorer[row]) ?? { sum: 0, count: 0 };
    sums.set(COLUMNS.scorer[row], { sum: sum + COLUMNS.auroc[row], count: count + 1 });
  }
  const most = Math.max(...[...sums.values()].map(({ count }) => count));
  const full = [...sums].filter(([, { count }]) => count === most);
  return sortedBy(full, ([, { sum }]) => sum, true)[0]?.[0] ?? null;
}

function modelsTable(pairs, scorer, open) {
  const models = [...new Set(pairs.flatMap((found) => [...found.keys()]))]
    .sort((a, b) => DATA.looks.families[a].localeCompare(DATA.looks.families[b], "en") || a - b);
  const families = models.reduce((found, model) => {
    const name = DATA.looks.families[model];
    if (found.at(-1)?.name === name) found.at(-1).count += 1;
    else found.push({ name, count: 1 });
    return found;
  }, []);
  const caption = `AUROC of ${NAMES.scorer[scorer]} for each model`;
  const table = el("table", { class: "matrix" },
    el("caption", { class: "hidden" }, caption),
    el("thead", {},
      el("tr", {}, el("td", {}), families.map(({ name, count }) => el("th", { scope: "colgroup", colspan: count, class: "family" }, name))),
      el("tr", {}, el("th", { scope: "col" }, "ID against OOD"), models.map((model) => el("th", { scope: "col", class: "out" }, el("span", {}, NAMES.model[model]), el("span", { class: "kind" }, kindOf(model)))))),
    el("tbody", {}, pairs.map((found) => modelsLine(found, models, open)), meanLine(pairs, models)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
}

function kindOf(model) {
  const kinds = DATA.trainings.filter((one) => one.model === NAMES.model[model]).map((one) => one.likelihood);
  return likelihoodWords(kinds.find((kind) => kind) ?? "");
}

function modelsLine(found, models, open) {
  const [first] = found.values();
  const seed = CHOICES.seed.length > 1 ? `, seed ${COLUMNS.seed[first]}` : "";
  const most = Math.max(...[...found.values()].map((row) => COLUMNS.auroc[row]));
  return el("tr", {},
    el("th", { scope: "row" }, `${value("in", first)} against ${value("out", first)}${seed}`),
    models.map((model) => {
      const cell = matrixCell(found.get(model), open);
      if (found.has(model)) cell.classList.toggle("highest", COLUMNS.auroc[found.get(model)] === most);
      return cell;
    }));
}

function meanLine(pairs, models) {
  const full = pairs.filter((found) => models.every((model) => found.has(model)));
  if (!full.length) return null;
  const mean = (model) => full.reduce((sum, found) => sum + COLUMNS.auroc[found.get(model)], 0) / full.length;
  return el("tr", { class: "mean" }, el("th", { scope: "row" }, `mean of ${full.length}`), models.map((model) => el("td", { class: "out" }, fixed(mean(model)))));
}
