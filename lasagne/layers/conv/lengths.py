"""Lengths of what goes into a convolution and of what comes out."""

__all__ = ["conv_input_length", "conv_output_length", "padding_of"]


def conv_output_length(
    input_length: int | None, filter_size: int, stride: int, pad: int | str = 0
) -> int | None:
    """Return the length of a convolution's output along one axis.

    Parameters
    ----------
    input_length : int or None
        The input's length; None if it is not known.
    filter_size : int
        The filter's length.
    stride : int
        Steps between two outputs.
    pad : int, 'full', 'same' or 'valid', default 0
        Zeros added at both ends: 'full' is ``filter_size - 1``, 'same' what keeps the length if
        `stride` is 1, 'valid' none.

    Returns
    -------
    int or None
        None if the input's length is not known.

    Raises
    ------
    ValueError
        If the filter is longer than the padded input, or `pad` is none of the above.
    """
    if input_length is None:
        return None
    if pad == "same":
        return (input_length - 1) // stride + 1
    zeros = padding_of(pad, filter_size)
    if input_length + 2 * zeros < filter_size:
        raise ValueError(
            f"the output would be empty: an input of size {input_length} with {zeros} zeros on "
            f"either side is smaller than a filter of size {filter_size}"
        )
    return (input_length + 2 * zeros - filter_size) // stride + 1


def conv_input_length(
    output_length: int | None, filter_size: int, stride: int, pad: int | str = 0
) -> int | None:
    """Return the length of the shortest input from which a convolution's output comes.

    Parameters
    ----------
    output_length : int or None
        The output's length; None if it is not known.
    filter_size : int
        The filter's length.
    stride : int
        Steps between two outputs.
    pad : int, 'full', 'same' or 'valid', default 0
        Zeros added at both ends: 'full' is ``filter_size - 1``, 'same' ``filter_size // 2``,
        'valid' none.

    Returns
    -------
    int or None
        None if the output's length is not known.

    Raises
    ------
    ValueError
        If `pad` is none of the above.
    """
    if output_length is None:
        return None
    return (output_length - 1) * stride - 2 * padding_of(pad, filter_size) + filter_size


def padding_of(pad: int | str, filter_size: int) -> int:
    """Return how many zeros `pad` means on either side.

    Raises
    ------
    ValueError
        If `pad` is a word other than 'full', 'same' and 'valid'.
    """
    named = {"full": filter_size - 1, "same": filter_size // 2, "valid": 0}
    if isinstance(pad, str):
        if pad not in named:
            raise ValueError(f"pad must be 'full', 'same', 'valid' or an integer, got {pad!r}")
        return named[pad]
    return pad
