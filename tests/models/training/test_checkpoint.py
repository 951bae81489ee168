"""Checkpoints: what is loaded is what was saved, and a kill leaves the old one or the new one."""

import hashlib
import json
import os

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, StorageError, checksum_of
from torch import nn

from lawm_models.training.checkpoint import (
    MODEL,
    STATE,
    TENSORS,
    load_module,
    load_optimizers,
    load_state,
    model_sha256,
    pack,
    remove_leftovers,
    save_checkpoint,
    unpack,
)

KEYS = st.one_of(st.integers(0, 9), st.sampled_from(["a", "tensor", "tuple", "items", "a/b"]))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers(-9, 9), max_size=3).map(torch.tensor),
)
TREES = st.recursive(
    LEAVES,
    lambda tree: st.one_of(
        st.lists(tree, max_size=3),
        st.lists(tree, max_size=3).map(tuple),
        st.dictionaries(KEYS, tree, max_size=3),
    ),
    max_leaves=8,
)


def same(a, b):
    """Equality of trees that knows tensors, and tells 1 from True and a tuple from a list."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(max_examples=50)
@given(TREES)
def test_pack_is_undone(tree):
    plain, tensors = pack(tree)
    assert same(unpack(json.loads(json.dumps(plain)), tensors), tree)


def trained(steps, folder=None, resume_at=None):
    """A network after so many Adam steps, saved and loaded anew on the way."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1, betas=(0.8, 0.9), amsgrad=True)
    for step in range(steps):
        if step == resume_at:
            save_checkpoint(folder, module, {"adam": optimizer}, {"step": step})
            return resumed(module, folder, steps)
        descend(module, optimizer)
    return module


def resumed(module, folder, steps):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(torch.nan)
    optimizer = torch.optim.Adam(module.parameters(), amsgrad=True)
    load_module(folder, module)
    load_optimizers(folder, {"adam": optimizer, "another": torch.optim.Adam(module.parameters())})
    for _ in range(load_state(folder)["step"], steps):
        descend(module, optimizer)
    return module


def descend(module, optimizer):
    optimizer.zero_grad()
    module(torch.eye(3)).square().sum().backward()
    optimizer.step()


def test_optimizer_goes_on_exactly(tmp_path):
    whole, again = trained(6), trained(6, tmp_path / "c", resume_at=4)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_shared_memory_is_saved(tmp_path):
    module = nn.ModuleList([nn.Linear(2, 2)] * 2)
    save_checkpoint(tmp_path / "c", module, {}, {"view": module[0].weight.T})
    load_module(tmp_path / "c", module)
    assert torch.equal(load_state(tmp_path / "c")["view"], module[0].weight.T)


def test_no_bit_of_the_state_flips_unnoticed(tmp_path):
    """In every byte one bit: the state is the same, or it is refused in one line."""
    trained(3, tmp_path / "c", resume_at=2)
    file = tmp_path / "c" / STATE
    before, state, refused = file.read_bytes(), load_state(tmp_path / "c"), 0
    for at in range(len(before)):
        data = bytearray(before)
        data[at] ^= 1 << at % 8
        file.write_bytes(data)
        try:
            assert same(load_state(tmp_path / "c"), state)
        except StorageError as error:
            found = (error.where, error.hint.split(" to ")[0])
            refused += found == (str(file), "remove c")
    assert refused > 0.9 * len(before)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": {}}', "null"])
def test_a_state_that_is_none_is_refused(tmp_path, text):
    trained(3, tmp_path / "c", resume_at=2)
    (tmp_path / "c" / STATE).write_text(text)
    for read in (load_state, model_sha256):
        with pytest.raises(StorageError, match=rf"{STATE}: .*; remove c"):
            read(tmp_path / "c")


def test_a_state_from_before_it_had_a_checksum_is_taken(tmp_path):
    whole = trained(3)
    trained(3, tmp_path / "c", resume_at=2)
    document = json.loads((tmp_path / "c" / STATE).read_text())
    del document["checksum"]
    (tmp_path / "c" / STATE).write_text(json.dumps(document))
    again = resumed(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), tmp_path / "c", 3)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("file", [MODEL, TENSORS])
def test_altered_file_is_refused(tmp_path, file):
    trained(3, tmp_path / "c", resume_at=2)
    data = bytearray((tmp_path / "c" / file).read_bytes())
    data[-1] ^= 1
    (tmp_path / "c" / file).write_bytes(data)
    with pytest.raises(StorageError, match=rf"{file}: does not match its checksum; remove c"):
        resumed(nn.Linear(3, 4), tmp_path / "c", 3) if file == MODEL else load_state(tmp_path / "c")


def fitted(folder):
    """Checksums that fit what is there, as somebody may make them."""
    document = json.loads((folder / STATE).read_text())
    files = {name: (folder / name).read_bytes() for name in document["sha256"]}
    document["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    document.pop("checksum", None)
    (folder / STATE).write_text(json.dumps(document | {"checksum": checksum_of(document)}))


def fused(folder, weights=4):
    """Adam as our networks have it, after a step, saved."""
    module = nn.Linear(weights, 1)
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    module(torch.ones(weights)).sum().backward()
    optimizer.step()
    save_checkpoint(folder, module, {"adam": optimizer}, {"step": 1})
    return module, optimizer


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "step"])
@pytest.mark.parametrize("change", ["shorter", "longer", "gone"])
def test_moments_of_another_size_never_reach_a_fused_kernel(tmp_path, name, change):
    """Which would read and write beyond them; a checksum that fits proves nothing."""
    _, optimizer = fused(tmp_path / "c")
    load_optimizers(tmp_path / "c", {"adam": optimizer})
    file = tmp_path / "c" / TENSORS
    tensors = safetensors.torch.load_file(file)
    (key,) = (key for key in tensors if key.endswith(f"state/0/{name}"))
    if change == "gone":
        del tensors[key]
    else:
        tensors[key] = torch.ones(0 if change == "shorter" else (2, 4))
    safetensors.torch.save_file(tensors, file)
    fitted(tmp_path / "c")
    with pytest.raises(StorageError, match=r"is not the state of a checkpoint \(.*; remove c"):
        load_optimizers(tmp_path / "c", {"adam": optimizer})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("lr", "x"), ("betas", 0.5), ("eps", None), ("amsgrad", []), ("amsgrad", True)),
        *(("lr", True), ("betas", [0.9]), ("betas", [[], 0.9]), ("decoupled_weight_decay", None)),
        *(("fused", 3), ("capturable", True), ("differentiable", True), ("maximize", True)),
    ],
)
def test_settings_of_another_kind_never_reach_an_optimizer(tmp_path, name, value):
    _, optimizer = fused(tmp_path / "c")
    document = json.loads((tmp_path / "c" / STATE).read_text())
    document["optimizers"]["adam"]["param_groups"][0][name] = value
    (tmp_path / "c" / STATE).write_text(json.dumps(document))
    fitted(tmp_path / "c")
    with pytest.raises(StorageError, match=r"is not the state of a checkpoint \(.*; remove c"):
        load_optimizers(tmp_path / "c", {"adam": optimizer})


STRANGE = [None, -1, 2**70, "x", [], [[1]], {}, {"tensor": "nobody"}, {"items": [[1]]}]


@pytest.mark.parametrize("key", ["sha256", "optimizers", "state"])
@pytest.mark.parametrize("value", STRANGE)
def test_a_state_that_somebody_wrote_is_taken_or_refused(tmp_path, key, value):
    module, optimizer = fused(tmp_path / "c")
    document = json.loads((tmp_path / "c" / STATE).read_text())
    document.pop("checksum")
    document[key] = value
    document["checksum"] = checksum_of(document)
    (tmp_path / "c" / STATE).write_text(json.dumps(document))
    refused = 0
    for read in (
        lambda folder: load_optimizers(folder, {"adam": optimizer}),
        lambda folder: load_module(folder, module),
        load_state,
        model_sha256,
    ):
        try:
            read(tmp_path / "c")
        except StorageError as error:
            refused += "remove c" in str(error)
    assert refused == {"sha256": 4}.get(key, refused)


@pytest.mark.parametrize("header", ['{"a": "b"}', "[1]", '{"a": {"dtype": "F32"}}', "{"])
@pytest.mark.parametrize("name", [MODEL, TENSORS])
def test_tensors_that_are_none_are_refused(tmp_path, name, header):
    module, _ = fused(tmp_path / "c")
    data = header.encode()
    (tmp_path / "c" / name).write_bytes(len(data).to_bytes(8, "little") + data)
    fitted(tmp_path / "c")
    with pytest.raises(StorageError, match=rf"{name}: cannot be read \(.*; remove c"):
        load_module(tmp_path / "c", module) if name == MODEL else load_state(tmp_path / "c")


@pytest.mark.parametrize("file", [MODEL, TENSORS])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path, file):
    trained(3, tmp_path / "c", resume_at=2)
    (tmp_path / "c" / file).unlink()
    os.mkfifo(tmp_path / "c" / file)
    with pytest.raises(StorageError, match=rf"{file}: is no regular file; remove c"):
        resumed(nn.Linear(3, 4), tmp_path / "c", 3) if file == MODEL else load_state(tmp_path / "c")


def test_other_architecture_is_refused(tmp_path):
    save_checkpoint(tmp_path / "c", nn.Linear(3, 4), {}, {})
    with pytest.raises(ConfigError, match=r"size mismatch.*; train it again"):
        load_module(tmp_path / "c", nn.Linear(3, 5))


def test_replacing_keeps_the_old_one_until_the_new_one_is_there(tmp_path):
    save_checkpoint(tmp_path / "latest", nn.Linear(1, 1), {}, {"round": 1})
    old = model_sha256(tmp_path / "latest")
    save_checkpoint(tmp_path / "latest", nn.Linear(1, 1), {}, {"round": 2})
    assert load_state(tmp_path / "latest") == {"round": 2}
    assert model_sha256(tmp_path / "latest") != old
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]
    # the moments in which a kill leaves something behind
    (tmp_path / "latest").rename(tmp_path / ".latest.replaced")
    (tmp_path / ".tmp-1-aa-latest").mkdir()
    remove_leftovers(tmp_path)
    assert load_state(tmp_path / "latest") == {"round": 2}
    (tmp_path / ".latest.replaced").mkdir()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


def test_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/c"):
        save_checkpoint(tmp_path / "file" / "c", nn.Linear(1, 1), {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_state_is_plain_json(tmp_path):
    trained(3, tmp_path / "c", resume_at=2)
    assert json.loads((tmp_path / "c" / STATE).read_text())["state"] == {"step": 2}
