"""The folder is the registry: `<package>/<name>.py` defines `<name>(...)`.

A *call* is a name with options in one string, as in Python: `"flow(transforms=8)"`. Nothing is
evaluated: options are literals, and a bare word is a string.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from .errors import DiaboloError, unknown

__all__ = [
    "Registry",
    "check_options",
    "extends",
    "keywords",
    "parse_call",
    "parse_value",
    "takes_bool",
    "typed",
]


WORDS = {"none": None, "null": None, "true": True, "false": False}


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Splits `"flow(transforms=8, net=mlp)"` into its name and its options.

    Raises:
        DiaboloError: If the text is not a name with keyword options.
    """
    problem = DiaboloError(
        f"Expected a name, or a name with options such as 'flow(transforms=8)', but got '{text}'."
    )
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise problem from None
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.args:
        raise problem
    options: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise problem
        if isinstance(keyword.value, ast.Name):
            options[keyword.arg] = keyword.value.id
        else:
            try:
                options[keyword.arg] = ast.literal_eval(keyword.value)
            except ValueError:
                if isinstance(keyword.value, ast.Tuple | ast.List):
                    raise DiaboloError(
                        f"Names within brackets stand in quotes, {keyword.arg}=('a', 'b'), but got "
                        f"'{text}'."
                    ) from None
                raise problem from None
    return node.func.id, options


def parse_value(text: str) -> Any:
    """Returns the Python literal that `text` writes, else the words none, true, false, or itself.

    Example:
        >>> parse_value("1e-3"), parse_value("none"), parse_value("mlp(hidden=(256, 256))")
        (0.001, None, 'mlp(hidden=(256, 256))')
    """
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def check_options(what: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuses options that `function` does not take as keywords.

    Raises:
        DiaboloError: Naming the unknown option and the nearest known one.
    """
    known = keywords(function)
    for name in options:
        if name not in known:
            raise unknown(f"option of {what}", name, known)


def typed(what: str, function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options with their values brought to the types of the function's signature.

    Raises:
        DiaboloError: At an unknown option, or a value of another type, naming the option.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    check_options(what, function, options)
    if not options:
        return {}
    parameters = inspect.signature(function, eval_str=True).parameters
    out = {}
    for key, value in options.items():
        annotation = parameters[key].annotation
        if isinstance(value, bool) and not takes_bool(annotation):
            raise DiaboloError(
                f"Option '{key}' of {what} is neither true nor false, but got {value!r}."
            )
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        try:
            out[key] = adapter.validate_python(value)
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise DiaboloError(
                f"Option '{key}' of {what}: {told[0].lower()}{told[1:]}, but got {value!r}."
            ) from None
    return out


def takes_bool(annotation: Any) -> bool:
    """Whether a type has room for true and false, which else would pass for 1 and 0."""
    return annotation is bool or annotation is Any or any(map(takes_bool, get_args(annotation)))


def keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the keyword-only parameters of a function: its options."""
    parameters = inspect.signature(function).parameters
    return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


class Registry:
    """The members of a package: one public module each, holding an object of the same name.

    Arguments:
        what: What a member is called in error messages.
        package: The dotted name of the package.
        skip: Modules of the folder that are no members.
        checks: Whether members check the types of their options themselves.
    """

    def __init__(
        self, what: str, package: str, skip: Iterable[str] = (), *, checks: bool = False
    ) -> None:
        self.what, self.package, self.skip = what, package, frozenset(skip)
        self.checks = checks

    def names(self) -> list[str]:
        """Returns the members' names, sorted."""
        module = importlib.import_module(self.package)
        folder = Path(str(module.__file__)).parent
        return sorted(p.stem for p in folder.glob("[a-z]*.py") if p.stem not in self.skip)

    def load(self, name: str) -> Callable[..., Any]:
        """Returns the member called `name`.

        Raises:
            DiaboloError: If there is none.
        """
        if name not in self.names():
            raise unknown(self.what, name, self.names())
        return getattr(importlib.import_module(f"{self.package}.{name}"), name)

    def build(self, call: str, *args: Any, **options: Any) -> Any:
        """Calls a member: `build("flow(transforms=8)", 40)`; options must be known to it.

        Raises:
            DiaboloError: If the member or an option is unknown, or a value is of another type.
        """
        name, given = parse_call(call)
        function = self.load(name)
        what = f"{self.what} '{name}'"
        if self.checks:
            check_options(what, function, given)
        else:
            given = typed(what, function, given)
        return function(*args, **{**options, **given})


def extends(base: Callable[..., Any], *without: str) -> Callable[[Callable[..., Any]], Any]:
    """Decorates `f(spec, *, own, **options)` so that its signature shows `base`'s options too.

    Arguments:
        base: The function to which `f` passes `options`.
        without: Options of `base` that `f` decides itself.
    """

    def merge(function: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(function, eval_str=True)
        fixed = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {p.name for p in fixed} | set(without)
        inherited = [
            p
            for p in inspect.signature(base, eval_str=True).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name not in names
        ]
        function.__signature__ = own.replace(parameters=[*fixed, *inherited])  # type: ignore[attr-defined]
        return function

    return merge
