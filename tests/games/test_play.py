"""One experiment from first to last: files, resuming after a kill, the drift guard, what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from avshot.errors import BadSetting, WrongRun
from avshot.files.atomic import load_sealed, load_tensors, save_sealed
from avshot.games import play as playing
from avshot.games.experiment import Play
from avshot.games.judge import judge
from avshot.games.measures import measure
from avshot.games.named import build, build_source
from avshot.games.page import section
from avshot.games.play import load_rounds, load_speaker, play
from avshot.games.rei import Rei

SMALL = Play("rei?differ=shape,material,size", "symbolic", listener="exact?ignores=color", learner="kto", test=80)
SHORT = replace(SMALL, updates=70)


def weights(folder):
    return load_tensors(folder / "speaker.safetensors")[0]


class Killed(Exception):
    pass


def killed_at(update):
    def progress(done, total):
        if done == update:
            raise Killed

    return progress


def test_what_is_in_the_folder(tmp_path):
    record = play(SHORT, tmp_path)
    assert record == json.loads(json.dumps(play(SHORT, tmp_path)))  # read, not played again
    assert record["asked"]["learner"] == "kto"
    assert record["interactions"] == {"training": 210, "checks": 0, "updates": 70, "setbacks": 0}
    assert [point["update"] for point in record["curve"]] == list(range(1, 71))
    assert record["curve"][0]["loss"] == 0.5
    assert not (tmp_path / "checkpoint.safetensors").exists()
    rounds = load_rounds(tmp_path / "episodes.jsonl")
    assert [each.id for each in rounds[:4]] == ["train/0/0", "train/0/1", "train/0/2", "train/0/3"]
    assert all(each.reward == (1 if each.choice == each.place else -1) for each in rounds)
    after = load_rounds(tmp_path / "after.jsonl")
    assert [each.id for each in after] == [each.id for each in load_rounds(tmp_path / "before.jsonl")]
    assert measure(after)["score"] == record["after"]["score"]
    assert record["after"]["kl"] > 0


def test_the_kept_speaker_says_what_was_tested(tmp_path):
    record = play(SHORT, tmp_path)
    game = Rei(build_source("symbolic"), Rei.Config(differ=("shape", "material", "size")))
    rounds = judge(game, game.draw(80, 0, "test"), load_speaker(tmp_path), build("listeners", SHORT.listener))
    assert rounds == load_rounds(tmp_path / "after.jsonl")
    assert measure(rounds)["score"] == record["after"]["score"]


@pytest.mark.parametrize("learner", ["kto", "kto?replay=3", "ppo", "nlpo", "rloo"])
def test_a_play_that_was_killed_goes_on_to_the_same_weights(tmp_path, learner):
    asked = replace(SHORT, learner=learner, updates=12, check_every=4, check_episodes=20)
    whole = play(asked, tmp_path / "whole")
    save = playing.SAVE_EVERY
    playing.SAVE_EVERY = 5
    try:
        with pytest.raises(Killed):
            play(asked, tmp_path / "killed", killed_at(8))
        assert (tmp_path / "killed" / "checkpoint.safetensors").exists()
        again = play(asked, tmp_path / "killed")
    finally:
        playing.SAVE_EVERY = save
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "killed")[name])
    assert again == whole
    for name in ("episodes.jsonl", "after.jsonl"):
        assert (tmp_path / "whole" / name).read_text() == (tmp_path / "killed" / name).read_text()


def test_another_experiment_in_the_folder_is_refused(tmp_path):
    play(replace(SHORT, updates=1, test=4), tmp_path)
    with pytest.raises(BadSetting, match="holds another experiment: its seed is 0, asked was 1"):
        play(replace(SHORT, updates=1, test=4, seed=1), tmp_path)


def test_a_speaker_as_it_is(tmp_path):
    record = play(Play(source="symbolic", speaker="true", test=200), tmp_path)
    assert "after" not in record
    assert record["before"]["score"] > 0.9
    assert (tmp_path / "before.jsonl").read_text() == (tmp_path / "after.jsonl").read_text()
    empty = [each for each in load_rounds(tmp_path / "before.jsonl") if not each.message]
    assert record["before"]["empty"] == len(empty) / 200 > 0


def test_messages_are_given_to_a_stranger(tmp_path):
    asked = replace(SMALL, updates=150, stranger="exact?ignores=shape,material,size")
    record = play(asked, tmp_path)
    assert record["after"]["score"] > record["before"]["score"]
    assert record["stranger"]["score"] < record["after"]["score"]  # who knows colours alone does not understand it now


def test_a_cost_of_words_makes_messages_short(tmp_path):
    free = play(replace(SMALL, updates=200, learner="reinforce"), tmp_path / "free")
    dear = play(replace(SMALL, updates=200, learner="reinforce", word_cost=0.8), tmp_path / "dear")
    assert dear["after"]["words"] < free["after"]["words"]


def test_the_end_of_patience(tmp_path):
    asked = replace(SHORT, listener="left", check_every=2, check_episodes=8, patience=2)
    record = play(asked, tmp_path)
    assert record["interactions"]["updates"] == 4  # the first look is the best, as nothing is ever understood
    assert [update for update, _ in record["checks"]] == [0, 2, 4]
    assert record["interactions"]["checks"] == 24
    assert record["after"]["kl"] == 0


def test_one_that_was_killed_after_its_last_look_does_not_learn_on(tmp_path):
    asked = replace(SHORT, listener="left", check_every=2, check_episodes=8, patience=2)
    with pytest.raises(Killed):
        play(asked, tmp_path, killed_at(4))
    assert play(asked, tmp_path)["interactions"]["updates"] == 4


NORMAL = Play("rei", "symbolic", learner="kto?rate=3e-3", test=1000)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_success_collapses_at_three_times_the_rate_and_the_guard_prevents_it(tmp_path, seed):
    """Figure 7.10 in seconds, with a listener that sees everything; and inventory 7.2: it loses at most .05.

    A guard whose tolerance is 1 looks and never sets back, so that it shows the curve as printed.
    """
    watched = play(replace(NORMAL, seed=seed, check_every=30, tolerance=1.0), tmp_path / "watched")
    guarded = play(replace(NORMAL, seed=seed, check_every=30), tmp_path / "guarded")
    first, *later = (score for _, score in watched["checks"])
    assert min(later) < first - 0.15
    assert watched["interactions"]["setbacks"] == 0 < guarded["interactions"]["setbacks"]
    assert guarded["after"]["score"] >= guarded["before"]["score"] - 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_at_the_usual_rate_a_listener_that_sees_everything_loses_little(tmp_path, seed):
    """Inventory 7.2: at most .05, here with the guard."""
    record = play(replace(NORMAL, learner="kto", seed=seed, check_every=60), tmp_path)
    assert record["after"]["score"] >= record["before"]["score"] - 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"game": "chess"}, "no game 'chess'; games: rei, res"),
        ({"speaker": "true"}, "The speaker 'true' cannot learn"),
        ({"learner": "kto?rat=1"}, "no option 'rat'"),
        ({"learner": "dpo"}, "no learner 'dpo'"),
        ({"weakness": "gray"}, "no weakness 'gray'.*Did you mean 'grey'"),
        ({"game": "res"}, "knows of no objects"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_played(tmp_path, changes, words):
    with pytest.raises(BadSetting, match=words):
        play(replace(SHORT, **changes), tmp_path)
    assert not (tmp_path / "play.json").exists()


def test_settings_out_of_range():
    with pytest.raises(BadSetting, match="episodes is 0; expected 1 or more"):
        replace(SHORT, episodes=0)
    with pytest.raises(BadSetting, match="updates is -1; expected 0 or more"):
        replace(SHORT, updates=-1)


def test_damaged_files_are_told(tmp_path):
    play(replace(SHORT, updates=1, test=4), tmp_path)
    (tmp_path / "after.jsonl").write_text('{"id": 3}\n')
    with pytest.raises(BadSetting, match="is no transcript of a game"):
        load_rounds(tmp_path / "after.jsonl")
    content = (tmp_path / "play.json").read_text()
    (tmp_path / "play.json").write_text(content.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ValueError, match="was changed after it was written"):
        play(replace(SHORT, updates=1, test=4), tmp_path)


def test_code_that_a_folder_names_is_not_run_unless_somebody_named_it(tmp_path):
    """A folder may come from anybody."""
    mark = tmp_path / "ran"
    own = tmp_path / "dim.py"
    own.write_text(
        "from avshot.games.weaknesses.weakness import Weakness\n"
        "from pathlib import Path\n"
        f"Path({str(mark)!r}).write_text('x')\n"
        "class Dim(Weakness):\n"
        "    def apply(self, pixels):\n"
        "        return pixels // 2\n"
    )
    play(replace(SHORT, updates=1, test=4), tmp_path / "run")
    content = {**load_sealed(tmp_path / "run" / "play.json")}
    content["asked"]["weakness"] = str(own)
    save_sealed(tmp_path / "run" / "play.json", content)
    for use in (load_speaker, lambda folder: section(folder, "a title")):
        with pytest.raises(WrongRun, match="names code, .*dim.py as its weakness; .* pass --code"):
            use(tmp_path / "run")
    assert not mark.exists()
    build("weaknesses", str(own))
    assert "a title" in section(tmp_path / "run", "a title")
    assert mark.read_text() == "x"
