"""The table of drifts for the documentation, written from the code so that it cannot fall behind."""

from portfolios.drift_catalogue import WORDS, Drift

INTRODUCTION = """# What can differ between your book and a broker

The book is compared with the broker all the time. A difference opens when two looks at least ten seconds
apart both find it. Its class says what most likely happened, read from what both sides have recorded: fills,
activities, prices and orders. A class changes nothing: the book moves only by recorded facts or by a person's
choice, and nothing is ever traded to make two sides agree.

This table is written by `python manage.py write_drift_docs`.

"""


def render_drift_docs() -> str:
    """Return the whole page as Markdown."""
    rows = [
        f"| `{drift}` | {WORDS[drift].label} | {WORDS[drift].meaning} | {WORDS[drift].settled_by} |"
        for drift in Drift
    ]
    head = ["| class | name | what it means | what settles it |", "|---|---|---|---|"]
    return INTRODUCTION + "\n".join([*head, *rows]) + "\n"
