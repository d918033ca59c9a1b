"""Model files that run code when they are unpickled, are damaged, or fit another network."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hostile_case import Case, Make, Site, altered, cut, data, put

from minedetect.bands import BandContract
from minedetect.model import Detector, UNet, save

Content = dict[str, Any]

CONTRACT = BandContract(("B2", "B3", "B4"), "reflectance", (0.0, 0.0, 0.0), (0.3, 0.3, 0.3), 10.0)
FIRST = "down.0.0.weight"


class Mark:
    """Unpickling one makes an empty file; an attacker would do worse."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def _good(path: Path, site: Site) -> None:
    torch.manual_seed(0)
    save(Detector(UNet(3, 4), 4, CONTRACT, provenance={"run_id": "r"}), path)


def _nan(path: Path, site: Site) -> None:
    net = UNet(3, 4)
    net.head.weight.data[0] = float("nan")
    save(Detector(net, 4, CONTRACT), path)


def _saved(change: Callable[[Content, Site], Any], **options: Any) -> Make:
    """A good model's content, changed and saved again."""

    def make(path: Path, site: Site) -> None:
        _good(path, site)
        content = torch.load(path, weights_only=True)
        torch.save(change(content, site), path, **options)

    return make


def _weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Make:
    return _saved(lambda content, _: {**content, "weights": change(content["weights"])})


def _about(**members: Any) -> Make:
    return _saved(lambda content, _: {**content, "about": json.dumps(json.loads(content["about"]) | members)})


def _flipped(content: bytes) -> bytes:
    """One bit of one weight."""
    torch.manual_seed(0)
    weights = UNet(3, 4).state_dict()[FIRST].numpy().tobytes()
    start = content.index(weights)
    return put(start, bytes([content[start] ^ 1]))(content)


def _script(path: Path, site: Site) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))


def _pickled(path: Path, site: Site) -> None:
    path.write_bytes(pickle.dumps({"weights": Mark(site.marks / "pickle")}))


def _safetensors(header: Any, body: bytes) -> Make:
    told = json.dumps(header).encode()
    return data(struct.pack("<Q", len(told)) + told + body)


def _case(name: str, what: str, make: Make, *refuse: str, ending: str = ".pt") -> Case:
    return Case("ckpt", f"c_{name}", f"{name}{ending}", what, make, refuse or ("ModelError",))


def _strange(name: str, what: str, make: Make) -> Case:
    return _case(name, what, make, ending=".safetensors")


MODELS = [
    Case("ckpt", "c_good", "good.pt", "nothing is wrong", _good),
    _case("pickle", "a pickle that runs code", _pickled),
    _case("zip", "a whole model that also runs code", _saved(lambda c, s: {**c, "x": Mark(s.marks / "zip")})),
    _case("weights", "weights that run code", _saved(lambda c, s: {**c, "weights": Mark(s.marks / "weights")})),
    _case(
        "legacy",
        "the old format, running code",
        _saved(lambda c, s: {**c, "x": Mark(s.marks / "legacy")}, _use_new_zipfile_serialization=False),
    ),
    _case("numpy", "a number of numpy's", _saved(lambda c, _: {**c, "score": np.float64(0.5)})),
    _case("path", "a path object", _saved(lambda c, _: {**c, "from": Path("x")})),
    _case("network", "a network, not its weights", _saved(lambda c, _: {**c, "weights": UNet(3, 4)})),
    _case("script", "a TorchScript program", _script),
    _case("bare", "weights alone", _saved(lambda c, _: c["weights"])),
    _case("list", "a list", _saved(lambda c, _: [c])),
    _case("empty", "no byte at all", data(b""), "EMPTY"),
    _case("words", "plain text", data(b"hello")),
    _case("cut", "cut in the middle", altered(_good, cut(0.5))),
    _case("cut_end", "cut at its end", altered(_good, cut(0.999))),
    _case("bit", "one bit of one weight", altered(_good, _flipped)),
    _case("nan", "weights that are no numbers", _nan),
    _case("missing", "a weight is missing", _weights(lambda w: {k: v for k, v in w.items() if k != FIRST})),
    _case("more", "a weight too many", _weights(lambda w: {**w, "more": torch.ones(1)})),
    _case("shape", "a weight of another shape", _weights(lambda w: {**w, FIRST: w[FIRST][:, :2]})),
    _case("half", "weights of another precision", _weights(lambda w: {k: v.half() for k, v in w.items()})),
    _case("wide", "one number spread to 10^10", _weights(lambda w: {**w, FIRST: torch.ones(1).expand(10**10)})),
    _case(
        "spread", "one number spread over a weight", _weights(lambda w: {**w, FIRST: torch.ones(1).expand(4, 3, 3, 3)})
    ),
    _case("width", "says it is a billion wide", _about(width=10**9)),
    _case("format", "a format of the future", _about(format=99)),
    _case("contract", "no word on its bands", _about(contract={})),
    _case("limits", "a scaling without a span", _about(contract=CONTRACT.to_json() | {"high": [0.0, 0.0, 0.0]})),
    _case(
        "calibration", "a threshold of 7", _about(calibration={"slope": 1, "offset": 0, "threshold": 7, "fitted": True})
    ),
    _strange("header", "a header of 2^62 bytes", data(struct.pack("<Q", 2**62) + b"{}")),
    _strange(
        "other",
        "another program's weights",
        _safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    ),
    _strange(
        "vast",
        "10^18 numbers in 8 bytes",
        _safetensors({"w": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 8]}}, bytes(8)),
    ),
]
