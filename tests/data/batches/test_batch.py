from __future__ import annotations

from dataclasses import fields

import torch

from lawm_data import Batch, Loader


def test_some_windows_of_a_batch_keep_all_their_fields(random_corpus) -> None:
    batch = Loader(random_corpus(), 8, 5).next()
    some = batch.rows(torch.tensor([6, 1]))
    for field in fields(Batch):
        if field.name != "pixels":
            whole, part = getattr(batch, field.name), getattr(some, field.name)
            assert torch.equal(part, whole[[6, 1]])


def test_a_copy_on_a_device_is_the_same_batch(random_corpus) -> None:
    batch = Loader(random_corpus(), 8, 5).next()
    moved = batch.to("meta")
    for field in fields(Batch):
        if field.name != "pixels":
            whole, there = getattr(batch, field.name), getattr(moved, field.name)
            assert there.device.type == "meta"
            assert (there.shape, there.dtype) == (whole.shape, whole.dtype)


def test_a_batch_of_one_corpus_need_not_say_so(random_corpus) -> None:
    batch = Loader(random_corpus(), 8, 5).next()
    given = {name: value for name, value in batch.as_dict().items() if name != "corpus"}
    assert torch.equal(Batch(**given).corpus, batch.corpus)
    assert batch.corpus.tolist() == [0] * 8
