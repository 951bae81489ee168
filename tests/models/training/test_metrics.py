"""Metrics: means over an interval, the first number that is not one, a log that can go back."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lawm_models.training.checkpoint import pack, unpack
from lawm_models.training.metrics import LogInterval, MetricLog, Metrics, NonFinite, read_metrics

CPU = torch.device("cpu")
FLOATS = st.floats(-1e6, 1e6, width=32)


def filled(rows):
    interval = LogInterval()
    for step, row in enumerate(rows, 1):
        interval.add(step, {name: torch.tensor(value) for name, value in row.items()})
    return interval


@settings(max_examples=20)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), FLOATS, min_size=1), min_size=1))
def test_mean_over_the_steps_that_report(rows):
    means = filled(rows).read()
    for name in "abc":
        values = [row[name] for row in rows if name in row]
        assert (name in means) == bool(values)
        if values:
            assert means[name] == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-6)


@settings(max_examples=20)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), FLOATS, min_size=1), min_size=2))
def test_interval_survives_a_checkpoint(rows):
    interval = filled(rows[:1])
    plain, tensors = pack(interval.state())
    restored = LogInterval()
    restored.restore(unpack(json.loads(json.dumps(plain)), tensors), CPU)
    for step, row in enumerate(rows[1:], 2):
        restored.add(step, {name: torch.tensor(value) for name, value in row.items()})
    assert restored.read() == filled(rows).read()


def test_reading_starts_anew():
    interval = filled([{"a": 1.0}])
    assert interval.read() == {"a": 1.0}
    assert interval.read() == {}


def test_a_buffer_changed_later_is_not_seen():
    interval, scale = LogInterval(), torch.ones(())
    interval.add(1, {"scale": scale})
    scale.fill_(5)
    assert interval.read() == {"scale": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_first_non_finite_is_named(value):
    rows = [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": value}, {"a": value, "b": value}]
    with pytest.raises(NonFinite, match=f"b is {value} at step 2") as caught:
        filled(rows).read()
    assert (caught.value.row.total_step, caught.value.name) == (2, "b")


def points(folder):
    events = EventAccumulator(str(folder)).Reload()
    return [(e.step, e.value) for e in events.Scalars("agent/loss")]


def test_log_goes_back_to_a_checkpoint(tmp_path):
    path, events = tmp_path / "metrics.jsonl", tmp_path / "tensorboard"
    log = MetricLog(path, events, offset=0, total_step=0)
    for step in (1, 2):
        log.write("agent", step, step, 0.5 * step, {"loss": 1 / step})
    offset = log.sync()
    log.write("agent", 3, 3, 1.5, {"loss": 7.0})
    log.close()
    with path.open("ab") as file:
        file.write(b'{"stage": "ag')  # killed within a line
    assert [line["loss"] for line in read_metrics(path)] == [1, 0.5, 7]

    log = MetricLog(path, events, offset=offset, total_step=2)
    log.write("agent", 3, 3, 2.0, {"loss": 3.0})
    log.close()
    assert read_metrics(path)[1:] == [
        {"stage": "agent", "step": 2, "elapsed": 1.0, "loss": 0.5},
        {"stage": "agent", "step": 3, "elapsed": 2.0, "loss": 3.0},
    ]
    assert points(events) == [(1, 1), (2, 0.5), (3, 3)]


def test_tensorboard_reads_a_later_file_later(tmp_path):
    path, events = tmp_path / "metrics.jsonl", tmp_path / "tensorboard"
    log = MetricLog(path, events, offset=0, total_step=0)
    log.write("agent", 1, 1, 0.5, {"loss": 1.0})
    log.close()
    (file,) = events.iterdir()
    # as its ninth file stands to the tenth of a process
    file.rename(file.with_name(f"{file.name.rpartition('.')[0]}.a"))
    log = MetricLog(path, events, offset=path.stat().st_size, total_step=1)
    log.write("agent", 2, 2, 1.0, {"loss": 2.0})
    log.close()
    assert points(events) == [(1, 1), (2, 2)]
    assert len([*events.iterdir()]) == 2


def test_no_log_has_no_lines(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize(
    "line", [b"\xee", b"[]", b'{"stage": "a"}', b'{"stage": "a", "step": "1"}']
)
def test_a_line_that_no_trainer_writes_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"stage": "a", "step": 1, "elapsed": 0.5, "loss": 2.0}\n' + line + b"\n")
    with pytest.raises(ConfigError, match=r"metrics.jsonl, line 2.* restore the file from a copy"):
        read_metrics(path)
    assert read_metrics(path, len(path.read_bytes()) - 1)[0]["loss"] == 2.0


def test_a_log_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "metrics.jsonl").symlink_to("precious")
    with pytest.raises(ConfigError, match="is a link"):
        MetricLog(tmp_path / "metrics.jsonl", tmp_path / "events", 0, 0)
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_series_is_there_or_what_is_there_is_named():
    rows = [
        {"stage": "model", "step": 1, "elapsed": 0.1, "loss": 2.0},
        {"stage": "model", "step": 2, "elapsed": 0.2, "loss": 1.0, "grad_norm": 3.0},
        {"stage": "agent", "step": 1, "elapsed": 0.3, "return_mean": 5.0},
    ]
    metrics = Metrics(rows)
    assert metrics.series("model", "loss") == ([1, 2], [2.0, 1.0])
    assert metrics.series("model", "grad_norm") == ([2], [3.0])
    with pytest.raises(ConfigError, match="metrics: no stage 'modle'; there are model, agent"):
        metrics.series("modle", "loss")
    for name in ("los", "return_mean"):
        words = f"stage model: no metric '{name}'; there are step, elapsed, loss, grad_norm"
        with pytest.raises(ConfigError, match=words):
            metrics.series("model", name)
    assert Metrics().series("model", "loss") == ([], [])  # nothing is logged yet
