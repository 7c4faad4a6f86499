import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from tests.metrics.fakes import PixelMeans, random_images
from workbench.metrics import reference_statistics
from workbench.metrics.cache import cached


def counting(calls: list[int]) -> dict[str, torch.Tensor]:
    calls.append(1)
    return {"x": torch.arange(4.0)}


def test_the_second_call_reads(tmp_path: Path) -> None:
    calls: list[int] = []
    first = cached("thing", {"a": 1, "b": [2]}, lambda: counting(calls), tmp_path)
    second = cached("thing", {"b": [2], "a": 1}, lambda: counting(calls), tmp_path)
    assert len(calls) == 1 and torch.equal(first["x"], second["x"])
    cached("thing", {"a": 2, "b": [2]}, lambda: counting(calls), tmp_path)
    assert len(calls) == 2


def test_a_cut_file_is_made_again_at_every_length(tmp_path: Path) -> None:
    calls: list[int] = []
    cached("thing", {"a": 1}, lambda: counting(calls), tmp_path)
    (path,) = tmp_path.glob("thing-*.safetensors")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match="unusable and is made again"):
            found = cached("thing", {"a": 1}, lambda: counting(calls), tmp_path)
        assert torch.equal(found["x"], torch.arange(4.0))
        assert path.read_bytes() == whole


def test_a_file_under_another_keys_name_is_not_believed(tmp_path: Path) -> None:
    calls: list[int] = []
    cached("thing", {"a": 1}, lambda: counting(calls), tmp_path)
    cached("thing", {"a": 2}, lambda: {"x": torch.zeros(1)}, tmp_path)
    one, two = sorted(tmp_path.glob("thing-*.safetensors"))
    one.write_bytes(two.read_bytes())
    with pytest.warns(UserWarning, match="something else than its name says"):
        found = [cached("thing", {"a": key}, lambda: counting(calls), tmp_path)["x"] for key in (1, 2)]
    assert [len(x) for x in found] in ([4, 1], [4, 4])  # whichever of the two was overwritten is made again


def test_a_failed_making_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, torch.Tensor]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached("thing", {"a": 1}, fail, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def _slow(folder: Path) -> None:
    def make() -> dict[str, torch.Tensor]:
        with open(folder / "made", "a") as file:
            file.write("x")
        time.sleep(0.3)
        return {"x": torch.ones(1)}

    cached("thing", {"a": 1}, make, folder)


def test_of_several_processes_one_makes_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_slow, args=(tmp_path,)) for _ in range(4)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    assert [p.exitcode for p in processes] == [0] * 4
    assert (tmp_path / "made").read_text() == "x"


def test_reference_is_bit_equal_in_any_order_and_keyed_by_pixels(tmp_path: Path) -> None:
    images = random_images(23)
    extractor = PixelMeans()
    first = reference_statistics(images, extractor, tmp_path / "a")
    shuffled = images[torch.randperm(23, generator=torch.Generator().manual_seed(1))]
    assert torch.equal(reference_statistics(shuffled, extractor, tmp_path / "b").features, first.features)
    names = [[p.name for p in (tmp_path / f).glob("*.safetensors")] for f in "ab"]
    assert names[0] == names[1] and len(names[0]) == 1
    seen = extractor.images_seen
    reference_statistics(shuffled, extractor, tmp_path / "a")
    assert extractor.images_seen == seen  # read, not computed
    images[5, 0, 0, 0] ^= 1
    reference_statistics(images, extractor, tmp_path / "a")
    assert extractor.images_seen > seen  # one changed pixel is another data set


def test_hash_seed_changes_no_bit(tmp_path: Path) -> None:
    code = "from tests.metrics.test_measurement import measure; print(sorted(measure().items()))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "WORKBENCH_CACHE": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] and "FD[judge]" in runs[0]


def test_an_intact_cache_gives_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            cached("thing", {"a": 1}, lambda: {"x": torch.ones(1)}, tmp_path)
