"""The ranking loss of class-embedding optimisation, exact, in O(C^2 log C) time for C classes (EZ-AVGZL, eq. 3).

For an anchor class c and two others (i, j), of which i was the farther, the hinge max(0, m - (dw_ci - dw_cj)) is active
where dw_ci < dw_cj + m. Hinges are linear pieces: their sum is m times the number of active ones plus <dw, g>, and g,
its gradient, holds integers: how many active hinges a class is in as the near one, minus as the far one. With the
others sorted by dw the active partners of j are among the first few, so both numbers are counts of dominance: how many
of the first p classes lie farther than j (nearer than i) in the order that never changes. No hinge is ever listed.

Two ways to count give the same integers: `wavelet.py` in plain torch, on any device, and `compiled.py` by numba.
"""

from avshot.classes.optimise.order import Order
from avshot.classes.optimise.ranking import METHODS, SAMPLES, ranking_loss

__all__ = ["METHODS", "SAMPLES", "Order", "ranking_loss"]
