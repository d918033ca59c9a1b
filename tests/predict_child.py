"""Predict an image with a model, and die of SIGKILL at some row; or tell the peak memory.

python tests/predict_child.py IMAGE MODEL OUT PROBABILITY WINDOW_PX [DIE_AT_ROW]
"""

import json
import os
import signal
import sys
from pathlib import Path

from minedetect.config import Settings
from minedetect.model import load
from minedetect.pipeline import predict_image
from minedetect.predict import Output


def main(image: str, model: str, out: str, probability: str, window_px: str, die_at_row: str = "0") -> None:
    settings = Settings(window_px=int(window_px), device="cpu", precision="float32", min_patch_ha=0.2)

    def progress(done: int, _total: int) -> None:
        if 0 < int(die_at_row) <= done:
            os.kill(os.getpid(), signal.SIGKILL)

    output = Output(Path(out), Path(probability), {})
    found, _ = predict_image(Path(image), load(Path(model)), settings, output, progress)
    print(json.dumps(found.to_json()))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
