"""The base classes of all layers."""

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

from torch import Tensor

from lasagne.layers.parameters import ParameterOwner
from lasagne.nonlinearities import identity

__all__ = ["Incoming", "Layer", "MergeLayer", "Nonlinearity", "Shape", "check_nonlinearity"]

#: A shape whose batch size, or any other size not known beforehand, is None.
Shape = tuple[int | None, ...]

Nonlinearity = Callable[[Tensor], Tensor]


class Layer(ParameterOwner):
    """Base class of layers with one input.

    A layer is a :class:`torch.nn.Module` that owns its parameters and only refers to the layers
    it is fed by: :class:`lasagne.layers.Network` makes one module of a graph of them. Subclasses
    implement :meth:`get_output_for` and, where it differs from the input's, the output's shape
    with :meth:`get_output_shape_for`.

    Parameters
    ----------
    incoming : Layer or tuple
        The layer feeding into this one, or the shape expected of the input, of positive integers
        and None.
    name : str, optional
        A name, used in messages and in the keys of state dicts.

    Attributes
    ----------
    input_layer : Layer or None
        The layer feeding into this one, if there is one.
    input_shape : tuple
        The input's shape.
    output_shape : tuple
        The output's shape.
    params : ParameterTags
        Each parameter's tags, a set; see :class:`lasagne.layers.parameters.ParameterTags`.
    get_output_kwargs : list of str
        Arguments of :func:`lasagne.layers.get_output` that the layer knows besides those of its
        `get_output_for` that have a default.

    Raises
    ------
    TypeError
        If `incoming` is neither a layer nor a shape.
    ValueError
        If the input's shape has a size that is not positive.
    """

    input_layer: "Layer | None"
    input_shape: Shape

    def __init__(self, incoming: "Incoming", name: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.get_output_kwargs: list[str] = []
        self.input_layer = incoming if isinstance(incoming, Layer) else None
        self.input_shape = _shape_of(incoming, self)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; another layer is referred to, never owned as a submodule."""
        if isinstance(value, Layer):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle or copy, with the layers below first, from the input upwards.

        Each of them then finds those that it refers to done already, so that recursion stays
        shallow whatever the depth of the network.
        """
        from lasagne.layers.helper import get_all_layers

        return {"_below": get_all_layers(self)[:-1], **super().__getstate__()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`__getstate__` returned."""
        super().__setstate__({key: value for key, value in state.items() if key != "_below"})

    def __str__(self) -> str:
        """Return the class, and the name if there is one, as used in messages."""
        return type(self).__name__ + (f" {self.name!r}" if self.name is not None else "")

    def extra_repr(self) -> str:
        """Return what ``repr`` shows between the parentheses."""
        name = "" if self.name is None else f"name={self.name!r}, "
        return f"{name}output_shape={self.output_shape}"

    @property
    def output_shape(self) -> Shape:
        """The output's shape, with None where it is not known beforehand."""
        return self.get_output_shape_for(self.input_shape)

    def get_output_shape_for(self, input_shape: Any) -> Shape:
        """Return the output's shape for an input of the given shape.

        Parameters
        ----------
        input_shape : tuple
            Sizes, None where unknown. A list of tuples for a :class:`MergeLayer`.

        Returns
        -------
        tuple
            Sizes, None where unknown; here the same as the input's.
        """
        shape: Shape = input_shape
        return shape

    def get_output_for(self, input: Any, **kwargs: Any) -> Tensor:
        """Return the layer's output.

        Parameters
        ----------
        input : Tensor
            The input; a list of tensors for a :class:`MergeLayer`.
        **kwargs
            The arguments of :func:`lasagne.layers.get_output`, like `deterministic`. All layers
            get all of them and ignore those they do not know.
        """
        raise NotImplementedError(f"{self} must implement get_output_for()")

    def forward(self, input: Any, **kwargs: Any) -> Tensor:
        """Return :meth:`get_output_for`; calling the layer runs PyTorch's hooks too."""
        return self.get_output_for(input, **kwargs)


#: What a layer may be fed by: another layer, or only the shape of what will be.
Incoming = Layer | tuple[int | None, ...]


class MergeLayer(Layer):
    """Base class of layers with several inputs.

    Parameters
    ----------
    incomings : list of Layer or tuple
        The layers feeding into this one, or the shapes expected of the inputs.
    name : str, optional
        A name, used in messages and in the keys of state dicts.

    Attributes
    ----------
    input_layers : list of Layer or None
        The layers feeding into this one; None where only a shape was given.
    input_shapes : list of tuple
        The inputs' shapes.

    Raises
    ------
    TypeError
        If one of `incomings` is neither a layer nor a shape.
    ValueError
        If a shape has a size that is not positive.
    """

    def __init__(self, incomings: Sequence[Incoming], name: str | None = None) -> None:
        ParameterOwner.__init__(self)
        self.name = name
        self.get_output_kwargs = []
        if isinstance(incomings, Layer) or not isinstance(incomings, Iterable):
            raise TypeError(f"{self}: incomings must be a list of layers, got {incomings!r}")
        self.input_layers = [i if isinstance(i, Layer) else None for i in incomings]
        self.input_shapes = [_shape_of(incoming, self) for incoming in incomings]

    @property
    def output_shape(self) -> Shape:
        """The output's shape, with None where it is not known beforehand."""
        return self.get_output_shape_for(self.input_shapes)

    def get_output_shape_for(self, input_shapes: Any) -> Shape:
        """Return the output's shape for inputs of the given shapes."""
        raise NotImplementedError(f"{self} must implement get_output_shape_for()")

    def get_output_for(self, inputs: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Return the layer's output for a list of inputs."""
        raise NotImplementedError(f"{self} must implement get_output_for()")


def check_nonlinearity(nonlinearity: Nonlinearity | None, layer: Layer) -> Nonlinearity:
    """Return `nonlinearity`, or the identity for None.

    Raises
    ------
    TypeError
        If it cannot be called.
    """
    if nonlinearity is None:
        return identity
    if isinstance(nonlinearity, type):
        name = nonlinearity.__name__
        raise TypeError(f"{layer}: nonlinearity must be an instance, {name}(), got the class")
    if not callable(nonlinearity):
        raise TypeError(f"{layer}: nonlinearity must be callable or None, got {nonlinearity!r}")
    return nonlinearity


def _shape_of(incoming: Any, layer: Layer) -> Shape:
    """Return the shape that `incoming` has or is, once it makes sense."""
    shape = incoming.output_shape if isinstance(incoming, Layer) else incoming
    if not isinstance(shape, tuple) or not all(d is None or _is_integer(d) for d in shape):
        raise TypeError(
            f"{layer}: incoming must be a layer or a tuple of integers and None, got {incoming!r}"
        )
    if any(d is not None and d <= 0 for d in shape):
        raise ValueError(f"{layer}: the input's sizes must be positive or None, got {shape}")
    return tuple(None if d is None else int(d) for d in shape)


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
