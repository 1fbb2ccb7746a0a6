"""Events in time: what happens from when to when, in a recording; found, written, read back and corrected."""

from avshot.events.event import Event, Events
from avshot.events.track import Track

__all__ = ["Event", "Events", "Track"]
