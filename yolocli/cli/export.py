"""`yolocli export`: results again, from the journal of a run."""

from __future__ import annotations

from yolocli.cli import options
from yolocli.cli.format_options import with_options
from yolocli.cli.terminal import tell
from yolocli.config import DEFAULTS
from yolocli.errors import UsageError


def export(
    folder: options.RunFolder,
    formats: options.Formats = None,
    save_conf: options.SaveConf = False,
    image_root: options.ImageRoot = None,
    confidence: options.Conf = None,
    classes: options.Classes = None,
    output: options.NewFolder = None,
    timings: options.KeptTimings = DEFAULTS.timings,
) -> None:
    """Write results again, in other formats or stricter; without --conf and --classes, with all boxes of the run."""
    from yolocli.output.at_hand import to_change
    from yolocli.output.extract import Choice, extract
    from yolocli.output.projection import rebuild

    wanted = with_options(tuple(formats or DEFAULTS.formats), save_conf=save_conf, image_root=image_root)
    choice = Choice(confidence, tuple(classes) if classes else None)
    if output is None and choice != Choice():
        raise UsageError("--conf and --classes leave boxes out: name a new folder for the others with --output")
    with to_change(output or folder, tell) as made:
        if output is not None:
            count = extract(folder, made, wanted, choice, timings, tell)
        else:
            count = rebuild(made, wanted, timings, tell)
    tell(f"{output or folder}: {', '.join(wanted)} of {count:,} images")
