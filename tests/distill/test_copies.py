"""Copies of the student: what they hold, what they cost, and that they follow it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.distill.copies import AverageKind, StageStartKind
from workbench.models import FullStudent, LoRAStudent


def flat(values: Any) -> Tensor:
    return torch.cat([value.detach().flatten() for value in values])


def jolt(student: Any, by: float = 0.01) -> None:
    with torch.no_grad():
        for p in student.parameters():
            if p.requires_grad:
                p += by


def at(teacher: Any) -> tuple[Tensor, Tensor, Tensor]:
    x_t = torch.randn(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    return x_t, torch.full((2,), 667), teacher.encode_text(["a", "b"])


KINDS = [FullStudent(), LoRAStudent(rank=2)]


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_an_average_is_the_recursion_and_predicts_as_a_student_with_those_weights(tiny_teacher: Any, kind: Any) -> None:
    student = kind.make(tiny_teacher)
    average = AverageKind(0.75).make(student)
    expected = flat(p for p in student.parameters() if p.requires_grad)
    for _ in range(3):
        jolt(student)
        average.after_update()
        expected = 0.75 * expected + 0.25 * flat(p for p in student.parameters() if p.requires_grad)
    torch.testing.assert_close(flat(average._weights.values()), expected)
    other = copy.deepcopy(student)
    with torch.no_grad():
        for name, p in other.named_parameters():
            if name in average._weights:
                p.copy_(average._weights[name])
    before = flat(student.parameters())
    there = average(*at(tiny_teacher))
    assert torch.equal(there.x0, other(*at(tiny_teacher)).x0.detach()) and not there.x0.requires_grad
    assert torch.equal(flat(student.parameters()), before)  # the student is untouched, and still has its own graph
    assert student(*at(tiny_teacher)).x0.requires_grad


def test_only_what_is_trained_is_copied(tiny_teacher: Any) -> None:
    student = LoRAStudent(rank=2).make(tiny_teacher)
    average = AverageKind(0.9).make(student)
    assert average._weights and all("lora" in name for name in average._weights)
    assert not StageStartKind().make(student)._weights  # nothing before the first stage has ended


def test_a_stage_keeps_the_student_that_it_began_with(tiny_teacher: Any) -> None:
    student = FullStudent().make(tiny_teacher)
    stage = StageStartKind().make(student)
    for number, is_there in ((0, False), (1, True), (1, True)):
        jolt(student)
        stage.begin(number)
        assert stage.is_there is is_there
    before_last = flat(student.parameters()) - 0.01
    torch.testing.assert_close(flat(stage._weights.values()), before_last)
    stage.begin(2)
    assert torch.equal(flat(stage._weights.values()), flat(student.parameters()))


@pytest.mark.parametrize("kind", [AverageKind(0.5), StageStartKind()], ids=repr)
def test_the_training_state_carries_weights_and_stage(tiny_teacher: Any, kind: Any, tmp_path: Any) -> None:
    student = FullStudent().make(tiny_teacher)
    one = kind.make(student)
    one.begin(1)
    jolt(student)
    one.after_update()
    torch.save(one.training_state(), tmp_path / "state")
    other = kind.make(student)
    other.load_training_state(torch.load(tmp_path / "state", weights_only=True))
    for copied in (one, other):
        copied.begin(1)  # the stage is known: nothing is taken again
        copied.after_update()
    assert torch.equal(flat(one._weights.values()), flat(other._weights.values()))


def test_it_follows_the_students_dtype(tiny_teacher: Any) -> None:
    student = FullStudent().make(tiny_teacher)
    average = AverageKind(0.5).make(student)
    student.double()
    average.begin(0)
    average.after_update()
    assert {value.dtype for value in average._weights.values()} == {torch.float64}
