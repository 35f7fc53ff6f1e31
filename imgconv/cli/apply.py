"""imgconv apply: filter pictures and write them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, FAILED, imports_done, print_json, print_line, recipes, warn
from imgconv.cli.options import (
    FILE,
    FileCommand,
    filter_options,
    make_recipe,
    max_pixels_option,
    one_of,
    place_options,
    threads_option,
    to_bytes,
    to_changes,
    to_frames,
    to_jobs,
    to_metadata,
    to_raw,
)
from imgconv.cli.progress import Progress, count, details, human_line, summary_lines
from imgconv.cli.report import check_report, report_option, section_of, write_report_of
from imgconv.cli.sources import given_lines, setting, use_recipe
from imgconv.conventions import METADATA
from imgconv.errors import UsageError
from imgconv.formats.table import ARRAY_ENDINGS, DEPTHS, ENCODER_OPTIONS, FORMATS, parse_encoder_options

if TYPE_CHECKING:
    from imgconv.batch.inputs import Inputs
    from imgconv.batch.job import Handling, Work
    from imgconv.batch.report import Count, Outcome
    from imgconv.batch.targets import Job, Targets
    from imgconv.formats.decode import Begun
    from imgconv.formats.limits import Limits
    from imgconv.formats.raw import Raw
    from imgconv.recipe.recipe import Recipe

ENDINGS = (*(form.endings[0] for form in FORMATS if form.modes), *ARRAY_ENDINGS)


@click.command(cls=FileCommand)
@click.argument("inputs", nargs=-1, metavar="INPUT...", type=FILE)
@place_options
@click.option("-r", "--recursive", is_flag=True, help="Walk folders; with --out-dir the tree is kept.")
@click.option("--files-from", "list_file", metavar="FILE|-", type=FILE,
              help="Inputs from a list, a line each; - is stdin.")  # fmt: skip
@click.option(
    "-0", "--null", "nul", is_flag=True, help="Names in that list end with NUL characters. As find -print0 has them."
)
@click.option("--include", multiple=True, metavar="GLOB",
              help="Only inputs that match, such as '*.{jpg,png}'. By name, or with a slash in it by the way below the"
              " folder that is walked, such as 'raw/**'. Repeatable.")  # fmt: skip
@click.option("--exclude", multiple=True, metavar="GLOB",
              help="No inputs that match. Folders that do are not walked. Repeatable.")  # fmt: skip
@click.option("--watch", is_flag=True,
              help="Go on with what appears, until Ctrl-C. Or changes, once it has been still for a second; inputs that"
              " are older than their result are left.")  # fmt: skip
@click.option("--watch-kernel", is_flag=True,
              help="Filter again when a kernel's file changes. Until Ctrl-C: to design one in an editor.")  # fmt: skip
@click.option("-o", "--output", metavar="PATH", type=FILE,
              help="A file, - or a template such as {stem}.{kernel}{ext}. It may have {dir} {stem} {kernel} {ext}"
              " {index} {frame}; - is standard output.  [default: {dir}/{stem}.{kernel}{ext}]")  # fmt: skip
@click.option("--out-dir", type=click.Path(file_okay=False), metavar="DIR",
              help="Write there; made if missing.")  # fmt: skip
@setting("--format", "form", metavar="EXT", shell_complete=one_of(*(end[1:] for end in ENDINGS)),
         help="Format of the result, such as png. Needed for -o -.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--in-place", is_flag=True, help="Replace the inputs.")
@click.option("--skip-existing", is_flag=True, help="Leave inputs whose result exists.")
@click.option(
    "--newer", is_flag=True, help="Only inputs that are newer than their result. It is replaced; or that have none."
)
@click.option("--resume", is_flag=True,
              help="Only what the journal does not have as done. Runs keep it in --out-dir; inputs, kernels or options"
              " that changed are done again.")  # fmt: skip
@filter_options
@setting("--co", "encoder", multiple=True, metavar="KEY=VALUE",
         shell_complete=one_of(*(f"{key}=" for key in ENCODER_OPTIONS)),
         help="Tell the encoder: quality=90, lossless=true, … Repeatable: subsampling=4:2:0, progressive=true (JPEG),"
         " compress_level=1 (PNG), lossless=false (WebP), compression=lzw (TIFF) …")  # fmt: skip
@setting("--metadata", type=to_metadata, default="all", show_default=True, metavar="all|none|LIST",
         shell_complete=one_of("all", "none", *METADATA),
         help="What travels along: all, none, or such as icc,exif. There are exif, iptc, xmp, icc, dpi, text (comments)"
         " and, from PNG to PNG, colour, time, other; what the result's format cannot hold is named.")  # fmt: skip
@setting("--depth", type=click.Choice(tuple(DEPTHS)),
         help="Bits of a sample in the result. Or float (0 to 1). What 8 or 16 bits cannot hold of a deeper picture is"
         " spread over the pixels, the same way everywhere (ordered dithering).")  # fmt: skip
@setting("--background", metavar="COLOUR", shell_complete=one_of("white", "black"),
         help="A colour below alpha, where a format has none. Such as white or '#fff'.")  # fmt: skip
@setting("--requantize", is_flag=True, help="A new palette for pictures that had one. Of at most 256 colours.")
@setting("--frames", type=to_frames, default="all", show_default=True, metavar="all|first|LIST",
         shell_complete=one_of("all", "first"),
         help="Of an animation or TIFF: all, first, or 1,3-5. A format without frames takes one, or a"
         " name with {frame} in it.")  # fmt: skip
@setting("--strip-gps", is_flag=True,
         help="Leave out the place where it was made. Of EXIF data and XMP, and nothing else.")  # fmt: skip
@click.option("--raw", type=to_raw, metavar="WxH:FORMAT", shell_complete=one_of("1920x1080:rgb24"),
              help="Raw video, such as 1920x1080:rgb24. Inputs are in one of ffmpeg's gray, ya8, rgb24, rgba, gray16le,"
              " ya16le, rgb48le, rgba64le, grayf32le; from - to - frames go through as they come.")  # fmt: skip
@setting("--auto-orient", is_flag=True, help="Turn upright by EXIF before filtering.")
@click.option("--recipe", type=FILE, is_eager=True, callback=use_recipe, expose_value=False, metavar="FILE",
              help="Kernels and options from a file. All that decides the result, as --save-recipe wrote it; what the"
              " command line says wins.")  # fmt: skip
@click.option("--save-recipe", type=FILE, metavar="FILE",
              help="Kernels and options into a file. All that decides the result, for --recipe.")  # fmt: skip
@click.option("--embed", is_flag=True,
              help="The recipe into the result's metadata, for replay. With versions, as XMP. Only methods"
              " whose sums are the same on every machine are taken then.")  # fmt: skip
@click.option("-j", "--jobs", "most", type=to_jobs, default="auto", metavar="N|auto",
              help="Files at once. Each in a process; they share the cores."
              "  [default: auto, as many as pay]")  # fmt: skip
@threads_option
@click.option("--memory", type=to_bytes, metavar="SIZE",
              help="Of all jobs together, such as 2G.  [default: half of the machine's]")  # fmt: skip
@max_pixels_option
@click.option("--cluster", metavar="ADDRESS|local:N",
              help="By Dask: a scheduler's address, or local:N. The files are done by workers of Dask.distributed:"
              " those of a scheduler, such as tcp://scheduler:8786, or N processes of this machine.")  # fmt: skip
@click.option("--keep-going/--fail-fast", default=True, help="After a file failed: do the rest, or stop.")
@report_option
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be written; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Say how each kernel was computed, and why.")
@click.option("--explain", is_flag=True, help="Say every setting, and where it came from. And how exact the method is.")
@click.option("--preview", is_flag=True,
              help="Show before and after in the terminal. In a pipe nothing.  pip install 'imgconv[preview]' for"
              " kitty's and sixel's graphics instead of blocks.")  # fmt: skip
def apply(
    inputs: tuple[str, ...], kernels: tuple[str, ...], output: str | None, out_dir: str | None, recursive: bool,
    list_file: str | None, nul: bool, include: tuple[str, ...], exclude: tuple[str, ...], form: str | None,
    overwrite: bool, in_place: bool, skip_existing: bool, newer: bool, resume: bool, watch: bool, watch_kernel: bool,
    dry_run: bool, preview: bool, as_json: bool, quiet: bool, verbose: bool, explain: bool, keep_going: bool,
    most: int | None, memory: int | None, cluster: str | None, encoder: tuple[str, ...], metadata: frozenset[str],
    auto_orient: bool, strip_gps: bool, depth: str | None, background: str | None, requantize: bool,
    frames: tuple[int, ...] | None, raw: Raw | None, save_recipe: str | None, embed: bool, report: str | None,
    limits: Limits, **options: Any,
) -> int:  # fmt: skip
    """Filter pictures (or arrays: .npy, .txt, .csv) and write them.

    Prints a line for each file: what was written, and how long reading, filtering and writing took.

    \b
    imgconv apply photo.png -k edge_enhance
    imgconv apply *.jpg -k blur -k sharpen --out-dir done
    imgconv apply a.txt -k '1 2; 3 4' --mode convolve --padding full -o -
    imgconv apply street.jpg --vary gaussian:sigma=0..8 --mask linear:band=0.4
    """
    ctx = click.get_current_context()
    _check_words(ctx.params)
    begun = _begun(ctx.params)
    settle = partial(make_recipe, kernels, limits=limits, auto_orient=auto_orient, portable=embed, **options)
    recipe = settle()
    if save_recipe is not None and not inputs and list_file is None:
        recipes.save_recipe(ctx, save_recipe, overwrite=overwrite)
        return DONE
    from imgconv.batch import remote
    from imgconv.batch.inputs import Inputs, Patterns, find_inputs, listed_in
    from imgconv.batch.job import Handling, Work
    from imgconv.batch.targets import Targets, make_jobs

    names = [*inputs, *(listed_in(list_file, nul=nul) if list_file is not None else ())]
    if list_file == "-" and "-" in names:
        raise UsageError("standard input is the list of --files-from and cannot be a picture, too")
    folder = remote.place(out_dir) if out_dir is not None else None
    watch &= not dry_run
    newer |= watch and not (overwrite or skip_existing or resume)
    targets = Targets(output, folder, form, overwrite, in_place, skip_existing, newer, resume, frames)
    find = partial(find_inputs, names, targets, recursive, Patterns(include, exclude))
    ready = None  # which of what there is is to be done, if not all
    if watch:
        from imgconv.cli.watch import watched

        imports_done()
        rounds = watched(names, find, targets, quiet=quiet)
        found, ready = next(rounds, (Inputs([], [], [], []), set()))
    else:
        found = find()
    jobs, results = make_jobs(found.files, recipe.name, targets)
    jobs = [job for job in jobs if ready is None or job.source in ready] + found.problems
    if not jobs and not watch:
        where = ", ".join([*inputs, *([list_file] if list_file else ())])
        left = f"{count(len(found.others), 'file')} of other kinds"
        left += f", {len(found.unwanted)} left out as asked" if found.unwanted else ""
        raise UsageError(f"no pictures in {remote.hidden(where)} ({left})")
    if resume or (isinstance(folder, Path) and len(jobs) > 1):
        targets = _journaled(targets, jobs, recipe, quiet=quiet)
    handling = Handling(
        parse_encoder_options(encoder), metadata, auto_orient, limits._replace(memory=memory),
        to_changes(depth, background, requantize), strip_gps=strip_gps, raw=raw,
        embedded=recipes.embedded(ctx) if embed else None,
    )  # fmt: skip
    to_stdout = any(job.target is None and not job.problem for job in jobs)
    _check_jobs(jobs, handling, ctx.params, to_stdout=to_stdout)
    if save_recipe is not None:
        recipes.save_recipe(ctx, save_recipe, overwrite=overwrite)
    _say_left_out(found, results, recipe.name, as_json=as_json, quiet=quiet)
    for given in given_lines(ctx) if explain and not (as_json or quiet) else ():
        print_line(given, err=to_stdout)
    if dry_run:
        return _plan(jobs, recipe, targets, as_json)
    if watch_kernel:
        from imgconv.cli.watch import kernel_changes

        changed = kernel_changes(kernels, targets, quiet=quiet)
    if not watch:
        imports_done()
    if begun is not None and jobs and begun.path == jobs[0].source:
        jobs[0] = jobs[0]._replace(begun=begun)
    work = Work(recipe, targets, handling, "" if report is None else "whole" if len(jobs) == 1 else "small")
    do = partial(
        _do, by=_runner(cluster, most), keep_going=keep_going, to_stdout=to_stdout, as_json=as_json, quiet=quiet,
        verbose=verbose, explain=explain, preview=preview and not to_stdout,
    )  # fmt: skip
    sections: list[dict[str, Any]] = []
    ended = do(jobs, work, len(results) + len(found.others) + len(found.unwanted), sections=sections)
    if report is not None:
        write_report_of(report, recipe, sections, overwrite=overwrite)
    if watch:
        from imgconv.cli.watch import go_on

        return go_on(rounds, work, do, ended, keep_going=keep_going)
    if watch_kernel:
        from imgconv.cli.watch import do_again

        def renewed() -> Work:
            again = handling._replace(embedded=recipes.embedded(ctx)) if embed else handling
            return replace(work, recipe=settle(), handling=again)

        do_again(changed, jobs, renewed, do)
        return DONE
    return ended.exit_status


def _check_words(given: dict[str, Any]) -> None:
    """Raises UsageError for options that do not go together, by their names in Context.params."""
    inputs, watch, report = given["inputs"], given["watch"], given["report"]
    if not (inputs or given["list_file"] is not None or given["save_recipe"] is not None):
        raise click.UsageError("Missing argument 'INPUT...' (or --files-from).")
    if given["nul"] and given["list_file"] is None:
        raise click.UsageError("-0 says how names end in the list of --files-from.")
    if given["cluster"] is not None and given["most"] is not None:
        raise click.UsageError("-j is how many processes here do the files; --cluster has workers of its own.")
    if report is not None and (watch or "-" in inputs):
        what = "--watch has no end" if watch else "standard input can be read only once"
        raise UsageError(f"--report is a page about what was done, from its files: {what}")
    check_report(report, overwrite=given["overwrite"])
    if given["watch_kernel"] and (watch or report or "-" in inputs):
        other = "--watch" if watch else "--report" if report else "standard input"
        raise UsageError(f"--watch-kernel and {other} do not go together")


def _begun(given: dict[str, Any]) -> Begun | None:
    """The only picture, where it is sure to be wanted: it is decoded while the rest is being imported."""
    from imgconv.formats.decode import begin

    alone = len(given["inputs"]) == 1 and given["list_file"] is None and given["inputs"][0] != "-"
    other = ("dry_run", "skip_existing", "newer", "resume", "watch", "watch_kernel", "cluster", "raw")
    if not alone or given["threads"] == 1 or any(given[name] for name in other):
        return None
    return begin(Path(given["inputs"][0]), given["threads"])


def _check_jobs(jobs: list[Job], handling: Handling, given: dict[str, Any], *, to_stdout: bool) -> None:
    """Raises UsageError for options that do not go with the formats of the jobs, or with standard output."""
    from imgconv.batch.targets import check_embedding, check_encoder_options

    if jobs:
        check_encoder_options(jobs, handling.encoder)
    if handling.embedded:
        check_embedding(jobs)
    if to_stdout and given["as_json"]:
        raise UsageError("--json and a picture on standard output do not go together")
    binary = any(job.format not in ("TEXT", "CSV") for job in jobs)
    if to_stdout and binary and not given["dry_run"] and sys.stdout.isatty():
        raise UsageError("a picture is not written to a terminal; redirect it, or give --output")


def _runner(cluster: str | None, most: int | None) -> Callable[..., Generator[Outcome]]:
    """What has the jobs done: processes here, or the workers of a cluster."""
    if cluster is None:
        from imgconv.batch.run import run

        return partial(run, most=most)
    from imgconv.batch.cluster import run_on

    return partial(run_on, cluster)


def _journaled(targets: Targets, jobs: list[Job], recipe: Recipe, *, quiet: bool) -> Targets:
    """The targets with a journal in their folders, where one can be kept. Raises UsageError where --resume needs it."""
    from imgconv.batch import journal

    folders = dict.fromkeys(os.path.dirname(job.target) for job in jobs if isinstance(job.target, Path))
    if why := journal.refused(folders):
        if targets.resume:
            raise UsageError(f"{why}; --resume goes by the journal there")
        if not quiet:
            warn(f"{why}; --resume will not know what has been done")
    return targets._replace(journal=recipes.key(click.get_current_context(), recipe))


def _say_left_out(found: Inputs, results: list[str], kernel: str, *, as_json: bool, quiet: bool) -> None:
    """Names what was met among the inputs and is not filtered."""
    unwanted = "left out by --include or --exclude"
    for left_out, noun, why, how in (
        (results, "result", "an earlier run's result", f"of an earlier run left out, such as {[*results, ''][0]}"),
        (found.others, "file", "of another kind", "of other kinds passed over"),
        (found.unwanted, "file", unwanted, unwanted),
    ):
        for name in left_out if as_json else ():
            print_json({"input": name, "output": None, "kernel": kernel, "status": "passed over", "notes": [why]})
        if left_out and not quiet:
            warn(f"{count(len(left_out), noun)} {how}")


def _do(
    jobs: list[Job], work: Work, passed_over: int = 0, *, by: Callable[..., Generator[Outcome]], keep_going: bool,
    to_stdout: bool, as_json: bool, quiet: bool, verbose: bool, explain: bool, preview: bool,
    sections: list[dict[str, Any]] | None = None,
) -> Count:  # fmt: skip
    """Has the jobs done by `run.run`, or what does as much, and prints what becomes of them."""
    from imgconv.batch.report import Count

    recipe, ended, started = work.recipe, Count(), time.perf_counter()
    if preview:
        from imgconv.cli.preview import screen_for_pictures, show_outcome
    progress = Progress(jobs, ended)
    with progress, contextlib.closing(by(jobs, work, keep_going=keep_going, tick=progress.tick)) as outcomes:
        screen = screen_for_pictures() if preview else None  # the bar may stand between
        for outcome in outcomes:
            ended.add(outcome)
            if work.report and sections is not None:
                sections.append(section_of(outcome, recipe.name, [*details(outcome, recipe, explain)], len(sections)))
            for note in outcome.notes:
                warn(f"{outcome.job.input}: {note}")
            if outcome.error:
                warn(outcome.error)
                for place in outcome.trace.splitlines() if verbose else ():
                    warn(place)
            if as_json:
                print_json(outcome.as_dict(recipe))
            elif not quiet and outcome.status != "failed":
                print_line(human_line(outcome), err=to_stdout)
                for detail in details(outcome, recipe, explain) if verbose or explain else ():
                    print_line(f"    {detail}", err=to_stdout)
                if screen and outcome.status == "done":
                    show_outcome(screen, outcome, work.handling.limits, auto_orient=work.handling.auto_orient)
    if len(jobs) > 1 and not as_json and not quiet and (verbose or sys.stderr.isatty()):
        for text in summary_lines(ended, len(jobs), passed_over, time.perf_counter() - started):
            warn(text)
    elif len(jobs) > 1 and not as_json and ended.failed:
        warn(f"{ended.failed} of {len(jobs)} files failed")
    return ended


def _plan(jobs: list[Job], recipe: Recipe, targets: Targets, as_json: bool) -> int:
    """Says what would be done, and what is known to fail; what exists is left out, but for scripts."""
    from imgconv.batch.job import foreseen
    from imgconv.batch.targets import is_skipped

    ended = DONE
    for job in jobs:
        skipped = is_skipped(job, targets)
        problem = "" if skipped else foreseen(job, targets)
        status = "skipped" if skipped else "failed" if problem else "planned"
        output = None if job.problem else job.output
        line: dict[str, Any] = {"input": job.input, "output": output, "kernel": recipe.name, "status": status}
        if problem:
            warn(problem)
            line["error"], ended = problem, FAILED
        if as_json:
            print_json(line)
        elif status == "planned":
            print_line(f"{job.input} → {job.output}")
    return ended
