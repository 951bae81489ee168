"""The results of the commands as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lawm_data.system import terminal as show


def corpus(summary: Mapping[str, Any]) -> None:
    """What ``lawm-data info`` knows, for people."""
    from lawm_data.corpus.constant_actions import Inert

    environment, steps = summary["environment"], summary["label_steps"]
    observed, total = steps["observed"], sum(steps.values())
    through = f"mask {summary['mask']}" if summary["mask"] else "no mask"
    through += f", labels {summary['labels']}" if summary["labels"] else ""
    states = {name: count for name, count in summary["label_states"].items() if count}
    show.facts(
        {
            "trajectories": summary["trajectories"],
            "steps": summary["steps"],
            "environment": environment
            and f"{environment['task']}, action repeat {environment['action_repeat']}",
            "actions": ", ".join(f"{show.text(count)} {name}" for name, count in states.items()),
            "steps with actions": (
                f"{show.text(observed)} ({observed / total:.1%})" if total else "0"
            ),
            "seen through": through,
            "sources": ", ".join(
                f"{show.text(n)} {name}" for name, n in summary["sources"].items()
            ),
            "observations": ", ".join(map(_array, summary["observations"])),
            "action": _array(summary["action"]),
            "size": show.size(summary["bytes"], summary["shards"]),
            "fingerprint": summary["fingerprint"][:16],
        },
        title=summary["path"],
    )
    if summary["lengths"]:
        _spreads(summary)
    if summary["without_rewards"]:
        count = show.text(summary["without_rewards"])
        print(f"\nno rewards were recorded for {count} trajectories: they have no returns")
    for what, hint in Inert(**summary["inert_actions"]).warnings(Path(summary["path"])):
        print(f"\nwarning: {what}; {hint}")
    for kind, columns in (
        ("masks", ("labeled", "fraction", "seed", "by", "stratify", "where", "current")),
        ("overlays", ("trajectories", "algorithm", "r2", "current")),
        ("features", ("width", "algorithm", "current")),
        ("latents", ("width", "codes", "constraint", "algorithm", "run", "current")),
    ):
        if summary[kind]:
            print()
            entries = summary[kind].values()
            if kind == "masks":  # no draw made those that were chosen
                none = dict.fromkeys(("seed", "by", "stratify"))
                entries = [e if e["where"] is None else e | none for e in entries]
            rare = ("r2", "where", "codes")  # most masks were drawn, most errors are unknown
            known = [c for c in rare if any(e.get(c) is not None for e in entries)]
            columns = [c for c in columns if c not in rare or c in known]
            rows = [
                [name, *map(entry.get, columns)]
                for name, entry in zip(summary[kind], entries, strict=True)
            ]
            show.grid([kind, *columns], rows)
    if summary["stats"]:
        _statistics(summary["stats"])
    for thing in summary["damaged"]:
        print("\ndamaged: {where}: {what}; {mend}".format(**thing))
    for entry in summary["leftovers"]:
        print(f"\nleft over: {entry}, by a writer that was killed")


def mask(made: Mapping[str, Any], corpus: Path) -> None:
    """What ``lawm-data mask`` chose."""
    stratified = f", stratified by {made['stratify']}" if made["stratify"] else ""
    labeled, of = show.text(made["labeled"]), show.text(made["trajectories"])
    rows = {
        "mask": made["name"],
        "labeled": f"{labeled} of {of} trajectories",
        "chosen": made["where"]
        or f"{made['fraction']:.4g} of the {made['by']}{stratified}, seed {made['seed']}",
        "file": made["path"],
    }
    without = {"corpus without hidden actions": made["withheld"]} if made["withheld"] else {}
    show.facts(rows | without, title=str(corpus))
    for line in made["left"]:
        print(line)


def _spreads(summary: Mapping[str, Any]) -> None:
    """Returns and lengths of the whole, and returns of each source where there are several."""
    print()
    columns = list(summary["lengths"])
    spreads = {key: summary[key] for key in ("returns", "lengths") if summary[key]}
    show.grid(["", *columns], [[key, *_numbers(s, columns)] for key, s in spreads.items()])
    if len(summary["by_source"]) > 1 and summary["returns"]:
        print()
        rows = [
            [name, entry["trajectories"], *_numbers(entry["returns"], columns)]
            for name, entry in summary["by_source"].items()
        ]
        show.grid(["returns of", "trajectories", *columns], rows)


def _numbers(spread: Mapping[str, Any] | None, columns: Sequence[str]) -> list[Any]:
    return [spread and spread[column] for column in columns]


def _statistics(stats: Mapping[str, Any]) -> None:
    """What ``lawm-data info --stats`` adds: a row for each dimension."""
    actions, columns = stats["actions"], ["mean", "std", "min", "max"]
    rows = [
        row
        for entry in stats["observations"]
        if entry["mean"]
        for row in zip(*(entry[column] for column in ["elements", *columns]), strict=True)
    ]
    if rows:
        print()
        show.grid(["observations", *columns], rows)
    if actions:
        columns += [column for column in ("at_low", "at_high") if actions[column]]
        rows = zip(*(actions[column] for column in ["elements", *columns]), strict=True)
        print()
        show.grid(["observed actions", *(c.replace("_", " ") for c in columns)], rows)
    equal = sum(len(ids) - 1 for ids in stats["duplicates"])
    print()
    show.facts({"near-constant": ", ".join(stats["near_constant"]) or "none", "duplicates": equal})


def findings(path: Path, found: Sequence[Mapping[str, str]]) -> None:
    """The findings of ``lawm-data validate``, and whether all is well."""
    for finding in found:
        print("{severity}: {where}: {what}; {mend}".format(**finding))
    errors = sum(finding["severity"] == "error" for finding in found)
    print(f"{path}: {f'errors: {show.text(errors)}' if errors else 'sound'}")


def replay(result: Mapping[str, Any]) -> None:
    """How much of a corpus could be simulated again."""
    exact, count = result["exact"], result["trajectories"]
    print(f"replayed {show.text(count)} trajectories, {show.text(exact)} bit for bit")
    for reason, skipped in result["skipped"].items():
        print(f"not replayed: {show.text(skipped)} ({reason})")


def repair(result: Mapping[str, Any]) -> None:
    """What ``lawm-data repair`` does, or would do."""
    for change in result["changes"]:
        print("{where}: {what}".format(**change))
    for (shard, what), count in Counter((x["shard"], x["what"]) for x in result["lost"]).items():
        print(f"lost: {show.text(count)} trajectories of {shard}: {what}")
    for shard in result["unproven"]:
        print(f"unproven: ids, sources, seeds and metadata of what is kept of {shard}")
    if result["sound"]:
        print(f"{result['path']}: sound, nothing to repair")
        return
    verb = "would keep" if result["dry_run"] else "keeps"
    where, kept = result["out"] or result["path"], show.text(result["trajectories"])
    backup = f"; damaged files are in {result['backup']}" if result["backup"] else ""
    print(f"{where}: {verb} {kept} trajectories{backup}")


def audit(result: Mapping[str, Any]) -> None:
    """What a run could see, and whether that is proved."""
    for seen in result["corpora"]:
        title = f"{show.near(seen['path'])}{'@' + seen['mask'] if seen['mask'] else ''}"
        rows = [[name, *counts.values()] for name, counts in seen["states"].items()]
        show.grid(["actions", "trajectories", "steps"], rows, title=title)
        print()
    rows = [
        ["ok" if check["passed"] else "FAILED", _near(check["name"]), check["what"]]
        for check in result["checks"]
    ]
    show.grid(["", "check", "found"], rows)
    inferred = any(c["states"]["inferred"]["trajectories"] for c in result["corpora"])
    saw = "the observed actions, inferred ones" if inferred else "the observed actions"
    verdict = f"it saw {saw} and no others" if result["passed"] else "not proved"
    print(f"\n{result['run']}: {verdict}")


def evaluation(result: Mapping[str, Any]) -> None:
    """What ``lawm evaluate`` found."""
    planner = result["planner"]
    rows = {
        "return": _return(result),
        "normalised": result["normalized"],
        **({"planner": _planner(planner)} if planner else {}),
        "environment": result["environment"],
        "episodes": result["episodes"],
        "first seed": str(result["seed"]),
    }
    show.facts(
        rows | ({"video": result["video"]} if result["video"] else {}), title=str(result["run"])
    )


def _planner(planner: Mapping[str, Any]) -> str:
    settings = (f"{name} {show.text(value)}" for name, value in planner.items() if name != "name")
    return f"{planner['name']}: {', '.join(settings)}"


def labels(result: Mapping[str, Any], truth: bool) -> None:
    """What ``lawm relabel`` wrote; ``truth`` says that it was to be compared with."""
    spread = result["uncertainty"]
    rows = {
        "trajectories": result["trajectories"],
        "left out": result["left_out"],
        "uncertainty": f"{show.text(spread['min'])} to {show.text(spread['max'])}, "
        f"half of them below {show.text(spread['median'])}",
        "labels": "not written" if result["dry_run"] else result["path"],
    }
    if truth:
        known = result["nmse_per_dimension"] is not None
        rows["R²"] = result["r2"] if known else "unknown: the true actions are nowhere"
        rows["error / variance"] = result["nmse_per_dimension"]
    show.facts(rows, title=str(result["run"]))


def latents(result: Mapping[str, Any]) -> None:
    """What ``lawm relabel --latents`` wrote."""
    codes = result["codes"]
    of = "" if codes is None else f", each one of {codes} codes"
    rows = {
        "trajectories": result["trajectories"],
        "latent actions": f"{result['transitions']:,} of {result['width']} numbers{of}",
        "latents": "not written" if result["dry_run"] else result["path"],
    }
    show.facts(rows, title=str(result["run"]))


def label_errors(result: Mapping[str, Any]) -> None:
    """What ``lawm compare-labels`` found."""
    overlays = result["overlays"]
    columns = ["method", "labeled", "trajectories", "r2", "rmse", "nll", "calibration_error"]
    rows = [[name, *map(o.get, columns), o["coverage"]["95"]] for name, o in overlays.items()]
    titles = ["method", "labeled", "judged on", "R²", "RMSE", "NLL", "miscalibrated by", "in 95%"]
    show.grid(["labels", *titles], rows, title=str(result["corpus"]))
    first = next(iter(overlays.values()))
    print("\nRMSE by action dimension, in its own units")
    rows = [[name, *o["rmse_per_dimension"]] for name, o in overlays.items()]
    show.grid(["labels", *map(str, range(len(first["rmse_per_dimension"])))], rows)
    for key, title in (("by_return", "R² by return"), ("by_source", "R² by source")):
        # on other trajectories (--own) there may be other groups, and without rewards no returns
        groups = list(dict.fromkeys(group for o in overlays.values() for group in o[key]))
        if not groups:
            continue
        print(f"\n{title}")
        rows = [
            [name, *(o[key].get(group, {}).get("r2") for group in groups)]
            for name, o in overlays.items()
        ]
        show.grid(["labels", *groups], rows)
    print("\nobserved error where so much was expected")
    for name, o in overlays.items():
        table = o["reliability"]
        rows = [[kind, *(row[kind] for row in table)] for kind in ("expected", "observed")]
        show.grid([name, *[""] * len(table)], rows)
    read = f"what mask {result['held_out']} shows" if result["held_out"] else "what masks hide"
    print(f"\nThe truth was {read}; it was read to judge these labels and written nowhere.")


def _through(corpus: Mapping[str, Any]) -> str:
    """Mask and inferred actions that a corpus was seen with, as ``lawm train`` is told them."""
    parts = {"@": corpus["mask"], "+": corpus["labels"]}
    return "".join(f"{sign}{name}" for sign, name in parts.items() if name)


def run(result: Mapping[str, Any], unevaluated: str | None) -> None:
    """What ``lawm train`` left behind, and why it was not evaluated, if it was not."""
    data = [
        f"{show.near(c['path'])}{_through(c)}: "
        f"{show.text(c['labeled'])} of {show.text(c['trajectories'])} labeled"
        f"{', ' + show.text(c['inferred']) + ' inferred' if c['labels'] else ''}"
        for c in result["corpora"]
    ]
    rows = {
        "algorithm": result["algorithm"],
        "seed": str(result["seed"]),
        "steps": ", ".join(f"{show.text(n)} {stage}" for stage, n in result["steps"].items()),
        "time": show.clock(result["seconds"]),
        "data": ", ".join(data),
    }
    if taken := result["taken"]:
        rows["taken"] = f"{', '.join(taken['stages'])} from {show.near(taken['run'])}"
    evaluated = result["evaluation"]
    if evaluated:
        rows |= {"return": _return(evaluated), "normalised": evaluated["normalized"]}
    elif unevaluated:
        rows["return"] = f"not evaluated: {unevaluated}"
    show.facts(rows, title=str(result["run"]))


def runs(results: Sequence[Mapping[str, Any]]) -> None:
    """What ``lawm train --seeds`` left behind, one run a line."""
    rows = [
        (
            str(result["run"]),
            result["seed"],
            show.clock(result["seconds"]),
            (result["evaluation"] or {}).get("return_mean"),
            (result["evaluation"] or {}).get("normalized"),
        )
        for result in results
    ]
    show.grid(("run", "seed", "time", "return", "normalised"), rows)


def demo(result: Mapping[str, Any]) -> None:
    """The table at the end of ``lawm demo``."""
    corpus, labels, evaluated = result["corpus"], result["labels"], result["evaluation"]
    labeled = f"{corpus['labeled']} of {corpus['trajectories']} labeled"
    rows = [
        ["corpus", f"mean return, {labeled}", corpus["return_mean"]],
        ["", "best return", corpus["return_max"]],
        ["actions", f"R² over {labels['trajectories']} unlabeled trajectories", labels["r2"]],
        ["training", "time", show.clock(result["seconds"])],
    ]
    if evaluated:
        over = f"mean return over {evaluated['episodes']} episodes"
        rows.insert(2, ["policy", over, _return(evaluated)])
    for field, r2 in (result["probe"] or {}).items():
        rows.append(["features", f"R² of the true {field}", r2])
    show.grid(["", "", ""], rows)
    print()
    shown = {"corpus": corpus["path"], "run": result["run"], "picture": result["picture"]}
    show.facts(shown | ({"dream": result["dream"]} if result["dream"] else {}))


def _near(name: str) -> str:
    """The name of a check, which ends with the path of its corpus."""
    kind, of, path = name.rpartition(" of ")
    return f"{kind}{of}{show.near(path)}"


def _return(result: Mapping[str, Any]) -> str:
    return f"{result['return_mean']:.1f} ± {result['return_std']:.1f}"


def _array(spec: Mapping[str, Any]) -> str:
    drawn = f" ({spec['drawing']})" if spec.get("drawing") else ""
    return f"{spec['name']}{list(spec['shape'])}{drawn}"
