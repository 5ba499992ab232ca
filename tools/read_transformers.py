"""Checkpoints of transformers' CLIPModel: a folder with config.json and model.safetensors or pytorch_model.bin.

Names and defaults are those of transformers/models/clip: configuration_clip.py and modeling_clip.py.
"""
import re
from pathlib import Path

import torch

from checkpoint import (ACTIVATIONS, CANNOT, Checkpoint, Unfit, find_weights, head_count, read_json, read_tensors,
                        require_clip_vocabulary, require_exactly_clip)

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# 2 is what OpenAI's own configurations say by mistake; transformers then pools at the largest token id.
END_OF_TEXT = (2, 49407)

BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
NAMES = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "logit_scale": "logit_scale",
}
UNUSED = re.compile(r"\.position_ids$")


def check_kind(config):
    kind = config.get("model_type")
    if kind == "clip" and "CLIPModel" in config.get("architectures", ["CLIPModel"]):
        return
    if kind == "clip" or kind in ("clip_vision_model", "clip_text_model"):
        raise Unfit(f"it is {config.get('architectures', [kind])[0]}, not CLIPModel: images and words are both needed")
    if kind in ("siglip", "siglip2"):
        raise Unfit(CANNOT["siglip"])
    if kind in ("chinese_clip", "altclip", "metaclip_2"):
        raise Unfit(f"{CANNOT['text']} (model_type is {kind!r})")
    raise Unfit(f"config.json's model_type is {kind!r}, not 'clip'")


def tower_config(config, tower):
    """A tower's settings with transformers' defaults. Old files repeat them in *_config_dict, which then counts."""
    given = {**(config.get(f"{tower}_config") or {}), **(config.get(f"{tower}_config_dict") or {})}
    heads = 12 if tower == "vision" else 8
    defaults = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_attention_heads": heads, "eos_token_id": 49407}
    settings = {**defaults, **given}
    if settings["layer_norm_eps"] != 1e-5:
        raise Unfit(f"{CANNOT['block']} ({tower}_config.layer_norm_eps is {settings['layer_norm_eps']}, CLIP's 1e-05)")
    return settings


def activation_of(image, text):
    if image["hidden_act"] != text["hidden_act"]:
        raise Unfit(f"{CANNOT['block']} (the image tower's hidden_act is {image['hidden_act']!r}, the text tower's {text['hidden_act']!r})")
    if image["hidden_act"] not in ACTIVATIONS:
        raise Unfit(f"{CANNOT['block']} (hidden_act is {image['hidden_act']!r}; the engine has {' and '.join(ACTIVATIONS)})")
    return image["hidden_act"]


def rename(tensors):
    """OpenAI's names: q, k and v one below the other, projections as (width, embedding)."""
    out, separate = {}, {}
    for name, tensor in tensors.items():
        block = re.fullmatch(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if block:
            tower, index, layer, kind = block.groups()
            at = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{index}"
            if layer in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                separate.setdefault(f"{at}.attn.in_proj_{kind}", {})[layer[10]] = tensor
            else:
                out[f"{at}.{BLOCK.get(layer, layer)}.{kind}"] = tensor
        elif name in ("visual_projection.weight", "text_projection.weight"):
            out["visual.proj" if name.startswith("visual") else "text_projection"] = tensor.T.contiguous()
        elif not UNUSED.search(name):
            stem, _, kind = name.rpartition(".")
            out[NAMES.get(name) or (f"{NAMES[stem]}.{kind}" if stem in NAMES else name)] = tensor
    for name, parts in separate.items():
        if set(parts) != set("qkv"):
            raise Unfit(f"{CANNOT['block']}: of {name} it has {', '.join(sorted(parts))} alone")
        out[name] = torch.cat([parts[part] for part in "qkv"])
    return out


def read(path):
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    config = read_json(folder / CONFIG)
    check_kind(config)
    image, text = tower_config(config, "vision"), tower_config(config, "text")
    if text["eos_token_id"] not in END_OF_TEXT:
        raise Unfit(f"{CANNOT['tokenizer']} (text_config.eos_token_id is {text['eos_token_id']}, CLIP's 49407)")
    parameters = rename(read_tensors(find_weights(folder, WEIGHTS) if path.is_dir() else path))
    require_exactly_clip(parameters)
    require_clip_vocabulary(parameters)
    processor = folder / "preprocessor_config.json"
    pixels = read_json(processor) if processor.is_file() else {}
    return Checkpoint(
        parameters=parameters,
        activation=activation_of(image, text),
        image_heads=head_count(parameters["visual.conv1.weight"].shape[0], image["num_attention_heads"], "image"),
        text_heads=head_count(parameters["token_embedding.weight"].shape[1], text["num_attention_heads"], "text"),
        mean=pixels.get("image_mean"),
        std=pixels.get("image_std"),
    )
