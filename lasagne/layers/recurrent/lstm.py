"""Long short-term memory."""

# Initialisers and gates keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming, Nonlinearity, check_nonlinearity
from lasagne.layers.recurrent.base import Initial, grad_clip
from lasagne.layers.recurrent.gates import BaseGatedLayer, Gate

__all__ = ["LSTMLayer"]


class LSTMLayer(BaseGatedLayer):
    r"""A layer of long short-term memory, with optional peepholes.

    With the gates' nonlinearities :math:`\sigma` and elementwise products :math:`\odot`:

    .. math::

        i_t &= \sigma_i(x_t W_{xi} + h_{t-1} W_{hi} + w_{ci} \odot c_{t-1} + b_i)\\
        f_t &= \sigma_f(x_t W_{xf} + h_{t-1} W_{hf} + w_{cf} \odot c_{t-1} + b_f)\\
        c_t &= f_t \odot c_{t-1} + i_t \odot \sigma_c(x_t W_{xc} + h_{t-1} W_{hc} + b_c)\\
        o_t &= \sigma_o(x_t W_{xo} + h_{t-1} W_{ho} + w_{co} \odot c_t + b_o)\\
        h_t &= o_t \odot \sigma_h(c_t)

    Parameters are called ``W_in_to_<gate>``, ``W_hid_to_<gate>`` and ``b_<gate>``, where the gates
    are ingate, forgetgate, cell and outgate, ``W_cell_to_<gate>`` for the peepholes, and
    ``cell_init`` and ``hid_init``.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, time, and features). The
        features are flattened.
    num_units : int
        Number of units.
    ingate, forgetgate, outgate : Gate
        The gates' parameters.
    cell : Gate, default Gate(W_cell=None, nonlinearity=tanh)
        The parameters of what is added to the cells; it has no peephole.
    nonlinearity : callable or None, default tanh
        Applied to the cells for the output; None is linear.
    cell_init, hid_init : Layer, initialiser, array or Tensor, default Constant(0)
        The cells and the output before the first step: a layer of shape (batch, num_units), or a
        parameter of shape (1, num_units).
    backwards : bool, default False
        Whether to read the sequence from its end.
    learn_init : bool, default False
        Whether `cell_init` and `hid_init`, if they are not layers, are trained.
    peepholes : bool, default True
        Whether the gates see the cells.
    gradient_steps : int, default -1
        Over how many steps gradients are propagated back; -1 for all.
    grad_clipping : float, default 0
        If not 0, what the pre-activations' gradients (before peepholes are added) are clipped to.
    unroll_scan : bool, default False
        Without effect, but checked.
    precompute_input : bool, default True
        Whether to multiply the inputs of all time steps at once.
    mask_input : Layer or tuple, optional
        The mask, of shape (batch, time): where it is 0, cells and output stay as they are.
    only_return_final : bool, default False
        Whether to return the output of the last step read only.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `peepholes` is true and a gate's `W_cell` is None, or for the reasons of
        :class:`BaseRecurrentLayer`, which says more on the options.

    References
    ----------
    Sepp Hochreiter and Jürgen Schmidhuber (1997): Long short-term memory. Neural Computation 9(8).

    Felix Gers, Nicol Schraudolph and Jürgen Schmidhuber (2002): Learning precise timing with LSTM
    recurrent networks. JMLR 3.

    Alex Graves (2014): Generating sequences with recurrent neural networks.
    https://arxiv.org/abs/1308.0850
    """

    STATES: ClassVar[tuple[str, ...]] = ("cell_init", "hid_init")
    GATES: ClassVar[tuple[str, ...]] = ("ingate", "forgetgate", "cell", "outgate")

    W_cell_to_ingate: Tensor
    W_cell_to_forgetgate: Tensor
    W_cell_to_outgate: Tensor

    def __init__(
        self,
        incoming: Incoming,
        num_units: int,
        ingate: Gate = Gate(),
        forgetgate: Gate = Gate(),
        cell: Gate = Gate(W_cell=None, nonlinearity=nonlinearities.tanh),
        outgate: Gate = Gate(),
        nonlinearity: Nonlinearity | None = nonlinearities.tanh,
        cell_init: Initial = init.Constant(0.0),
        hid_init: Initial = init.Constant(0.0),
        backwards: bool = False,
        learn_init: bool = False,
        peepholes: bool = True,
        gradient_steps: int = -1,
        grad_clipping: float = 0,
        unroll_scan: bool = False,
        precompute_input: bool = True,
        mask_input: Incoming | None = None,
        only_return_final: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            incoming,
            num_units,
            {"hid_init": hid_init, "cell_init": cell_init},
            backwards=backwards,
            learn_init=learn_init,
            gradient_steps=gradient_steps,
            grad_clipping=grad_clipping,
            unroll_scan=unroll_scan,
            precompute_input=precompute_input,
            mask_input=mask_input,
            only_return_final=only_return_final,
            **kwargs,
        )
        self.nonlinearity = check_nonlinearity(nonlinearity, self)
        self.nonlinearity_ingate = self.add_gate(ingate, "ingate")
        self.nonlinearity_forgetgate = self.add_gate(forgetgate, "forgetgate")
        self.nonlinearity_cell = self.add_gate(cell, "cell")
        self.nonlinearity_outgate = self.add_gate(outgate, "outgate")
        self.peepholes = peepholes
        if peepholes:
            self._add_peepholes({"ingate": ingate, "forgetgate": forgetgate, "outgate": outgate})
        self.cell_init = self.add_state("cell_init", cell_init, (num_units,))
        self.hid_init = self.add_state("hid_init", hid_init, (num_units,))

    def _add_peepholes(self, gates: dict[str, Gate]) -> None:
        """Create the weights through which gates see the cells."""
        for name, gate in gates.items():
            if gate.W_cell is None:
                raise ValueError(
                    f"{self}: {name} must have a W_cell, or peepholes must be False, got None"
                )
            self.add_param(gate.W_cell, (self.num_units,), name=f"W_cell_to_{name}")

    def step(
        self, entry: Tensor, project: Callable[[Tensor], Tensor], W_hid: Tensor, *states: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the cells and the output after one step."""
        cell, hid = states
        gates = torch.addmm(project(entry), hid, W_hid)
        ingate, forgetgate, new, outgate = grad_clip(gates, self.grad_clipping).chunk(4, dim=1)
        if self.peepholes:
            ingate = torch.addcmul(ingate, cell, self.W_cell_to_ingate)
            forgetgate = torch.addcmul(forgetgate, cell, self.W_cell_to_forgetgate)
        cell = torch.addcmul(
            self.nonlinearity_forgetgate(forgetgate) * cell,
            self.nonlinearity_ingate(ingate),
            self.nonlinearity_cell(new),
        )
        if self.peepholes:
            outgate = torch.addcmul(outgate, cell, self.W_cell_to_outgate)
        return cell, self.nonlinearity_outgate(outgate) * self.nonlinearity(cell)
