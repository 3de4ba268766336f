"""Faces over time become one verdict a person."""

from edge.people.ballot import DecisionRule
from edge.people.people import Judge, People, TrackState, Verdict

__all__ = ["DecisionRule", "Judge", "People", "TrackState", "Verdict"]
