"""Batch normalisation."""

# Initialisers keep no state, so that they can be shared as defaults.
# ruff: noqa: B008

from typing import Any

import torch
from torch import Tensor, distributed

from lasagne import init
from lasagne.layers.axes import Axes, kept_sizes, named_axes, resolve_axes
from lasagne.layers.base import Incoming, Layer
from lasagne.layers.normalization.shared import shared_batch_norm
from lasagne.layers.normalization.wrapping import extended_name, stack_nonlinearity, strip
from lasagne.utils import ParamSpec

__all__ = ["BatchNormLayer", "batch_norm"]


class BatchNormLayer(Layer):
    """Normalise over the batch: ``(x - mean) * gamma / sqrt(variance + epsilon) + beta``.

    While training, mean and variance are those of the batch, and the running averages of what
    they give are updated, at once, with every pass through the layer. With ``deterministic=True``
    these averages are used. `batch_norm_use_averages` and `batch_norm_update_averages`, arguments
    of :func:`lasagne.layers.get_output` like it, say either alone.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the input's shape.
    axes : 'auto', int or tuple of int, default 'auto'
        The axes to normalise over; 'auto' is all but the second.
    epsilon : float, default 1e-4
        Added to the variance, which is the biased one.
    alpha : float, default 0.1
        The weight of the batch in the running averages; 1 forgets all earlier batches.
    beta : initialiser, array, Tensor or None, default Constant(0)
        Offsets, of the input's shape without `axes`; None for 0.
    gamma : initialiser, array, Tensor or None, default Constant(1)
        Factors, of the same shape; None for 1.
    mean : initialiser, array or Tensor, default Constant(0)
        Running average of the means, of the same shape.
    inv_std : initialiser, array or Tensor, default Constant(1)
        Running average of ``1 / sqrt(variance + epsilon)``, of the same shape.
    **kwargs
        `name`, for :class:`Layer`.

    Attributes
    ----------
    process_group : torch.distributed.ProcessGroup or None
        Processes whose batches are normalised together, as by :class:`torch.nn.SyncBatchNorm`;
        None, as at first, for each batch by itself.

    Raises
    ------
    ValueError
        If there is no axis, one does not exist, or the size of one that is not normalised over is
        not known.

    See Also
    --------
    batch_norm : Puts the layer below the nonlinearity of another.

    References
    ----------
    Sergey Ioffe and Christian Szegedy (2015): Batch normalization: Accelerating deep network
    training by reducing internal covariate shift. https://arxiv.org/abs/1502.03167
    """

    process_group: distributed.ProcessGroup | None = None

    def __init__(
        self,
        incoming: Incoming,
        axes: Axes = "auto",
        epsilon: float = 1e-4,
        alpha: float = 0.1,
        beta: ParamSpec | None = init.Constant(0),
        gamma: ParamSpec | None = init.Constant(1),
        mean: ParamSpec = init.Constant(0),
        inv_std: ParamSpec = init.Constant(1),
        **kwargs: Any,
    ) -> None:
        super().__init__(incoming, **kwargs)
        self.axes = resolve_axes(self, axes, "axes", named_axes(self, "auto"))
        if not self.axes:
            raise ValueError(f"{self} needs at least one axis to normalise over, got axes={axes!r}")
        self.epsilon = epsilon
        self.alpha = alpha
        shape = kept_sizes(self, self.axes, "axes")
        self.beta = (
            None if beta is None else self.add_param(beta, shape, name="beta", regularizable=False)
        )
        self.gamma = None if gamma is None else self.add_param(gamma, shape, name="gamma")
        fixed = {"trainable": False, "regularizable": False}
        self.mean = self.add_param(mean, shape, name="mean", **fixed)
        self.inv_std = self.add_param(inv_std, shape, name="inv_std", **fixed)

    def get_output_for(
        self,
        input: Tensor,
        deterministic: bool = False,
        batch_norm_use_averages: bool | None = None,
        batch_norm_update_averages: bool | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Return the layer's output.

        Parameters
        ----------
        input : Tensor
            A tensor of the input's shape.
        deterministic : bool, default False
            Whether to use the running averages, and not to update them.
        batch_norm_use_averages : bool, optional
            Whether to use the running averages, as they were before an update; by default what
            `deterministic` is.
        batch_norm_update_averages : bool, optional
            Whether to update the running averages; by default the opposite of `deterministic`.
        **kwargs
            Ignored.
        """
        use, update = batch_norm_use_averages, batch_norm_update_averages
        use = deterministic if use is None else use
        update = not deterministic if update is None else update
        x = self._with_channels_second(input)
        if not use:
            output, *statistics = self._by_batch(x)
        else:
            output = self._by_averages(x)
            statistics = list(self._by_batch(x.detach())[1:]) if update else []
        if update:
            self._update_averages(*statistics)
        return output if x is input else self._restored(output, input)

    def _by_batch(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `x` normalised by the batch's statistics, and these: mean, inverse deviation."""
        if self.process_group is not None:
            return shared_batch_norm(x, *self._affine(), self.epsilon, self.process_group)
        return torch.native_batch_norm(x, *self._affine(), None, None, True, 0.0, self.epsilon)

    def _by_averages(self, x: Tensor) -> Tensor:
        """Return `x` normalised by the running averages.

        What backward() needs of them is a copy, as they may be updated before.
        """
        mean = self.mean.detach().flatten()
        mean = mean.clone() if torch.is_grad_enabled() else mean
        variance = self.inv_std.detach().flatten().pow(-2)
        gamma, beta = self._affine()
        return torch.nn.functional.batch_norm(x, mean, variance, gamma, beta, eps=0.0)

    def _affine(self) -> tuple[Tensor, Tensor | None]:
        """Return `gamma` and `beta` as vectors.

        Ones stand for no `gamma`: without, PyTorch's statistics have the input's precision, and
        its second derivatives are wrong.
        """
        gamma = torch.ones_like(self.mean) if self.gamma is None else self.gamma
        return gamma.flatten(), self.beta if self.beta is None else self.beta.flatten()

    def _update_averages(self, mean: Tensor, inv_std: Tensor) -> None:
        """Move the running averages towards a batch's statistics."""
        with torch.no_grad():
            for average, value in ((self.mean, mean), (self.inv_std, inv_std)):
                average.lerp_(value.view_as(average).to(average.dtype), self.alpha)

    def _with_channels_second(self, input: Tensor) -> Tensor:
        """Return `input` with what has statistics of its own as axis 1.

        Left as it is if that is so already, else a matrix: a view where memory allows it.
        """
        order = self._order()
        if order[len(self.axes) :] == [1]:
            return input
        return input.permute(order).reshape(-1, self.mean.numel())

    def _restored(self, matrix: Tensor, input: Tensor) -> Tensor:
        """Return what :meth:`_with_channels_second` made a matrix of, in its old shape."""
        order = self._order()
        shape = [input.shape[axis] for axis in order]
        return matrix.view(shape).permute([order.index(axis) for axis in range(len(order))])

    def _order(self) -> list[int]:
        """Return the input's axes, those that are normalised over first."""
        axes = range(len(self.input_shape))
        return sorted(axes, key=lambda axis: axis not in self.axes)


def batch_norm(layer: Incoming, **kwargs: Any) -> Layer:
    """Normalise what `layer` computes over the batch, before its nonlinearity.

    Parameters
    ----------
    layer : Layer or tuple
        The layer. It is changed: its nonlinearity goes to a layer on top, and its biases are
        removed, as those of the normalisation take their place.
    **kwargs
        For :class:`BatchNormLayer`. The `name` is by default that of `layer` and '_bn'.

    Returns
    -------
    BatchNormLayer or NonlinearityLayer
        The nonlinearity, named like the normalisation and '_nonlin', on top of a
        :class:`BatchNormLayer`; only the latter if `layer` has no nonlinearity.

    Examples
    --------
    >>> from lasagne.layers import DenseLayer, InputLayer, batch_norm, get_all_layers
    >>> layer = batch_norm(DenseLayer(InputLayer((None, 4)), num_units=3, name="hidden"))
    >>> [one.name for one in get_all_layers(layer)]
    [None, 'hidden', 'hidden_bn', 'hidden_bn_nonlin']
    """
    nonlinearity = strip(layer)
    name = kwargs.pop("name", None) or extended_name(layer, "_bn")
    return stack_nonlinearity(BatchNormLayer(layer, name=name, **kwargs), nonlinearity, name)
