"""The files of a golden photo that make_similarity.py and make_views.py read and write."""
import os

import numpy as np
import torch
from PIL import Image


def read(photo):
    """Returns the image, the texts (K + background, E), K, and the label of each text: 1 to K, or 0 for the background."""
    image = Image.open(f"{photo}/photo.ppm").convert("RGB")
    texts = torch.from_numpy(np.load(f"{photo}/texts.npy")).double()
    K = len(np.load(f"{photo}/class_ids.npy"))
    return image, texts, K, [*range(1, K + 1), *[0] * (len(texts) - K)]


def write(folder, name, value):
    os.makedirs(folder, exist_ok=True)
    value = value.numpy()
    np.save(f"{folder}/{name}.npy", value.astype(np.float32) if value.dtype == np.float64 else value)
