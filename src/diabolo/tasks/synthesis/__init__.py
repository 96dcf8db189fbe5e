"""Synthetic tables, and what is to be said of them."""

from .report import Judged, SynthesisReport
from .synthesize import Synthesis, synthesis_report, synthesize

__all__ = ["Judged", "Synthesis", "SynthesisReport", "synthesis_report", "synthesize"]
