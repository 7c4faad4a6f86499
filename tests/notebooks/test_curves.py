"""Curves from metrics.jsonl."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.project.tree import ROOT
from workbench.notebook.curves import plot_run, plot_runs, read_metrics, series, smooth

NAME = "distance/reconstruction"


def lines(*arguments, **options) -> Any:
    """The lines of the first panel."""
    figure = plot_runs(*arguments, **options)
    assert figure is not None
    return figure.axes[0].lines


def rows(values, t=1000):
    return [{"update": i + 1, "tick": i, "t": t, "num_steps": 3, NAME: value} for i, value in enumerate(values)]


def test_a_series_keeps_levels_apart_noisiest_first_and_leaves_out_what_was_not_finite():
    mixed = [*rows([1.0, None, 3.0], t=333), *rows([5.0], t=1000)]
    found = series(mixed, NAME)
    assert list(found) == [1000, 333]
    np.testing.assert_array_equal(found[333], ([1, 3], [1.0, 3.0]))


def test_a_running_mean_keeps_constants_lines_and_short_curves():
    np.testing.assert_allclose(smooth(np.full(40, 2.5)), 2.5)
    line = np.arange(40.0)
    np.testing.assert_allclose(smooth(line)[4:-4], line[4:-4])  # centred: no lag inside
    np.testing.assert_array_equal(smooth(np.array([3.0, 1.0])), [3.0, 1.0])  # too few to smooth


def test_an_arms_curve_is_the_mean_over_its_seeds():
    runs = {"arm": [rows([1.0] * 30), rows([3.0] * 30)], "base": [rows([7.0] * 30)]}
    drawn = {line.get_label(): line for line in lines(runs, NAME, "distance", baseline="base")}
    np.testing.assert_allclose(drawn["arm"].get_ydata(), 2.0)
    assert drawn["base"].get_color() == "black"


def test_a_seed_counts_only_where_all_have_been():
    short, long = rows([1.0] * 10), rows([3.0] * 30)
    (line,) = lines({"arm": [short, long]}, NAME, "distance")
    assert line.get_xdata().max() == 10


def test_a_level_that_seeds_visited_at_different_times_has_no_panel():
    early, late = rows([1.0] * 3, t=333), [{**row, "update": 20 + row["update"]} for row in rows([1.0] * 3, t=333)]
    figure = plot_runs({"arm": [early + rows([1.0] * 30), late + rows([1.0] * 30)]}, NAME, "distance")
    assert figure is not None and [axes.get_title() for axes in figure.axes] == ["t = 1000"]


def test_what_nobody_logged_has_no_figure():
    assert plot_runs({"arm": [rows([1.0])]}, "std_ratio/reconstruction", "ratio") is None
    assert plot_runs({}, NAME, "distance") is None


def test_a_run_that_logged_little_still_has_its_panels_and_says_what_is_missing():
    figure = plot_run(rows([0.3, 0.2, 0.1]))
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len([text for text in texts if "did not log" in text]) == 2  # spread and gap


def test_a_folder_without_metrics_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no metrics\.jsonl"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows([0.5])))
    assert read_metrics(tmp_path) == rows([0.5])


def test_reading_a_study_loads_no_torch():
    code = "import sys, workbench.notebook.curves, workbench.notebook.study; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
