// Trainings: losses and samples by epoch.

/** Trainings decide, not cells: a scorer may read trainings with seeds that have no cells. */
const HAS_SEEDS = new Set(DATA.trainings.map((one) => one.seed)).size > 1;

const TRAINING_LINES = [["train", "training loss"], ["own", "own test examples"]];

function drawTrainings(parent) {
  const known = DATA.trainings.filter((one) => one.epochs.length);
  if (!known.length) {
    parent.replaceChildren(hint(`No ${UNIT} of a training is stored yet.`));
    return;
  }
  parent.replaceChildren(
    hint(`The stored ${UNIT}s: mean training loss during the epoch, and minus the mean log-probability of test examples of the same set after the epoch. A loss that is no log-probability has a chart of its own.`),
    legend(TRAINING_LINES.map(([, label], k) => ({ label, look: plainLook(k) }))),
    el("div", { class: "panels" }, known.map(trainingPanel)));
}

function trainingPanel(one) {
  const seed = HAS_SEEDS ? `, seed ${one.seed}` : "";
  const title = `${one.model} on ${one.in}${seed}`;
  const points = (key) => one.epochs.map((epoch, k) => ({ epoch, value: one[key][k] })).filter((point) => point.value !== null);
  const series = TRAINING_LINES.map(([key, label], k) => ({ label, look: plainLook(k), points: points(key), unit: one[`${key}_unit`] }))
    .filter((found) => found.points.length);
  const units = [...new Set(series.map((found) => found.unit))];
  const charts = units.map((unit) => epochChart({
    series: series.filter((found) => found.unit === unit), yLabel: unit,
    epochs: epochsOf(series), label: `Training curve of ${title}, ${unit}`, height: units.length > 1 ? 160 : 210,
  }));
  const lacking = one.asked.filter((epoch) => !one.epochs.includes(epoch));
  return el("figure", {},
    el("figcaption", {}, el("b", {}, one.model), ` on ${one.in}${seed}${likelihoodNote(one.likelihood)}`, lacking.length ? ` – ${UNIT}s not stored: ${lacking.join(", ")}` : null),
    charts.length ? charts : hint("No loss is stored."));
}

function drawSamples(parent) {
  const { sheets, notes, temperature } = DATA.samples;
  if (temperature === null) {
    parent.replaceChildren(hint("This page has no samples: bench report --html FILE --samples draws samples from the stored checkpoints, and needs PyTorch."));
    return;
  }
  const trainings = new Map();
  for (const sheet of sheets) {
    const seed = HAS_SEEDS ? `, seed ${sheet.seed}` : "";
    const key = `${sheet.model} on ${sheet.in}${seed}`;
    trainings.set(key, [...(trainings.get(key) ?? []), sheet]);
  }
  parent.replaceChildren(
    hint(`At temperature ${temperature}, from the same noise at every ${UNIT}.`),
    ...notes.map(hint),
    ...[...trainings].map(([title, found]) => el("div", { class: "training" }, el("h4", {}, title),
      el("div", { class: "sheets" }, found.map((sheet) => el("figure", {}, sampleGrid(sheet), el("figcaption", {}, `${UNIT} ${sheet.epoch}`)))))));
}
