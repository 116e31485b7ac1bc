"use strict";
/* The explorer's state: its form, and the address. Everything that a link can share stands behind #? in the address. */
(() => {
  const form = document.getElementById("filters");
  const FIELDS = [
    "q", "finding", "word", "token", "outcome", "label", "prediction", "changed", "confidence_from", "confidence_to", "error_from",
    "error_to", "delta_from", "delta_to", "length_from", "length_to", "sort", "view",
  ];
  const UNSET = { sort: igReport.defaultSort, view: "words" }; // what a field says where nothing is chosen

  /** What the form says: only what is set. */
  function read() {
    const found = {};
    for (const [name, value] of new FormData(form)) {
      if (FIELDS.includes(name) && value !== "" && value !== UNSET[name]) found[name] = value;
    }
    return found;
  }

  /** Sets the form; a value that a field cannot have is left out. */
  function write(state) {
    for (const name of FIELDS) {
      const field = form.elements.namedItem(name);
      if (!field) continue;
      const value = state[name] ?? UNSET[name] ?? "";
      if (field.type === "checkbox") field.checked = value === "1";
      else field.value = value;
      if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = UNSET[name] ?? "";
    }
  }

  /** The state in the address: fields, page (from 1) and open (a row); null where the address has none. */
  function fromAddress() {
    if (!location.hash.startsWith("#?")) return null;
    const found = Object.create(null);
    for (const [name, value] of new URLSearchParams(location.hash.slice(2))) found[name] = value;
    return found;
  }

  const toHash = (state) => `#?${new URLSearchParams(state)}`;

  /** Puts the state into the address without a step of the history. */
  function toAddress(state) {
    const hash = Object.keys(state).length ? toHash(state) : "#reviews";
    if (location.hash !== hash) history.replaceState(null, "", hash);
  }

  igReport.state = { form, read, write, fromAddress, toAddress, toHash };
})();
