"""Writes the small archives that the C++ tests of the archive reader read: python make_archives.py OUT_DIR [ARCHIVE...]

Every value is a formula that the test repeats. For each ARCHIVE given, OUT_DIR/<stem>.txt lists what torch.jit.load sees in
it: a name, the dtype, the shape, and the CRC-32 of the float32 values.
"""
import io
import struct
import sys
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path

import torch

SUBNORMAL = 2.0**-24  # float16's smallest
HALVES = [0.0, -0.0, 1.0, -2.5, 65504.0, 2.0**-14, SUBNORMAL, -3 * SUBNORMAL, 1023 * SUBNORMAL, *map(float, ("inf", "-inf", "nan"))]


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3) / 4)

    def forward(self, x):
        return x


class Views(torch.nn.Module):
    """Views that share a storage, every dtype, nested modules, and a list."""

    listed: list[torch.Tensor]

    def __init__(self):
        super().__init__()
        base = torch.arange(24.0).reshape(4, 6)
        tensors = {
            "base": base,
            "transposed": base.t(),
            "column": base[:, 2],
            "strided": base[1::2, ::3],
            "expanded": base[2:3, 1:2].expand(3, 5),
            "rows_repeated": base[:, 4:5].expand(4, 3),
            "overlapping": base.as_strided((3, 4), (2, 1), 5),
            "scalar": base[3, 5],
            "permuted": torch.arange(24).half().reshape(2, 3, 4).permute(2, 0, 1),
            "empty": torch.zeros(0, 3),
            "as_float16": torch.tensor(HALVES).half(),
            "as_bfloat16": (torch.arange(8) - 4).bfloat16() * 3,
            "as_float64": torch.tensor([1 / 3, 1e300, -1e-300, 2.0**-149], dtype=torch.float64),
        }
        for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool):
            tensors["as_" + str(dtype).removeprefix("torch.")] = torch.tensor([1, 0, 1], dtype=dtype)
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)
        self.blocks = torch.nn.Sequential(Block(), Block())
        self.listed = [torch.full((2,), 7.0), torch.full((1,), 8.0)]

    def forward(self, x):
        return x


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(20).half().reshape(4, 5))
        self.register_buffer("turned", self.weight.detach().t())


class Traced(torch.nn.Module):
    """Tracing turns the tensor into a constant of the code."""

    def forward(self, x):
        return x + torch.tensor([0.5, 1.5, 2.5])


def state_dict():
    model = torch.nn.Sequential(OrderedDict(first=Block(), second=Block()))
    state = model.state_dict()
    state["second.weight"] = state["first.weight"].t()
    state["parameter"] = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    return state


def write_zip(path, records, compressed=()):
    with zipfile.ZipFile(path, "w") as out:
        for name, data in records.items():
            method = zipfile.ZIP_DEFLATED if name in compressed else zipfile.ZIP_STORED
            out.writestr(zipfile.ZipInfo(f"archive/{name}"), data, method)


def write_zip64(path, records):
    """Every field that zip64 can widen is all-ones and lies in the zip64 extra field or end record."""
    body, directory = io.BytesIO(), io.BytesIO()
    ones = 0xFFFFFFFF
    for name, data in records.items():
        name, offset, crc = f"archive/{name}".encode(), body.tell(), zlib.crc32(data)
        body.write(struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, crc, ones, ones, len(name), 20) + name)
        body.write(struct.pack("<2H2Q", 1, 16, len(data), len(data)) + data)
        extra = struct.pack("<2HI", 0x5A5A, 4, 0) + struct.pack("<2H3Q", 1, 24, len(data), len(data), offset)
        directory.write(struct.pack("<4s6H3I", b"PK\1\2", 45, 45, 0, 0, 0, 0, crc, ones, ones))
        directory.write(struct.pack("<5H2I", len(name), len(extra), 0, 0, 0, 0, ones) + name + extra)
    start, size, count = body.tell(), directory.tell(), len(records)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, ones, ones, 0)
    path.write_bytes(body.getvalue() + directory.getvalue() + end64 + locator + end)


def save_script(module, path, extra_files=None):
    """torch.jit.save, less the debug records: they hold the paths of the source files on this machine."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer, _extra_files=extra_files)
    with zipfile.ZipFile(buffer) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    write_zip(path, records, compressed=[name for name in records if name.startswith("code/")])


def hostile_pickle():
    """{"run": posix.system("touch posix-system-was-run"), "weight": a tensor}, by hand."""
    text = lambda s: b"X" + struct.pack("<I", len(s)) + s.encode()
    call = b"cposix\nsystem\n" + text("touch posix-system-was-run") + b"\x85R"
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x03tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00K\x03\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}(" + text("run") + call + text("weight") + tensor + b"u."


def describe(archive, out):
    module = torch.jit.load(archive, map_location="cpu")
    lines = []
    for name, tensor in sorted({**dict(module.named_parameters()), **dict(module.named_buffers())}.items()):
        values = tensor.detach().float().contiguous().numpy().tobytes()
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        lines.append(f"{name} {str(tensor.dtype).removeprefix('torch.')} {shape} {zlib.crc32(values):08x}\n")
    out.write_text("".join(lines))


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    extra = {"clip-es.json": '{"activation": "gelu", "heads": {"image": 3, "text": 2}}'}
    save_script(torch.jit.script(Views()), out / "views.pt", extra)
    save_script(torch.jit.trace(Traced(), torch.zeros(3)), out / "traced.pt")
    torch.jit.save(torch.jit.script(Tiny()), str(out / "tiny.pt"))
    torch.save(state_dict(), out / "state-dict.pt")
    torch.save({"state_dict": state_dict(), "epoch": 3}, out / "protocol-4.pt", pickle_protocol=4)
    torch.save(state_dict(), out / "legacy.pt", _use_new_zipfile_serialization=False)

    plain = {"data.pkl": hostile_pickle(), "data/0": struct.pack("<3f", 1.5, -2.0, 3.25), "version": b"3\n"}
    write_zip(out / "posix-system.pt", plain)
    write_zip(out / "compressed-tensor.pt", plain, compressed=("data/0",))
    write_zip(out / "compressed-version.pt", plain, compressed=("version",))
    write_zip(out / "big-endian.pt", {**plain, "byteorder": b"big"})
    write_zip64(out / "zip64.pt", plain)
    for archive in map(Path, sys.argv[2:]):
        describe(archive, out / f"{archive.stem}.txt")


if __name__ == "__main__":
    main()
