"""Sheets: the picture that a label names is the one that stands there."""

import numpy as np
import pytest
import torch

from workbench.notebook.pictures import sheet


def plain(value):
    return torch.full((3, 5, 7), value)


def test_a_tile_stands_under_its_labels():
    tiles = [[plain(-1.0), plain(0.0), plain(1.0)], [plain(0.5), None, plain(-0.5)]]
    figure = sheet(tiles, ["above", "below"], ["left", "middle", "right"], "title")
    axes = figure.axes[0]
    canvas = np.asarray(axes.images[0].get_array())
    for i, (y, row) in enumerate(zip(axes.get_yticks(), tiles, strict=True)):
        for x, tile in zip(axes.get_xticks(), row, strict=True):
            shown = canvas[round(y), round(x)]
            expected = 255 if tile is None else round((float(tile[0, 0, 0]) + 1) * 127.5)
            assert abs(int(shown[0]) - expected) <= 1, (i, x)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["left", "middle", "right"]


def test_pixels_are_not_changed():
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    canvas = np.asarray(sheet([[image]], ["row"], ["column"], "title").axes[0].images[0].get_array())
    assert (canvas == image.permute(1, 2, 0).numpy()).all()


def test_out_of_range_is_clamped_not_wrapped():
    canvas = np.asarray(sheet([[plain(1.7), plain(-3.0)]], ["row"], ["a", "b"], "title").axes[0].images[0].get_array())
    assert canvas[0, 0, 0] == 255 and canvas[0, -1, 0] == 0


def test_labels_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="sheet: 2 x 1 labels for tiles of 1 rows"):
        sheet([[plain(0.0)]], ["a", "b"], ["c"], "title")
    with pytest.raises(ValueError, match="no image to show"):
        sheet([[None]], ["a"], ["c"], "title")
