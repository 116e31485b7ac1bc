from __future__ import annotations

import subprocess
import sys

import pytest

from ig_worker.errors import UsageError
from ig_worker.insight.heat.colour import NEUTRAL, PALETTES, STEPS, colours, contrast, levels, swatches

DARK = (0.1, 0.1, 0.12)


def rgb(css: str) -> tuple[float, float, float]:
    return int(css[1:3], 16) / 255, int(css[3:5], 16) / 255, int(css[5:7], 16) / 255


def test_levels_are_scaled_by_the_reviews_own_largest_value():
    assert levels([0.5, -1.0, 0.25, 0.0]).tolist() == [STEPS // 2, -STEPS, STEPS // 4, 0]
    assert levels([0.0005, -0.001]).tolist() == levels([5, -10]).tolist()


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [float("nan")], [float("inf"), 0.0]])
def test_without_finite_attributions_nothing_is_coloured(values):
    assert colours(values) == [NEUTRAL] * len(values)


def test_a_value_that_is_not_finite_does_not_hide_the_others():
    assert levels([float("nan"), 1.0, -0.5]).tolist() == [0, STEPS, -STEPS // 2]


def test_positive_is_green_and_negative_pink():
    for_it, against = (rgb(swatch.background) for swatch in colours([1.0, -1.0]))
    assert for_it[1] > max(for_it[0], for_it[2])
    assert against[1] < min(against[0], against[2])


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("surface", [None, DARK])
def test_text_is_readable_on_every_shade(palette, surface):
    shades = swatches(palette, surface)
    assert sorted(shades) == list(range(-STEPS, STEPS + 1))
    for level, swatch in shades.items():
        if level:
            assert contrast(rgb(swatch.background), rgb(swatch.text)) >= 4.5


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("surface", [None, DARK])
def test_stronger_attributions_stand_out_more(palette, surface):
    page = surface or (1.0, 1.0, 1.0)
    shades = swatches(palette, surface)
    for sign in (-1, 1):
        ratios = [contrast(rgb(shades[sign * level].background), page) for level in range(1, STEPS + 1)]
        assert ratios == sorted(ratios)


def test_an_unknown_palette_is_refused_with_those_that_exist():
    with pytest.raises(UsageError, match=r"jet.*PiYG, PuOr, RdBu"):
        swatches("jet")


def test_importing_the_report_imports_no_matplotlib():
    code = "import sys, ig_worker.insight.report.write; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
