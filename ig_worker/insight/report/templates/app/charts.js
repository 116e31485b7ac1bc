"use strict";
/* The charts, drawn by Observable Plot from the numbers in #charts. Colours are the page's variables, so that a chart
   follows the light or dark scheme by itself; series differ by dashes and symbols, too. */
(() => {
  const data = JSON.parse(document.getElementById("charts").textContent);
  const { state } = igReport;
  const SERIES = [1, 2, 3, 4, 5, 6].map((n) => `var(--series-${n})`);
  const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4", "12 4"];
  const percent = (share) => `${(100 * share).toPrecision(3)}%`;
  const count = (number) => number.toLocaleString("en");
  const cut = (text, most = 24) => ([...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text);

  /** What all charts have in common. */
  const figure = (options) => Plot.plot({ height: 260, marginLeft: 50, marginBottom: 38, style: { fontSize: "12px" }, ...options });

  const linkTo = (by, term) => state.toHash({ [by]: term });

  // One function a chart: (place on the page, width in pixels) -> the chart, or null where there is nothing to show.

  function importance(place, width) {
    const by = document.querySelector("input[name=terms]:checked")?.value ?? "token";
    const groups = data.importance[by];
    const { terms } = groups[Number(place.dataset.class)];
    if (!terms.length) return null;
    const most = Math.max(...groups.flatMap((group) => group.terms.map((term) => term.score)));
    const href = (term) => linkTo(by, term.term);
    return figure({
      width, height: 28 + 21 * terms.length, marginLeft: 130, marginRight: 54, marginBottom: 6, marginTop: 20,
      ariaLabel: place.dataset.label,
      x: { domain: [0, most], axis: "top", label: null, ticks: 4, nice: false },
      y: { domain: terms.map((term) => term.term), axis: null },
      marks: [
        Plot.gridX({ ticks: 4 }),
        Plot.barX(terms, {
          x: "score", y: "term", fill: "var(--series-1)", insetTop: 2, insetBottom: 2, href,
          title: (term) => `${term.term}\n${igReport.signed(term.score)} mean, shrunk\n${count(term.count)} times in ${count(term.documents)} texts`,
          tip: { format: { x: false, y: false } },
        }),
        Plot.text(terms, { x: 0, y: "term", text: (term) => cut(term.term, 17), textAnchor: "end", dx: -8, href, className: "term" }),
        Plot.text(terms, { x: "score", y: "term", text: (term) => term.score.toPrecision(2), textAnchor: "start", dx: 5, fill: "var(--soft)" }),
      ],
    });
  }

  function reliability(place, width) {
    const { bins } = data.reliability;
    const axis = { domain: [0, 1], ticks: 5, tickFormat: (d) => `${100 * d}%`, grid: true };
    const most = Math.max(...bins.map((bin) => bin.rows));
    return figure({
      width, height: 300, ariaLabel: "Accuracy against confidence",
      x: { ...axis, label: "confidence of the prediction →" }, y: { ...axis, label: "↑ accuracy" },
      r: { range: [2, 11], domain: [0, most] },
      marks: [
        Plot.line([[0, 0], [1, 1]], { stroke: "var(--soft)", strokeDasharray: "4 4" }),
        Plot.line(bins, { x: "confidence", y: "accuracy", stroke: "var(--series-1)", strokeWidth: 2 }),
        Plot.dot(bins, {
          x: "confidence", y: "accuracy", r: "rows", fill: "var(--series-1)", stroke: "var(--surface)",
          href: (bin) => state.toHash({ confidence_from: bin.low.toFixed(4), confidence_to: bin.high.toFixed(4) }),
          title: (bin) => `confidence ${percent(bin.low)} to ${percent(bin.high)}\n${percent(bin.accuracy)} right of ${count(bin.rows)}\nmean confidence ${percent(bin.confidence)}`,
          tip: { format: { x: false, y: false, r: false } },
        }),
      ],
    });
  }

  /** How often texts have a label, against its probability. */
  function calibration(place, width) {
    const axis = { domain: [0, 1], ticks: 5, tickFormat: (d) => `${100 * d}%`, grid: true };
    const title = (p) => `${p.name}, probability ${percent(p.low)} to ${percent(p.high)}\n${percent(p.frequency)} of ${count(p.rows)} texts have it`;
    return figure({
      width, height: 320, ariaLabel: "Frequency of labels against their probability",
      x: { ...axis, label: "probability of the label →" }, y: { ...axis, label: "↑ texts that have it" },
      marks: [
        Plot.line([[0, 0], [1, 1]], { stroke: "var(--soft)", strokeDasharray: "4 4" }),
        ...lines(data.calibration, { x: "probability", y: "frequency", z: "name" }, title, false),
      ],
    });
  }

  /** The model's numbers against those of the data. */
  function grid(place, width) {
    const points = data.grid;
    const all = points.flatMap((point) => [point.value, point.prediction]);
    const domain = [Math.min(...all), Math.max(...all)];
    const axis = { domain, ticks: 5, grid: true, nice: true };
    return figure({
      width, height: 300, ariaLabel: "The model's numbers against those of the data",
      x: { ...axis, label: "number in the data →" }, y: { ...axis, label: "↑ number of the model" },
      r: { range: [1.5, 9], domain: [0, Math.max(...points.map((point) => point.rows))] },
      marks: [
        Plot.line([[domain[0], domain[0]], [domain[1], domain[1]]], { stroke: "var(--soft)", strokeDasharray: "4 4" }),
        Plot.dot(points, {
          x: "value", y: "prediction", r: "rows", fill: "var(--series-1)", fillOpacity: 0.65,
          href: (point) => state.toHash({ confidence_from: point.from, confidence_to: point.to }),
          title: (point) => `in the data about ${point.value.toPrecision(3)}, by the model ${point.prediction.toPrecision(3)}\n${count(point.rows)} texts`,
          tip: { format: { x: false, y: false, r: false } },
        }),
      ],
    });
  }

  const MEASURES = {
    prediction: { label: "number of the model →", link: "confidence" },
    value: { label: "number in the data →" },
    error: { label: "number of the model less that of the data →" },
    abs_delta: { label: "|delta| →", log: true, link: "delta" },
    error_estimate: { label: "estimated relative L1 error →", log: true },
    evaluations: { label: "evaluations a text →" },
    length: { label: "ordinary tokens a text →", link: "length" },
    confidence: { label: "confidence of the prediction →", link: "confidence" },
  };

  function decades(bins) {
    const [low, high] = [bins[0].low, bins.at(-1).high].map(Math.log10);
    return d3.range(Math.ceil(low - 0.01), high + 0.01).map((power) => 10 ** power);
  }

  function histogram(place, width) {
    const bins = data.histograms[place.dataset.measure];
    const { label, log, link } = MEASURES[place.dataset.measure];
    const href = link && ((bin) => state.toHash({ [`${link}_from`]: bin.low, [`${link}_to`]: bin.high }));
    return figure({
      width, height: 190, ariaLabel: `Histogram of ${label.replace(" →", "")}`,
      x: { type: log ? "log" : "linear", label, ...(log ? { ticks: decades(bins), tickFormat: (d) => d.toExponential(0) } : {}) },
      y: { label: "↑ texts", grid: true, ticks: 4, tickFormat: "~s" },
      marks: [
        Plot.rectY(bins, {
          x1: "low", x2: "high", y: "rows", fill: "var(--series-1)", inset: 0.5, href,
          title: (bin) => `${bin.low.toPrecision(3)} to ${bin.high.toPrecision(3)}\n${count(bin.rows)} texts`,
          tip: { format: { x: false, y: false } },
        }),
        Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.4 }),
      ],
    });
  }

  /** Lines of several series, told apart by colour, dash and a name at their end. */
  function lines(points, { x, y, z }, told, whole = true) {
    const names = [...new Set(points.map((point) => point[z]))];
    return names.flatMap((name, i) => {
      const own = points.filter((point) => point[z] === name);
      const colour = SERIES[i % SERIES.length];
      const title = told ?? ((point) => `${name}\n${percent(point[x])} of the tokens: ${point[y].toPrecision(3)}`);
      return [
        whole && own.some((point) => point.low != null)
          ? Plot.areaY(own, { x, y1: "low", y2: "high", fill: colour, fillOpacity: 0.12, clip: true }) : null,
        Plot.line(own, { x, y, stroke: colour, strokeWidth: 2, strokeDasharray: DASHES[i % DASHES.length] }),
        Plot.dot(own, { x, y, fill: colour, r: 2.5, title, tip: { format: { x: false, y: false } } }),
      ];
    });
  }

  function faithfulness(place, width) {
    const points = data.faithfulness.filter((point) => point.metric === place.dataset.metric);
    if (!points.length) return null;
    const means = points.map((point) => point.mean);
    const probability = igReport.meta.outputs !== "values" && ["insertion", "deletion"].includes(place.dataset.metric);
    const domain = probability ? [0, 1] : [Math.min(0, ...means), Math.max(...means)]; // not by the bands of a few texts
    const taken = place.dataset.metric === "insertion" || place.dataset.metric === "sufficiency" ? "put in" : "taken out";
    return figure({
      width, height: 230, ariaLabel: place.dataset.metric,
      x: { label: `tokens ${taken} →`, tickFormat: (d) => `${Math.round(100 * d)}%`, ticks: 5 },
      y: { label: `↑ ${{ deletion: "F without them", insertion: "F with only them" }[place.dataset.metric] ?? place.dataset.metric}`, domain, nice: true, grid: true, ticks: 5 },
      marks: lines(points, { x: "fraction", y: "mean", z: "method" }),
    });
  }

  function positions(place, width) {
    return figure({
      width, height: 230, ariaLabel: "Share of attribution by place in the text",
      x: { domain: [0, 1], label: "place in the text, from its first token to its last →", tickFormat: (d) => `${100 * d}%`, ticks: 5 },
      y: { label: "↑ share of |attribution|", grid: true, zero: true, ticks: 5, tickFormat: (d) => `${+(100 * d).toFixed(1)}%` },
      marks: lines(data.positions.map((p) => ({ ...p, mean: p.share })), { x: "place", y: "mean", z: "name" }),
    });
  }

  function drift(place, width) {
    const words = data.drift;
    const href = (word) => linkTo("word", word.word);
    const title = (word) => `${word.word}, in ${count(word.documents)} texts\nbefore ${igReport.signed(word.mean_before)}\nnow ${igReport.signed(word.mean)}`;
    return figure({
      width, height: 50 + 22 * words.length, marginLeft: 130, marginTop: 26, ariaLabel: "Words whose attribution has changed",
      x: { axis: "top", label: null, ticks: 5, grid: true },
      y: { domain: words.map((word) => word.word), axis: null },
      marks: [
        Plot.ruleX([0], { stroke: "currentColor", strokeOpacity: 0.4 }),
        Plot.arrow(words, { x1: "mean_before", x2: "mean", y: "word", stroke: "var(--series-2)", strokeWidth: 2, headLength: 6, inset: 5 }),
        Plot.dot(words, { x: "mean_before", y: "word", r: 4, stroke: "var(--series-1)", fill: "var(--surface)" }),
        Plot.dot(words, { x: "mean", y: "word", r: 4, fill: "var(--series-2)", title, href, tip: { format: { x: false, y: false } } }),
        Plot.text(words, { frameAnchor: "left", y: "word", text: (word) => cut(word.word, 17), textAnchor: "end", dx: -8, href, className: "term" }),
      ],
    });
  }

  const DRAW = { importance, reliability, calibration, grid, histogram, faithfulness, positions, drift };

  function draw(place) {
    const width = Math.max(240, Math.floor(place.clientWidth));
    const made = DRAW[place.dataset.chart](place, width);
    place.replaceChildren(made ?? "nothing that often");
    place.drawn = place.clientWidth;
  }

  function legends() {
    for (const legend of document.querySelectorAll("[data-legend]")) {
      const key = legend.dataset.legend === "faithfulness" ? "method" : "name";
      const names = [...new Set(data[legend.dataset.legend].map((point) => point[key]))];
      legend.replaceChildren(...names.map((name, i) => {
        const item = document.createElement("span");
        const svg = d3.create("svg").attr("width", 26).attr("height", 10).attr("aria-hidden", "true");
        svg.append("line").attr("x1", 0).attr("x2", 26).attr("y1", 5).attr("y2", 5).attr("stroke-width", 2)
          .style("stroke", SERIES[i % SERIES.length]).attr("stroke-dasharray", DASHES[i % DASHES.length]);
        item.append(svg.node(), ` ${name}`);
        return item;
      }));
    }
  }

  const places = [...document.querySelectorAll("[data-chart]")];
  const redraw = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.drawn !== target.clientWidth) draw(target);
  });

  // A chart is drawn when it comes near the window.
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target);
      redraw.observe(target);
    }
  }, { rootMargin: "600px" });

  document.addEventListener("change", (event) => {
    if (event.target.name !== "terms") return;
    for (const table of document.querySelectorAll("[data-terms]")) table.hidden = table.dataset.terms !== event.target.value;
    places.filter((place) => place.dataset.chart === "importance").forEach(draw);
  });

  requestAnimationFrame(() => setTimeout(() => {
    legends();
    places.forEach((place) => near.observe(place));
  }));
})();
