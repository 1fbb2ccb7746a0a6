"""A bench file of a paper on a folder in the released layout: found by name, read both ways, beside printed numbers."""

from avshot.cli.bench import run_bench
from avshot.run import find_runs
from released import write_h5, write_lists, write_vectors

PLAN = """
title = "Two rows"
source = "A paper, Table 1"
datasets = ["ucf-main"]
seeds = [0]
references = []
[common]
preset = "auto"
recipe = {epochs = 1, batches_per_epoch = 2, batch_size = 4}
[[rows]]
method = "devise"
[[rows]]
method = "avca"
"""


def test_a_released_benchmark_by_name_and_as_its_programs_read_it(tmp_path):
    root = write_h5(write_lists(tmp_path / "root"), folder="main_features")
    write_vectors(root / "UCF" / "features" / "main_features" / "text" / "word_embeddings_ucf_normed.npy")
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    run_bench(file, tmp_path / "out", root=root, legacy=True)
    runs = {run.path.parent.name: run for run in find_runs(tmp_path / "out")}
    assert set(runs) == {"devise", "devise-legacy", "avca", "avca-legacy"}
    assert {run.experiment.preset for run in runs.values()} == {"ucf-main"}
    assert runs["avca"].info["data"]["name"] == "UCF-main"
    vectors = {}
    for name in ("avca", "avca-legacy"):
        classes = runs[name].classes()
        (text,) = classes.text.values()
        vectors[name] = dict(zip(classes.names, text.tolist(), strict=True))
    assert vectors["avca"].keys() == vectors["avca-legacy"].keys()
    assert vectors["avca"] != vectors["avca-legacy"]
    page = (tmp_path / "out" / "bench.md").read_text()
    assert "27.15" in page  # AVCA's printed HM on this benchmark
    assert "AVCA" in page.split("Printed:")[1]
    assert "simulated" not in page
