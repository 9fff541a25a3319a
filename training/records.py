"""What is known of an epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.csv: losses are means per instance, accuracies are parts of 1.

    Of `seconds`, `waiting_seconds` went by without instances to train on, and `copying_seconds` on
    copying them to the device; what overlaps with training counts in neither.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float
    waiting_seconds: float = 0.0
    copying_seconds: float = 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Orders epochs by what they are worth: accuracy, and of equal ones the lower loss."""
        return self.validation_accuracy, -self.validation_loss
