import pytest

from lawm_data.system.formatting import clock, size, text


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "-"),
        (True, "yes"),
        (12345, "12,345"),
        (0.05, "0.05"),
        (1234.56, "1,234.6"),
        ((1, 2.5), "1 2.5"),
        ("a", "a"),
    ],
)
def test_text(value: object, wanted: str) -> None:
    assert text(value) == wanted


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(0, "0:00:00"), (59.6, "0:01:00"), (7322, "2:02:02")]
)
def test_clock(seconds: float, wanted: str) -> None:
    assert clock(seconds) == wanted


@pytest.mark.parametrize(
    ("total", "wanted"),
    [
        (0, "0 B in 1 shard"),
        (7, "7 B in 1 shard"),
        (1500, "1.5 kB in 1 shard"),
        (2.5e9, "2.5 GB in 1 shard"),
    ],
)
def test_size(total: int, wanted: str) -> None:
    assert size(total, 1) == wanted
    assert size(total, 2000).endswith(" in 2,000 shards")
