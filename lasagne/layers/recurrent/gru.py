"""Gated recurrent units."""

# Initialisers and gates keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from lasagne import init, nonlinearities
from lasagne.layers.base import Incoming
from lasagne.layers.recurrent.base import Initial, grad_clip
from lasagne.layers.recurrent.gates import BaseGatedLayer, Gate

__all__ = ["GRULayer"]


class GRULayer(BaseGatedLayer):
    r"""A layer of gated recurrent units.

    With the gates' nonlinearities :math:`\sigma` and elementwise products :math:`\odot`:

    .. math::

        r_t &= \sigma_r(x_t W_{xr} + h_{t-1} W_{hr} + b_r)\\
        u_t &= \sigma_u(x_t W_{xu} + h_{t-1} W_{hu} + b_u)\\
        c_t &= \sigma_c(x_t W_{xc} + r_t \odot (h_{t-1} W_{hc}) + b_c)\\
        h_t &= (1 - u_t) \odot h_{t-1} + u_t \odot c_t

    :class:`torch.nn.GRU` has `u` and `1 - u` the other way round. Parameters are called
    ``W_in_to_<gate>``, ``W_hid_to_<gate>`` and ``b_<gate>``, where the gates are updategate,
    resetgate and hidden_update, and ``hid_init``.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape: (batch, time, and features). The
        features are flattened.
    num_units : int
        Number of units.
    resetgate, updategate : Gate, default Gate(W_cell=None)
        The gates' parameters; there are no peepholes.
    hidden_update : Gate, default Gate(W_cell=None, nonlinearity=tanh)
        The parameters of what the output moves to.
    hid_init : Layer, initialiser, array or Tensor, default Constant(0)
        The output before the first step: a layer of shape (batch, num_units), or a parameter of
        shape (1, num_units).
    backwards : bool, default False
        Whether to read the sequence from its end.
    learn_init : bool, default False
        Whether `hid_init`, if it is not a layer, is trained.
    gradient_steps : int, default -1
        Over how many steps gradients are propagated back; -1 for all.
    grad_clipping : float, default 0
        If not 0, what the gradients of the products with the input and with the output, and of
        :math:`\sigma_c`'s argument, are clipped to. As in Lasagne, the gradient of the input
        itself is clipped in place of its products' without `precompute_input`.
    unroll_scan : bool, default False
        Without effect, but checked.
    precompute_input : bool, default True
        Whether to multiply the inputs of all time steps at once.
    mask_input : Layer or tuple, optional
        The mask, of shape (batch, time): where it is 0, the output stays as it is.
    only_return_final : bool, default False
        Whether to return the output of the last step read only.
    **kwargs
        `name`, for :class:`Layer`.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        For the reasons of :class:`BaseRecurrentLayer`, which says more on the options.

    References
    ----------
    Kyunghyun Cho et al. (2014): On the properties of neural machine translation: Encoder–decoder
    approaches. https://arxiv.org/abs/1409.1259

    Junyoung Chung et al. (2014): Empirical evaluation of gated recurrent neural networks on
    sequence modeling. https://arxiv.org/abs/1412.3555
    """

    GATES: ClassVar[tuple[str, ...]] = ("resetgate", "updategate", "hidden_update")

    def __init__(
        self,
        incoming: Incoming,
        num_units: int,
        resetgate: Gate = Gate(W_cell=None),
        updategate: Gate = Gate(W_cell=None),
        hidden_update: Gate = Gate(W_cell=None, nonlinearity=nonlinearities.tanh),
        hid_init: Initial = init.Constant(0.0),
        backwards: bool = False,
        learn_init: bool = False,
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
            {"hid_init": hid_init},
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
        self.nonlinearity_updategate = self.add_gate(updategate, "updategate")
        self.nonlinearity_resetgate = self.add_gate(resetgate, "resetgate")
        self.nonlinearity_hid = self.add_gate(hidden_update, "hidden_update")
        self.hid_init = self.add_state("hid_init", hid_init, (num_units,))

    def step(
        self, entry: Tensor, project: Callable[[Tensor], Tensor], W_hid: Tensor, *states: Tensor
    ) -> tuple[Tensor]:
        """Return the output after one step."""
        (hid,) = states
        limit = self.grad_clipping
        inputs = project(grad_clip(entry, limit)).chunk(3, dim=1)
        recurrent = grad_clip(torch.mm(hid, W_hid), limit).chunk(3, dim=1)
        resetgate = self.nonlinearity_resetgate(inputs[0] + recurrent[0])
        updategate = self.nonlinearity_updategate(inputs[1] + recurrent[1])
        update = grad_clip(torch.addcmul(inputs[2], resetgate, recurrent[2]), limit)
        return (torch.addcmul(hid, updategate, self.nonlinearity_hid(update) - hid),)
