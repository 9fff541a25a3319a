"""The loop over time steps that recurrent computations outside of layers can use."""

import pytest
import torch

from lasagne.utils import unroll_scan


def test_each_output_is_stacked():
    x, y = torch.arange(1.0, 5), torch.tensor([1.0, -1, 1, -1])

    def step(x, y, total, product, factor):
        return total + factor * x, product * y

    start = [torch.tensor(0.0), torch.tensor(1.0)]
    totals, products = unroll_scan(step, [x, y], start, [2], 4)
    assert totals.tolist() == [2, 6, 12, 20]
    assert products.tolist() == [1, -1, -1, 1]
    totals, _ = unroll_scan(step, (x, y), start, [2], 3, go_backwards=True)
    assert totals.tolist() == [6, 10, 12]


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: (x,)])
def test_a_single_sequence_and_output(wrap):
    x = torch.randn(3, 2, requires_grad=True)
    outputs = unroll_scan(lambda x, h: wrap(x + h), x, [torch.zeros(2)], [], 3)
    assert isinstance(outputs, list)
    assert len(outputs) == 1
    torch.testing.assert_close(outputs[0], x.cumsum(0))
    outputs[0].sum().backward()
    assert x.grad[:, 0].tolist() == [3, 2, 1]


def test_what_is_given_is_not_changed():
    start, constants = [torch.zeros(())], [torch.ones(())]
    unroll_scan(lambda x, h, c: x + h + c, [torch.arange(3)], start, constants, 3)
    assert start == [0]
    assert constants == [1]


def test_errors():
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 1, got 0"):
        unroll_scan(torch.add, torch.zeros(3), [torch.zeros(())], [], 0)
    with pytest.raises(TypeError, match="n_steps must be an integer of at least 1, got None"):
        unroll_scan(torch.add, torch.zeros(3), [torch.zeros(())], [], None)
