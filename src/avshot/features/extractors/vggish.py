"""Audio features from VGGish (Hershey et al., ICASSP 2017), as AVCA, TCaF and AV-Diff use them: 128 numbers in 0.96 s.

16 kHz; frames of 25 ms every 10 ms; 64 mel bands from 125 to 7500 Hz over the magnitude of the spectrum; log(x + 0.01);
96 frames are one patch. The papers' features went through the principal components that Google released, and became
whole numbers from 0 to 255: so they need a second file. Source: AVCA's extraction programs (ExplainableML/AVCA-GZSL,
`cls_feature_extraction`), thesis section 3.4; numbers of the front end: tensorflow/models, `audioset/vggish`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from avshot.errors import BadSetting
from avshot.features.extractors._released import ReleasedExtractor
from avshot.features.extractors._sound import heard, windows
from avshot.features.spectrogram import mel_triangles, power_spectrum
from avshot.files.arrays import open_arrays
from avshot.files.atomic import file_digest
from avshot.files.released import released_tensors
from avshot.nn.nets.vggish import BANDS, FRAMES, RENAMED, VGGish

if TYPE_CHECKING:
    from avshot.media import Media

RATE, FRAME, STEP, FFT = 16_000, 400, 160, 512  # Hz and samples
SAMPLES = (FRAMES - 1) * STEP + FRAME  # of one patch: 0.975 s, of which the next one begins after 0.96 s
LOW, HIGH, OFFSET = 125.0, 7500.0, 0.01  # Hz, and what is added before the logarithm
BOUND = 2.0  # beyond which principal components are cut before they become 0 to 255
BATCH = 32  # patches at once
_BESIDE = "vggish_pca_params*.*"  # what the two releases call the components
_NAMES = ("pca_eigen_vectors", "pca_means")


@dataclass(frozen=True)
class VggishAudio(ReleasedExtractor):
    """VGGish embeddings of patches of 0.96 s.

    Attributes:
        pca: File with Google's principal components, `.npz` or `.pth`; "beside" takes the one beside the checkpoint;
            "none" leaves the network's own 128 numbers, which are not those of the papers.
        hop: Seconds between patches, a multiple of 0.01.
    """

    name: ClassVar[str] = "vggish"
    modality: ClassVar[str] = "audio"
    licence: ClassVar[str] = "Apache-2.0"
    what: ClassVar[str] = "VGGish"
    renamed: ClassVar[tuple[tuple[str, str], ...]] = RENAMED

    pca: str = "beside"
    hop: float = 0.96

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = self.hop * RATE / STEP
        if not 1 - 1e-6 < steps < float("inf") or abs(steps - round(steps)) > 1e-6:
            raise BadSetting(f"vggish hop is {self.hop} s; expected a multiple of {STEP / RATE} s.")
        if self.pca != "none":
            self._components_file()

    @property
    def dim(self) -> int:
        """128 in the released file."""
        return len(self._network.embeddings[-2].weight)

    def request(self) -> dict[str, Any]:
        """Sound at 16 kHz."""
        return {"rate": RATE}

    def spec(self) -> dict[str, Any]:
        """Settings and the digests of both files."""
        digest = "none" if self.pca == "none" else f"sha256:{file_digest(self._components_file())}"
        return {**super().spec(), "pca_weights": digest}

    def __call__(self, media: Media) -> tuple[Tensor, Tensor]:
        """Embeddings `[patch, dim]` and the centre of each patch's real sound; no step for a clip without any sound.

        A rest shorter than a patch is left out; a sound shorter than a patch is one, with zeros behind it.

        Raises:
            ValueError: The clip was decoded at another rate, or a file cannot be used.
        """
        sound = heard(media, RATE, self.name)
        if sound is None:
            return torch.zeros(0, self.dim), torch.zeros(0)
        hop = round(self.hop * RATE)
        starts = [i * hop for i in range(1 + max(0, len(sound.waveform) - SAMPLES) // hop)]

        def patches() -> Iterator[Tensor]:
            for first in range(0, len(starts), BATCH):
                some = windows(sound.waveform, starts[first : first + BATCH], SAMPLES)
                yield log_mel(torch.from_numpy(some))[:, None]

        vectors = self._through(patches())
        if self.pca != "none":
            vectors = self._as_released(vectors)
        centres = np.array([start + min(SAMPLES, len(sound.waveform) - start) / 2 for start in starts])
        return vectors, torch.from_numpy(sound.when(centres))

    def _like(self, tensors: Mapping[str, Tensor]) -> VGGish:
        return VGGish.like(tensors)

    def _as_released(self, vectors: Tensor) -> Tensor:
        """Whitened by the principal components, cut at 2 and brought to whole numbers from 0 to 255, rounded down."""
        matrix, means = self._components
        whitened = (vectors.double() - means) @ matrix.T
        return ((whitened.clamp(-BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))).floor().float()

    @cached_property
    def _components(self) -> tuple[Tensor, Tensor]:
        """Principal components `[component, dim]` and the means `[dim]` before them, float64."""
        file = self._components_file()
        try:
            if file.suffix == ".npz":
                with open_arrays(file) as arrays:
                    found = [torch.from_numpy(np.array(arrays[name][...])) for name in _NAMES]
            else:
                tensors = released_tensors(file)
                found = [tensors[name] for name in _NAMES]
            matrix, means = found[0].double(), found[1].double().reshape(-1)
        except KeyError as error:
            raise BadSetting(f"{file} has no {error}; expected VGGish's principal components, unchanged.") from None
        if matrix.shape != (self.dim, self.dim) or means.shape != (self.dim,):
            raise BadSetting(f"{file} has components {tuple(matrix.shape)}; expected {self.dim} of {self.dim} numbers.")
        return matrix, means

    def _components_file(self) -> Path:
        if self.pca != "beside":
            if not Path(self.pca).is_file():
                raise BadSetting(f"Extractor vggish: there is no file {self.pca}; give VGGish's principal components.")
            return Path(self.pca)
        found = sorted(Path(self.checkpoint).parent.glob(_BESIDE))
        if len(found) != 1:
            raise BadSetting(
                f"Extractor vggish: {len(found)} files {_BESIDE} lie beside {self.checkpoint}; say which (?pca=FILE), "
                "or ?pca=none for the network's own numbers."
            )
        return found[0]


def log_mel(waveforms: Tensor) -> Tensor:
    """Log-mel spectrograms `[item, frame, 64]` of waveforms `[item, sample]` at 16 kHz, 400 samples at least."""
    frames = waveforms.unfold(1, FRAME, STEP)
    magnitude = power_spectrum(frames, torch.hann_window(FRAME), FFT).sqrt()
    return (magnitude @ mel_triangles(RATE, FFT, BANDS, LOW, HIGH).T + OFFSET).log()
