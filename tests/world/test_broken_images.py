"""Images that are broken: all of them found, none of the others moved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.world.broken import BREAK, cut, file_of, image_folder
from workbench.data import ImageFolder
from workbench.data.soundness import find_flaws


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, set[str]]:
    folder = image_folder(tmp_path / "images", 300)
    for index, damage in BREAK.items():
        damage(file_of(folder, index))
    return folder, {file_of(folder, index).name for index in BREAK}


def test_every_broken_file_is_found_and_no_other(damaged: tuple[Path, set[str]]) -> None:
    folder, broken = damaged
    source = ImageFolder(str(folder), size=16)
    flaws = find_flaws(source.image_files())
    assert {flaw.name for flaw in flaws} == broken
    assert all(flaw.reason and "\n" not in flaw.reason and not flaw.lost for flaw in flaws)
    for index in BREAK:  # what the training would have met, one at a time
        with pytest.raises(ValueError, match=f"{index:04}.*not a readable image"):
            source.images([index])


def test_a_file_that_cannot_be_opened_is_no_broken_image(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images", 4)
    file_of(folder, 1).unlink()
    (folder / "0001.png").symlink_to("gone.png")
    (flaw,) = find_flaws(ImageFolder(str(folder), size=16).image_files())
    assert flaw.name == "0001.png" and flaw.lost


def test_what_was_sound_is_not_read_again_until_it_changes(tmp_path: Path) -> None:
    folder, cache = image_folder(tmp_path / "images", 12), tmp_path / "cache"
    files = ImageFolder(str(folder), size=16).image_files()
    assert find_flaws(files, cache) == []
    file = file_of(folder, 5)
    before, status = file.read_bytes(), file.stat()
    file.write_bytes(b"\0" * len(before))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find_flaws(files, cache) == [], "same path, size and time: it was not opened"
    assert [flaw.name for flaw in find_flaws(files)] == [file.name]
    os.utime(file)
    assert [flaw.name for flaw in find_flaws(files, cache)] == [file.name]
    assert [flaw.name for flaw in find_flaws(files, cache)] == [file.name], "a broken one is never remembered as sound"
    file.write_bytes(before)
    assert find_flaws(files, cache) == []
    for memory in cache.iterdir():
        memory.write_text("[[")
    assert find_flaws(files, cache) == [], "a memory that cannot be read is none"


def test_the_other_images_keep_their_indices(damaged: tuple[Path, set[str]], tmp_path: Path) -> None:
    folder, broken = damaged
    sound = ImageFolder(str(image_folder(tmp_path / "sound", 300)), size=16)
    source = ImageFolder(str(folder), size=16, quarantine=tuple(sorted(broken)))
    assert len(source) == 300 and not set(source.image_files()) & broken
    assert find_flaws(source.image_files()) == []
    kept = [i for i in range(300) if i not in BREAK]
    assert torch.equal(source.images(kept), sound.images(kept))
    assert source.captions(kept) == sound.captions(kept)
    # the next sound one of the same parity, which is what an evaluation divides by; the last ones go on at the front
    stands = {3: 5, 58: 60, 121: 123, 199: 201, 200: 202, 299: 1}
    assert torch.equal(source.images(list(stands)), sound.images(list(stands.values())))
    assert source.captions(list(stands)) == sound.captions(list(stands.values()))


def test_a_removed_file_keeps_its_place(damaged: tuple[Path, set[str]]) -> None:
    folder, broken = damaged
    first = ImageFolder(str(folder), size=16, quarantine=tuple(sorted(broken)))
    everything = first.images(range(300))
    for name in broken:
        (folder / name).unlink()
    again = ImageFolder(str(folder), size=16, quarantine=tuple(sorted(broken)))
    assert len(again) == 300 and torch.equal(again.images(range(300)), everything)


def test_neighbours_and_the_last_of_a_parity(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images", 5)
    names = [file_of(folder, i).name for i in range(5)]
    source = ImageFolder(str(folder), size=16, quarantine=(names[1], names[2], names[3]))
    assert source.captions(range(5)) == [f"number {i}" for i in (0, 4, 4, 4, 4)]
    cut(file_of(folder, 0))
    with pytest.raises(ValueError, match="every image"):
        ImageFolder(str(folder), size=16, quarantine=tuple(names))
