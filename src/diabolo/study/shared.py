"""The trials that several processes share, in one folder of a file system that all of them see.

A trial is Optuna's, in a journal that processes append to under a lock. Whoever runs it holds a
file lock of its own, which the system frees when the process dies, however it dies: a trial that
is running and not locked was killed. It is done again as another trial, which takes over what the
first left: its options, its seed and its checkpoint.
"""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ..errors import missing_extra
from ..noise import mix_seed
from ..run.folder import beside
from .result import ENDS, State, Trial
from .space import Range, Space

if TYPE_CHECKING:
    import optuna

__all__ = ["Shared", "optuna_of"]


def optuna_of() -> Any:
    """Returns the package Optuna.

    Raises:
        DiaboloError: If it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise missing_extra("optuna", "hpo", "A search") from None
    return optuna


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves Optuna's own lines out for a while."""
    optuna = optuna_of()
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


class Shared:
    """The trials of one search.

    Arguments:
        folder: The folder of the search.
        space: What is searched.
        seed: With a trial's number decides what is chosen for it, and is the seed of its training.
        pruner: Which trials are ended early: `median`, `hyperband` or `none`.
        epochs: The epochs of a trial.
    """

    def __init__(self, folder: Path, space: Space, seed: int, pruner: str, epochs: int) -> None:
        self.folder, self.space, self.seed = folder, space, seed
        self.optuna = optuna_of()
        self.lock = FileLock(folder / ".lock")
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        journal = self.optuna.storages.journal
        pruners = self.optuna.pruners
        # A trial is compared with others once a tenth of its epochs is done.
        wait = max(1, epochs // 10)
        made: Any = {
            "median": lambda: pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=wait),
            "hyperband": lambda: pruners.HyperbandPruner(min_resource=wait, max_resource=epochs),
            "none": pruners.NopPruner,
        }[pruner]()
        with quiet(), self.lock:
            storage = self.optuna.storages.JournalStorage(
                journal.JournalFileBackend(str(folder / "journal.log"))
            )
            self.study: optuna.Study = self.optuna.create_study(
                storage=storage,
                study_name="search",
                direction="maximize",
                pruner=made,
                load_if_exists=True,
            )

    def ask(
        self, trials: int, first: Mapping[str, Any]
    ) -> tuple[optuna.Trial, dict[str, Any], FileLock] | None:
        """Takes the next trial, or returns None if there are enough.

        Arguments:
            trials: How many there are to be.
            first: What the first one takes, where the space holds it.

        Returns:
            The trial, what was chosen for it, and the lock to hold while it runs.
        """
        with quiet(), self.lock:
            self._revive()
            found = self.study.get_trials(deepcopy=False)
            if sum(self._state(t) in (*ENDS, "running") for t in found) >= trials:
                return None
            if not found:
                held = {n: v for n, v in first.items() if self.space[n].holds(v)}
                self.study.enqueue_trial(held)
            # A function of the number and of what came before, whoever asks and however often
            # the search was resumed.
            number = next((t.number for t in found if t.state.name == "WAITING"), len(found))
            self.study.sampler = self.optuna.samplers.TPESampler(
                seed=mix_seed(self.seed, number) % 2**32
            )
            trial = self.study.ask()
            lock = self._alive(trial.number)
            lock.acquire()
            self._take_over(trial)
            return trial, {n: _suggest(trial, n, d) for n, d in self.space.items()}, lock

    def tell(self, trial: optuna.Trial, state: State, value: float | None, note: str) -> None:
        """Records how a trial ended."""
        states = self.optuna.trial.TrialState
        with quiet(), self.lock:
            trial.set_user_attr("ended", state)
            trial.set_user_attr("note", note)
            if state == "complete":
                self.study.tell(trial, value)
            elif state in ("pruned", "diverged"):  # both teach the sampler where not to look
                self.study.tell(trial, state=states.PRUNED)
            else:
                self.study.tell(trial, state=states.FAIL)
            if state == "interrupted":
                self._again(self._frozen(trial.number))

    def trials(self) -> tuple[Trial, ...]:
        """Returns all trials as they stand."""
        with quiet():
            return tuple(self._trial(t) for t in self.study.get_trials(deepcopy=False))

    def importance(self) -> dict[str, float]:
        """Returns how much each option decided, or nothing where too few trials are complete."""
        done = [t for t in self.trials() if t.state == "complete"]
        values = {t.value for t in done}
        if len(done) < 10 or len(values) < 2 or len(self.space) < 2:
            return {}
        with quiet():
            found = self.optuna.importance.get_param_importances(self.study)
        return {name: float(part) for name, part in found.items()}

    def place(self, number: int) -> Path:
        """Returns the folder of a trial's run."""
        return self.folder / "trials" / f"{number:03d}"

    def _alive(self, number: int) -> FileLock:
        return FileLock(self.folder / "trials" / f".{number:03d}.alive", timeout=0)

    def _revive(self) -> None:
        """Ends trials whose process is gone, and lets them be done again."""
        running = self.optuna.trial.TrialState.RUNNING
        for found in self.study.get_trials(deepcopy=False, states=(running,)):
            lock = self._alive(found.number)
            try:
                lock.acquire()
            except Timeout:
                continue
            lock.release()
            self.study.tell(found.number, state=self.optuna.trial.TrialState.FAIL)
            self._again(found)

    def seed_of(self, number: int) -> int:
        """Returns the seed of a trial's training: that of the first of those that it does again."""
        with quiet():
            return self._seed(self._frozen(number))

    def before(self, number: int) -> dict[int, float]:
        """Returns the validation ELBO by epoch of the trial that this one does again."""
        with quiet():
            again = self._frozen(number).user_attrs.get("again")
            return {} if again is None else dict(self._frozen(again).intermediate_values)

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _seed(self, found: optuna.trial.FrozenTrial) -> int:
        return self.seed + found.user_attrs.get("first", found.number)

    def _again(self, found: optuna.trial.FrozenTrial) -> None:
        first = found.user_attrs.get("first", found.number)
        self.study.enqueue_trial(
            dict(found.params), user_attrs={"again": found.number, "first": first}
        )

    def _take_over(self, trial: optuna.Trial) -> None:
        """Moves what the trial that is done again left to the place of this one."""
        again = trial.user_attrs.get("again")
        if again is None:
            return
        for left, own in zip(self._left(again), self._left(trial.number), strict=True):
            shutil.rmtree(own, ignore_errors=True)
            if left.exists():
                left.rename(own)

    def _left(self, number: int) -> tuple[Path, Path]:
        place = self.place(number)
        return beside(place), place

    def _state(self, found: optuna.trial.FrozenTrial) -> State:
        name = found.state.name
        if name == "FAIL":
            return found.user_attrs.get("ended", "killed")
        if name == "PRUNED":
            return found.user_attrs.get("ended", "pruned")
        plain: dict[str, State] = {
            "COMPLETE": "complete",
            "RUNNING": "running",
            "WAITING": "waiting",
        }
        return plain[name]

    def _trial(self, found: optuna.trial.FrozenTrial) -> Trial:
        state = self._state(found)
        seen = found.intermediate_values
        place = self.place(found.number)
        again = found.user_attrs.get("again")
        return Trial(
            number=found.number,
            state=state,
            value=found.value if state == "complete" else None,
            options=dict(found.params),
            seed=self._seed(found),
            epochs=max(seen, default=0),
            last=seen[max(seen)] if seen else None,
            note=found.user_attrs.get("note") or ("" if again is None else f"trial {again} again"),
            folder=place if (place / "weights.safetensors").is_file() else None,
        )


def _suggest(trial: optuna.Trial, name: str, domain: Any) -> Any:
    if not isinstance(domain, Range):
        return trial.suggest_categorical(name, domain.values)
    if domain.whole:
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
