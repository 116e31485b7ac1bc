"use strict";
/* The list of reviews: one page of rows, and the review that is open among them. */
(() => {
  const { data, meta, TRUNCATED, LIMIT, FLIPPED, className, outcome, signed } = igReport;
  const PER_PAGE = 20;
  const SIGNS = { right: "✓ ", wrong: "✗ ", missed: "missed ", unlabelled: "" }; // as verdicts.SIGNS in Python
  const list = document.getElementById("results");

  /** An element of this class with these children; strings become text, never markup. */
  function element(tag, name, ...children) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  /** Three decimals, never rounded to a certainty; as views.probability in Python. */
  function probability(value) {
    if (value >= 0.9995 && value < 1) return ">0.999";
    return value > 0 && value < 0.0005 ? "<0.001" : value.toFixed(3);
  }

  /** Four significant digits; as format.measured in Python. */
  const measured = (value) => String(Number(value.toPrecision(4)));
  const figure = meta.outputs === "values" ? measured : probability;

  const badge = (kind, text) => element("span", `badge ${kind}`, SIGNS[kind] + text);

  /** What is predicted: a class, each of several labels, or a number. */
  function badges(row) {
    if (meta.outputs === "values") return [badge("unlabelled", `${className(data.target[row])} ${measured(data.confidence[row])}`)];
    if (meta.outputs !== "labels") return [badge(outcome(row), `${className(data.prediction[row])} ${probability(data.confidence[row])}`)];
    const truth = igReport.applies(row);
    const told = Array.from(igReport.predicted(row));
    const sure = igReport.probabilities(row);
    const kind = (label) => (truth === null ? "unlabelled" : truth.includes(label) ? "right" : "wrong");
    const order = told.map((_, i) => i).sort((a, b) => sure[b] - sure[a]);
    const missed = Array.from(truth ?? []).filter((label) => !told.includes(label));
    const found = order.map((i) => badge(kind(told[i]), `${className(told[i])} ${probability(sure[i])}`));
    found.push(...missed.map((label) => badge("missed", className(label))));
    return found.length ? found : [badge("unlabelled", "no label predicted")];
  }

  /** What the data say; as verdicts.truth_of in Python. */
  function truth(row) {
    if (meta.outputs === "values") {
      const value = igReport.value(row);
      const error = data.confidence[row] - value;
      return Number.isNaN(value) ? "no number in the data" : `in the data ${measured(value)}, error ${error < 0 ? "" : "+"}${Number(error.toPrecision(3))}`;
    }
    if (meta.outputs !== "labels") return data.label[row] < 0 ? "no label" : `label ${className(data.label[row])}`;
    const labels = igReport.applies(row);
    if (!labels?.length) return labels ? "no label applies" : "labels not known";
    return `${labels.length > 1 ? "labels" : "label"} ${Array.from(labels, className).join(", ")}`;
  }

  /** What is explained; as verdicts.scalar_of in Python. */
  const scalar = (target, contrast) => className(target) + (contrast < 0 ? "" : ` − ${className(contrast)}`);

  function explained(row) {
    const plain = { classes: data.target[row] === data.prediction[row], labels: false, values: meta.classes.length === 1 };
    if (plain[meta.outputs] && data.contrast[row] < 0) return null;
    const sure = meta.outputs === "labels" && data.contrast[row] < 0 ? ` ${probability(data.confidence[row])}` : "";
    return element("span", "soft", `explained: ${scalar(data.target[row], data.contrast[row])}${sure}`);
  }

  function tags(row) {
    const texts = [];
    if (data.flags[row] & FLIPPED) texts.push("changed");
    if (data.flags[row] & LIMIT) texts.push("evaluation limit");
    if (data.flags[row] & TRUNCATED) texts.push("truncated");
    return texts.map((text) => element("span", "tag", text));
  }

  function head(row) {
    const opening = igReport.opening(row);
    const more = opening.length < data.length[row] ? " …" : "";
    const button = element(
      "button", "row",
      element("span", "line", ...badges(row), element("span", "soft", truth(row)), explained(row), ...tags(row),
        element("span", "soft numbers", `|delta| ${Math.abs(data.delta[row]).toPrecision(2)} · ${data.length[row]} tokens`),
        element("span", "id", data.ids[row])),
      element("span", "opening", igReport.plain(opening) + more),
    );
    button.type = "button";
    button.dataset.row = row;
    button.setAttribute("aria-expanded", "false");
    return button;
  }

  /** Shows one page, from 0, of `rows`. */
  function show(rows, page) {
    const shown = Array.from(rows.slice(page * PER_PAGE, (page + 1) * PER_PAGE));
    list.replaceChildren(...shown.map((row) => element("li", "panel", head(row))));
  }

  const buttons = () => [...list.querySelectorAll("button.row")];
  const buttonOf = (row) => buttons().find((button) => Number(button.dataset.row) === row);
  const opened = () => list.querySelector('button.row[aria-expanded="true"]');

  function close() {
    const button = opened();
    if (!button) return null;
    button.setAttribute("aria-expanded", "false");
    button.nextElementSibling?.remove();
    return button;
  }

  /** Opens the review of a row on the page; the one that was open closes. */
  async function open(row, byWord) {
    close();
    const button = buttonOf(row);
    if (!button) return;
    button.setAttribute("aria-expanded", "true");
    const body = element("div", "review", element("p", "soft", "loading …"));
    button.after(body);
    try {
      body.replaceChildren(...content(row, await igReport.review(row), byWord));
    } catch (error) {
      body.replaceChildren(element("p", "alert", `${error.message}: is the folder data beside this page whole?`));
    }
  }

  function content(row, review, byWord) {
    const shown = { ...review, target: data.target[row], contrast: data.contrast[row], delta: data.delta[row] };
    if (!review.others.length) return target(shown, byWord, [["evaluations", String(Number(data.evaluations[row].toFixed(1)))]]);
    // Side by side where there is room; each with its own scale of colours.
    const each = [shown, ...review.others].map((one) => {
      const name = `${scalar(one.target, one.contrast)} ${figure(one.probability)}`;
      return element("section", "target", element("h4", "", name), ...target(one, byWord, []));
    });
    return [element("div", "targets", ...each)];
  }

  /** A heat map of one target, and its figures. */
  function target(one, byWord, more) {
    const sum = one.tokens.reduce((total, token) => total + token.value, 0);
    const facts = [
      ["F(x)", figure(one.probability)],
      ["F(baseline)", figure(one.baseline)],
      ["sum", signed(sum)],
      ["delta", signed(one.delta)],
      ...more,
    ];
    if (!Number.isNaN(one.error)) facts.push(["est. error", one.error.toPrecision(2)]);
    const terms = facts.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value)));
    return [igReport.draw(one.tokens, byWord), element("dl", "facts", ...terms)];
  }

  igReport.list = { show, open, close, opened, buttons, buttonOf, element, PER_PAGE };
})();
