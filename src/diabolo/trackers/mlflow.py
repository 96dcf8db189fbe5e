"""MLflow, with a local database or a server.

References:
    | https://mlflow.org/docs/latest/ml/tracking
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import missing_extra
from ._base import Ended, Place, Record, Setting, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["mlflow"]

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
PARAMS = 100  # what a server takes in one call


class Mlflow(Tracker):
    """Logs into one run of an experiment by a client of its own, not by MLflow's global state."""

    def __init__(self, place: Place, uri: str | None, experiment: str) -> None:
        self.uri, self.experiment, self.name = uri, experiment, place.name
        self.record = Record(place)
        self.connected: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """The client, which a first use makes."""
        if self.connected is None:
            from mlflow import MlflowClient

            self.connected = MlflowClient(tracking_uri=self.uri)
        return self.connected

    @property
    def run(self) -> str:
        """The id of the run, which a first use makes."""
        if self.record.id is None:
            found = self.client.get_experiment_by_name(self.experiment)
            id = self.client.create_experiment(self.experiment) if found is None else None
            id = found.experiment_id if found is not None else str(id)
            self.record.keep(id=self.client.create_run(id, run_name=self.name).info.run_id)
        assert self.record.id is not None
        return self.record.id

    def begin(self, settings: Mapping[str, Setting], notes: Sequence[str]) -> None:
        """Logs parameters and notes; a run that goes on has its parameters already."""
        from mlflow.entities import Param

        if self.record.id is not None:
            self.client.update_run(self.run, status="RUNNING")
            return
        params = [Param(name, str(value)) for name, value in settings.items()]
        for i in range(0, len(params), PARAMS):
            self.client.log_batch(self.run, params=params[i : i + PARAMS])
        if notes:
            self.client.set_tag(self.run, "mlflow.note.content", "\n\n".join(notes))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs the numbers of one epoch in one call."""
        if step > self.record.step:
            self._metrics(step, numbers)
            self.record.keep(step=step)

    def _metrics(self, step: int, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        found = [Metric(name, value, now, step) for name, value in numbers.items()]
        self.client.log_batch(self.run, metrics=found)

    def end(self, numbers: Mapping[str, float], figures: Mapping[str, Path], ended: Ended) -> None:
        """Logs final numbers as `final.<name>` and figures as artifacts, and ends the run."""
        if numbers:
            self._metrics(0, {f"final.{name}": value for name, value in numbers.items()})
        for path in figures.values():
            self.client.log_artifact(self.run, str(path), "figures")
        self.client.set_terminated(self.run, STATUS[ended])


def mlflow(place: Place, *, uri: str | None = None, experiment: str = "diabolo") -> Tracker:
    """Returns a tracker that logs to MLflow.

    Arguments:
        place: Where it keeps which run of MLflow's is its own.
        uri: A server or a database, such as `sqlite:///mlflow.db`; None takes MLflow's own
            choice, the variable MLFLOW_TRACKING_URI or a database in this folder.
        experiment: The experiment to which the run belongs.

    Raises:
        DiaboloError: If MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise missing_extra("mlflow-skinny", "mlflow", "The tracker 'mlflow'")
    return Mlflow(place, uri, experiment)
