import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lawm_cli.data_app import app

from lawm_data import open_corpus
from lawm_models.collection.agent_folder import AgentFolder
from lawm_models.collection.agents import AGENTS
from lawm_models.collection.collector import agent_folder

COLLECT = ["collect", "--env", "cartpole-swingup", "--action-repeat", "40", "--num-envs", "2"]


def names() -> list[str]:
    return [command.name or command.callback.__name__ for command in app.registered_commands]


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def program(*words: object, **options) -> subprocess.Popen[str]:
    code = "import sys; from lawm_cli.entry import lawm_data; sys.exit(lawm_data())"
    # A shell starts what it puts in the background with interrupts ignored, tests too.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", heed + code, *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("name", names())
def test_every_command_has_help_with_an_example(run, name: str) -> None:
    result = run("lawm-data", name, "--help")
    assert result.code == 0
    assert f"lawm-data {name}" in result.out.partition("Example:")[2]
    assert max(map(len, result.out.splitlines())) <= 80
    assert "--json" in result.out


def test_info_agrees_with_the_corpus(run, corpus: Path) -> None:
    result, truth = run("lawm-data", "info", corpus, "--json").json, open_corpus(corpus)
    assert result["trajectories"] == len(truth)
    assert result["steps"] == sum(len(trajectory) for trajectory in truth)
    assert result["fingerprint"] == truth.fingerprint
    assert result["label_states"] == {"observed": 6, "withheld": 0, "missing": 0, "inferred": 0}
    assert result["masks"]["third"]["labeled"] == 2
    assert result["returns"]["max"] == pytest.approx(max(float(t.rewards.sum()) for t in truth))


def test_info_tells_masks_that_were_chosen_from_drawn_ones(run, corpus: Path) -> None:
    words = ("mask", corpus, "--where", "position < 3", "--name", "first")
    assert run("lawm-data", *words).code == 0
    told = run("lawm-data", "info", corpus).out.splitlines()
    rows = {line.split()[0]: " ".join(line.split()) for line in told if line.split()}
    assert "0 trajectories" in rows["third"]
    assert "trajectories" not in rows["first"]
    assert "position < 3" in rows["first"]


def test_info_through_a_mask(run, corpus: Path) -> None:
    result = run("lawm-data", "info", corpus, "--mask", "third", "--json").json
    assert result["mask"] == "third"
    assert result["label_states"] == {"observed": 2, "withheld": 4, "missing": 0, "inferred": 0}


def test_mask_file_lists_what_the_command_counts(run, corpus: Path) -> None:
    result = run("lawm-data", "mask", corpus, "--fraction", 0.5, "--name", "half", "--json").json
    on_disk = json.loads(Path(result["path"]).read_text())
    assert result["labeled"] == len(on_disk["labeled"]) == 3
    assert open_corpus(corpus).with_mask("half").label_counts()["observed"] == 3


def test_withheld_corpus_has_no_hidden_actions(run, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "public"
    words = ("mask", corpus, "--fraction", 0.5, "--name", "half", "--withhold", out)
    assert run("lawm-data", *words, "--json").json["withheld"] == str(out)
    counts = open_corpus(out).label_counts()
    assert (counts["observed"], counts["missing"], counts["withheld"]) == (3, 3, 0)
    assert run("lawm-data", "validate", out).code == 0


def test_validate_finds_a_flipped_byte(run, corpus: Path) -> None:
    assert run("lawm-data", "validate", corpus, "--json").json["findings"] == []
    (shard,) = (corpus / "shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    result = run("lawm-data", "validate", corpus, "--json")
    assert (result.code, result.json["valid"]) == (1, False)
    for finding in result.json["findings"]:
        assert finding.keys() == {"severity", "where", "what", "mend"}
    assert str(shard) in run("lawm-data", "validate", corpus).out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("collect --env cartpole-swngup --out {new}", "cartpole-swingup"),
        ("collect --env cartpole-swingup --agent nobody --out {new}", "nobody: no such agent"),
        ("collect --env cartpole-swingup --agent dreamer --append --out {new}", "--append"),
        ("collect --env cartpole-swingup --agent plan2explore --noise --out {new}", "--noise"),
        ("collect --env cartpole-swingup --trajectories 0 --out {new}", "--trajectories"),
        ("collect --env cartpole-swingup --append --out {new}", "{new}: does not exist"),
        ("collect --env cartpole-swingup --out {corpus}", "with action repeat 40"),
        (f"{' '.join(COLLECT)} --seed 1 --out {{corpus}}", "another collection"),
        ("collect --env cartpole-balance --out {corpus} --append", "not cartpole-balance"),
        ("mask {corpus} --fraction 0 --name x", "0.0 is not in (0, 1]"),
        ("mask {corpus} --fraction 1.5 --name x", "1.5 is not in (0, 1]"),
        ("mask {corpus} --fraction nan --name x", "nan is not in (0, 1]"),
        ("mask {corpus} --fraction 0.5 --name ../x", "'../x': cannot be the name"),
        ("mask {corpus} --fraction 0.9 --name third", "another mask has this name"),
        ("mask {corpus} --fraction 0.5 --name x --withhold {corpus}", "already there"),
        ("info {corpus}/corpus.json", "is a file, not the folder of a corpus"),
        ("info {corpus} --mask=", "an argument is empty"),
        ("info {corpus} --labels=", "an argument is empty"),
        ("mask {new} --fraction 0.5 --name x", "{new}: does not exist"),
        ("mask {corpus} --name x", "give exactly one of --fraction, --where and --ids"),
        ("info {corpus} --mask nobody", "masks here: third"),
        ("info {corpus} --labels nobody", "no such overlay"),
        ("info {corpus}/masks", "is not a corpus"),
        ("report {corpus} --out {new}/page.html", "there is no such folder"),
        ("report {corpus} --out {corpus}", "is a folder"),
        ("report {corpus} --out {new} --mask nobody", "masks here: third"),
        ("report {corpus} --out {new} --trajectories 0", "--trajectories"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run, corpus: Path, tmp_path: Path, words: str, line: str
) -> None:
    places = {"corpus": str(corpus), "new": str(tmp_path / "new")}
    before = content(tmp_path)
    result = run("lawm-data", *words.format(**places).split())
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert line.format(**places) in result.err
    assert content(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_newer_format_is_refused(run, corpus: Path) -> None:
    manifest = corpus / "corpus.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))
    result = run("lawm-data", "info", corpus)
    assert (result.code, "format version 99" in result.err) == (2, True)


def test_mask_of_another_corpus_is_refused(run, corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run("lawm-data", *COLLECT, "--trajectories", 2, "--seed", 1, "--out", other).code == 0
    shutil.copytree(corpus / "masks", other / "masks")
    result = run("lawm-data", "info", other, "--mask", "third")
    assert (result.code, "belongs to corpus" in result.err) == (2, True)


def test_collecting_in_pieces_gives_the_same_corpus(run, tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    first = run("lawm-data", *COLLECT, "--trajectories", 5, "--out", whole, "--json").json
    for count in (1, 4, 5, 5):
        words = (*COLLECT, "--trajectories", count, "--out", pieces, "--json")
        last = run("lawm-data", *words).json
    assert last["fingerprint"] == first["fingerprint"]
    assert last["trajectories"] == 5


def test_append_adds_trajectories_of_another_agent(run, trained: Path, corpus: Path) -> None:
    words = ("collect", "--env", "cartpole-swingup", "--agent", trained, "--noise", "--append")
    result = run("lawm-data", *words, "--trajectories", 2, "--out", corpus, "--json").json
    assert result["trajectories"] == 8
    assert run("lawm-data", "info", corpus, "--json").json["sources"] == {"random": 6, "bc": 2}
    assert run("lawm-data", "validate", corpus).code == 0


@pytest.mark.parametrize("agent", AGENTS.names())
def test_learning_agent_collects_and_acts_again(run, agent: str, tmp_path: Path) -> None:
    words = ("collect", "--env", "cartpole-swingup", "--action-repeat", 40, "--trajectories", 2)
    result = run("lawm-data", *words, "--agent", agent, "--out", tmp_path / "c", "--json").json
    assert (result["agent"], result["trajectories"]) == (agent, 2)
    again = ("--agent", tmp_path / "c.agent", "--out", tmp_path / "again", "--json")
    assert run("lawm-data", *words, *again).json["trajectories"] == 2
    for name in ("c", "again"):
        result = run("lawm-data", "info", tmp_path / name, "--json").json
        assert result["sources"] == {agent: 2}


def test_run_collects_with_its_own_action_repeat(run, trained: Path, tmp_path: Path) -> None:
    words = ("--env", "cartpole-swingup", "--agent", trained, "--trajectories", 1)
    result = run("lawm-data", "collect", *words, "--out", tmp_path / "c", "--json").json
    assert result["environment"]["action_repeat"] == 40


def test_run_of_another_environment_is_refused(run, trained: Path, tmp_path: Path) -> None:
    words = ("--env", "walker-walk", "--agent", trained, "--out", tmp_path / "c")
    result = run("lawm-data", "collect", *words)
    assert (result.code, "the agent observes position, velocity" in result.err) == (2, True)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_collection_loses_nothing_committed(run, tmp_path: Path, number: int) -> None:
    out = tmp_path / "c"
    process = program(*COLLECT, "--trajectories", 10**6, "--out", out)
    while not (out / "corpus.json").exists() or not len(open_corpus(out)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    seen = open_corpus(out)
    process.send_signal(number)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in err
    after = open_corpus(out)
    assert after.table.id.tolist()[: len(seen)] == seen.table.id.tolist()
    again = run("lawm-data", *COLLECT, "--trajectories", len(after) + 1, "--out", out, "--json")
    assert again.json["trajectories"] == len(after) + 1
    assert run("lawm-data", "validate", out, "--json").json["findings"] == []


@pytest.mark.slow
def test_ctrl_c_waits_for_a_round_of_learning_in_both_of_its_processes(run, tmp_path) -> None:
    """It reaches both, as a whole group of processes."""
    out = tmp_path / "c"
    words = ("--env", "cartpole-swingup", "--action-repeat", 40, "--agent", "dreamer", "--out", out)
    process = program("collect", *words, "--trajectories", 10**6, start_new_session=True)
    while not (out / "corpus.json").exists() or len(open_corpus(out)) < 10:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    assert (process.returncode, "Traceback" in err) == (130, False), err
    assert err.endswith("lawm-data: interrupted; the same command goes on where it was\n")
    assert AgentFolder.read(agent_folder(out)).rounds == len(open_corpus(out)), "not a whole round"
    assert run("lawm-data", "validate", out, "--json").json["findings"] == []


def test_full_disk_is_one_line_and_leaves_the_corpus_as_it_was(corpus: Path) -> None:
    before = content(corpus)

    def no_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    words = ("mask", corpus, "--fraction", 0.5, "--name", "half")
    process = program(*words, preexec_fn=no_space)
    err = process.communicate()[1]
    assert (process.returncode, err.count("\n")) == (2, 1)
    assert "no space left on the device" in err
    assert content(corpus) == before


HEAVY = {
    *("torch", "dm_control", "mujoco", "gymnasium", "matplotlib", "scipy", "pandas", "pyarrow"),
    *("PIL", "imageio_ffmpeg", "huggingface_hub", "ruamel.yaml", "rich.table", "numpy.random"),
    *("lawm_schemas.experiment", "lawm_schemas.run", "lawm_models", "lawm_data.curation"),
    *("asyncio", "concurrent.futures", "multiprocessing"),
}
"""What takes a command longer to load than most of them work."""


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ("info {}", set()),
        ("info {} --json", set()),
        ("mask {} --fraction 0.5 --name half", set()),
        ("validate {}", set()),
        ("filter {} length>0 --out {}-2", {"lawm_data.curation"}),
        ("repair {}", set()),
    ],
)
def test_data_commands_load_only_what_they_need(corpus: Path, words: str, needed: set[str]) -> None:
    code = (
        "import sys; from lawm_cli.entry import lawm_data; code = lawm_data();"
        "print(code, *sys.modules)"
    )
    command = [sys.executable, "-c", code, *words.replace("{}", str(corpus)).split()]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert {*loaded} & HEAVY == needed
    assert len(loaded) < 520  # 450 to 500 when this was written, of which 300 are of packages
