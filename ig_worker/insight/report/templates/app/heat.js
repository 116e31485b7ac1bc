"use strict";
/* Heat maps: tokens or words as coloured text. Values show on hover and on focus; a map is one stop of the Tab key, and
   the arrow keys walk through it. */
(() => {
  const { meta, SPECIAL, CONTINUES, SECOND } = igReport;
  const INNER_MARK = new RegExp(meta.innerMark); // of a piece that goes on with a word
  const TEXTS = ["first text", "second text"]; // of a pair; as heat.TEXTS in Python
  const BREAK = " │ "; // between them, in plain text
  const RUN = 4; // from so many on, equal special tokens in a row (padding) are shown as one
  const [NO_SPACE_BEFORE, NO_SPACE_AFTER, APOSTROPHES] = [new Set(".,;:!?)]}%…"), new Set("([{"), new Set("'’")];
  const ELISIONS = new Set(["s", "t", "re", "ve", "ll", "d", "m"]); // it's, don't, they're

  /** As heat.signed in Python. */
  function signed(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    const digits = size < 0.0005 ? size.toExponential(1).replace(/e-(\d)$/, "e-0$1") : size.toFixed(4);
    return (value < 0 ? "-" : "+") + digits;
  }

  /** Tokens, [{text, kind, value}], as words of pieces; as heat.words in Python. */
  function words(tokens) {
    const found = [];
    for (let i = 0; i < tokens.length; i++) {
      const { text, kind, value = 0 } = tokens[i];
      if (kind === CONTINUES && found.length) {
        found.at(-1).push({ text: text.replace(INNER_MARK, ""), name: text, value, special: false });
      } else {
        let run = i;
        while (kind === SPECIAL && tokens[run + 1]?.kind === SPECIAL && tokens[run + 1].text === text) run++;
        if (run - i + 1 >= RUN) {
          const name = `${text} ×${run - i + 1}`;
          const same = tokens.slice(i, run + 1).map((token) => token.value ?? 0);
          const peak = same.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
          found.push([{ text: name, name: `${name}, sum`, value: same.reduce((a, b) => a + b, 0), peak, special: true }]);
          i = run;
        } else {
          found.push([{ text, name: text, value, special: kind === SPECIAL, second: kind === SECOND }]);
        }
      }
    }
    return found;
  }

  function spaceBefore(found, i) {
    const text = (word) => (word ?? []).map((piece) => piece.text).join("");
    const [before, here, after] = [text(found[i - 1]), text(found[i]), text(found[i + 1])];
    const elision = // some tokenizers have 's as one token, and some have three dots
      (APOSTROPHES.has(here[0]) && ELISIONS.has(here.slice(1) || after)) || (APOSTROPHES.has(before) && ELISIONS.has(here));
    return i > 0 && !found[i][0].second && !elision && !NO_SPACE_BEFORE.has(here[0]) && !NO_SPACE_AFTER.has(before.at(-1));
  }

  /** Plain text of tokens. */
  function plain(tokens) {
    const found = words(tokens);
    const between = (i) => (i && found[i][0].second ? BREAK : spaceBefore(found, i) ? " " : "");
    return found.map((word, i) => between(i) + word.map((piece) => piece.text).join("")).join("");
  }

  const joined = (word) => {
    const text = word.map((piece) => piece.text).join("");
    const { special, peak, second } = word[0];
    return { text, name: text, value: word.reduce((sum, piece) => sum + piece.value, 0), special, peak, second };
  };

  /** A heat map of a review's tokens, each word in one colour or each piece in its own. */
  function draw(tokens, byWord) {
    const found = words(tokens).map((word) => (byWord ? [joined(word)] : word));
    const peak = Math.max(...found.flat().map((piece) => Math.abs(piece.peak ?? piece.value)), 0);
    const map = document.createElement("p");
    map.className = "heat";
    map.dir = "auto";
    const pair = found.some((word) => word[0].second);
    found.forEach((word, i) => {
      if (pair && (!i || word[0].second)) {
        const begins = map.appendChild(document.createElement("i"));
        begins.className = "begins";
        begins.textContent = TEXTS[word[0].second ? 1 : 0];
      }
      const space = spaceBefore(found, i);
      if (space) map.append(" ");
      const parent = word.length > 1 ? map.appendChild(document.createElement("span")) : map;
      for (const piece of word) {
        const element = parent.appendChild(document.createElement("b"));
        const level = peak ? Math.round(((piece.peak ?? piece.value) / peak) * meta.steps) : 0;
        if (level) element.classList.add((level > 0 ? "p" : "n") + Math.abs(level));
        if (level < -2) element.classList.add("neg");
        if (piece.special) element.classList.add("special");
        if (!space && i > 0 && word.length === 1 && !word[0].second) element.classList.add("glue");
        element.textContent = piece.text;
        element.title = `${piece.name} ${signed(piece.value)}`;
        if (!piece.special) element.dataset[byWord ? "word" : word.length > 1 ? "piece" : "word"] = piece.name;
      }
    });
    return prepare(map);
  }

  /** Makes a map's tokens reachable by keys, and its titles the tip's. */
  function prepare(map) {
    map.setAttribute("role", "listbox");
    map.setAttribute("aria-orientation", "horizontal");
    map.setAttribute("aria-label", "Attribution of each token; arrow keys walk through them");
    map.querySelectorAll("b").forEach((token, i) => {
      token.setAttribute("role", "option");
      token.setAttribute("aria-label", token.title);
      token.removeAttribute("title");
      token.tabIndex = i ? -1 : 0;
    });
    return map;
  }

  // The tip.

  const tip = document.getElementById("tip");

  function show(token) {
    tip.textContent = token.getAttribute("aria-label");
    tip.hidden = false;
    const box = token.getClientRects()[0] ?? token.getBoundingClientRect();
    const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 4), innerWidth - tip.offsetWidth - 4);
    const above = box.top - tip.offsetHeight - 6;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 0 ? above : box.bottom + 6}px`;
  }

  const tokenOf = (event) => (event.target instanceof Element ? event.target.closest(".heat b") : null);
  const hide = () => { tip.hidden = true; };

  function walk(event) {
    const token = tokenOf(event);
    if (!token) return;
    const tokens = [...token.closest(".heat").querySelectorAll("b")];
    const at = tokens.indexOf(token);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (next === undefined || !tokens[next]) return;
    event.preventDefault();
    token.tabIndex = -1;
    tokens[next].tabIndex = 0;
    tokens[next].focus();
  }

  document.addEventListener("mouseover", (event) => { const token = tokenOf(event); if (token) show(token); else hide(); });
  document.addEventListener("focusin", (event) => { const token = tokenOf(event); if (token) show(token); else hide(); });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", () => {
    const token = document.querySelector(".heat b:hover") ?? document.querySelector(".heat b:focus-visible");
    if (token) show(token); // where it is now
    else hide();
  }, { passive: true, capture: true });
  document.addEventListener("click", (event) => {
    const token = tokenOf(event);
    if (!token) return;
    for (const other of token.closest(".heat").querySelectorAll('b[tabindex="0"]')) other.tabIndex = -1;
    token.tabIndex = 0;
    token.focus({ preventScroll: true });
  });
  document.addEventListener("keydown", walk);
  document.querySelectorAll(".heat").forEach(prepare); // the examples, which the page has without scripts

  Object.assign(igReport, { draw, plain, signed });
})();
