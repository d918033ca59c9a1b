from minedetect.ui import frame, overview

with frame.page("Where is mining new, and where has it gone?"):
    overview.introduction()
    overview.demo_button()
    overview.runs()
