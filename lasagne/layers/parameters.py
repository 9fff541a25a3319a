"""How a layer owns its parameters and their tags."""

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from lasagne.utils import ParamSpec, create_param, unique

__all__ = ["ParameterOwner", "ParameterTags"]

V = TypeVar("V")


class ParameterOwner(nn.Module):
    """A module whose parameters have tags.

    The attribute that a parameter is first assigned to is its key in state dicts.
    """

    #: Tags by key, in the order in which the parameters were added.
    _tags: dict[str, set[str]]

    def __init__(self) -> None:
        super().__init__()
        self._tags = {}
        self._unassigned: set[str] = set()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a parameter that is assigned takes the attribute's name as its key."""
        key = self._key_of(value) if isinstance(value, Tensor) else None
        if key is None or key == name:
            self.__dict__.get("_unassigned", set()).discard(name)
            super().__setattr__(name, value)
        elif key in self._unassigned:
            self._unassigned.discard(key)
            self.__dict__.pop(name, None)
            self._tags = _renamed(self._tags, key, name)
            self._parameters = _renamed(self._parameters, key, name)
            self._buffers = _renamed(self._buffers, key, name)
        else:
            object.__setattr__(self, name, value)

    @property
    def params(self) -> "ParameterTags":
        """Each parameter's tags; deleting one takes the parameter out of the layer."""
        return ParameterTags(self)

    def add_param(
        self, spec: ParamSpec, shape: Sequence[int], name: str | None = None, **tags: bool
    ) -> Tensor:
        """Create and register a parameter.

        Parameters
        ----------
        spec : callable, array or Tensor
            An initialiser, the value, or a parameter to share; see
            :func:`lasagne.utils.create_param`.
        shape : sequence of int
            The parameter's shape.
        name : str, optional
            Its key in state dicts, unless it is assigned to an attribute of another name.
        **tags : bool
            Tags for :meth:`get_params`. 'trainable' and 'regularizable' are True by default. A
            parameter that is not trainable becomes a buffer.

        Returns
        -------
        torch.nn.Parameter or Tensor
            The parameter, or the buffer.

        Raises
        ------
        ValueError
            If the value does not have the required shape.
        TypeError
            If `spec` cannot be made a parameter.
        """
        try:
            param = create_param(spec, shape, name)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self}: {error}") from None
        tags = {"trainable": True, "regularizable": True} | tags
        key = self._free_key(name)
        if tags["trainable"] or param is spec:
            self.register_parameter(key, param)
        else:
            self.register_buffer(key, param.detach())
        self._tags[key] = {tag for tag, value in tags.items() if value}
        self._unassigned.add(key)
        registered: Tensor = getattr(self, key)
        return registered

    def remove_param(self, param: Tensor) -> None:
        """Take a parameter out of the layer; the attributes that held it become None.

        Parameters
        ----------
        param : Tensor
            One of :attr:`params`.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        if self._key_of(param) is None:
            raise ValueError(f"{self} has no such parameter, of shape {tuple(param.shape)}")
        attributes = {**vars(self), **self._parameters, **self._buffers}
        for name in [name for name, value in attributes.items() if value is param]:
            self._tags.pop(name, None)
            super().__setattr__(name, None)  # type: ignore[arg-type]

    def get_params(self, unwrap_shared: bool = True, **tags: bool) -> list[Tensor]:
        """Return the layer's parameters, in the order in which they were added.

        Parameters
        ----------
        unwrap_shared : bool, default True
            Without effect: Theano's expressions of parameters do not exist here.
        **tags : bool
            ``tag=True`` selects parameters with the tag, ``tag=False`` those without.

        Returns
        -------
        list of Tensor
            Each once. For instance ``get_params(trainable=True, regularizable=False)`` returns the
            biases.
        """
        return unique(
            param
            for param, own in self._tagged()
            if all((tag in own) == wanted for tag, wanted in tags.items())
        )

    def _tagged(self) -> Iterator[tuple[Tensor, set[str]]]:
        """Return the parameters that are there, and their tags."""
        for key, tags in self._tags.items():
            param = getattr(self, key)
            if param is not None:
                yield param, tags

    def _key_of(self, param: Tensor) -> str | None:
        """Return the key of a parameter of this layer, None for any other tensor."""
        tagged = self.__dict__.get("_tags", {})
        return next((key for key in tagged if getattr(self, key) is param), None)

    def _free_key(self, name: str | None) -> str:
        """Return a key like `name` that no other parameter, and no attribute, has."""
        name = f"param{len(self._tags)}" if name is None else name.replace(".", "_")
        key, count = name, 1
        while key in self._tags or hasattr(self, key):
            key, count = f"{name}_{count}", count + 1
        return key


class ParameterTags(MutableMapping[Tensor, set[str]]):
    """The tags of a layer's parameters, as Lasagne's ``layer.params``.

    Sets of tags can be changed or replaced. Taking 'trainable' out of one takes the parameter out
    of ``get_params(trainable=True)``; no parameter can be added but by ``add_param``.

    Parameters
    ----------
    layer : ParameterOwner
        The layer.
    """

    def __init__(self, layer: ParameterOwner) -> None:
        self._layer = layer

    def __getitem__(self, param: Tensor) -> set[str]:
        """Return a parameter's tags."""
        for own, tags in self._layer._tagged():
            if own is param:
                return tags
        raise KeyError(param)

    def __setitem__(self, param: Tensor, tags: set[str]) -> None:
        """Replace a parameter's tags."""
        own = self[param]
        new = set(tags)
        own.clear()
        own.update(new)

    def __delitem__(self, param: Tensor) -> None:
        """Take a parameter out of the layer."""
        self[param]
        self._layer.remove_param(param)

    def __iter__(self) -> Iterator[Tensor]:
        """Iterate over the parameters."""
        return iter(unique(param for param, _ in self._layer._tagged()))

    def __len__(self) -> int:
        """Return the number of parameters."""
        return sum(1 for _ in self)


def _renamed(mapping: dict[str, V], key: str, name: str) -> dict[str, V]:
    """Return `mapping` with another name for `key`, in the same order."""
    return {name if own == key else own: value for own, value in mapping.items()}
