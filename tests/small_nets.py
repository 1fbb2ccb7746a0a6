"""Networks of the papers' encoders, small and with random weights, as files in the layout of the released ones."""

import torch

from avshot.nn.nets.audio_mae import AudioMae
from avshot.nn.nets.c3d import C3D
from avshot.nn.nets.r2plus1d import R2Plus1D
from avshot.nn.nets.resnet9 import ResNet9
from avshot.nn.nets.s3d import S3D
from avshot.nn.nets.vggish import VGGish

MADE = {
    "c3d": lambda: C3D(1, 8, 3),
    "vggish": lambda: VGGish(2, 8, 5),
    "r2plus1d": lambda: R2Plus1D(2, 3),
    "resnet9": lambda: ResNet9(2),
    "audio_mae": lambda: AudioMae(64, 2, 32),
    "audio_mae_tuned": lambda: AudioMae(64, 2, 32, tuned=True),
    "s3d": lambda: S3D(8, 6, 9, 5, 7),
}


def small(name, seed=0):
    """A network in eval mode whose parameters and batch statistics are all random."""
    torch.manual_seed(seed)
    network = MADE[name]().eval().requires_grad_(False)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and (value.ndim < 2 or key in ("cls_token", "pos_embed")):
            value.normal_(std=0.3)
    return network


def selavi_state(seed=0):
    """SeLaVi's file: both networks and the heads, under the prefix of distributed training."""
    heads = {"mlp_v0.block_forward.2.weight": torch.ones(2, 3), "mlp_a.weight": torch.ones(2)}
    parts = {"video_network.base": small("r2plus1d", seed), "audio_network.base": small("resnet9", seed)}
    named = {f"{at}.{key}": value for at, part in parts.items() for key, value in part.state_dict().items()}
    return {f"module.{key}": value for key, value in {**named, **heads}.items()}


def audio_mae_state(seed=0):
    decoder = {
        "mask_token": torch.ones(1, 1, 4),
        "decoder_blocks.0.attn.tau": torch.ones(2),
        "decoder_pred.bias": torch.ones(3),
    }
    return {**small("audio_mae", seed).state_dict(), **decoder}


STATES = {
    "c3d": lambda seed=0: small("c3d", seed).state_dict(),
    "vggish": lambda seed=0: small("vggish", seed).state_dict(),
    "s3d": lambda seed=0: small("s3d", seed).state_dict(),
    "selavi_audio": selavi_state,
    "selavi_visual": selavi_state,
    "audiomae": audio_mae_state,
}
