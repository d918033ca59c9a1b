"""Mask: what the outlines become on the image, which of them count, and what stands in the way of training."""

from minedetect.draft import check_run
from minedetect.ui import checking, drafting, frame, mask

with frame.page("Mask"):
    run = drafting.asked_for()
    if run is None:
        drafting.nothing_yet()
    else:
        drafting.chooser(run)
        found = checking.followed(run)
        if found is not None:
            checking.verdicts(found)
            if check_run(run).has("mask_layer.png"):
                mask.show(run, found)
                mask.onwards(run)
            else:
                mask.without_a_mask(run)
