from __future__ import annotations

from pathlib import Path

from lawm_schemas import Provenance
from report_corpora import ACTION, STATE, corpus_with

from lawm_data import CorpusWriter, open_corpus
from lawm_data.inspection.report import lineage, prose
from lawm_data.inspection.summary import summarize


def test_names_of_the_corpus_are_only_text(tmp_path: Path) -> None:
    corpus = corpus_with(tmp_path / "<b>")
    with CorpusWriter.append(corpus.path) as writer:
        trajectory = corpus[0]
        writer.add(
            {spec.name: trajectory.observations[spec.name] for spec in STATE},
            trajectory.rewards,
            trajectory.actions,
            provenance=Provenance(source="<script>"),
        )
    view = open_corpus(corpus.path)
    assert view.manifest.action == ACTION
    summary = summarize(view, stats=True)
    specs = {"returns-0": {"title": "<script>"}}
    groups = list(lineage.groups(view))
    text = prose.fill(view, summary, specs, groups, lineage.stages(view, summary), "<i>")
    assert not any("<script" in part or "<i>" in part for part in text.values())
    assert text["name"] == "&lt;b&gt;"
    assert "&lt;script&gt;" in text["returns"]
    assert "&lt;script&gt;" in text["groups"]
