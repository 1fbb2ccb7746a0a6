"""Where AVCA's program takes the seconds of a clip that it describes with SeLaVi."""

from __future__ import annotations

from avshot.features.extractors._sound import window_starts


def second_starts(count: int, rate: int, hop: float) -> list[int]:
    """First step of each window of a second in `count` steps; always at least one.

    A clip of D seconds has n = floor(D) - 1 windows, the i-th of which begins at (D - 1) i / (10 (floor(n / 10) + 1))
    seconds: 0.9 s apart in a clip of ten seconds, nearly a second in longer ones. So the end of a clip is not described
    (`get_clusters.py` and `datasets/AVideoDataset.py` of AVCA's `selavi_feature_extraction`).

    Args:
        count: Samples or frames.
        rate: Of them in a second.
        hop: Seconds between windows instead; 0 = the places above.

    Example:
        >>> second_starts(300, 30, 0)  # nine windows, 0.9 s apart
        [0, 27, 54, 81, 108, 135, 162, 189, 216]
        >>> second_starts(75, 30, 1), second_starts(20, 30, 0)
        ([0, 30, 60], [0])
    """
    if hop > 0:
        return window_starts(count, rate, max(1, round(hop * rate)))
    windows = max(count // rate - 1, 1)
    spread = max(count - rate, 0)
    return [spread * i // (10 * (windows // 10 + 1)) for i in range(windows)]
