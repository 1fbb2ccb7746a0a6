"""The parts of a PE-AV checkpoint that one extractor needs, as models of transformers; imports transformers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.models.pe_audio.configuration_pe_audio import PeAudioEncoderConfig
from transformers.models.pe_audio.modeling_pe_audio import PeAudioEncoder
from transformers.models.pe_audio_video.configuration_pe_audio_video import (
    PeAudioVideoConfig,
    PeAudioVideoEncoderConfig,
)
from transformers.models.pe_audio_video.modeling_pe_audio_video import (
    PeAudioVideoContrastiveHead,
    PeAudioVideoEncoder,
)
from transformers.models.pe_video.configuration_pe_video import PeVideoEncoderConfig
from transformers.models.pe_video.modeling_pe_video import PeVideoEncoder

from avshot.nn.pe_core import PeCore, size_of


class PeCoreConfig(PreTrainedConfig):
    """The picture tower of PE-AV, in place of a wrapper around timm."""

    model_type = "avshot_pe_core"

    def __init__(self, vision: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.vision = vision or {}
        if vision:
            self.num_labels = size_of(vision).outputs


class PeCoreForImageClassification(PreTrainedModel):
    """`PeCore` as transformers expects a classifier of pictures."""

    config_class = PeCoreConfig
    config: PeCoreConfig
    base_model_prefix = "timm_model"

    def __init__(self, config: PeCoreConfig) -> None:
        super().__init__(config)
        self.timm_model = PeCore(size_of(config.vision))
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> ImageClassifierOutput:
        """Vectors of pictures, as `logits`."""
        return ImageClassifierOutput(logits=self.timm_model(pixel_values))


AutoConfig.register(PeCoreConfig.model_type, PeCoreConfig, exist_ok=True)
AutoModelForImageClassification.register(PeCoreConfig, PeCoreForImageClassification, exist_ok=True)


def config_of(stated: dict[str, Any]) -> PeAudioVideoConfig:
    """The configuration of a PE-AV checkpoint from its `config.json`, timm's picture tower replaced by ours."""
    encoder = dict(stated["audio_video_config"])
    video = dict(encoder.pop("video_config"))
    vision = video.pop("vision_config")
    made = PeVideoEncoderConfig(vision_config=PeCoreConfig(vision=dict(vision)), **video)
    audio = PeAudioEncoderConfig(**encoder.pop("audio_config"))
    joint = PeAudioVideoEncoderConfig(audio_config=audio, video_config=made, **encoder)
    return PeAudioVideoConfig(text_config=stated["text_config"], audio_video_config=joint)


class _Part(PreTrainedModel):
    """Some of a checkpoint's modules by its own names; the rest of the checkpoint is left alone."""

    config_class = PeAudioVideoConfig
    config: Any
    base_model_prefix = ""
    _keys_to_ignore_on_load_unexpected = [r".*"]  # noqa: RUF012 - as transformers declares it
    _supports_sdpa = True

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: what a checkpoint lacks is refused, not drawn."""


class PeSound(_Part):
    """The audio encoder and its head."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        audio = config.audio_video_config.audio_config
        head = PeAudioVideoContrastiveHead(audio.hidden_size, config.text_config.hidden_size)
        self.audio_model = nn.ModuleDict({"audio_encoder": PeAudioEncoder(audio), "audio_head": head})
        self.post_init()

    def forward(self, input_values: Tensor) -> Tensor:
        """`[clip, 1, sample]` at 48 kHz as `[clip, dim]`."""
        found: Tensor = self.audio_model["audio_head"](self.audio_model["audio_encoder"](input_values).pooler_output)
        return found


class PePicture(_Part):
    """The video encoder and its head."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        video = config.audio_video_config.video_config
        head = PeAudioVideoContrastiveHead(video.hidden_size, config.text_config.hidden_size)
        self.video_model = nn.ModuleDict({"video_encoder": PeVideoEncoder(video), "video_head": head})
        self.post_init()

    def forward(self, pixels: Tensor) -> Tensor:
        """`[clip, frame, 3, height, width]` as `[clip, dim]`."""
        found: Tensor = self.video_model["video_head"](self.video_model["video_encoder"](pixels).pooler_output)
        return found


class PeBoth(_Part):
    """The encoder of sound and picture together, and its head."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        joint = config.audio_video_config
        self.audio_video_encoder = PeAudioVideoEncoder(joint)
        self.audio_video_head = PeAudioVideoContrastiveHead(joint.hidden_size, config.text_config.hidden_size)
        self.post_init()

    def forward(self, input_values: Tensor, pixels: Tensor) -> Tensor:
        """Sound and frames of the same stretches, as in the other two, as `[clip, dim]`."""
        found = self.audio_video_encoder(input_values=input_values, pixel_values_videos=pixels)
        vectors: Tensor = self.audio_video_head(found.pooler_output)
        return vectors


# A checkpoint holds both encoders once, under the names that they have alone.
SHARED = {
    r"^audio_model\.audio_encoder\.": "audio_video_encoder.embedder.audio_encoder.",
    r"^video_model\.video_encoder\.": "audio_video_encoder.embedder.video_encoder.",
}
__all__ = ["SHARED", "PeBoth", "PePicture", "PeSound", "config_of"]
