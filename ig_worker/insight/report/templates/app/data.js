"use strict";
/* The reviews, as ig_worker/insight/report/review_index.py packs them: segments at once, one after the other; details on demand.
   A page from disk may fetch nothing, so every file is a script that calls igReport.index or igReport.reviews. */
const igReport = {};
(() => {
  const KEPT_DETAILS = 40; // files, of some 300 kB

  const meta = JSON.parse(document.getElementById("meta").textContent);
  const nonce = document.currentScript.nonce;
  const policy = window.trustedTypes
    ? window.trustedTypes.createPolicy("ig-report", { createScriptURL: (name) => name })
    : { createScriptURL: (name) => name };

  const rows = meta.rows;
  const data = {
    loaded: 0, // rows whose segment is here: 0 to loaded - 1
    ids: new Array(rows),
    label: new Int32Array(rows), // -1: none
    prediction: new Int32Array(rows),
    target: new Int32Array(rows),
    contrast: new Int32Array(rows), // the class that is taken away from it; -1: none is
    confidence: new Float32Array(rows),
    delta: new Float32Array(rows),
    evaluations: new Float32Array(rows),
    length: new Uint32Array(rows), // ordinary tokens
    flags: new Uint8Array(rows),
    wrong: new Float32Array(rows).fill(NaN), // of several labels how many are, of a number the error; NaN: nobody knows
    terms: [], // tokens and words by number
    segments: [],
  };

  // Bytes.

  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const raw = atob(text);
    const result = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) result[i] = raw.charCodeAt(i);
    return result;
  }

  function numbers(text, Type) {
    const found = bytes(text);
    return new Type(found.buffer, found.byteOffset, found.byteLength / Type.BYTES_PER_ELEMENT);
  }

  /** LEB128, see js_scripts.py. */
  function varints(text) {
    const found = bytes(text);
    const result = new Uint32Array(found.length);
    let count = 0;
    for (let i = 0; i < found.length; count++) {
      let value = found[i] & 127;
      for (let shift = 7; found[i++] & 128; shift += 7) value |= (found[i] & 127) << shift;
      result[count] = value >>> 0;
    }
    return result.subarray(0, count);
  }

  /** Where each of some parts begins, and where the last one ends. */
  function starts(counts) {
    const result = new Uint32Array(counts.length + 1);
    for (let i = 0; i < counts.length; i++) result[i + 1] = result[i] + counts[i];
    return result;
  }

  // Scripts.

  /** Runs one of the report's own scripts. */
  function load(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.nonce = nonce;
      script.src = policy.createScriptURL(name);
      script.onload = () => { script.remove(); resolve(); };
      script.onerror = () => { script.remove(); reject(new Error(`${name} cannot be read`)); };
      document.head.append(script);
    });
  }

  /** Loads all segments in turn; tells after each. */
  async function loadAll(tell) {
    for (const name of meta.segments) {
      await load(name);
      tell();
    }
  }

  // Segments.

  function index(part) {
    const { first } = part;
    for (let i = 0; i < part.rows; i++) data.ids[first + i] = part.ids[i];
    for (const name of ["label", "prediction", "target", "contrast"]) data[name].set(numbers(part[name], Int32Array), first);
    for (const name of ["confidence", "delta", "evaluations"]) data[name].set(numbers(part[name], Float32Array), first);
    data.length.set(varints(part.length), first);
    data.flags.set(bytes(part.flags), first);
    for (const term of part.terms) data.terms.push(term);
    const keys = varints(part.keys);
    for (let i = 1; i < keys.length; i++) keys[i] += keys[i - 1];
    const begins = starts(varints(part.counts));
    const gaps = varints(part.postings);
    const postings = new Uint16Array(gaps.length);
    for (let key = 0; key < keys.length; key++) {
      let row = 0;
      for (let i = begins[key]; i < begins[key + 1]; i++) postings[i] = row += gaps[i];
    }
    const lists = {};
    for (const name of ["predicted", "applies"]) {
      if (part[name] === undefined) continue;
      const counts = varints(part[`${name}_counts`]);
      const known = name === "applies" ? counts.map((n) => Math.max(n, 1) - 1) : counts; // there 0 is: nobody knows
      lists[name] = { numbers: varints(part[name]), begins: starts(known), counts };
    }
    data.segments.push({
      ...lists, probability: numbers(part.predicted_probability ?? "", Float32Array), value: numbers(part.value ?? "", Float32Array),
      first, keys, begins, postings, details: part.details,
      opening: varints(part.opening), openings: starts(varints(part.opening_counts)),
    });
    data.loaded = first + part.rows;
    for (let row = first; row < data.loaded; row++) data.wrong[row] = wrongness(row);
  }

  // What is said of a text that has no one class.

  const segmentOf = (row) => data.segments[Math.floor(row / meta.segmentRows)];

  function listed(row, name) {
    const segment = segmentOf(row);
    const { numbers, begins } = segment[name];
    const at = row - segment.first;
    return numbers.subarray(begins[at], begins[at + 1]);
  }

  /** Numbers of the labels that are predicted. */
  const predicted = (row) => listed(row, "predicted");

  /** Numbers of the labels that apply; null where nobody knows. */
  const applies = (row) => (segmentOf(row).applies.counts[row - segmentOf(row).first] ? listed(row, "applies") : null);

  /** Their probabilities, of those that are predicted. */
  function probabilities(row) {
    const segment = segmentOf(row);
    const { begins } = segment.predicted;
    return segment.probability.subarray(begins[row - segment.first], begins[row - segment.first + 1]);
  }

  /** The number in the data; NaN where there is none. */
  const value = (row) => segmentOf(row).value[row - segmentOf(row).first];

  function wrongness(row) {
    if (meta.outputs === "values") return Math.abs(data.confidence[row] - value(row));
    if (meta.outputs !== "labels") return NaN;
    const truth = applies(row);
    if (truth === null) return NaN;
    const told = predicted(row);
    const both = told.reduce((sum, label) => sum + truth.includes(label), 0);
    return told.length + truth.length - 2 * both;
  }

  /** The first ordinary tokens of a row: [term, kind] in pairs. */
  function opening(row) {
    const segment = data.segments[Math.floor(row / meta.segmentRows)];
    const at = row - segment.first;
    return decoded(segment.opening.subarray(segment.openings[at], segment.openings[at + 1]));
  }

  function decoded(packed) {
    return Array.from(packed, (code) => ({ text: data.terms[code >>> 2], kind: code & 3 }));
  }

  // Details.

  const details = new Map(); // number -> decoded file, the one used last at the end

  function reviews(part) {
    const { number } = part;
    details.set(number, {
      begins: starts(varints(part.counts)),
      tokens: varints(part.tokens),
      attributions: numbers(part.attributions, Int16Array),
      ...floats(part, ["peak", "probability", "baseline", "error"]),
      others: part.others ? others(part.others) : null,
    });
    if (details.size > KEPT_DETAILS) details.delete(details.keys().next().value);
  }

  const floats = (part, names) => Object.fromEntries(names.map((n) => [n, numbers(part[n], Float32Array)]));

  /** The further targets of texts. */
  function others(part) {
    return {
      begins: starts(varints(part.counts)),
      attributions: numbers(part.attributions, Int16Array),
      target: numbers(part.target, Int32Array),
      contrast: numbers(part.contrast, Int32Array),
      ...floats(part, ["peak", "probability", "baseline", "error", "delta"]),
    };
  }

  const arriving = new Map(); // number -> promise

  async function detailOf(number) {
    if (!details.has(number)) {
      if (!arriving.has(number)) {
        const segment = data.segments[Math.floor((number * meta.detailRows) / meta.segmentRows)];
        const name = segment.details[number - segment.first / meta.detailRows];
        arriving.set(number, load(name).finally(() => arriving.delete(number)));
      }
      await arriving.get(number);
    }
    const found = details.get(number);
    details.delete(number); // to the end
    details.set(number, found);
    return found;
  }

  /** Everything that is shown of one row. */
  async function review(row) {
    const number = Math.floor(row / meta.detailRows);
    const detail = await detailOf(number);
    const at = row - number * meta.detailRows;
    const [begin, end] = [detail.begins[at], detail.begins[at + 1]];
    const plain = decoded(detail.tokens.subarray(begin, end));
    const valued = (part, which, first) => {
      const unit = part.peak[which] / 32767;
      return plain.map((token, i) => ({ ...token, value: part.attributions[first + i] * unit }));
    };
    const found = { tokens: valued(detail, at, begin), others: [] };
    for (const name of ["probability", "baseline", "error"]) found[name] = detail[name][at];
    if (!detail.others) return found;
    // Targets lie one after the other, and each has as many attributions as its text has tokens.
    let first = 0;
    for (let before = 0; before < at; before++) {
      const targets = detail.others.begins[before + 1] - detail.others.begins[before];
      first += targets * (detail.begins[before + 1] - detail.begins[before]);
    }
    for (let which = detail.others.begins[at]; which < detail.others.begins[at + 1]; which++, first += plain.length) {
      const other = { tokens: valued(detail.others, which, first) };
      for (const name of ["target", "contrast", "probability", "baseline", "error", "delta"]) other[name] = detail.others[name][which];
      found.others.push(other);
    }
    return found;
  }

  Object.assign(igReport, {
    meta, data, index, reviews, loadAll, opening, review, predicted, applies, probabilities, value, varints,
    SPECIAL: 0, FIRST: 1, CONTINUES: 2, SECOND: 3, // kinds of tokens; SECOND begins the second of two texts
    WORD: 0, JOINED: 1, PIECE: 2, // kinds of keys
    TRUNCATED: 1, LIMIT: 2, FLIPPED: 4, // flags
    className: (number) => (number < 0 ? "no label" : meta.classes[number] ?? `class ${number}`),
  });
})();
