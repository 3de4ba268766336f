"""Faces over time become one verdict a person."""

from edge.people.ballot import DecisionRule
from edge.people.people import Judge, People
from edge.people.track import TrackState, Verdict

__all__ = ["DecisionRule", "Judge", "People", "TrackState", "Verdict"]
