"""The kinds of inputs of ``fuzz.py``: how a sound one is made, altered and read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tiny_inputs as tiny
from fuzz_mutations import Random, alter, alter_bytes, alter_tree, way_of
from lawm_schemas import CHECKSUM, checksum_of

REPO = "user/c"
"""Where the corpus is published."""
ROUNDS = 10
"""After which an agent keeps a snapshot."""


class Kind(NamedTuple):
    """A kind of input."""

    make: Callable[[Path], object]
    """Fills a folder with a sound one."""
    read: Callable[[Path, Random], list[str]]
    """Reads it as a user would, in ``folder/in``; says what is wrong."""
    alter: Callable[[Random, Path], str] = alter
    share: int = 1
    """How many of the inputs it gets, beside the others."""


def call(program: str, *words: str) -> int:
    """Call a command; its exit code."""
    return tiny.main_of(program)(list(words))


def _fine(codes: Sequence[int]) -> list[str]:
    wrong = [code for code in codes if code not in (0, 1, 2)]
    return [f"exit code {code}" for code in wrong]


def fit_native(path: Path) -> None:
    """Make sizes and checksums fit what is there."""
    file = path / "corpus.json"
    with contextlib.suppress(Exception):
        data = json.loads(file.read_text())
        for shard in data["shards"]:
            content = (path / "shards" / shard["file"]).read_bytes()
            shard |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        data.pop(CHECKSUM, None)
        file.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))
    for overlay in path.glob("labels/*/overlay.json"):
        with contextlib.suppress(Exception):
            data = json.loads(overlay.read_text())
            content = overlay.with_name("actions.h5").read_bytes()
            data["sha256"] = hashlib.sha256(content).hexdigest()
            data.pop(CHECKSUM, None)
            overlay.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))
    for mask in path.glob("masks/*.json"):
        with contextlib.suppress(Exception):
            data = json.loads(mask.read_text())
            data.pop(CHECKSUM, None)
            mask.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))


def fit_checkpoints(path: Path) -> None:
    """Make the checksums of checkpoints and of what tells of an agent fit what is there."""
    for file in (*path.rglob("state.json"), *path.rglob("agent.json")):
        with contextlib.suppress(Exception):
            data = json.loads(file.read_text())
            for name in data.get("sha256", ()):
                content = file.with_name(name).read_bytes()
                data["sha256"][name] = hashlib.sha256(content).hexdigest()
            data.pop(CHECKSUM, None)
            file.write_text(json.dumps(data | {CHECKSUM: checksum_of(data)}))


def fit_published(path: Path) -> None:
    """Make ``lawm.json`` say what is there."""
    file = path / "lawm.json"
    with contextlib.suppress(Exception):
        data = json.loads(file.read_text())
        for one in data["files"]:
            content = (path / one["path"]).read_bytes()
            one |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        file.write_text(json.dumps(data))


def _fit_repository(path: Path) -> None:
    fit_native(path / "corpus")
    fit_published(path)


def altered_and_fitted(place: str, fit: Callable[[Path], object]) -> Callable[[Random, Path], str]:
    """Alter what lies at a place; half of the time all checksums fit again."""

    def way(rng: Random, folder: Path) -> str:
        text = alter(rng, folder / place)
        if rng.random() < 0.5:
            fit(folder / place)
            text += ", fitted"
        return text

    return way


def content_of(path: Path) -> dict[str, str]:
    """Hashes of everything that a corpus shows: what it says, arrays, table, masks, overlays."""
    from lawm_data import open_corpus
    from lawm_data.corpus.overlay import open_labels, overlay_names

    def hashed(*parts: str | np.ndarray | None) -> str:
        kept = [part for part in parts if part is not None]
        data = [part.encode() if isinstance(part, str) else part.tobytes() for part in kept]
        return hashlib.sha256(b"".join(data)).hexdigest()

    corpus = open_corpus(path)
    seen = {"corpus.json": hashed(corpus.manifest.model_dump_json(exclude={"shards"}))}
    for one in corpus:
        arrays = (*one.observations.values(), one.rewards, one.actions)
        seen[one.info.id] = hashed(repr(one.info), *arrays)
    for name, mask in corpus.masks().items():
        seen[f"masks/{name}.json"] = hashed(mask.model_dump_json())
    for name in overlay_names(path):
        labels = open_labels(corpus, name)
        actions = [array for known in labels.ids.tolist() for array in labels.read(known.decode())]
        seen[f"labels/{name}"] = hashed(labels.info.model_dump_json(), *actions)
    return seen


def _same(path: Path, known: dict[str, str]) -> bool:
    """Whether a corpus shows what it did, apart from masks and overlays that are not there."""
    now = content_of(path)
    gone = {name for name in known if "/" in name and not os.path.lexists(path / name)}
    return now == {name: text for name, text in known.items() if name not in gone}


def read_native(folder: Path, rng: Random) -> list[str]:
    """Validate, look, derive, load, repair."""
    from lawm_schemas import LawmError

    from lawm_data import CorpusWriter, Loader, open_corpus
    from lawm_data.corpus.integrity.validate import validate

    path = folder / "in/c"
    codes = [call("lawm-data", "validate", str(path))]
    ways = [
        ("info", str(path), "--stats", "--mask", "half"),
        ("info", str(path), "--stats", "--labels", "idm", "--json"),
        ("filter", str(path), "length > 4", "--out", str(folder / "out/filtered")),
        ("mask", str(path), "--fraction", "0.5", "--name", "new"),
        ("export", str(path), f"d4rl:{folder}/out/x.hdf5"),
    ]
    sound = codes == [0] and not any(f.severity == "warning" for f in validate(path))
    wrong = []
    known = json.loads((folder.parent / "native.content").read_text())
    if sound and not (folder / "fitted").exists() and not _same(path, known):
        wrong.append("passes with other content")
    for way in rng.sample(ways, 2):
        codes.append(call("lawm-data", *way))
    with contextlib.suppress(LawmError):
        Loader(open_corpus(path), batch_size=4, window=4).next()
        CorpusWriter.append(path).close()
    if rng.random() < 0.3:
        codes.append(call("lawm-data", "repair", str(path)))
        if codes[-1] == 0:
            wrong += [f"after repair: {f}" for f in validate(path) if f.severity == "error"]
    return [*_fine(codes), *wrong]


def read_foreign(text: str) -> Callable[[Path, Random], list[str]]:
    """Import it; behind the address stand settings."""
    address, *given = text.split()
    settings = [word for setting in given for word in ("--set", setting)]

    def read(folder: Path, rng: Random) -> list[str]:
        from lawm_data.corpus.integrity.validate import validate

        name, place = address.split(":")
        os.environ["MINARI_DATASETS_PATH"] = str(folder / "in")
        where = place if name.startswith("minari") else f"{folder}/in/{place}"
        out = folder / "out/c"
        code = call("lawm-data", "import", f"{name.split('-')[0]}:{where}", str(out), *settings)
        wrong = _fine([code])
        if code == 0:
            wrong += [f"imported: {f}" for f in validate(out) if f.severity == "error"]
        return wrong + _left_half(folder, code)

    return read


def _left_half(folder: Path, code: int) -> list[str]:
    """Whether an import that was refused has left something."""
    left = code and any((folder / "out").iterdir())
    return ["something half-written is left"] if left else []


def read_hub(folder: Path, rng: Random) -> list[str]:
    """Import, stream or replace what is published, from a server that may lie about it."""
    from lawm_schemas import LawmError

    from lawm_data import stream

    repository = folder / "in/repo"
    with tiny.hub(folder) as server:
        blobs = _serve(server, repository)
        if blobs and rng.random() < 0.4:
            _lie(server, blobs, rng, folder / "lies")
        way = rng.randrange(4)
        if way == 0:
            with contextlib.suppress(LawmError):
                batches = stream(f"hf://{REPO}", 4, 4, mask=rng.choice((None, "half")))
                for _ in range(3):
                    batches.next()
            return []
        if way == 1:
            words = ("push-to-hub", str(folder / "in/c"), REPO, "--licence", "MIT")
            return _fine([call("lawm-data", *words)])
        out = folder / "out/c"
        code = call("lawm-data", "import", f"hf://{REPO}", str(out))
    known = json.loads((folder.parent / "hub.content").read_text())
    wrong = _fine([code])
    if code == 0 and not (folder / "fitted").exists() and not _same(out, known):
        wrong.append("passes with other content")
    return wrong + _left_half(folder, code)


def _lie(server: Any, blobs: dict[str, Any], rng: Random, folder: Path) -> None:
    """Send something else for a file than there is, or list it as something else."""
    path = rng.choice(sorted(blobs))
    blob = blobs[path]
    if rng.random() < 0.5:
        folder.mkdir()
        file = folder / "file"
        file.write_bytes(blob.data)
        alter_bytes(rng, file, folder)
        server.served[path] = file.read_bytes() if file.is_file() else b""
    else:
        entry = {"type": "file", "path": path, "size": len(blob.data), "oid": blob.oid}
        lie = alter_tree(rng, entry | {"lfs": {"oid": blob.sha256}})
        # what JSON or our server cannot say is not sent
        with contextlib.suppress(RecursionError, ValueError):
            json.dumps(lie)
            server.listed[path] = lie


def read_hub_lerobot(folder: Path, rng: Random) -> list[str]:
    """Fetch a set of others as we say that it is to be done, and import it."""
    from huggingface_hub import HfApi

    with tiny.hub(folder) as server:
        _serve(server, folder / "in/set")
        wrong = _fine([call("lawm-data", "import", f"hf://{REPO}", str(folder / "out/c"))])
        with contextlib.suppress(Exception):  # of their client
            HfApi(endpoint=server.url).snapshot_download(
                REPO, repo_type="dataset", local_dir=folder / "in/fetched"
            )
    if not (folder / "in/fetched").is_dir():
        return wrong
    return wrong + read_foreign("lerobot:fetched")(folder, rng)


def _serve(server: Any, repository: Path) -> dict[str, Any]:
    """Publish the files of a folder; what the server has of them."""
    store, large = (importlib.import_module(name) for name in ("hub_store", "hub_endpoints"))
    files = [path for path in repository.rglob("*") if path.is_file() and not path.is_symlink()]
    blobs = {
        path.relative_to(repository).as_posix(): store.Blob(
            path.read_bytes(), path.suffix in large.LARGE
        )
        for path in files
    }
    server.repos[REPO] = store.Repo(private=False)
    server.repos[REPO].put(blobs)
    return blobs


def read_run(folder: Path, rng: Random) -> list[str]:
    """Resume, evaluate, relabel."""
    os.chdir(folder / "in")
    shutil.rmtree("run/checkpoints/step_00000003", ignore_errors=True)
    steps = [part for setting in (*tiny.TINY, "steps.agent=3") for part in ("--set", setting)]
    data = ("--corpus", "c@half", "--algorithm", "bc", "--preset", "demo", "--out", "run")
    codes = [call("lawm", "train", *data, *steps)]
    wrong = []
    if codes == [0] and not (folder / "fitted").exists():
        model = Path("run/checkpoints/step_00000003/model.safetensors").read_bytes()
        if hashlib.sha256(model).hexdigest() != (folder.parent / "run.content").read_text():
            wrong.append("resumed to other weights")
    ways = (("evaluate", "run", "--episodes", "1"), ("runs", "."), ("audit", "run"))
    codes.append(call("lawm", *rng.choice(ways)))
    return [*_fine(codes), *wrong]


def read_agent(folder: Path, rng: Random) -> list[str]:
    """Act as the agent did, or go on learning."""
    from lawm_schemas import LawmError

    os.chdir(folder / "in")
    if rng.random() < 0.3:
        with contextlib.suppress(LawmError):
            tiny.agent(Path("d"), ROUNDS + 1)
            learned = Path("d.agent/latest/model.safetensors").read_bytes()
            known = (folder.parent / "agent.content").read_text()
            if hashlib.sha256(learned).hexdigest() != known and not (folder / "fitted").exists():
                return ["learned to other weights"]
        return []
    who = rng.choice(("d.agent", "d.agent@snapshots"))
    words = f"collect --env cartpole-swingup --agent {who} --trajectories 1 --action-repeat 100"
    return _fine([call("lawm-data", *words.split(), "--out", "../out/x", "--workers", "1")])


def read_recipe(folder: Path, rng: Random) -> list[str]:
    """Plan it."""
    os.chdir(folder / "in")
    return _fine([call("lawm-data", "build", "plan.yaml", "--out", "../out/x", "--dry-run")])


def read_study(folder: Path, rng: Random) -> list[str]:
    """Plan it."""
    os.chdir(folder / "in")
    return _fine([call("lawm", "benchmark", "plan.yaml", "--out", "../out/x", "--dry-run")])


def read_config(folder: Path, rng: Random) -> list[str]:
    """Resolve it, as a training does before it begins."""
    from lawm_cli import experiment
    from lawm_schemas import LawmError

    from lawm_models.training.experiment import resolve

    os.chdir(folder / "in")
    with contextlib.suppress(LawmError):
        resolve(experiment.from_file(Path("config.yaml"), {}))
    return []


def read_results(folder: Path, rng: Random) -> list[str]:
    """Make the tables of a study."""
    os.chdir(folder / "in")
    return _fine([call("lawm", "table", "study/results.json", "--out", "../out/tables")])


def _native(folder: Path) -> None:
    tiny.corpus(folder / "c", everything=True)
    folder.with_suffix(".content").write_text(json.dumps(content_of(folder / "c")))


def _hub(folder: Path) -> None:
    _native(folder)
    with tiny.hub(folder.parent) as server:
        tiny.require(f"lawm-data push-to-hub {folder / 'c'} {REPO} --licence MIT")
        for path, blob in server.repos[REPO].files.items():
            file = folder / "repo" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(blob.data)


def _agent(folder: Path) -> None:
    from lawm_models.collection.collector import agent_folder

    collection = folder / "d"
    tiny.agent(collection, ROUNDS)
    longer = folder.parent / "longer"
    for source in (collection, agent_folder(collection)):
        shutil.copytree(source, longer / source.name)
    tiny.agent(longer / "d", ROUNDS + 1)
    learned = (longer / "d.agent/latest/model.safetensors").read_bytes()
    (folder.parent / "agent.content").write_text(hashlib.sha256(learned).hexdigest())
    shutil.rmtree(longer)


def _run(folder: Path) -> None:
    place = folder.parent / "work/in"  # where it will be read: a run remembers its corpus's path
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.chdir(place)
    tiny.corpus(Path("c"))
    tiny.run(Path("run"), Path("c"))
    model = Path("run/checkpoints/step_00000003/model.safetensors").read_bytes()
    (folder.parent / "run.content").write_text(hashlib.sha256(model).hexdigest())
    shutil.rmtree("run/checkpoints/step_00000003")
    shutil.rmtree("run/tensorboard")
    shutil.copytree(place, folder, dirs_exist_ok=True)


def _foreign(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        source = tiny.corpus(folder.parent / f"source-{name}", everything=name != "d4rl")
        tiny.foreign(name, folder, source)
        shutil.rmtree(source)

    return make


def _plan(text: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        tiny.corpus(folder / "c")
        (folder / "plan.yaml").write_text(text)

    return make


def _config(folder: Path) -> None:
    _run(folder)
    shutil.copy(folder / "run/config.yaml", folder / "config.yaml")


def _results(folder: Path) -> None:
    os.chdir(folder)
    _plan(tiny.STUDY)(folder)
    tiny.require("lawm benchmark plan.yaml --out study --workers 1")
    shutil.rmtree("study/runs", ignore_errors=True)


def _only(name: str) -> Callable[[Random, Path], str]:
    """Alter one file and nothing else, mostly its structure."""

    def way(rng: Random, folder: Path) -> str:
        file = folder / name
        if not file.is_file() or file.is_symlink():
            return "nothing"
        structured = way_of(file)
        if structured is not None and rng.random() < 0.85:
            with contextlib.suppress(Exception):
                return structured(rng, file)
        return alter_bytes(rng, file, folder)

    return way


PLACES = {
    "d4rl": "d4rl:set.hdf5",
    "robomimic": "robomimic:set.hdf5",
    "lerobot": "lerobot:set",
    "minari": "minari:tiny/set-v0",
    "minari-arrow": "minari-arrow:tiny/arrow-v0",
    "ogbench": "ogbench:set.npz",
    "exorl": "exorl:set",
    "aime": "aime:set",
    "dreamer": "dreamer:set",
    "d3rlpy": "d3rlpy:set.h5",
    "tdmpc2": "tdmpc2:set",
    "video": "video:set fps=10 size=8",
    "zarr": "zarr:set.zarr",
    "zarr-zip": "zarr:set.zip",
    "zarr-shards": "zarr:set.zarr without=img",
}
KINDS: dict[str, Kind] = {
    "native": Kind(_native, read_native, altered_and_fitted("c", fit_native), share=3),
    **{name: Kind(_foreign(name), read_foreign(place)) for name, place in PLACES.items()},
    "hub": Kind(_hub, read_hub, altered_and_fitted("repo", _fit_repository), share=2),
    "hub-lerobot": Kind(_foreign("lerobot"), read_hub_lerobot),
    "run": Kind(_run, read_run, altered_and_fitted("run", fit_checkpoints), share=2),
    "agent": Kind(_agent, read_agent, altered_and_fitted("d.agent", fit_checkpoints)),
    "recipe": Kind(_plan(tiny.RECIPE), read_recipe, _only("plan.yaml")),
    "study": Kind(_plan(tiny.STUDY), read_study, _only("plan.yaml")),
    "config": Kind(_config, read_config, _only("config.yaml")),
    "results": Kind(_results, read_results, _only("study/results.json")),
}
LEARNS = {"run", "agent", "study", "config", "results"}
"""Kinds that are read with what learns, too."""
