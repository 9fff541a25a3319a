from training.clock import Clock


def test_a_clock_begins_anew():
    clock = Clock()
    clock.waiting += 1.5
    clock.copying += 0.5
    clock.reset()
    assert (clock.waiting, clock.copying) == (0, 0)
