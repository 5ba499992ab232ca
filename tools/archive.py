"""Writes a model archive: TorchScript with named parameters and, beside the code, clip-es.json."""
import json
import os
from pathlib import Path

import torch


class Node(torch.nn.Module):
    pass


class Root(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def save(parameters, buffers, path, config=None):
    """parameters: tensors by dotted name; buffers: integers by name; config: what clip-es.json says. The file is whole or not there."""
    root = Root()
    for key, value in parameters.items():
        module, *rest = root, *key.split(".")
        for part in rest[:-1]:
            if part not in module._modules:
                module.add_module(part, Node())
            module = module._modules[part]
        module.register_parameter(rest[-1], torch.nn.Parameter(value.clone(), requires_grad=False))
    for key, value in buffers.items():
        root.register_buffer(key, torch.tensor(value))
    unfinished = Path(f"{path}.{os.getpid()}.part")
    try:
        torch.jit.script(root.eval()).save(str(unfinished), _extra_files={"clip-es.json": json.dumps(config)} if config else {})
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
