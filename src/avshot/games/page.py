"""A page about experiments, as HTML that fetches nothing: table, curves, and what was said about which pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from io import BytesIO
from pathlib import Path

from avshot.files.atomic import load_sealed, save_text
from avshot.games.curves import curve_svg
from avshot.games.episode import Episode, Sight
from avshot.games.experiment import Play, from_record, game_of, listener_of
from avshot.games.game import Game
from avshot.games.item import Pixels
from avshot.games.judge import Round
from avshot.games.play import TEST_SEED, load_rounds
from avshot.games.weaknesses.weakness import Weakness

SHOWN = 8  # episodes of each experiment
_WIDTH = 200  # of a picture, in pixels of the screen

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1b1b1b; max-width: 72rem;
       margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.4rem; border-bottom: 2px solid #0072B2; }
.lead { color: #555; margin-top: 0; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }
th, td { padding: .28rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
th { border-bottom: 2px solid #1b1b1b; } td img { display: inline-block; margin: 0 .25rem .25rem 0; }
.meant { outline: 3px solid #0072B2; } .chosen { outline: 3px dashed #D55E00; }
.yes { color: #00614a; font-weight: 600; } .no { color: #a33c00; font-weight: 600; }
.scene { font-size: .85rem; display: inline-block; max-width: 15rem; padding: .2rem .4rem; margin: .2rem; }
details { margin: .6rem 0; } .warn { background: #fff4e0; padding: .5rem .9rem; border-left: 4px solid #E69F00; }
"""

WARNING = (
    "A model that is adapted online to one listener may lose what it was trained for before, safety training included, "
    "and may learn to exploit its listener instead of informing it. Read the messages, not only the scores."
)


def page(title: str, body: str) -> str:
    """A whole page around its body."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"{meta}<title>{escape(title)}</title><style>{_STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def write_page(file: Path, title: str, about: str, parts: Sequence[str]) -> None:
    """Write a page with the warning of the thesis's appendix F.1."""
    lead = f'<p class="lead">{escape(about)}</p>' if about else ""
    body = f'<h1>{escape(title)}</h1>{lead}<p class="warn">{escape(WARNING)}</p>{"".join(parts)}'
    save_text(file, page(title, body))


def section(folder: Path, title: str, shown: int = SHOWN) -> str:
    """One experiment: its curve, and some of its test episodes.

    Args:
        folder: Of a finished experiment.
        title: Of the section.
        shown: How many episodes.

    Raises:
        ValueError: There is no finished experiment in the folder, or its source is gone.
    """
    record = load_sealed(folder / "play.json")
    asked = from_record(record, folder)
    parts = [f"<h2>{escape(title)}</h2>", f'<p class="lead">{escape(_in_words(asked))}</p>']
    if record.get("curve"):
        parts.append(curve_svg(record["curve"], record.get("checks", [])))
    game = game_of(asked)
    _, weakness = listener_of("left", asked.weakness)
    before, after = (load_rounds(folder / f"{name}.jsonl")[:shown] for name in ("before", "after"))
    episodes = game.draw(min(shown, asked.test), TEST_SEED, "test")
    rows = [
        _episode(game, weakness, *each, learnt="after" in record) for each in zip(episodes, before, after, strict=True)
    ]
    learnt = "<th>before</th><th>after</th>" if "after" in record else "<th>message</th>"
    head = f"<tr><th>the speaker sees</th>{learnt}<th>the listener sees</th></tr>"
    legend = "Blue: what is meant. Dashed: what the listener chose after the last message."
    parts.append(f"<p>{legend}</p><div class='scroll'><table>{head}{''.join(rows)}</table></div>")
    return "".join(parts)


def _in_words(asked: Play) -> str:
    weak = f" with the weakness {asked.weakness}" if asked.weakness else ""
    return (
        f"{asked.game} over {asked.source}; speaker {asked.speaker}, learner {asked.learner}, listener "
        f"{asked.listener}{weak}; {asked.updates} updates of {asked.episodes} episodes, seed {asked.seed}."
    )


def _episode(
    game: Game, weakness: Weakness | None, episode: Episode, before: Round, after: Round, *, learnt: bool
) -> str:
    told, seen = game.speaker_sees(episode), game.listener_sees(episode, weakness)
    two = len(episode.items) == 2
    left = _views(told, meant=episode.target if two else None, chosen=None)
    right = _views(seen, meant=episode.place if two else None, chosen=after.choice)
    said = "".join(f"<td>{_said(each)}</td>" for each in ((before, after) if learnt else (after,)))
    return f"<tr><td>{left}</td>{said}<td>{right}</td></tr>"


def _said(each: Round) -> str:
    words = escape(each.message) if each.message else "<i>nothing</i>"
    verdict = "yes" if each.score >= 0.5 else "no"
    shown = "understood" if each.score in (0.0, 1.0) and verdict == "yes" else f"score {each.score:.2f}"
    if each.score == 0:
        shown = "not understood"
    answer = f"<br>“{escape(each.answer)}”" if each.answer else ""
    return f'{words}<br><span class="{verdict}">{shown}</span>{answer}'


def _views(sight: Sight, meant: int | None, chosen: int | None) -> str:
    shown = []
    pictures = sight.pixels() if all(item.load is not None for item in sight.items) else None
    for i, item in enumerate(sight.items):
        kind = " ".join(name for name, which in (("meant", meant), ("chosen", chosen)) if which == i)
        if pictures is not None:
            shown.append(
                f'<img class="{kind}" width="{_WIDTH}" alt="{escape(item.id[:80])}" src="{_jpeg(pictures[i])}">'
            )
        else:
            words = ", ".join(" ".join(thing.values) for thing in item.things)
            shown.append(f'<span class="scene {kind}">{escape(words)}</span>')
    return "".join(shown)


def _jpeg(pixels: Pixels) -> str:
    from PIL import Image

    image, out = Image.fromarray(pixels), BytesIO()
    if image.width > 2 * _WIDTH:
        image = image.resize((2 * _WIDTH, round(2 * _WIDTH * image.height / image.width)))
    image.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
