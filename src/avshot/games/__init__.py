"""Reference games: a speaker describes, a listener has to find what was meant, the speaker learns from rewards alone.

The listener is a black box and may be weak: colour-blind, or near-sighted. The speaker sees everything clearly and is
not told. After each message it learns one number: how well it was understood. Source: O.-B. Mercea, thesis (Tübingen
2024), chapter 7 and appendix F; no program of it was released, so what the text leaves open is decided here and said
where it is decided.

| noun | what it is | where |
|---|---|---|
| `Item` | a picture with what is known of it: class, scene, boxes, masks, sentences | `item.py` |
| `Source` | where items come from: `symbolic`, `rendered`, `clevr`, `folder`, `refcoco` | `sources/` |
| `Episode` | one round: items, which is meant, and the order in which the listener sees them | `episode.py` |
| `Game` | draws episodes, rewards: `rei` (which picture?), `res` (which object?) | `game.py`, `rei.py`, `res.py` |
| `Weakness` | what a listener does not see: a picture in, a picture out | `weaknesses/` |
| `Speaker`, `Listener` | who describes, who answers | `speakers/`, `listeners/` |
| `Learner` | rewards in, a better speaker out | `learners/`, equations in `objectives.py` |
| `Play` | what one experiment is asked; `play` runs it into a folder | `experiment.py`, `play.py` |

Read in this order: `episode.py`, `rei.py`, `speakers/speaker.py`, `learners/kto.py`, `play.py`. Sources, weaknesses,
speakers, listeners and learners are found by the name of their file, with settings as `name?key=value` (`named.py`).
Nothing here knows of methods, tasks or training: a game classifies nothing.
"""
