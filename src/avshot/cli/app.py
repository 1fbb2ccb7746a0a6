"""The command line. Heavy imports live inside the commands, so that `avshot --help` answers at once.

A `ValueError` is a sentence for the user, with exit code 2. Anything else is a bug, and one line says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from avshot.cli.endings import end_with, stop

try:
    import typer

    from avshot.cli.code import Code, use_named
    from avshot.cli.declaring import dataset, import_command
    from avshot.cli.encoders import encoders
    from avshot.cli.events import cut, review
    from avshot.cli.finding import find
    from avshot.cli.games import games
    from avshot.cli.parsing import ExtractCommand, parse_list, parse_seeds, parse_some
except KeyboardInterrupt:
    stop()

app = typer.Typer(
    name="avshot",
    help="Recognise audio-visual events in video with little or no training data: name the classes in words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Seeds = Annotated[str, typer.Option(help="Seeds, comma-separated.")]
Jobs = Annotated[int, typer.Option(min=1, help="Trainings at a time, each on one thread when above 1.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    if version:
        from avshot.machine.versions import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder to work in.")] = Path("demo"),
    seeds: Seeds = "0",
    clips: Annotated[int, typer.Option(min=5, help="Clips per class.")] = 20,
    difficulty: Annotated[
        float | None, typer.Option(min=0, max=1, help="0 = clean, 1 = hard.", show_default="0.3; of adverbs 0.2")
    ] = None,
    task: Annotated[str, typer.Option(help="gzsl: unseen classes; adverb: how something is done.")] = "gzsl",
) -> None:
    """The whole line on rendered videos: render, extract, train, test, report, predict an unseen class."""
    from avshot.cli.demo import run_demo
    from avshot.cli.demo_adverbs import run_adverb_demo

    shown: dict[str, Any] = {"seeds": parse_seeds(seeds), "clips": clips}
    if task == "adverb":
        run_adverb_demo(out, **shown, difficulty=0.2 if difficulty is None else difficulty)
    elif task == "gzsl":
        run_demo(out, **shown, difficulty=0.3 if difficulty is None else difficulty)
    else:
        raise ValueError(f"There is no demo of the task {task!r}; expected gzsl or adverb.")


app.command()(find)
app.command()(dataset)
app.command("import")(import_command)
app.command()(cut)
app.command()(review)


@app.command(cls=ExtractCommand)
def extract(
    source: Annotated[str, typer.Argument(help="Dataset .toml, a folder of videos, or one video.")],
    store: Annotated[str | None, typer.Option(help="Feature store; default: beside the source.")] = None,
    audio: Annotated[
        str, typer.Option(help='Audio extractor: logmel, efficientat, ... (`avshot encoders`), or "" for none.')
    ] = "logmel",
    visual: Annotated[
        str, typer.Option(help='Visual extractor: pixels, ... (`avshot encoders`), or "" for none.')
    ] = "pixels",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Through Ray: on RAY_ADDRESS, or on this machine.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Also what failed, or cannot be checked, again.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="Other machines add other clips meanwhile.")] = False,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for one clip; default: 300.")] = None,
    memory_limit: Annotated[float | None, typer.Option(help="GiB for one clip; default: 8, at most half.")] = None,
) -> None:
    """Turn videos into stored features. Runs again where it was stopped; one bad file never stops the rest.

    A clip is described again when its file or span changed. Exit code 1: some have no features; a table says why.
    """
    from avshot.cli.extract import extract_source

    limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
    choice: dict[str, Any] = {"audio": audio or None, "visual": visual or None, "runner": "ray" if ray else "local"}
    if extract_source(source, store, **choice, workers=workers, retry=retry, shared=shared, **limits):
        raise typer.Exit(1)


@app.command()
def train(
    dataset: Annotated[str, typer.Argument(help="Dataset .toml, simulated:NAME or official:FOLDER?name=...")],
    method: Annotated[
        str, typer.Option(help="Methods, comma-separated (`avshot methods`), or .py files.")
    ] = "ez_avgzl",
    out: Annotated[Path, typer.Option(help="Folder for the Runs.")] = Path("runs"),
    task: Annotated[str, typer.Option(help="What is trained and tested for.")] = "gzsl",
    seeds: Seeds = "0",
    preset: Annotated[str, typer.Option(help="Preset of every method.")] = "default",
    modality: Annotated[str, typer.Option(help="both, audio, visual; comma-separated.")] = "both",
    text: Annotated[str, typer.Option(help="Text encoders, comma-separated.")] = "wordllama",
    prompts: Annotated[str, typer.Option(help='Prompt ensemble, "name", or clip=ENSEMBLE,clap=ENSEMBLE.')] = "name",
    descriptions: Annotated[str | None, typer.Option(help="CSV with descriptions of the classes.")] = None,
    separate_descriptions: Annotated[
        bool, typer.Option("--separate-descriptions", help="Each a class embedding of its own, for kda.")
    ] = False,
    optimise_classes: Annotated[
        bool | None, typer.Option("--optimise-classes/--no-optimise-classes", help="Default: as the preset says.")
    ] = None,
    select: Annotated[str, typer.Option(help='What chooses epoch and calibration: "val", or "oracle" (test).')] = "val",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="config.X=V, recipe.X=V, selection.X=V, optimise.X=V.")
    ] = None,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    jobs: Jobs = 1,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that share each training; above 1 needs accelerate.")
    ] = 1,
) -> None:
    """Train and test under the two-stage protocol; prints the table and writes report.html beside the Runs."""
    from avshot.cli.parsing import parse_changes
    from avshot.cli.train import train_grid

    train_grid(
        dict(
            dataset=dataset,
            task=task,
            preset=preset,
            text=tuple(parse_some("--text", text)),
            prompts=prompts,
            descriptions=descriptions,
            separate_descriptions=separate_descriptions,
            optimise_classes=optimise_classes,
            select=select,
            device=device,
            **parse_changes(changes or []),
        ),
        {
            "method": parse_some("--method", method),
            "modality": parse_some("--modality", modality),
            "seed": parse_seeds(seeds),
        },
        out,
        jobs=jobs,
        processes=processes,
    )


@app.command()
def bench(
    file: Annotated[Path, typer.Argument(help="Bench file; experiments/ has one for each table of the papers.")],
    out: Annotated[Path, typer.Option(help="Folder for Runs and tables.")] = Path("results"),
    dataset: Annotated[
        list[str] | None, typer.Option(help='In place of the datasets of the file; "world" = rendered videos.')
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the released benchmarks.")] = None,
    task: Annotated[str, typer.Option(help='In place of the task of the file, for example "gfsl?shots=5".')] = "",
    seeds: Annotated[str, typer.Option(help="In place of the seeds of the file, for example 0,1,2.")] = "",
    methods: Annotated[str, typer.Option(help="Only these methods of the file, comma-separated.")] = "",
    legacy: Annotated[bool, typer.Option("--legacy", help="Every row also as the authors' program does it.")] = False,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    jobs: Jobs = 1,
) -> None:
    """Methods x datasets x seeds from one file, as one table; runs again where it was stopped."""
    from avshot.cli.bench import run_bench

    run_bench(
        file,
        out,
        datasets=dataset or (),
        root=root,
        task=task,
        seeds=parse_seeds(seeds) if seeds else (),
        methods=parse_some("--methods", methods) if methods else (),
        legacy=legacy,
        jobs=jobs,
        device=device,
    )


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders with Runs in or below them.")],
    out: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in that folder.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Two Runs side by side: what differs, confusions, maps; compare.html.")
    ] = False,
    classes: Annotated[
        str | None, typer.Option(help='Classes for the maps of clips, comma-separated; quote one with a comma: "a, b".')
    ] = None,
    code: Code = None,
) -> None:
    """Tables and figures of Runs as one self-contained HTML page, and the same as Markdown.

    The figures lie beside the page as PNG, SVG and PDF.
    """
    from avshot.cli.report import compare_runs, write_report

    use_named(code)
    names = [] if classes is None else parse_some("--classes", classes)
    if compare:
        compare_runs(runs, out, classes=names)
    else:
        write_report(runs, out, classes=names)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="A Run folder.")],
    videos: Annotated[list[str] | None, typer.Argument(help="Video files, or folders of them.")] = None,
    classes: Annotated[
        str | None,
        typer.Option(help='Candidate classes in free text, comma-separated; quote one with a comma: "a, b".'),
    ] = None,
    action: Annotated[str | None, typer.Option(help="Of a Run of the task adverb: what is done.")] = None,
    adverbs: Annotated[
        str | None, typer.Option(help="Likewise: manners to choose from, comma-separated; default: the Run's.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    start: Annotated[float | None, typer.Option(help="Seconds at which to begin in each file.")] = None,
    end: Annotated[float | None, typer.Option(help="Seconds at which to end in each file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    code: Code = None,
) -> None:
    """Rank class names for raw videos, with what the decision rested on."""
    from avshot.cli.predict import predict_videos

    use_named(code)
    names = None if classes is None else parse_list(classes)
    how: dict[str, Any] = {"action": action, "adverbs": None if adverbs is None else parse_list(adverbs)}
    if predict_videos(run, videos or (), names, top=top, as_json=json, device=device, start=start, end=end, **how):
        raise typer.Exit(1)


@app.command()
def search(
    run: Annotated[Path, typer.Argument(help="A Run folder.")],
    what: Annotated[str, typer.Argument(help='A class in free text; of a Run of the task adverb "cut slowly".')],
    videos: Annotated[list[str], typer.Argument(help="Video files, or folders of them.")],
    top: Annotated[int, typer.Option(min=1, help="How many videos to show.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    code: Code = None,
) -> None:
    """Rank videos by how much they are what is named."""
    from avshot.cli.search import search_videos

    use_named(code)
    if search_videos(run, what, videos, top=top, as_json=json, device=device):
        raise typer.Exit(1)


@app.command()
def teach(
    run: Annotated[Path, typer.Argument(help="A Run folder.")],
    clips: Annotated[Path, typer.Option(help="Folder with a folder of clips for each class, named like the class.")],
    out: Annotated[Path, typer.Option(help="Folder for the Run that knows these classes, too.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Classes that the Run was taught before are taught anew.")
    ] = False,
    lose: Annotated[
        float, typer.Option(help="Share of the clips of trained classes that taught ones may take over, 0 to 1.")
    ] = 0.01,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    code: Code = None,
) -> None:
    """Add classes to a Run from a few clips each, in seconds: no training, and no old clips needed.

    Exit code 1: some clips could not be used; the others were.
    """
    from avshot.cli.teach import teach_classes

    use_named(code)
    if teach_classes(run, clips, out, replace=replace, lose=lose, device=device):
        raise typer.Exit(1)


@app.command()
def methods(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these, with their settings; names or .py files.")
    ] = None,
) -> None:
    """List the methods with what they need."""
    from avshot.cli.inspect import print_methods

    print_methods(names or ())


@app.command()
def audit(
    root: Annotated[Path, typer.Argument(help="Folder of a released benchmark, or a dataset .toml of pairs.")],
    name: Annotated[
        str | None,
        typer.Option(help="UCF, ActivityNet or VGGSound; of adverbs air, vatex-adverbs and so on."),
    ] = None,
    text: Annotated[Path | None, typer.Option(help="The released class vectors (.npy).")] = None,
    descriptions: Annotated[Path | None, typer.Option(help="CSV of class descriptions.")] = None,
    split: Annotated[str, typer.Option(help="Of adverbs: seen or unseen compositions.")] = "seen",
) -> None:
    """Check a released benchmark folder for the traps that move published numbers, or a split of pairs."""
    from avshot.cli.inspect import print_audit, print_pair_audit

    if root.suffix == ".toml" or (name is not None and name not in ("UCF", "ActivityNet", "VGGSound")):
        print_pair_audit(root, name, split)
        return
    if name is None:
        raise ValueError(f"Name the benchmark in {root}: --name UCF, ActivityNet, VGGSound, air, vatex-adverbs, ...")
    print_audit(root, name, text, descriptions)


@app.command("optimise-classes")
def optimise_classes_command(
    names: Annotated[Path, typer.Argument(help="Text file with one class name per line.")],
    text: Annotated[str, typer.Option(help="Text encoder, e.g. vectors:FILE.")] = "wordllama",
    plot: Annotated[Path | None, typer.Option(help="Write a picture here.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="Settings, e.g. alpha=0.3.")] = None,
) -> None:
    """Class-embedding optimisation alone: nearest neighbours before and after, and what was kept."""
    from avshot.cli.inspect import print_optimisation

    print_optimisation(names, text, plot, changes or [])


app.add_typer(encoders)
app.add_typer(games)


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: run the command line.

    Exit codes: 0 done; 1 some of several inputs failed, or a bug; 2 wrong use, said in one sentence on standard error;
    130 stopped by Ctrl-C. A sentence comes without a traceback unless `AVSHOT_TRACEBACK` is set. `AVSHOT_LOG=info` (or
    debug) shows on standard error what a service would log.
    """
    end_with(lambda: app(args=arguments, standalone_mode=False), typer.BadParameter.__mro__[1])


if __name__ == "__main__":
    main()
