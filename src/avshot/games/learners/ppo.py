"""Proximal policy optimisation over tokens. Source: thesis, equations 7.1 and 7.2; Schulman et al. 2017.

The sign of the KL in equation 7.2 is corrected (`avshot.games.objectives.shaped_rewards`).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from avshot.games.learners._proximal import Proximal
from avshot.games.learners.learner import Said


class PPO(Proximal):
    """Every word may be said."""

    @dataclass(frozen=True)
    class Config(Proximal.Config):
        """Settings, with their sources, in `_proximal.py`."""

    def restricted(self, said: Said) -> Tensor | None:
        """No word is excluded."""
        return None
