"""Ema: the closed form, float32, swapped in and out without a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.models import Ema


def student() -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    module[0].requires_grad_(True).bias.requires_grad_(False)
    return module


def set_all(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(value)


def test_the_average_is_the_geometric_sum():
    module = student()
    set_all(module, 0.0)
    ema = Ema(module, decay=0.9)
    for _ in range(5):
        set_all(module, 1.0)
        ema.update()
    for name, value in ema.state_dict().items():
        expected = 5 if name == "num_updates" else 1 - 0.9**5
        torch.testing.assert_close(value.double(), torch.full_like(value.double(), expected), rtol=1e-6, atol=0)


def test_only_trainable_parameters_are_followed():
    # Not the frozen ones, nor integer buffers (num_batches_tracked must never be averaged).
    assert set(Ema(student(), 0.9).state_dict()) == {
        "0.weight", "1.weight", "1.bias", "2.weight", "2.bias", "num_updates"
    }  # fmt: skip


def test_decay_zero_is_the_raw_student():
    module = student()
    ema = Ema(module, 0.0)
    set_all(module, 0.3)
    ema.update()
    assert torch.equal(ema.state_dict()["2.weight"], module.get_parameter("2.weight").detach())


def test_swap_puts_the_average_in_and_the_student_back_bit_for_bit():
    module = student()
    ema = Ema(module, 0.9)
    before_training = {n: p.clone() for n, p in module.state_dict().items()}
    set_all(module, 1 / 3)
    trained = {n: p.clone() for n, p in module.state_dict().items()}
    identities = [id(p) for p in module.parameters()]
    with ema.swap():
        assert torch.equal(module.get_parameter("2.weight"), before_training["2.weight"])
        assert torch.equal(module.get_parameter("0.bias"), trained["0.bias"])  # frozen: left alone
    assert all(torch.equal(p, trained[n]) for n, p in module.state_dict().items())
    assert identities == [id(p) for p in module.parameters()]  # an optimiser still holds them


def test_swap_puts_the_student_back_after_an_error():
    module = student()
    ema = Ema(module, 0.9)
    set_all(module, 0.25)
    with pytest.raises(RuntimeError, match="inside"), ema.swap():
        raise RuntimeError("inside")
    assert (module.get_parameter("2.weight") == 0.25).all()


def test_bfloat16_students_are_averaged_in_float32():
    # In bfloat16, 1 + .001 (0 - 1) rounds back to 1, and the average would never move.
    module = nn.Linear(1, 1).bfloat16()
    set_all(module, 1.0)
    ema = Ema(module, 0.999)
    set_all(module, 0.0)
    for _ in range(100):
        ema.update()
    assert ema.state_dict()["weight"].item() == pytest.approx(0.999**100, rel=1e-5)


def test_state_survives_a_round_trip_and_is_a_copy():
    module = student()
    ema = Ema(module, 0.9)
    set_all(module, 2.0)
    ema.update()
    state = ema.state_dict()
    kept = {name: value.clone() for name, value in state.items()}
    again = Ema(student(), 0.9)
    again.load_state_dict(state)
    ema.update()
    assert all(torch.equal(state[name], kept[name]) for name in kept)
    assert again.num_updates == 1
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), kept.values(), strict=True))


def test_a_resumed_average_continues_bit_for_bit():
    def train(ema: Ema, module: nn.Module, steps: range) -> None:
        for step in steps:
            set_all(module, 1 / (step + 1))
            ema.update()

    module = student()
    straight = Ema(module, 0.97)
    train(straight, module, range(10))
    other = student()
    first = Ema(other, 0.97)
    train(first, other, range(4))
    second = Ema(other, 0.97)
    second.load_state_dict(first.state_dict())
    train(second, other, range(4, 10))
    for a, b in zip(straight.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("2.bias"), "lack parameter '2.bias'"),
        (lambda s: s.update(extra=torch.zeros(1)), "have the unknown parameter 'extra'"),
        (lambda s: s.update({"2.bias": torch.zeros(5)}), r"'2.bias' is \(2,\) here, \(5,\) in the weights"),
    ],
)
def test_the_state_of_another_student_is_refused(change, message):
    ema = Ema(student(), 0.9)
    state = ema.state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        ema.load_state_dict(state)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"at least 0 and below 1"):
        Ema(student(), decay)


def test_nothing_to_average_is_refused():
    with pytest.raises(ValueError, match="no trainable parameter"):
        Ema(student().requires_grad_(False), 0.9)
