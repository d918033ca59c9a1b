"""Write the tables of settings and presets into the README, from their one definition."""

import re
from pathlib import Path

from minedetect.presets import preset_table, settings_table

README = Path(__file__).parents[1] / "README.md"


def put(text: str, mark: str, table: str) -> str:
    """Replace what follows a mark, up to the next blank line after a table."""
    return re.sub(
        rf"<!-- {mark} -->\n(\n\|.*?\n(?=\n|\Z))?", lambda _: f"<!-- {mark} -->\n\n{table}\n", text, flags=re.S
    )


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for mark, table in (("presets", preset_table()), ("settings", settings_table())):
        text = put(text, mark, table)
    README.write_text(text, encoding="utf-8")
