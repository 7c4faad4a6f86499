"""The configuration of one training run: typed groups, plug-ins by class name, overrides by dotted key.

    resolve(base, overrides) -> dict       every default filled in, everything checked; what a run folder stores
    instantiate(resolved)    -> Config     the objects
    dump(resolved, path)

The grammar, the same in a YAML file, in a sweep's levels and on the command line:

    train.batch_size: 8                                     a setting
    model.trajectory: Forward                               another plug-in, with its defaults
    model.trajectory: {class_path: Backward, states: all}   another plug-in, with arguments (or under init_args)
    model.losses.reconstruction.target.shift.factor: 0.6    an argument of the plug-in that is there
    model.losses.reconstruction: {weight: 2}                several arguments of the plug-in that is there
    model.losses.adversarial: Adversarial                   one more loss, under a name
    model.losses.adversarial: null                          one loss less

Overrides are applied in their order. on / off / yes / no mean booleans where a boolean is wanted, else they are words.
"""

from __future__ import annotations

from workbench.config.classes import allow_plugins, catalogue, known
from workbench.config.errors import ConfigError
from workbench.config.reading import load_yaml, parse_yaml
from workbench.config.resolving import dump, instantiate, resolve, to_yaml, training_part
from workbench.config.tree import Config, EmaConfig, EvaluationConfig, ModelConfig, TeacherConfig, TrainConfig

__all__ = [
    "Config",
    "ConfigError",
    "EmaConfig",
    "EvaluationConfig",
    "ModelConfig",
    "TeacherConfig",
    "TrainConfig",
    "allow_plugins",
    "catalogue",
    "dump",
    "instantiate",
    "known",
    "load_yaml",
    "parse_yaml",
    "resolve",
    "to_yaml",
    "training_part",
]
