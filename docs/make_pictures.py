"""Take the pictures of the README from the quickstart notebook in a real JupyterLab: `python docs/make_pictures.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from harness import Jupyter

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"


def main() -> None:
    """Run the quickstart, steer it a little, and take the panel light, dark and narrow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--step", type=int, default=700, help="step of the training to take them at"
    )
    parser.add_argument("--out", type=Path, default=IMAGES)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    with (
        Jupyter("lab", viewport=(1500, 1250)) as lab,
        lab.open(ROOT / "notebooks" / "quickstart.ipynb", device_scale_factor=1.5) as tab,
    ):
        tab.command("application:toggle-left-area")
        tab.run_all(wait=False)
        panel = tab.page.locator(".nbm").first
        panel.wait_for(timeout=60_000)
        tab.wait_number(".nbm", "step", 200, timeout=120)
        panel.scroll_into_view_if_needed()
        tab.page.locator(".nbm [data-action=lr-div2]").first.click()
        tab.wait_number(".nbm", "step", 420, timeout=120)
        tab.page.locator(".nbm [data-action=pause]").first.click()
        tab.wait_data(".nbm", "state", "paused")
        tab.page.wait_for_timeout(1500)
        tab.page.locator(".nbm [data-action=resume]").first.click()
        tab.wait_number(".nbm", "step", a.step, timeout=180)
        panel.screenshot(path=a.out / "dashboard-light.png")
        tab.theme("dark")
        tab.page.wait_for_timeout(2500)
        panel.scroll_into_view_if_needed()
        panel.screenshot(path=a.out / "dashboard-dark.png")
        tab.theme("light")
        tab.page.set_viewport_size({"width": 640, "height": 2200})
        tab.page.wait_for_timeout(3000)
        panel.scroll_into_view_if_needed()
        panel.screenshot(path=a.out / "dashboard-narrow.png")


if __name__ == "__main__":
    main()
