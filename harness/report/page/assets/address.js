// The address of what is shown: filters and the open cell, after the #, so that a link shows the same.

/** Values before any choice; only other values are in the address. */
const UNSET = { ...Object.fromEntries(PLACE.map((key) => [key, null])), show: "all", baseline: null, scorers: "focus", search: "" };

/** The address of filters and of an open cell, or of none. */
function addressOf(filters, cell) {
  const parts = [];
  for (const [key, found] of Object.entries(filters)) {
    if (found === UNSET[key]) continue;
    const names = NAMES[key === "baseline" ? "scorer" : key];
    parts.push(`${key}=${encodeURIComponent(names ? names[found] : found)}`);
  }
  if (cell !== null) parts.push(`cell=${PLACE.map((key) => encodeURIComponent(value(key, cell))).join("/")}`);
  return parts.join("&");
}

/** The filters and the cell of an address; unknown names and values are left out. */
function readAddress(hash) {
  const filters = { ...UNSET };
  let cell = null;
  for (const part of hash.replace(/^#/, "").split("&").filter((one) => one.includes("="))) {
    const key = part.slice(0, part.indexOf("="));
    const text = part.slice(key.length + 1);
    if (key === "cell") cell = rowOf(text.split("/").map(decoded));
    else if (key in UNSET) filters[key] = chosen(key, decoded(text)) ?? UNSET[key];
  }
  return { filters, cell };
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** The value of a filter by its name in the address; undefined if there is none. */
function chosen(key, text) {
  if (key === "search") return text;
  if (key === "show") return text in SHOW ? text : undefined;
  if (key === "scorers") return text === "all" ? "all" : undefined;
  const entries = CHOICES[key === "baseline" ? "scorer" : key];
  return entries.find(([, name]) => name === text)?.[0];
}

/** The row of a cell by its names and numbers; null if there is none. */
function rowOf(texts) {
  const wanted = PLACE.map((key, k) => chosen(key, texts[k] ?? ""));
  for (let row = 0; row < CELLS; row++) {
    if (PLACE.every((key, k) => COLUMNS[key][row] === wanted[k])) return row;
  }
  return null;
}
