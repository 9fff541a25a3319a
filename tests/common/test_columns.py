from common.columns import aligned


def test_columns_begin_or_end_alike():
    rows = [("label", "n", "kind"), ("jazz", "1,200", ""), ("a", "7", "odd one")]
    assert aligned(rows, left={0, 2}) == [
        "label      n  kind",
        "jazz   1,200",
        "a          7  odd one",
    ]


def test_one_row_and_none():
    assert aligned([("a", "b")], left=()) == ["a  b"]
    assert aligned([], left=()) == []
