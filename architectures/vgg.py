"""VGG-16."""

from __future__ import annotations

from architectures.layers import conv, dense, max_pool, require_pictures, softmax_output
from common.errors import CommandError
from lasagne.layers import Layer

CONFIGURATION_D = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
DENSE_UNITS = 4096


def vgg_net(incoming: Layer, num_classes: int, reduction_factor: int = 1) -> Layer:
    """VGG-16 (configuration D); `reduction_factor` divides every filter and unit count.

    Source: Simonyan and Zisserman, Very deep convolutional networks for large-scale image
    recognition (2014).
    """
    require_pictures(incoming, "VggNet")
    fewest = CONFIGURATION_D[0][0]
    if not 1 <= reduction_factor <= fewest:
        raise CommandError(
            f"VggNet: the parameter 'reduction_factor' is {reduction_factor}; it accepts 1 to "
            f"{fewest}, which leaves one filter in the first layers."
        )
    layer = incoming
    for block, counts in enumerate(CONFIGURATION_D):
        for i, num_filters in enumerate(counts):
            name = f"lc{block}_{i}"
            layer = conv(layer, name, num_filters=num_filters // reduction_factor, filter_size=3)
        layer = max_pool(layer, f"lm{block}")
    for i in range(2):
        layer = dense(layer, f"ld{i}", dropout=0.5, num_units=DENSE_UNITS // reduction_factor)
    return softmax_output(layer, num_classes)
