"""Writes, for test/e2e/60.export.ts: small random checkpoints of open_clip and transformers as those libraries save them, a photo for
each, and what the libraries themselves compute of it.

    python export_models.py OUT

OUT/<case>: checkpoint (a folder or a file), architecture.json where the checkpoint needs one, photo.bin (RGB bytes, as large as the
model was made for), texts.json, and as .npy float32, rows of length one: texts (T, E), image (1, E), patches (N, E).
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch

try:
    import torchvision  # noqa: F401  (open_clip imports it)
except RuntimeError:
    # Built for CUDA, beside a torch for the CPU: its operators, which no CLIP uses, did not load. It insists on the names of two.
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import open_clip
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

TEXTS = ["a cat", "two dogs on a long, long road", "x"]
HALF_RANGE = [0.5, 0.5, 0.5]
CLIP_PIXELS = (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)


def randomise(model, seed):
    """Weights of which every part matters: at a library's own initialisation heads and activations hardly show."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if name.endswith("logit_scale"):
                p.fill_(3.0)
            elif p.ndim < 2:
                p.copy_(0.1 * noise + (1 if "weight" in name else 0))
            else:
                p.copy_(noise * (1.5 if "in_proj" in name or "q_proj" in name or "k_proj" in name else 1) * p[0].numel() ** -0.5)
            if p.ndim == 2 and "embedding" in name:
                p.copy_(noise * 0.5)
    return model.eval()


def photo(side, seed):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def pixels(rgb, mean, std):
    scaled = (rgb.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(scaled.transpose(2, 0, 1)[None].copy())


def write(folder, rgb, texts, patches, project):
    """patches (N, width): output of the last LayerNorm; their mean, projected, is what the method scores."""
    rgb.tofile(folder / "photo.bin")
    (folder / "texts.json").write_text(json.dumps(TEXTS))
    for name, rows in {"texts": texts, "image": project(patches.mean(0, keepdim=True)), "patches": project(patches)}.items():
        np.save(folder / f"{name}.npy", torch.nn.functional.normalize(rows, dim=-1).numpy().astype(np.float32))


def open_clip_case(folder, seed, config, save, normalise=CLIP_PIXELS):
    folder.mkdir(parents=True)
    custom = config.pop("custom_text", False)
    model = randomise((open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config), seed)
    model.visual.output_tokens = True
    if custom:
        config["custom_text"] = True
    save(folder, model, config)
    rgb = photo(config["vision_cfg"]["image_size"], seed)
    tokens = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])(TEXTS)
    _, patches = model.visual(pixels(rgb, *normalise))
    write(folder, rgb, model.encode_text(tokens), patches[0], lambda rows: rows @ model.visual.proj)


def hub_folder(folder, model, config):
    at = folder / "checkpoint"
    at.mkdir()
    preprocess = {"mean": HALF_RANGE, "std": HALF_RANGE}
    (at / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, at / "open_clip_model.safetensors")


def training_file(folder, model, config):
    (folder / "architecture.json").write_text(json.dumps(config))
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state, "optimizer": {"state": {}}}, folder / "checkpoint")


def transformers_case(folder, seed, image, text, embedding, save):
    folder.mkdir(parents=True)
    config = CLIPConfig(text_config=text, vision_config=image, projection_dim=embedding)
    model = randomise(CLIPModel(config), seed)
    save(folder / "checkpoint", model)
    rgb = photo(image["image_size"], seed)
    tokens = open_clip.SimpleTokenizer(context_length=text["max_position_embeddings"])(TEXTS)
    texts = model.text_projection(model.text_model(input_ids=tokens).pooler_output)
    hidden = model.vision_model(pixel_values=pixels(rgb, *CLIP_PIXELS)).last_hidden_state
    write(folder, rgb, texts, model.vision_model.post_layernorm(hidden)[0, 1:], model.visual_projection)


def shards(folder, model):
    model.save_pretrained(folder, max_shard_size="2MB")
    assert (folder / "model.safetensors.index.json").is_file()
    mean, std = CLIP_PIXELS
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))


def pickled_halves(folder, model):
    model.half().float()  # rounds the weights
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(folder)
    torch.save({name: tensor.half() for name, tensor in model.state_dict().items()}, folder / "pytorch_model.bin")


@torch.no_grad()
def main(out):
    open_clip_case(out / "open_clip, gelu, heads of 32", 1, {
        "embed_dim": 48,
        "vision_cfg": {"image_size": 64, "patch_size": 16, "width": 96, "layers": 3, "head_width": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    }, hub_folder, (HALF_RANGE, HALF_RANGE))
    open_clip_case(out / "open_clip, quick_gelu, mean of patches, training file", 2, {
        "embed_dim": 32, "quick_gelu": True, "custom_text": True, "init_logit_bias": -10,
        "vision_cfg": {"image_size": 56, "patch_size": 14, "width": 128, "layers": 2, "mlp_ratio": 3.0, "pool_type": "avg"},
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 96, "heads": 2, "layers": 3},
    }, training_file)
    open_clip_case(out / "open_clip, gelu, heads of 88", 3, {
        "embed_dim": 40,
        "vision_cfg": {"image_size": 70, "patch_size": 14, "width": 176, "layers": 2, "head_width": 88, "mlp_ratio": 4.3637},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 80, "heads": 5, "layers": 1},
    }, training_file)
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    transformers_case(out / "transformers, quick_gelu, in shards", 4, {**sizes, "image_size": 96, "patch_size": 32},
                      {**sizes, "hidden_size": 128, "num_attention_heads": 2, "max_position_embeddings": 77}, 48, shards)
    gelu = {**sizes, "hidden_act": "gelu"}
    transformers_case(out / "transformers, gelu, float16", 5, {**gelu, "image_size": 48, "patch_size": 16, "num_attention_heads": 1},
                      {**gelu, "eos_token_id": 2, "max_position_embeddings": 40}, 56, pickled_halves)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
