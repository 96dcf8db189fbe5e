"""Pages to read: one run, or several side by side, in one HTML file that needs nothing else."""

from .compare import Compared, compare
from .report import Report, report

__all__ = ["Compared", "Report", "compare", "report"]
