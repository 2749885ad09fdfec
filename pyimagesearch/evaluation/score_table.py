"""The scores of an evaluation as lines of text."""

from typing import Any

from pyimagesearch.arrays import Scores
from pyimagesearch.evaluation.metrics import KS

TELLING = 0.1  # a column of which no value is above says nothing: recall@10 of 6,000 images


def score_table(scores: Scores) -> str:
    """Return the scores of `evaluate_index` as lines of text, a row a code.

    Beside P@1 and mAP there are the columns in which some value is above TELLING.
    """
    codes = {name: row for name, row in scores.items() if name != "engine"}
    columns = [name for name in _names() if _tells(name, codes)]
    width = max(map(len, codes)) + 2
    lines = [
        f"{'':{width}}{'metric':<9}" + "".join(f"{name:>8}" for name in columns) + "  std. error"
    ]
    for code, row in codes.items():
        values = "".join(f"{row[name]:8.4f}" for name in columns)
        lines.append(f"{code:{width}}{row['metric']:<9}{values}  {row['mAP error']:10.4f}")
    counts = {row["queries"] for row in codes.values()}
    lines.append(f"means of {max(counts):,} queries; the standard error is that of mAP")
    if "engine" in scores:
        lines.append(_engine_line(scores["engine"]))
    return "\n".join([*lines, *worse_than_baselines(scores)])


def _names() -> list[str]:
    return [*(f"P@{k}" for k in KS), *(f"R@{k}" for k in KS), "mAP"]


def _tells(name: str, codes: Scores) -> bool:
    """Whether a column says something; those beyond the size of the index do not exist."""
    if name in ("P@1", "mAP"):
        return True
    return any(row.get(name, 0) > TELLING for row in codes.values())


def _engine_line(scores: dict[str, Any]) -> str:
    return (
        f"engine {scores['name']}, probe {scores['probe']}: of exact search's nearest 10 it finds "
        f"{scores['recall@10']:.4f}, of the nearest 225 {scores['recall@225']:.4f}, in "
        f"{scores['ms']:.2f} ms a query (exact {scores['exact_ms']:.2f} ms)"
    )


def worse_than_baselines(scores: Scores) -> list[str]:
    """Return a line about baselines that retrieve better than the code, in a list; else none."""
    (code, own), *others = [item for item in scores.items() if item[0] != "engine"]
    moved = f"{code}, "  # rows of the same code, by other queries
    baselines = [item for item in others if not item[0].startswith(moved)]
    better = [
        f"{name} ({row[key]:.4f} to {own[key]:.4f} {key})"
        for name, row in baselines
        for key in [next((key for key in ("mAP", "P@1") if row[key] > own[key]), None)]
        if key
    ]
    if not better:
        return []
    need = "need" if len(better) > 1 else "needs"
    return [f"{code}: retrieves worse than {', '.join(better)}, which {need} no training"]
