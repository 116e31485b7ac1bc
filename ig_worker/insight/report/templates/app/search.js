"use strict";
/* Which reviews a filter lets through, and in which order. No element of the page is touched here. */
(() => {
  const { data, meta, predicted, applies, varints, WORD, JOINED, PIECE, FLIPPED } = igReport;
  const [SEVERAL, NUMBERS] = [meta.outputs === "labels", meta.outputs === "values"];

  /** As words are compared: in small letters and without accents. */
  const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  const folded = []; // of data.terms
  function foldedTerms() {
    for (let i = folded.length; i < data.terms.length; i++) folded.push(fold(data.terms[i]));
    return folded;
  }

  /** What is asked for: words or their beginnings, "quoted" ones as they are, id:... a part of the id. */
  function parse(query) {
    const asked = { terms: [], ids: [] };
    for (const [, quoted, id, plain] of query.matchAll(/"([^"]*)"?|id:(\S+)|(\S+)/g)) {
      if (id !== undefined) asked.ids.push(id.toLowerCase());
      else for (const [text] of fold(quoted ?? plain).matchAll(/[\p{L}\p{N}]+|[^\s]/gu)) {
        asked.terms.push({ text, whole: quoted !== undefined });
      }
    }
    return asked;
  }

  function keyPlace(keys, key) {
    let [low, high] = [0, keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (keys[middle] < key) low = middle + 1;
      else high = middle;
    }
    return keys[low] === key ? low : -1;
  }

  /** Raises `hits` from `level` to level + 1 for the rows that have any of the terms, as keys of these kinds. */
  function mark(hits, level, terms, kinds) {
    for (const { first, keys, begins, postings } of data.segments) {
      for (const term of terms) {
        for (const kind of kinds) {
          const place = keyPlace(keys, ((term << 2) | kind) >>> 0);
          if (place < 0) continue;
          for (let i = begins[place]; i < begins[place + 1]; i++) {
            if (hits[first + postings[i]] === level) hits[first + postings[i]] = level + 1;
          }
        }
      }
    }
  }

  function termsLike({ text, whole }) {
    const found = [];
    foldedTerms().forEach((term, i) => {
      if (whole ? term === text : term.startsWith(text)) found.push(i);
    });
    return found;
  }

  /** The rows that have everything that is asked for by words, as a test of a row; null where nothing is. */
  function wordTest(filter) {
    const { terms, ids } = parse(filter.q ?? "");
    const hits = new Uint8Array(data.loaded);
    let level = 0;
    for (const term of terms) mark(hits, level++, termsLike(term), [WORD, JOINED]);
    for (const [text, kinds] of [[filter.word, [WORD, JOINED]], [filter.token, [WORD, PIECE]]]) {
      if (!text) continue;
      const term = data.terms.indexOf(text);
      mark(hits, level++, term < 0 ? [] : [term], kinds);
    }
    if (!level && !ids.length) return null;
    return (row) => hits[row] === level && ids.every((id) => data.ids[row].toLowerCase().includes(id));
  }

  function outcome(row) {
    if (SEVERAL) return Number.isNaN(data.wrong[row]) ? "unlabelled" : data.wrong[row] ? "wrong" : "right";
    return data.label[row] < 0 ? "unlabelled" : data.label[row] === data.prediction[row] ? "right" : "wrong";
  }

  const findings = new Map(); // number -> the rows that a finding is about

  /** Whether a row is one that a finding is about. */
  function ofFinding(number) {
    if (!findings.has(number)) {
      const rows = varints(meta.findings[number] ?? "");
      for (let i = 1; i < rows.length; i++) rows[i] += rows[i - 1];
      findings.set(number, new Set(rows));
    }
    const rows = findings.get(number);
    return (row) => rows.has(row);
  }

  /** One test of a row for each condition that is set. */
  function tests(filter) {
    const found = [];
    const add = (value, test) => { if (value !== undefined && value !== "" && value !== null) found.push(test(value)); };
    const least = (name, value) => add(filter[name], (text) => (row) => value(row) >= Number(text));
    const most = (name, value) => add(filter[name], (text) => (row) => value(row) <= Number(text));
    add(filter.outcome, (wanted) => (row) => outcome(row) === wanted);
    add(filter.label, (wanted) => (row) => (SEVERAL ? applies(row)?.includes(Number(wanted)) : data.label[row] === Number(wanted)));
    add(filter.prediction, (wanted) => (row) => (SEVERAL ? predicted(row).includes(Number(wanted)) : data.prediction[row] === Number(wanted)));
    add(filter.finding, (number) => ofFinding(number));
    add(filter.changed, () => (row) => (data.flags[row] & FLIPPED) !== 0);
    const measures = {
      confidence: (row) => data.confidence[row],
      error: (row) => data.wrong[row],
      delta: (row) => Math.abs(data.delta[row]),
      length: (row) => data.length[row],
    };
    for (const [name, value] of Object.entries(measures)) {
      least(`${name}_from`, value);
      most(`${name}_to`, value);
    }
    const words = wordTest(filter);
    if (words) found.push(words);
    return found;
  }

  // What each order sorts by, the highest first.
  const ORDERS = {
    surprise: (row) =>
      SEVERAL || NUMBERS
        ? Number.isNaN(data.wrong[row]) ? -1 : data.wrong[row]
        : ({ wrong: 1, unlabelled: 0, right: -1 })[outcome(row)] * data.confidence[row],
    confident: (row) => data.confidence[row],
    uncertain: (row) => -(SEVERAL ? Math.abs(data.confidence[row] - meta.threshold) : data.confidence[row]),
    delta: (row) => Math.abs(data.delta[row]),
    evaluations: (row) => data.evaluations[row],
    longest: (row) => data.length[row],
    shortest: (row) => -data.length[row],
    file: () => 0,
  };

  const sorted = new Map(); // name -> { loaded, order }

  function order(name) {
    const kept = sorted.get(name);
    if (kept?.loaded === data.loaded) return kept.order;
    const keys = Float64Array.from({ length: data.loaded }, (_, row) => ORDERS[name](row));
    const rows = Uint32Array.from(keys, (_, row) => row).sort((a, b) => keys[b] - keys[a] || a - b);
    sorted.set(name, { loaded: data.loaded, order: rows });
    return rows;
  }

  /** Numbers of the rows that pass, in the order of filter.sort. */
  function find(filter) {
    const conditions = tests(filter);
    const known = Object.hasOwn(ORDERS, filter.sort) ? filter.sort : defaultSort;
    return order(known).filter((row) => conditions.every((test) => test(row)));
  }

  const defaultSort = meta.labelled ? "surprise" : NUMBERS ? "confident" : "uncertain";

  Object.assign(igReport, { find, outcome, fold, defaultSort });
})();
