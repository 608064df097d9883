// A table with sorting and paging, in real table markup for screen readers.

const PAGE = 25;
const MOST_PRINTED = 2000;

/**
 * Columns are {key, label, title, sort: (item) => number|string|null, draw: (item) => Node|string,
 * number: whether to align right, head: whether it names the row, pin: whether it stays in sight}.
 */
class SortedTable {
  constructor(parent, { caption, columns, unit, tools = [] }) {
    this.parent = parent;
    this.columns = columns;
    this.unit = unit;
    this.items = [];
    this.page = 0;
    this.by = null;
    this.down = false;
    this.caption = caption;
    this.note = el("p", { class: "count", role: "status" });
    this.pager = el("div", { class: "pager" });
    this.head = el("thead");
    this.body = el("tbody");
    const table = el("table", { class: "sorted" }, el("caption", { class: "hidden" }, caption), this.head, this.body);
    const area = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
    parent.replaceChildren(el("div", { class: "tools" }, this.note, tools), area, this.pager);
    this.drawHead();
    addEventListener("beforeprint", () => this.drawForPrint());
    addEventListener("afterprint", () => this.draw());
  }

  setColumns(columns) {
    this.columns = columns;
    if (!columns.some((column) => column.key === this.by)) this.by = null;
    this.drawHead();
  }

  setItems(items) {
    this.items = items;
    this.page = 0;
    this.arrange();
    this.draw();
  }

  sortBy(key) {
    this.down = this.by === key ? !this.down : false;
    this.by = key;
    this.page = 0;
    this.arrange();
    this.drawHead();
    this.draw();
  }

  arrange() {
    const column = this.columns.find((one) => one.key === this.by);
    this.sorted = column ? sortedBy(this.items, column.sort, this.down) : this.items;
  }

  drawHead() {
    const cells = this.columns.map((column) => {
      const isSorted = column.key === this.by;
      const button = el("button", { type: "button", title: column.title, onclick: () => this.sortBy(column.key), "data-key": column.key },
        column.label, el("span", { class: "arrow", "aria-hidden": "true" }, isSorted ? (this.down ? "▼" : "▲") : ""));
      const order = isSorted ? (this.down ? "descending" : "ascending") : "none";
      return el("th", { scope: "col", "aria-sort": order, class: classOf(column) }, button);
    });
    const focused = document.activeElement?.dataset?.key;
    this.head.replaceChildren(el("tr", {}, cells));
    if (focused) this.head.querySelector(`[data-key="${focused}"]`)?.focus();
  }

  draw() {
    const first = this.page * PAGE;
    const last = Math.min(first + PAGE, this.sorted.length);
    this.drawBody(first, PAGE);
    const total = this.sorted.length.toLocaleString("en");
    const pages = Math.ceil(this.sorted.length / PAGE);
    this.note.textContent = pages > 1
      ? `${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of ${total} ${this.unit}`
      : `${total} ${this.unit}`;
    this.pager.replaceChildren(...(pages > 1 ? this.pageButtons(pages) : []));
  }

  /** Shows all rows for printing, or the first rows of a very long table. */
  drawForPrint() {
    this.drawBody(0, MOST_PRINTED);
    const total = `${this.sorted.length.toLocaleString("en")} ${this.unit}`;
    this.note.textContent = this.sorted.length > MOST_PRINTED ? `The first ${MOST_PRINTED} of ${total}` : total;
  }

  drawBody(first, count) {
    const rows = this.sorted.slice(first, first + count).map((item) => el("tr", {},
      this.columns.map((column) => {
        const drawn = column.draw(item);
        return column.head ? el("th", { scope: "row" }, drawn) : el("td", { class: classOf(column) }, drawn);
      })));
    this.body.replaceChildren(...rows);
  }

  pageButtons(pages) {
    const go = (label, page, isOff) => el("button", {
      type: "button", disabled: isOff, onclick: () => { this.page = page; this.draw(); },
    }, label);
    const { page } = this;
    return [
      go("First", 0, page === 0), go("Previous", page - 1, page === 0),
      el("span", {}, `Page ${page + 1} of ${pages}`),
      go("Next", page + 1, page === pages - 1), go("Last", pages - 1, page === pages - 1),
    ];
  }
}

function classOf({ number, pin }) {
  return [number ? "number" : "", pin ? "pin" : ""].join(" ").trim() || null;
}

/** Sorts items; equal items keep their order, and items without a value always come last. */
function sortedBy(items, sort, down) {
  const keyed = items.map((item) => ({ item, key: sort(item) }));
  const sign = down ? -1 : 1;
  const compare = (a, b) => {
    if (a.key === b.key) return 0;
    if (a.key === null) return 1;
    if (b.key === null) return -1;
    return a.key < b.key ? -sign : sign;
  };
  return keyed.sort(compare).map(({ item }) => item);
}
