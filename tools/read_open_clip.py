"""open_clip checkpoints: a folder with open_clip_config.json, or a file of weights with the name of its architecture.

open_clip keeps OpenAI's parameter names. What the weights do not say stands in the configuration: every key that changes what is
computed is known here by name, and one that is not known is refused. Source: open_clip/model.py, CLIPVisionCfg and CLIPTextCfg.
"""
import difflib
import importlib.util
from pathlib import Path

from checkpoint import (CANNOT, CLIP_VOCABULARY, Checkpoint, Unfit, find_weights, head_count, read_json,
                        read_tensors, require_clip_vocabulary, require_exactly_clip)

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_model.pth")

# Sizes, which are read off the tensors, and what matters in training alone.
HARMLESS = {"width", "layers", "head_width", "heads", "mlp_ratio", "patch_size", "image_size", "context_length", "vocab_size",
            "patch_dropout", "pos_embed_type", "output_tokens", "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained",
            "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path", "hf_model_pretrained", "hf_proj_type",
            "hf_pooler_type", "pad_id", "eos_id", "tokenizer_mode"}
# Each other key: the values that leave CLIP as it is (None and False always do), and why another cannot be exported.
IMAGE_KEYS = {
    "timm_model_name": ((), "timm"),
    "attentional_pool": ((), "pooling"),
    "final_ln_after_pool": ((), "pooling"),
    "pool_type": (("tok", "avg"), "pooling"),
}
TEXT_KEYS = {
    "hf_model_name": ((), "text"),
    "hf_tokenizer_name": ((), "tokenizer"),
    "tokenizer_kwargs": (({},), "tokenizer"),
    "embed_cls": ((), "text"),
    "no_causal_mask": ((), "text"),
    "final_ln_after_pool": ((), "text"),
    "pool_type": (("argmax",), "text"),
    "proj_type": (("linear",), "text"),
    "proj_bias": ((), "text"),
}
BLOCK_KEYS = {"norm_kwargs": (({}, {"eps": 1e-5}), "block"), "act_kwargs": (({}, {"approximate": "none"}), "block"),
              "block_type": (("default", "custom"), "block")}
MODEL_KEYS = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_scale", "init_logit_bias",
              "nonscalar_logit_scale"}


def check_keys(part, config, known):
    for key, value in config.items():
        allowed, why = {**BLOCK_KEYS, **known}.get(key, ((), "block"))
        if key in HARMLESS or value is None or value is False or value in allowed:
            continue
        raise Unfit(f"{CANNOT[why]} ({part}.{key} is {value!r})")


def check_model(config):
    unknown = sorted(config.keys() - MODEL_KEYS)
    if unknown:
        raise Unfit(f"its configuration has {', '.join(unknown)}, which CLIP lacks")
    image, text = config.get("vision_cfg"), config.get("text_cfg")
    if not isinstance(image, dict) or not isinstance(text, dict):
        raise Unfit("its configuration has no vision_cfg and text_cfg: it is not of open_clip's form")
    if isinstance(image.get("layers"), (list, tuple)):
        raise Unfit(CANNOT["resnet"])
    check_keys("vision_cfg", image, IMAGE_KEYS)
    check_keys("text_cfg", text, TEXT_KEYS)
    if text.get("vocab_size", CLIP_VOCABULARY) != CLIP_VOCABULARY:
        raise Unfit(f"{CANNOT['tokenizer']}: text_cfg.vocab_size is {text['vocab_size']}, CLIP's {CLIP_VOCABULARY}")


def architecture_config(architecture):
    """`architecture`: a JSON file in the form of open_clip's model_configs, or the name of one of them."""
    if architecture.endswith(".json"):
        return read_json(architecture)
    package = importlib.util.find_spec("open_clip")  # not imported: its configurations are all that is wanted
    if package is None or package.origin is None:
        raise Unfit(f"--architecture {architecture} is looked up in open_clip, which is missing: pip install open_clip_torch, "
                    "or give its JSON file")
    known = {file.stem: file for file in (Path(package.origin).parent / "model_configs").glob("*.json")}
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known)
        raise Unfit(f"open_clip knows no architecture {architecture}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    return read_json(known[architecture])


def locate(path, architecture):
    """(model's configuration, preprocessing's or None, file of weights)"""
    if architecture is not None:
        return architecture_config(architecture), None, find_weights(path, WEIGHTS) if path.is_dir() else path
    folder = path if path.is_dir() else path.parent
    config = read_json(folder / CONFIG)
    if "model_cfg" not in config:
        raise Unfit(f"{folder / CONFIG} has no model_cfg")
    return config["model_cfg"], config.get("preprocess_cfg"), find_weights(folder, WEIGHTS) if path.is_dir() else path


def rename(tensors, notes):
    """OpenAI's names. A model with custom_text has its text tower under `text.`."""
    out = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("text.")
        if name == "logit_bias":
            notes.append("logit_bias is left out: it adds the same to every logit, which a softmax does not see")
        elif name != "attn_mask" and not name.startswith(("input_resolution", "context_length", "vocab_size")):
            out[name] = tensor
    return out


def read(path, architecture=None):
    config, preprocess, weights = locate(Path(path), architecture)
    check_model(config)
    notes = []
    parameters = rename(read_tensors(weights), notes)
    require_exactly_clip(parameters)
    require_clip_vocabulary(parameters)
    preprocess = preprocess or {}
    image_width, text_width = parameters["visual.conv1.weight"].shape[0], parameters["token_embedding.weight"].shape[1]
    return Checkpoint(
        parameters=parameters,
        activation="quick_gelu" if config.get("quick_gelu") else "gelu",
        image_heads=head_count(image_width, image_width // config["vision_cfg"].get("head_width", 64), "image"),
        text_heads=head_count(text_width, config["text_cfg"].get("heads", 8), "text"),
        mean=preprocess.get("mean"),
        std=preprocess.get("std"),
        notes=tuple(notes),
    )
