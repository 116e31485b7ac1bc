"use strict";
/* The list of reviews: one page of rows, and the review that is open among them. */
(() => {
  const { data, TRUNCATED, LIMIT, FLIPPED, className, outcome, signed } = igReport;
  const PER_PAGE = 20;
  const SIGNS = { right: "✓ ", wrong: "✗ ", unlabelled: "" };
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

  const badge = (row) =>
    element("span", `badge ${outcome(row)}`, `${SIGNS[outcome(row)]}${className(data.prediction[row])} ${probability(data.confidence[row])}`);

  function tags(row) {
    const texts = [];
    if (data.flags[row] & FLIPPED) texts.push("changed");
    if (data.flags[row] & LIMIT) texts.push("evaluation limit");
    if (data.flags[row] & TRUNCATED) texts.push("truncated");
    return texts.map((text) => element("span", "tag", text));
  }

  function head(row) {
    const label = data.label[row] < 0 ? "no label" : `label ${className(data.label[row])}`;
    const other = data.target[row] === data.prediction[row] ? null : element("span", "soft", `explained: ${className(data.target[row])}`);
    const opening = igReport.opening(row);
    const more = opening.length < data.length[row] ? " …" : "";
    const button = element(
      "button", "row",
      element("span", "line", badge(row), element("span", "soft", label), other, ...tags(row),
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
    const sum = review.tokens.reduce((total, token) => total + token.value, 0);
    const facts = [
      ["F(x)", probability(review.probability)],
      ["F(baseline)", probability(review.baseline)],
      ["sum", signed(sum)],
      ["delta", signed(data.delta[row])],
      ["evaluations", String(Number(data.evaluations[row].toFixed(1)))],
    ];
    if (!Number.isNaN(review.error)) facts.push(["est. error", review.error.toPrecision(2)]);
    const terms = facts.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value)));
    return [igReport.draw(review.tokens, byWord), element("dl", "facts", ...terms)];
  }

  igReport.list = { show, open, close, opened, buttons, buttonOf, element, PER_PAGE };
})();
