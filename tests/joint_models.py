"""Tiny joint models with random weights, saved as people's checkpoints are: a folder of model, processor, tokenizer."""

import numpy as np
import torch

from avshot.media import Media

WORDS = ["a", "photo", "of", "dog", "cat", "barking", "playing", "guitar", "rain", "the"]
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS = ["a photo of a dog", "guitar", "the rain rain rain", "a dog barking"]


def save_tokenizer(folder, start, end, pad, more=()):
    """A word-level tokenizer with the model's own special tokens (an end id of 2 would mean old CLIP checkpoints)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([pad, start, "<unk>", end, *WORDS, *more])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token="<unk>", bos_token=start, eos_token=end
    )
    if more:
        made.add_special_tokens({"additional_special_tokens": list(more)})
    made.save_pretrained(folder)
    return len(vocabulary)


def film(frames, fps=4.0):
    """A clip without sound."""
    times = (np.arange(len(frames)) + 0.5) / fps
    return Media(frames, times, np.zeros(0, np.float32), 16000, "no_audio", len(frames) / fps)


def sound(waveform, rate):
    """A clip without picture."""
    frames = np.zeros((0, 8, 8, 3), dtype=np.uint8)
    return Media(frames, np.zeros(0), waveform.astype(np.float32), rate, "no_visual", len(waveform) / rate)


def snow(count, height, width, seed=0):
    """Random frames; none is black."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def noise(samples, seed=0):
    """Random sound; none of it is silent."""
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def shaken(model, seed=0):
    """The model with all its weights redrawn: fresh ones hold zeros and ones that hide what is not used."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def save_siglip(folder):
    """SigLIP, or SigLIP 2 of one size, for pictures of 16 by 16."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    size = save_tokenizer(folder, "<s>", "</s>", "<pad>")
    config = SiglipConfig(
        text_config={**SMALL, "vocab_size": size, "max_position_embeddings": 9, "pad_token_id": 0},
        vision_config={**SMALL, "image_size": 16, "patch_size": 8},
    )
    shaken(SiglipModel(config)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)


def save_siglip_naflex(folder):
    """SigLIP 2 NaFlex: at most 16 patches of 4 by 4."""
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2Tokenizer

    letters = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    Siglip2Tokenizer(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]).save_pretrained(folder)
    config = Siglip2Config(
        text_config={**SMALL, "vocab_size": len(letters), "max_position_embeddings": 9, "pad_token_id": 0},
        vision_config={**SMALL, "num_patches": 16, "patch_size": 4},
    )
    shaken(Siglip2Model(config)).save_pretrained(folder)
    Siglip2ImageProcessorPil(patch_size=4, max_num_patches=16).save_pretrained(folder)
    return str(folder)


def save_xclip(folder):
    """X-CLIP for 4 frames of 16 by 16."""
    from transformers import CLIPImageProcessorPil, XCLIPConfig, XCLIPModel

    size = save_tokenizer(folder, "<start>", "<end>", "<pad>")
    ids = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    config = XCLIPConfig(
        text_config={**SMALL, **ids, "vocab_size": size, "max_position_embeddings": 9},
        vision_config={
            **SMALL,
            "image_size": 16,
            "patch_size": 8,
            "num_frames": 4,
            "mit_hidden_size": 12,
            "mit_intermediate_size": 16,
            "mit_num_attention_heads": 2,
        },
        projection_dim=12,
        prompt_num_attention_heads=2,
    )
    shaken(XCLIPModel(config)).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)


def save_videoprism(folder):
    """VideoPrism-CLIP for 4 frames of 18 by 18."""
    from transformers import VideoPrismClipModel, VideoPrismConfig

    size = save_tokenizer(folder, "<s>", "</s>", "<pad>")
    config = VideoPrismConfig(
        text_config={**SMALL, "vocab_size": size, "max_position_embeddings": 9},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_attention_heads": 2,
            "num_spatial_layers": 1,
            "num_temporal_layers": 1,
            "num_auxiliary_layers": 1,
            "image_size": 18,
            "tubelet_size": [1, 9, 9],
            "num_frames": 4,
        },
    )
    shaken(VideoPrismClipModel(config)).save_pretrained(folder)
    return str(folder)


def timm_names(side=28, outputs=10):
    """A `vision_config` as PE-AV's checkpoints hold it, of a tiny tower."""
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 4, "img_size": [side, side]}
    return {
        "model_type": "timm_wrapper",
        "architecture": "vit_pe_core_large_patch14_336",
        "do_pooling": True,
        "global_pool": "map",
        "num_classes": outputs,
        "model_args": sizes,
    }


def pe_model():
    """A tiny PE-AV, its picture tower by avshot: timm is not installed."""
    from transformers import PeAudioVideoModel

    from avshot.features.extractors._pe_models import config_of

    layers = {**SMALL, "head_dim": 8, "hidden_size": 16}
    dac = {"downsampling_ratios": [2, 4], "encoder_hidden_size": 4, "codebook_dim": 6, "hidden_size": 16}
    stated = {
        "text_config": {**SMALL, "model_type": "modernbert", "vocab_size": 14, "pad_token_id": 0, "bos_token_id": 1,
                        "eos_token_id": 3, "cls_token_id": 1, "sep_token_id": 3, "max_position_embeddings": 32},
        "audio_video_config": {
            **layers,
            "audio_config": {**layers, "dac_config": {**dac, "model_type": "dac"}},
            "video_config": {**layers, "vision_config": timm_names()},
        },
    }  # fmt: skip
    torch.manual_seed(0)
    return shaken(PeAudioVideoModel(config_of(stated)))


def save_pe(folder):
    """PE-AV as it is released: its `config.json` names timm's picture tower."""
    import json

    from transformers import PeAudioFeatureExtractor

    save_tokenizer(folder, "[CLS]", "[SEP]", "[PAD]")
    pe_model().save_pretrained(folder)
    PeAudioFeatureExtractor(hop_length=8).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["audio_video_config"]["video_config"]["vision_config"] = timm_names()
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


MARKS = ("<boi>", "<eoi>", "<img>", "<vid>", "<boa>", "<eoa>", "<snd>")


def save_gemma(folder):
    """EmbeddingGemma 2 with towers for pictures (patches of 4 by 4) and sounds."""
    from transformers import (
        EmbeddingGemma2Config,
        EmbeddingGemma2Model,
        Gemma4AudioConfig,
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessorPil,
        Gemma4VisionConfig,
    )

    size = save_tokenizer(folder, "<bos>", "<eos>", "<pad>", MARKS)
    ids = {mark: size - len(MARKS) + i for i, mark in enumerate(MARKS)}
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = EmbeddingGemma2Config(
        text_config={**layers, "intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": size,
                     "global_head_dim": 8, "num_global_key_value_heads": 1, "hidden_size_per_layer_input": 8,
                     "embedding_dim": 12, "sliding_window": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3,
                     "max_position_embeddings": 4096},
        vision_config=Gemma4VisionConfig(**layers, intermediate_size=24, num_key_value_heads=2, head_dim=8,
                                         patch_size=4, position_embedding_size=64),
        audio_config=Gemma4AudioConfig(**layers, subsampling_conv_channels=[128, 4], output_proj_dims=20),
        boi_token_id=ids["<boi>"], eoi_token_id=ids["<eoi>"], image_token_id=ids["<img>"], video_token_id=ids["<vid>"],
        boa_token_id=ids["<boa>"], eoa_token_index=ids["<eoa>"], audio_token_id=ids["<snd>"],
    )  # fmt: skip
    torch.manual_seed(0)
    EmbeddingGemma2Model(config).eval().save_pretrained(folder)
    Gemma4ImageProcessorPil(patch_size=4).save_pretrained(folder)
    prepared = (folder / "preprocessor_config.json").read_text()
    Gemma4AudioFeatureExtractor().save_pretrained(folder)
    import json

    both = {"image_processor": json.loads(prepared)}
    both["feature_extractor"] = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps(both))
    return str(folder)


def imagebind_tensors():
    """A tiny ImageBind by the released names: pictures of 28 by 28, texts of 9 tokens."""
    from avshot.files.imagebind import Tower

    torch.manual_seed(0)
    towers = [
        Tower("vision", width=32, depth=2, places=5, dim=12),
        Tower("audio", width=24, depth=2, places=229, dim=12),
        Tower("text", width=32, depth=2, places=9, dim=12, words=4 + len(WORDS)),
    ]
    found = {}
    for seed, tower in enumerate(towers):
        found |= {name: value.clone() for name, value in shaken(tower, seed).state_dict().items()}
    found["modality_preprocessors.text.mask"] = torch.full((9, 9), -torch.inf).triu(1)
    found["modality_postprocessors.text.1.log_logit_scale"] = torch.tensor(3.0)
    found["modality_postprocessors.audio.1.log_logit_scale"] = torch.tensor(20.0).log()
    found["modality_heads.imu.0.weight"] = torch.ones(3)  # of towers that are left out
    return found


def save_imagebind(folder):
    """Its checkpoint, a file, and a tokenizer beside it."""
    save_tokenizer(folder / "tokenizer", "<start>", "<end>", "<pad>")
    torch.save(imagebind_tensors(), folder / "imagebind.pth")
    return str(folder / "imagebind.pth")
