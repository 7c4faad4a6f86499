"""Students: they start as their teacher, train what they say, and save that alone."""

from __future__ import annotations

import pytest
import torch

from tests.diffusion.processes import concrete_subclasses
from tests.tiny import make_tiny_teacher
from workbench.models import (
    FullStudent,
    LoRAStudent,
    StudentKind,
    Teacher,
    UNetDenoiser,
    load_teacher,
    load_trainable_state,
    trainable_state,
)

KINDS: list[StudentKind] = [
    FullStudent(),
    LoRAStudent(rank=2),
    LoRAStudent(rank=4, alpha=8.0, target_modules=("to_q",)),
]
EVERY = pytest.mark.parametrize("kind", KINDS, ids=repr)


def predict(denoiser: UNetDenoiser, teacher: Teacher) -> torch.Tensor:
    x = torch.randn(2, *teacher.latent_shape, generator=torch.Generator().manual_seed(0))
    return denoiser(x, torch.tensor([1000, 300]), teacher.encode_text(["a red dress", "a boot"])).x0


def train(student: UNetDenoiser, teacher: Teacher, updates: int = 2) -> None:
    optimiser = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(updates):  # two: at first a LoRA's B is zero, and its A has no gradient
        optimiser.zero_grad()
        predict(student, teacher).square().mean().backward()
        optimiser.step()


def test_every_kind_is_tested():
    assert {type(kind) for kind in KINDS} == concrete_subclasses(StudentKind)


@EVERY
def test_a_student_starts_as_its_teacher_bit_for_bit(kind, tiny_teacher):
    student = kind.make(tiny_teacher)
    assert student.training and student.process is tiny_teacher.process
    assert student.prediction_type == tiny_teacher.denoiser.prediction_type
    assert torch.equal(predict(student, tiny_teacher), predict(tiny_teacher.denoiser, tiny_teacher))


@EVERY
def test_training_moves_the_student_and_never_the_teacher(kind, tiny_teacher):
    before = {n: p.clone() for n, p in tiny_teacher.denoiser.state_dict().items()}
    answer = predict(tiny_teacher.denoiser, tiny_teacher)
    student = kind.make(tiny_teacher)
    started = trainable_state(student)
    train(student, tiny_teacher)
    moved = trainable_state(student)
    assert all(not torch.equal(moved[n], started[n]) for n in started if moved[n].numel() > 16)
    assert not torch.equal(predict(student, tiny_teacher), answer)
    assert all(torch.equal(p, before[n]) for n, p in tiny_teacher.denoiser.state_dict().items())
    assert torch.equal(predict(tiny_teacher.denoiser, tiny_teacher), answer)
    assert not any(p.requires_grad for p in tiny_teacher.denoiser.parameters())
    assert not tiny_teacher.denoiser.training


@EVERY
def test_what_was_trained_is_all_that_must_be_saved(kind, tiny_teacher):
    student = kind.make(tiny_teacher)
    train(student, tiny_teacher)
    again = kind.make(tiny_teacher)
    load_trainable_state(again, trainable_state(student))
    assert torch.equal(predict(again, tiny_teacher), predict(student, tiny_teacher))


def test_a_full_student_saves_everything_and_a_lora_its_adapter_alone(tiny_teacher):
    everything = trainable_state(FullStudent().make(tiny_teacher))
    assert {n.removeprefix("unet.") for n in everything} == set(dict(tiny_teacher.denoiser.unet.named_parameters()))
    adapter = trainable_state(LoRAStudent(rank=2).make(tiny_teacher))
    assert adapter and all("lora_" in name for name in adapter)
    assert sum(p.numel() for p in adapter.values()) < 0.05 * sum(p.numel() for p in everything.values())
    for state in (everything, adapter):  # fit for safetensors
        assert all(p.is_contiguous() and not p.requires_grad and p.device.type == "cpu" for p in state.values())


def test_a_lora_shares_its_base_with_the_teacher_and_a_full_student_does_not(tiny_teacher):
    base = {p.data_ptr() for p in tiny_teacher.denoiser.parameters()}
    lora = {p.data_ptr() for p in LoRAStudent(rank=2).make(tiny_teacher).parameters() if not p.requires_grad}
    full = {p.data_ptr() for p in FullStudent().make(tiny_teacher).parameters()}
    assert base == lora and not base & full


def test_two_students_of_one_teacher_do_not_meet(tiny_teacher):
    one, two = LoRAStudent(rank=2).make(tiny_teacher), LoRAStudent(rank=2).make(tiny_teacher)
    before = trainable_state(two)
    train(one, tiny_teacher)
    assert all(torch.equal(p, before[n]) for n, p in trainable_state(two).items())


def test_the_adapter_is_one_that_diffusers_loads(tiny_teacher, tmp_path):
    student = LoRAStudent(rank=2, alpha=4.0).make(tiny_teacher)
    train(student, tiny_teacher)
    student.unet.save_lora_adapter(tmp_path)
    plain = FullStudent().make(tiny_teacher)
    plain.unet.load_lora_adapter(tmp_path, prefix=None, use_safetensors=True)
    torch.testing.assert_close(predict(plain, tiny_teacher), predict(student, tiny_teacher), rtol=1e-4, atol=1e-4)


@EVERY
def test_students_of_a_bfloat16_teacher_train_in_float32(kind, tmp_path):
    teacher = load_teacher(make_tiny_teacher(tmp_path)).to(dtype=torch.bfloat16)
    student = kind.make(teacher)
    train(student, teacher)
    assert {p.dtype for p in student.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in teacher.denoiser.parameters()} == {torch.bfloat16}


@EVERY
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(min(s)), "lack parameter"),
        (lambda s: s.update(extra=torch.zeros(1)), "have the unknown parameter 'extra'"),
        (lambda s: s.update({min(s): torch.zeros(1, 7)}), r"\(1, 7\) in the weights"),
    ],
)
def test_weights_of_another_student_are_refused(kind, change, message, tiny_teacher):
    student = kind.make(tiny_teacher)
    state = trainable_state(student)
    change(state)
    with pytest.raises(ValueError, match=message):
        load_trainable_state(student, state)


def test_a_lora_without_targets_or_rank_is_refused(tiny_teacher):
    with pytest.raises(ValueError, match=r"target_modules \['nope'\].*not found"):
        LoRAStudent(target_modules=("nope",)).make(tiny_teacher)
    with pytest.raises(ValueError, match="rank >= 1 and alpha > 0, got 0"):
        LoRAStudent(rank=0)
    assert LoRAStudent(target_modules=["to_q"]) == LoRAStudent(target_modules=("to_q",))  # type: ignore[arg-type]
