"""Until `avshot.events.segments` is there, something simpler stands in for it."""

import segments_until_merged  # noqa: F401
