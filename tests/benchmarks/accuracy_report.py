"""The accuracy study as tables on the terminal, as Markdown, and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.report import show_plain

# family -> (name, name of its setting, colour, marker). Colours of Okabe & Ito 2008, distinct to the colour-blind, and
# markers that tell them apart in grey.
FAMILIES = {
    "gauss": ("Gauss-Legendre", "{:.0f} nodes", "#000000", "o"),
    "change": ("nodes by the change of F", "{:.0f} nodes", "#CC79A7", "v"),
    "completeness": ("bisection by local completeness", "tolerance {:g}", "#E69F00", "P"),
    "kronrod": ("bisection, Gauss-Kronrod 7-15", "tolerance {:g}", "#D55E00", "^"),
    "product": ("product integration, Gauss's nodes", "{:.0f} nodes", "#56B4E9", "s"),
    "spread": ("product integration, spread nodes", "{:.0f} nodes", "#0072B2", "D"),
    "adaptive": ("adaptive", "tolerance {:g}", "#009E73", "*"),
    "always": ("in hindsight, so many for 99%", "tolerance {:g}", "#999999", "X"),
    "hindsight": ("in hindsight, fewest for each", "tolerance {:g}", "#F0E442", "X"),
}
_SHOWN = {  # in Markdown
    "gauss": (5, 10, 20, 50),
    "change": (10, 20),
    "completeness": (0.01,),
    "kronrod": (0.005,),
    "product": (6, 8, 12),
    "spread": (6, 8, 12),
    "adaptive": (0.01, 0.005, 0.001, 1e-4),
    "always": (0.005,),
    "hindsight": (0.005,),
}
_CALIBRATION = {
    "converged": "{:.1%}",
    "within": "{:.1%}",
    "covered": "{:.1%}",
    "ratio_worst": "{:.2f}",
    "ratio_median": "{:.1f}",
    "ratio_of_medians": "{:.1f}",
    "delta_covered": "{:.1%}",
    "delta_silent": "{:.1%}",
}
_CALIBRATION_HEADINGS = (
    "tolerance", "evaluations: mean", "max", "converged", "error ≤ tolerance", "estimate ≥ error",
    "error/estimate: max", "estimate/error: median", "of medians", "|delta| ≥ error", "|delta| silent",
)  # fmt: skip
_TRAP_HEADINGS = (
    "nodes", "error ≤ 0.005", "|delta| accepts", "of them wrong", "worst error", "estimate accepts", "of them wrong",
    "worst error",
)  # fmt: skip


def name_of(record: Mapping[str, Any]) -> str:
    name, setting, *_ = FAMILIES[record["family"]]
    return f"{name}, {setting.format(record['setting'])}"


def show(model: str, result: Mapping[str, Any]) -> None:
    """Print the tables of one model."""
    reference = result["reference"]
    headings = ("", "evaluations: mean", "max", "error: median", "p90", "p99", "max", "converged")
    rows = [_method_row(record) for record in _in_order(result["methods"])]
    for title, cells in (
        ("reference, 32 nodes against 40", reference["check"]),
        (f"reference against Gauss-Legendre 500, {reference['independent_rows']} worst", reference["independent"]),
    ):
        rows.append([title, "", "", *_errors(cells), ""])
    show_plain(f"{model}: relative L1 error of the attributions", headings, rows)
    show_plain(f"{model}: the adaptive engine's own estimate", _CALIBRATION_HEADINGS, _calibration_rows(result))
    show_plain(f"{model}: stopping by |delta| ≤ 0.0025 or by the estimate", _TRAP_HEADINGS, _trap_rows(result))


def _in_order(methods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record for family in FAMILIES for record in methods if record["family"] == family]


def _method_row(record: Mapping[str, Any]) -> list[str]:
    spent, converged = record["evaluations"], record["converged"]
    return [
        name_of(record),
        f"{spent['mean']:.1f}",
        f"{spent['max']:.1f}",
        *_errors(record["error"]),
        "" if converged is None else f"{converged:.1%}",
    ]


def _errors(found: Mapping[str, float]) -> list[str]:
    return [f"{found[name]:.1e}" for name in ("median", "p90", "p99", "max")]


def _calibration_rows(result: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            f"{row['tolerance']:g}",
            f"{row['evaluations']['mean']:.1f}",
            f"{row['evaluations']['max']:.1f}",
            *[form.format(row[name]) for name, form in _CALIBRATION.items()],
        ]
        for row in result["calibration"]
    ]


def _trap_rows(result: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for trap in result["traps"]:
        cells = [f"{trap['nodes']}", f"{trap['good']:.1%}"]
        for judged in (trap["delta"], trap["estimate"]):
            if judged is None:
                cells += ["no estimate", "", ""]
            elif judged["worst"] is None:
                cells += ["none", "", ""]
            else:
                cells += [f"{judged['accepted']:.1%}", f"{judged['wrong_of_accepted']:.1%}", f"{judged['worst']:.1e}"]
        rows.append(cells)
    return rows


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of a study, as the README shows them."""
    about, data, models = result["machine"], result["data"], result["models"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    first, last = data["offset"], data["offset"] + data["rows"] - 1
    lines = [
        f"Reviews {first:,} to {last:,} of IMDB's test split, {about['cpu']}, {about['date']}; {versions}.",
        "",
        "Each cell: mean evaluations a review, then median, 90% and 99% quantile of the relative L1 error.",
        "",
        _line(["method", *models]),
        _line(["---", *["---:"] * len(models)]),
    ]
    for family, settings in _SHOWN.items():
        for setting in settings:
            found = [_find(model["methods"], family, setting) for model in models.values()]
            if any(found):
                name = name_of({"family": family, "setting": setting})
                lines.append(_line([name, *["" if record is None else _cell(record) for record in found]]))
    lines += ["", "The adaptive engine's estimate, at its default tolerance:", ""]
    kept = [i for i in range(len(_CALIBRATION_HEADINGS)) if i != 10]
    lines += [_line(["network", *[_CALIBRATION_HEADINGS[i] for i in kept]]), _line(["---", *["---:"] * len(kept)])]
    for name, model in models.items():
        row = next(row for row in _calibration_rows(model) if row[0] == f"{result['settings']['tolerance']:g}")
        lines.append(_line([name, *[row[i] for i in kept]]))
    lines += ["", "Product integration with a fixed number of nodes, stopped by |delta| or by the estimate:", ""]
    lines += [_line(["network", *_TRAP_HEADINGS]), _line(["---", *["---:"] * len(_TRAP_HEADINGS)])]
    lines += [_line([name, *row]) for name, model in models.items() for row in _trap_rows(model)]
    return "\n".join(lines)


def _find(methods: Sequence[Mapping[str, Any]], family: str, setting: float) -> Mapping[str, Any] | None:
    return next((r for r in methods if r["family"] == family and abs(r["setting"] - setting) < 1e-12), None)


def _cell(record: Mapping[str, Any]) -> str:
    errors = ", ".join(f"{record['error'][name]:.0e}" for name in ("median", "p90", "p99"))
    return f"{record['evaluations']['mean']:.1f}: {errors}"


def _line(values: Sequence[str]) -> str:
    return "| " + " | ".join(value.replace("|", "\\|") for value in values) + " |"


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Error against evaluations, one panel a model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    models, data = result["models"], result["data"]
    columns = min(2, len(models))
    lines = -(-len(models) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(1.5 + 4.5 * columns, 1.6 + 3.4 * lines),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for axis, (name, model) in zip(axes.flat, models.items(), strict=False):
        for family, (_, _, colour, marker) in FAMILIES.items():
            found = sorted(
                (record for record in model["methods"] if record["family"] == family),
                key=lambda record: record["evaluations"]["mean"],
            )
            spent = [record["evaluations"]["mean"] for record in found]
            front = family == "adaptive"
            style = {
                "color": colour, "marker": marker, "markersize": 11 if front else 5.5, "zorder": 3 if front else 2,
                "linewidth": 2.2 if front else 1.2,
            }  # fmt: skip
            for quantile, dashes, face in (("median", "-", colour), ("p99", "--", "white")):
                errors = [record["error"][quantile] for record in found]
                axis.plot(spent, errors, linestyle=dashes, markerfacecolor=face, **style)
        axis.axhline(model["reference"]["check"]["p99"], color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(name, loc="left", fontsize=11)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks([5, 10, 20, 50, 100], labels=["5", "10", "20", "50", "100"])
        axis.minorticks_off()
        axis.grid(True, color="0.9", linewidth=0.6)
    for axis in axes.flat[len(models) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("evaluations a review, mean")
    for axis in axes[:, 0]:
        axis.set_ylabel("relative L1 error of the attributions")
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=10 if family == "adaptive" else 6, label=name)
        for family, (name, _, colour, marker) in FAMILIES.items()
    ]
    handles += [
        Line2D([], [], color="0.3", marker="o", label="median"),
        Line2D([], [], color="0.3", marker="o", markerfacecolor="white", linestyle="--", label="99% quantile"),
        Line2D([], [], color="grey", linestyle=":", linewidth=0.8, label="99% quantile of the reference's own check"),
    ]
    figure.suptitle(f"Integrated gradients of {data['rows']} IMDB reviews: error against evaluations", fontsize=12)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns + 1, fontsize=9, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
