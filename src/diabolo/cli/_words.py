"""Sentences that speak of Python's arguments, in the words of the command line."""

from __future__ import annotations

import re
import shlex

__all__ = ["on_command_line"]

FLAGS = {
    **{n: f"--{n}" for n in ("binarize", "color", "condition", "force", "key", "label", "labels")},
    **{n: f"--{n}" for n in ("missing", "out", "recipe", "resume", "size", "support", "valid")},
    "start": "--from",
}
GIVEN = re.compile(r"(?<![\w'/.-])([a-z_][\w.]*)='([^']*)'")  # missing='nan'
NAMED = re.compile(rf"(?<![\w'/.-])({'|'.join(FLAGS)})=(?=[\s,.;:)]|$)")  # label=, of cat, dog
SAID = re.compile(r"\b(with|Leave) (force|out)\b")
REFITTED = re.compile(r"run\.refit\(prior='([^']*)'\)")
EVALUATED = re.compile(r"run\.evaluate\(method='([^']*)'\)")
RESUMED = re.compile(r"diabolo\.resume\('([^']*)'\)")


def on_command_line(sentence: str) -> str:
    """Returns a sentence with `--missing nan` for `missing='nan'`, `--force` for `with force`.

    Example:
        >>> on_command_line("Replace it with force, or say missing='nan' or schedule='cosine'.")
        'Replace it with --force, or say --missing nan or --set schedule=cosine.'
        >>> on_command_line("Ask run.evaluate(method='importance(refine=300)').")
        "Ask diabolo evaluate RUN --method 'importance(refine=300)'."
    """

    def given(match: re.Match[str]) -> str:
        name, value = match.groups()
        flag = FLAGS.get(name.removeprefix("data."))
        return f"--set {name}={value}" if flag is None else f"{flag} {value}"

    sentence = RESUMED.sub(lambda m: f"diabolo fit --resume {shlex.quote(m[1])}", sentence)
    sentence = REFITTED.sub(lambda m: f"diabolo refit RUN --prior {shlex.quote(m[1])}", sentence)
    sentence = EVALUATED.sub(
        lambda m: f"diabolo evaluate RUN --method {shlex.quote(m[1])}", sentence
    )
    sentence = GIVEN.sub(given, sentence)
    sentence = NAMED.sub(lambda m: FLAGS[m[1]], sentence)
    return SAID.sub(lambda m: f"{m[1]} --{m[2]}", sentence)
