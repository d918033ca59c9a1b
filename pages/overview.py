"""Overview: the runs, what they found, and what to do first."""

from minedetect.ui import frame, overview

with frame.page("Where is mining new, and where has it gone?"):
    overview.introduction()

    # One main button a page: build the built-in district, or else open the latest result.
    offered = overview.demo_button()

    overview.runs(lead_to_results=not offered)
