"""When and in which modality a token was: Fourier features of real time plus a modality vector, joined to the token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PositionBlock(nn.Module):
    """Join position to audio and visual embeddings: `linear([embedding, modality vector + time vector])`.

    The time vector is a learnt linear map of `[sin, cos]` of `2 pi t (r1 + r2)`, with r1, r2 fixed Gaussian frequencies
    of deviation `scale` Hz: TCaF's code feeds the time twice to two-dimensional Fourier features, which adds two
    frequencies, so the effective deviation is `scale * sqrt(2)`. With `scale=10` time codes of steps 0.02 s apart are
    all but independent: a hash of the time stamp, which suits steps of 0.64 s on a grid; for finer steps use 1.

    Unlike the authors there is no embedding of padding: no real token ever reads a padded one, so it could not learn.

    Args:
        dim: Width of the embeddings.
        position_dim: Width of the time and modality vectors, even (thesis d_pos = 64).
        scale: Deviation of the frequencies in Hz.
        dropout: On the result.
        use_time: False leaves the time vector out (thesis Table B.1, "- pos_t").
    """

    fourier: Tensor

    def __init__(
        self, dim: int, position_dim: int, *, scale: float = 10.0, dropout: float = 0.0, use_time: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("fourier", scale * torch.randn(2, position_dim // 2))
        self.modality = nn.Embedding(2, position_dim)
        self.time = nn.Linear(position_dim, position_dim) if use_time else None
        self.project_audio = nn.Linear(dim + position_dim, dim)
        self.project_visual = nn.Linear(dim + position_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, audio: Tensor, visual: Tensor, audio_time: Tensor, visual_time: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens with position.

        Args:
            audio: `[audio step, dim]`.
            visual: `[visual step, dim]`.
            audio_time: `[audio step]` seconds.
            visual_time: `[visual step]` seconds.

        Returns:
            Audio and visual tokens, shaped as the inputs. More axes before these are fine too.
        """
        audio = self.project_audio(torch.cat([audio, self._position(audio_time, 0)], dim=-1))
        visual = self.project_visual(torch.cat([visual, self._position(visual_time, 1)], dim=-1))
        return self.dropout(audio), self.dropout(visual)

    def _position(self, time: Tensor, modality: int) -> Tensor:
        vector = self.modality.weight[modality].expand(*time.shape, -1)
        if self.time is None:
            return vector
        # 300 s at 30 Hz is a phase of 57,000 rad: float32 would keep 0.004 rad of it, and differently per batch size.
        exact = torch.float32 if time.device.type == "mps" else torch.float64
        phase = 2 * math.pi * time.to(exact)[..., None] * self.fourier.to(exact).sum(dim=0)
        waves = torch.cat([phase.sin(), phase.cos()], dim=-1).to(self.time.weight.dtype)
        return vector + self.time(waves)
