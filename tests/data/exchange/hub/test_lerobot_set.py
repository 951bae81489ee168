"""A LeRobot set on the Hub, by the Hub's own client: the layout with its tag comes back whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_server import Hub
from lawm_schemas import ArraySpec, RemoteError

from lawm_data import make_mask, open_corpus, save_mask
from lawm_data.exchange import export_corpus, import_corpus
from lawm_data.exchange.hub.pull import pull

pytest.importorskip("pyarrow")


def test_a_set_is_uploaded_tagged_and_imported_again(
    hub: Hub, random_corpus, tmp_path: Path
) -> None:
    from huggingface_hub import HfApi

    corpus = random_corpus(observations=(ArraySpec(name="position", shape=(2,)),), unlabeled=(2,))
    save_mask(corpus, make_mask(corpus, 0.5, 0, "half"))
    export_corpus(corpus, f"lerobot:{tmp_path / 'set'}")
    api = HfApi(endpoint=hub.url, token="hf_good")
    api.create_repo("user/set", repo_type="dataset")
    api.upload_folder(repo_id="user/set", folder_path=tmp_path / "set", repo_type="dataset")
    # LeRobot looks for the version of the layout among the tags
    api.create_tag("user/set", tag="v3.0", repo_type="dataset")
    there = {"repo_type": "dataset", "revision": "v3.0", "local_dir": tmp_path / "fetched"}
    api.snapshot_download("user/set", **there)
    import_corpus(f"lerobot:{tmp_path / 'fetched'}", tmp_path / "back")
    back = open_corpus(tmp_path / "back", verify=True)
    assert back.fingerprint == corpus.fingerprint
    assert list(back.masks()) == ["half"]


@pytest.mark.parametrize("folder", ["meta", "meta_data"])
def test_a_set_of_others_says_how_to_import_it(hub: Hub, tmp_path: Path, folder: str) -> None:
    from huggingface_hub import HfApi

    info = tmp_path / "set" / folder / "info.json"
    info.parent.mkdir(parents=True)
    info.write_text("{}")
    api = HfApi(endpoint=hub.url, token="hf_good")
    api.create_repo("user/set", repo_type="dataset")
    api.upload_folder(repo_id="user/set", folder_path=tmp_path / "set", repo_type="dataset")
    words = (
        r"user/set: holds a LeRobot set, and no corpus of lawm; hf download user/set --repo-type "
        r"dataset --local-dir set, then lawm-data import lerobot:set OUT"
    )
    for fetch in (import_corpus, lambda place, out: pull("user/set", out)):
        with pytest.raises(RemoteError, match=words):
            fetch("hf://user/set", tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_other_repositories_are_no_sets(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import HfApi

    (tmp_path / "some").mkdir()
    (tmp_path / "some/README.md").write_text("nothing")
    api = HfApi(endpoint=hub.url, token="hf_good")
    api.create_repo("user/some", repo_type="dataset")
    api.upload_folder(repo_id="user/some", folder_path=tmp_path / "some", repo_type="dataset")
    with pytest.raises(RemoteError, match=r"lawm\.json: is not there"):
        import_corpus("hf://user/some", tmp_path / "out")
