"""The configuration: the grammar of overrides, what a person writes, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.config import ConfigError, catalogue, dump, instantiate, load_yaml, resolve, training_part
from workbench.config import classes as module
from workbench.distill import Adversarial, Backward, Forward, IdentityShift, Reconstruction, ScaleShift, TeacherTarget

ROOT = Path(__file__).parents[2]
TARGET = "model.losses.reconstruction.target"


def at(resolved: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        if "class_path" in resolved and part != "class_path":
            resolved = resolved["init_args"]
        resolved = resolved[part]
    return resolved


def test_the_base_file_writes_out_the_defaults() -> None:
    """Every setting stands in it, at its default: reading it is reading the documentation."""
    base = ROOT / "sweeps" / "base" / "wardrobe.yaml"
    assert resolve(base) == resolve({})

    def keys(value: Any, where: str = "") -> set[str]:
        if not isinstance(value, dict) or "class_path" in value:
            return {where}
        return {key for name, item in value.items() for key in keys(item, f"{where}.{name}")}

    assert keys(load_yaml(base)) >= keys({k: v for k, v in resolve({}).items() if k != "model"})


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"model.trajectory": "Forward", "train.batch_size": 8},
        {"model.losses.adversarial": {"class_path": "Adversarial", "real": "TeacherTarget", "last_steps": 1}},
        {f"{TARGET}.guidance": [1, 3], f"{TARGET}.shift": {"class_path": "TableShift", "times": [9], "levels": [5]}},
        {"model.grid": {"class_path": "ExplicitGrid", "times": [1000, 500]}, "model.num_steps": 2},
        {"model.student": {"class_path": "LoRAStudent", "rank": 4}, "evaluation.solver": "Heun"},
    ],
    ids=str,
)
def test_resolving_is_idempotent_and_survives_a_file(overrides: dict, tmp_path: Path) -> None:
    resolved = resolve({}, overrides)
    assert resolve(resolved) == resolved
    dump(resolved, tmp_path / "config.yaml")
    assert load_yaml(tmp_path / "config.yaml") == resolved
    (tmp_path / "sorted.yaml").write_text(yaml.safe_dump(resolved, sort_keys=True))
    again = resolve(tmp_path / "sorted.yaml")
    assert again == resolved and list(again["model"]["losses"]) == list(resolved["model"]["losses"])
    instantiate(resolved)


class TestOverrides:
    def test_a_name_alone_is_another_class_with_its_defaults(self) -> None:
        config = instantiate(resolve({}, {"model.trajectory": "Forward", f"{TARGET}.shift": "IdentityShift"}))
        assert config.model.trajectory == Forward()
        loss = config.model.losses["reconstruction"]
        assert isinstance(loss, Reconstruction) and isinstance(loss.target, TeacherTarget)
        assert loss.target.shift == IdentityShift()

    @pytest.mark.parametrize(
        "value",
        [{"class_path": "Backward", "states": "all"}, {"class_path": "Backward", "init_args": {"states": "all"}},
         {"class_path": "workbench.distill.trajectories.backward.Backward", "states": "all"}],
    )  # fmt: skip
    def test_arguments_stand_in_init_args_or_beside_the_class(self, value: dict) -> None:
        resolved = resolve({}, {"model.trajectory": value})
        expected = {"class_path": "Backward", "init_args": {"states": "all", "power": 0.0}}
        assert resolved["model"]["trajectory"] == expected

    def test_an_argument_deep_down_changes_nothing_else(self) -> None:
        resolved, before = resolve({}, {f"{TARGET}.shift.factor": 0.6}), resolve({})
        assert at(resolved, f"{TARGET}.shift.factor") == 0.6
        at(before, f"{TARGET}.shift")["init_args"]["factor"] = 0.6
        assert resolved == before
        with_words = resolve({}, {"model.losses.reconstruction.init_args.target.init_args.shift.init_args.factor": 0.6})
        assert with_words == resolved

    def test_a_mapping_without_a_class_changes_what_is_there(self) -> None:
        resolved = resolve(
            {}, {"model.losses.reconstruction": {"weight": 2, "target.steps": 3}, "train": {"threads": 1}}
        )
        assert at(resolved, "model.losses.reconstruction.weight") == 2.0 and at(resolved, f"{TARGET}.steps") == 3
        assert at(resolved, f"{TARGET}.shift.factor") == 0.7 and resolved["train"]["batch_size"] == 32

    def test_a_loss_is_added_changed_and_removed_by_name_in_order(self) -> None:
        added = resolve({}, {"model.losses.adversarial": "Adversarial", "model.losses.adversarial.weight": 0.5})
        loss = instantiate(added).model.losses["adversarial"]
        assert isinstance(loss, Adversarial) and loss.weight == 0.5
        assert resolve(added, {"model.losses.adversarial": None}) == resolve({})
        with pytest.raises(ConfigError, match=r"switched off\.* Switch it on first"):
            resolve({}, {"model.losses.adversarial.weight": 0.5})
        swapped = {"model.losses.adversarial": "Adversarial", "model.losses.reconstruction": None}
        assert list(resolve({}, swapped)["model"]["losses"]) == ["adversarial"]

    def test_a_later_override_meets_the_class_that_an_earlier_one_put_there(self) -> None:
        overrides = {f"{TARGET}.shift": "OffsetShift", f"{TARGET}.shift.offset": -0.2}
        assert at(resolve({}, overrides), f"{TARGET}.shift.offset") == -0.2
        loss = {"class_path": "Adversarial", "init_args": {"weight": 0.5}}  # with some of its arguments
        written = resolve({}, {"model.losses.a": loss, "model.losses.a.width": 8, "model.losses.a.game": "Hinge"})
        assert at(written, "model.losses.a.width") == 8 and at(written, "model.losses.a.weight") == 0.5
        with pytest.raises(ConfigError, match="no argument of OffsetShift 'factor'"):
            resolve({}, {f"{TARGET}.shift": "OffsetShift", f"{TARGET}.shift.factor": 0.2})

    def test_words_for_booleans_and_one_value_for_a_list(self) -> None:
        resolved = resolve({}, {"model.sampler.noise_correction": "off", "model.num_steps": 3})
        assert at(resolved, "model.sampler.noise_correction") is False and resolved["model"]["num_steps"] == [3]

    def test_evaluation_is_no_part_of_the_training(self) -> None:
        one, three = resolve({}), resolve({}, {"evaluation.num_inference_steps": 1})
        assert one != three and training_part(one) == training_part(three)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({f"{TARGET}.shift": "ScaelShift"}, ["target.shift: no ShiftSchedule 'ScaelShift'", "mean ScaleShift?"]),
        ({f"{TARGET}.shift.facto": 1}, ["target.shift.facto", "argument of ScaleShift", "Did you mean factor?"]),
        ({"modle.trajectory": "Forward"}, ["no setting 'modle'", "Did you mean model?"]),
        ({"modle": {}}, ["no setting 'modle'", "Did you mean model?"]),
        ({"train.bach_size": 3}, ["train.bach_size", "Did you mean batch_size?"]),
        ({"model.trajectory": "forward"}, ["Did you mean Forward?"]),
        ({"train.batch_size": "many"}, ["train.batch_size", "int is wanted", "many"]),
        ({"train.batch_size": 2.5}, ["train.batch_size", "int is wanted", "2.5"]),
        ({"train.learning_rate": True}, ["train.learning_rate", "a number is wanted"]),
        ({"model.losses.reconstruction.weight": "big"}, ["model.losses.reconstruction.weight", "float is wanted"]),
        ({f"{TARGET}.guidance": "x"}, [f"{TARGET}.guidance", "one of float", "null"]),
        ({"model.trajectory.states": "some"}, ["model.trajectory.states", "'one', 'all'", "some"]),
        ({f"{TARGET}.shift.factor": 1.2}, [f"{TARGET}.shift: ScaleShift factor", "1.2", "OffsetShift"]),
        ({"model.losses.reconstruction": None}, ["no loss is left"]),
        ({"model.trajectory": None}, ["model.trajectory", "a Trajectory is wanted", "Backward"]),
        ({"train": 3}, ["train", "a group of settings"]),
        ({"train.batch_size.x": 3}, ["train.batch_size is 32, which has no parts"]),
        ({"train.devices": 3}, ["train.batch_size", "cannot be split over 3", "multiple of 3"]),
        ({"train.student_updates": 0}, ["train.student_updates", "at least 1", "0"]),
        ({"train.learning_rate": 0}, ["train.learning_rate", "above 0"]),
        ({"model.num_steps": []}, ["model.num_steps"]),
        ({"model.ema.decay": 1}, ["model.ema.decay", "below 1"]),
        ({"data": {"class_path": "PromptFile", "path": "/no/such/file"}}, ["data", "/no/such/file"]),
        ({"model.grid": "ExplicitGrid"}, ["model.grid", "needs the argument 'times'"]),
        (
            {"model.losses.reconstruction": None, "model.losses.a": {"class_path": "Adversarial", "gradient_ratio": 1}},
            ["model.losses.a.gradient_ratio", "fixed weight"],
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_where_what_and_what_to_do(overrides: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({}, overrides)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400, message
    for word in words:
        assert word in message, message


def test_captions_only_are_refused_where_images_are_needed(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a red dress\n")
    data = {"data": {"class_path": "PromptFile", "path": str(tmp_path / "prompts.txt")}}
    resolve({}, data)  # Backward needs no image
    with pytest.raises(ConfigError, match=r"model\.trajectory: real images are needed"):
        resolve({}, {**data, "model.trajectory": "Forward"})
    with pytest.raises(ConfigError, match=r"model\.losses\.gan: real images are needed"):
        resolve({}, {**data, "model.losses.gan": "Adversarial"})
    resolve({}, {**data, "model.losses.gan": {"class_path": "Adversarial", "real": "TeacherTarget"}})


class TestYaml:
    def test_is_read_as_a_person_means_it(self) -> None:
        read = load_yaml("a: on\nb: 1e-4\nc: no\nd: true\ne: 1.5\nf: 3\ng: -.5\nh: ~")
        assert read == {"a": "on", "b": 1e-4, "c": "no", "d": True, "e": 1.5, "f": 3, "g": -0.5, "h": None}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: 1\na: 2", "stands twice"),
            ("- 1\n- 2", "must be a mapping"),
            ("a: [", "not valid YAML"),
            ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
            ("x: " + "y" * 1_000_001, "too many"),
            ("a: &a [1]\nb: [" + "*a, " * 100_000 + "*a]", "too many"),
            ("[" * 100_000, "nested more than 100 deep"),
        ],
        ids=lambda value: value[:20],
    )
    def test_is_refused_where_it_is_broken_or_hostile(self, text: str, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            load_yaml(text)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"nothing\.yaml.*cannot be read"):
            resolve(tmp_path / "nothing.yaml")

    def test_a_mistake_in_a_file_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("train: {batchsize: 3}")
        with pytest.raises(ConfigError, match=r"mine\.yaml: train\.batchsize"):
            resolve(tmp_path / "mine.yaml")


class TestPlugins:
    HOSTILE = ("os.system", "subprocess.Popen", "builtins.eval", "torch.load", "workbench.config.os.system",
    "no.such.Class",
               "pickle.loads", "workbench.distill.trajectories.forward.os")  # fmt: skip

    @pytest.mark.parametrize("path", HOSTILE)
    @pytest.mark.parametrize("key", ["model.trajectory", "data", f"{TARGET}.shift", "model.losses.x"])
    def test_no_class_path_leads_out_and_nothing_is_imported_for_it(self, path: str, key: str) -> None:
        before = set(sys.modules)
        with pytest.raises(ConfigError, match=r"not allowed|no [A-Z]\w+ "):
            resolve({}, {key: {"class_path": path, "init_args": {}}})
        assert set(sys.modules) == before

    def test_a_configuration_cannot_allow_its_own_module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine_plugin.py").write_text(
            "from dataclasses import dataclass\nfrom workbench.distill import ShiftSchedule\n\n\n"
            "@dataclass(frozen=True)\nclass HalfShift(ShiftSchedule):\n    by: float = 0.5\n\n"
            "    def level(self, t, process, timesteps):\n        return self.by * t\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        wanted = {"plugins": ["mine_plugin"]}
        with pytest.raises(ConfigError, match="--plugin mine_plugin"):
            resolve(wanted)
        assert "mine_plugin" not in sys.modules
        resolved = resolve(wanted, {f"{TARGET}.shift": {"class_path": "HalfShift", "by": 0.3}}, plugins=["mine_plugin"])
        assert at(resolved, f"{TARGET}.shift.class_path") == "mine_plugin.HalfShift"
        loss = instantiate(resolved).model.losses["reconstruction"]
        assert isinstance(loss, Reconstruction) and isinstance(loss.target, TeacherTarget)
        assert loss.target.shift.by == 0.3  # type: ignore[attr-defined]
        monkeypatch.setattr(module, "_allowed", set())

    def test_a_module_that_is_not_there(self) -> None:
        with pytest.raises(ConfigError, match="no_such_module"):
            resolve({}, plugins=["no_such_module"])


def test_every_class_of_the_catalogue_can_be_named() -> None:
    text = catalogue()
    for name in (
        "ScaleShift(factor=0.7)",
        "Backward(states='one', power=0.0)",
        "Adversarial(",
        "MixedNoise(rho=0.3)",
        "LoRAStudent(",
    ):
        assert name in text
    assert instantiate(resolve({})).model.trajectory == Backward()
    (target,) = instantiate(resolve({})).model.losses["reconstruction"].targets
    assert isinstance(target, TeacherTarget) and target.shift == ScaleShift()


def test_help_teaches_and_imports_no_torch() -> None:
    code = (
        "import sys; from workbench.train import main; code = main(['--help']);"
        "sys.exit(code or 10 * any(m in sys.modules for m in ('torch', 'lightning', 'yaml', 'jsonargparse')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("--model.losses.adversarial null", "--model.trajectory Forward", "STOP", "goes on"):
        assert word in done.stdout


class TestFilesThatBuildOnAnother:
    @staticmethod
    def write(folder: Path, **files: Any) -> Path:
        for name, content in files.items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return folder / f"{next(iter(files))}.yaml"

    def test_overrides_are_applied_from_the_bottom_up_and_the_command_line_last(self, tmp_path: Path) -> None:
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "bottom.yaml").write_text("train: {batch_size: 4, learning_rate: 2e-4}")
        top = self.write(
            tmp_path,
            top={"base": "middle.yaml", "set": {"model.trajectory.states": "all", "train.batch_size": 6}},
            middle={"base": "below/bottom.yaml", "set": {"model.trajectory": "Backward", "train.batch_size": 5}},
        )
        expected = {"train.batch_size": 6, "train.learning_rate": 2e-4, "model.trajectory.states": "all"}
        assert resolve(top) == resolve({}, expected)
        assert resolve(top, {"train.batch_size": 7}) == resolve({}, {**expected, "train.batch_size": 7})

    def test_a_file_without_a_base_is_read_as_ever(self, tmp_path: Path) -> None:
        assert resolve(self.write(tmp_path, alone={"train": {"batch_size": 4}})) == resolve({}, {"train.batch_size": 4})

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ({"base": "none.yaml"}, "there is no file"),
            ({"base": 3}, "a file is wanted, but got 3"),
            ({"base": "top.yaml"}, "without an end"),
            ({"base": "bottom.yaml", "train": {"batch_size": 3}}, "under set"),
            ({"base": "bottom.yaml", "set": [1]}, "dotted keys with their values"),
            ({"base": "bottom.yaml", "set": {"train.bach_size": 3}}, "Did you mean batch_size"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_one_line(self, tmp_path: Path, content: dict, says: str) -> None:
        top = self.write(tmp_path, top=content, bottom={})
        with pytest.raises(ConfigError, match=says) as error:
            resolve(top)
        assert "\n" not in str(error.value)
