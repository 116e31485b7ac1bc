"use strict";
/* The explorer: form, list, pages, keys and address kept in step. */
(() => {
  const { data, meta, list, state } = igReport;
  const section = document.getElementById("reviews");
  const [status, pages, place, progress] = ["status", "pages", "place", "progress"].map((id) => document.getElementById(id));
  let rows = new Uint32Array(); // that pass the filter, in order
  let page = 0;
  let filter = {};
  let asked = state.fromAddress();

  const lastPage = () => Math.max(0, Math.ceil(rows.length / list.PER_PAGE) - 1);
  const byWord = () => state.read().view !== "pieces";

  /** Filters anew. `wanted` is the page, and `open` the row to open on whichever page it is. */
  function apply({ wanted = 0, open = null } = {}) {
    const begun = performance.now();
    filter = state.read();
    rows = igReport.find(filter);
    const at = open === null ? -1 : rows.indexOf(open);
    page = at < 0 ? wanted : Math.floor(at / list.PER_PAGE);
    turn();
    igReport.lastFilterMs = performance.now() - begun;
    if (at >= 0) openRow(open);
  }

  function turn() {
    page = Math.min(Math.max(page, 0), lastPage());
    list.show(rows, page);
    const count = rows.length.toLocaleString("en");
    status.textContent = `${count} of ${data.loaded.toLocaleString("en")} reviews${Object.keys(filter).some((n) => n !== "sort" && n !== "view") ? " match" : ""}`;
    place.textContent = rows.length ? `page ${page + 1} of ${lastPage() + 1}` : "no review matches; clear a filter";
    pages.querySelector("[data-step='-1']").disabled = page === 0;
    pages.querySelector("[data-step='1']").disabled = page === lastPage();
    share();
  }

  function share() {
    const shown = { ...filter };
    if (page) shown.page = page + 1;
    if (list.opened()) shown.open = list.opened().dataset.row;
    state.toAddress(shown);
  }

  async function openRow(row) {
    const arrives = list.open(row, byWord());
    share();
    await arrives;
  }

  function closeRow() {
    list.close()?.focus();
    share();
  }

  const placeIn = ({ page, open }) => ({ wanted: (Number(page) || 1) - 1, open: open === undefined ? null : Number(open) });

  /** Takes the state in the address over, and shows the explorer. */
  function follow() {
    const found = state.fromAddress();
    if (!found) return;
    state.write(found);
    apply(placeIn(found));
    section.scrollIntoView();
  }

  // Form and pages.

  let waiting = 0;
  state.form.addEventListener("input", () => {
    asked = null;
    clearTimeout(waiting);
    waiting = setTimeout(apply, 60); // while somebody types
  });
  state.form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
    list.buttons()[0]?.focus();
  });
  state.form.addEventListener("reset", (event) => {
    event.preventDefault();
    state.write({});
    apply();
  });
  state.form.addEventListener("change", (event) => {
    const row = list.opened()?.dataset.row;
    if (event.target.name === "view" && row !== undefined) openRow(Number(row));
  });

  function step(by, focus) {
    page += by;
    list.close();
    turn();
    const buttons = list.buttons();
    if (focus) buttons.at(by > 0 ? 0 : -1)?.focus();
  }

  pages.addEventListener("click", (event) => {
    const by = Number(event.target.dataset.step);
    if (by) { step(by, false); section.scrollIntoView(); }
  });

  document.getElementById("results").addEventListener("click", (event) => {
    const button = event.target.closest("button.row");
    if (!button) return;
    if (button.getAttribute("aria-expanded") === "true") closeRow();
    else openRow(Number(button.dataset.row));
  });

  document.getElementById("copy").addEventListener("click", async (event) => {
    share();
    const button = event.target;
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy the address bar"; // this browser gives pages from disk no clipboard
    }
    setTimeout(() => { button.textContent = "Copy link"; }, 2000);
  });

  // Keys.

  const typing = (element) => element.matches("input:not([type=checkbox], [type=radio]), select, textarea");

  function move(by) {
    const buttons = list.buttons();
    const at = buttons.indexOf(document.activeElement.closest?.("#results li")?.querySelector("button.row"));
    const next = at < 0 ? (by > 0 ? 0 : buttons.length - 1) : at + by;
    if (buttons[next]) buttons[next].focus();
    else if (page + by >= 0 && page + by <= lastPage()) step(by, true);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const { key, target } = event;
    if (key === "Escape") {
      if (typing(target)) target.blur();
      else if (list.opened()) closeRow();
      return;
    }
    if (typing(target)) return;
    const inList = target.closest("#results") !== null;
    const steps = { j: 1, k: -1, ...(inList ? { ArrowDown: 1, ArrowUp: -1 } : {}) };
    if (key === "/") state.form.elements.q.focus();
    else if (steps[key]) move(steps[key]);
    else if (key === "n" || key === "p") step(key === "n" ? 1 : -1, true);
    else if (key === "Enter" && target.matches(".heat b")) containing(target);
    else return;
    event.preventDefault();
  });
  document.addEventListener("dblclick", (event) => {
    const token = event.target.closest?.(".heat b");
    if (token) containing(token);
  });

  /** The reviews that have a heat map's word or piece, too. */
  function containing({ dataset }) {
    if (dataset.word) location.hash = state.toHash({ word: dataset.word });
    else if (dataset.piece) location.hash = state.toHash({ token: dataset.piece });
  }

  window.addEventListener("hashchange", follow);

  // The reviews arrive after the page has been painted: what is asked for in the address waits for all of them.

  function arrived() {
    progress.value = data.loaded;
    const last = data.loaded === meta.rows;
    if (asked && last) apply(placeIn(asked));
    else if (!asked && (last || data.segments.length === 1)) {
      const row = document.activeElement.closest("#results li")?.querySelector("button.row").dataset.row;
      const open = list.opened()?.dataset.row;
      apply({ wanted: page, open: open === undefined ? null : Number(open) });
      if (row !== undefined) list.buttonOf(Number(row))?.focus();
    }
  }

  async function begin() {
    if (asked) state.write(asked);
    try {
      await igReport.loadAll(arrived);
      progress.hidden = true;
      document.documentElement.dataset.reviews = "ready";
      if (state.fromAddress()) section.scrollIntoView();
    } catch (error) {
      status.textContent = `${error.message}: the folder data beside this page is not whole`;
    }
  }

  document.documentElement.classList.add("scripted");
  requestAnimationFrame(() => setTimeout(begin));
})();
