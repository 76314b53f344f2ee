"""The page in a browser: a CT is dropped, scrolled, clicked, corrected and closed, also by keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.inference.locate import one_series, regions_of_readings
from lungdx_paddle.lidc import read_annotations

TOOLS = """
const { zip, x, y, slice } = given;
await page.setInputFiles("#files", zip);
await page.waitForSelector("#corners:not([hidden])");
const box = await page.locator("#slice").boundingBox();
const side = Math.min(box.width, box.height);
const at = (x, y) => [box.x + box.width / 2 + (x - 63.5) * side / 128,
  box.y + box.height / 2 + (y - 63.5) * side / 128];
const text = (selector) => page.locator(selector).first().innerText();
const place = async () => (await text("#place")).split("\\n")[0];
const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
const yellow = () => page.evaluate(() => {
  const canvas = document.getElementById("slice");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    count += data[i] > 200 && data[i + 1] > 150 && data[i + 1] < 230 && data[i + 2] < 120;
  }
  return count;
});
const until = (what, ...values) => page.waitForFunction(what, ...values);
const cards = (count) =>
  until((n) => document.querySelectorAll("#findings > li").length === n, count);
const go = async (index) => {
  await press("Home");
  for (let k = 9; k > index; k -= 1) await press("ArrowDown");
};
"""


@pytest.fixture
def given(ct: Path, zipped: bytes, tmp_path: Path) -> dict[str, Any]:
    """An archive to drop, and where a nodule is in it."""
    (tmp_path / "ct.zip").write_bytes(zipped)
    (xml,) = ct.glob("*.xml")
    series, _ = one_series(ct)
    x, y, index = regions_of_readings(series, read_annotations(xml))[0][0].place_px
    return {"zip": str(tmp_path / "ct.zip"), "x": x, "y": y, "slice": index}


def test_a_ct_is_scrolled_clicked_corrected_and_closed(
    address: str, given: dict[str, Any], visit: Callable[..., Any]
) -> None:
    pytest.importorskip("highdicom", reason="the extra sr is not installed")
    seen = visit(
        address,
        TOOLS
        + """
        const seen = { start: await place() };
        await page.mouse.move(...at(64, 64));
        await page.mouse.wheel(0, 120);
        seen.wheel = await place();
        await go(slice);
        seen.before = await yellow();
        await page.mouse.click(...at(x, y));
        await cards(1);
        seen.after = await yellow();
        seen.card = await text("#findings > li");
        await press("h");
        seen.hidden = await yellow();
        await press("h", "c");
        await page.mouse.move(...at(x, y));
        await page.mouse.down();
        await page.mouse.move(...at(x + 6, y), { steps: 4 });
        await page.mouse.up();
        await page.waitForSelector(".before");
        seen.corrected = await text("#findings > li");
        await press("d");
        await page.mouse.move(...at(x - 4, y - 4));
        await page.mouse.down();
        for (const [dx, dy] of [[4, -4], [4, 4], [-4, 4]]) {
          await page.mouse.move(...at(x + dx, y + dy));
        }
        const before = await text(".head");
        await page.mouse.up();
        await until((text) => document.querySelector(".head").innerText !== text, before);
        seen.drawn = await text(".head");
        const saved = async (button) => {
          const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
          return download.suggestedFilename();
        };
        seen.saved = [await saved("#report"), await saved("#sr"), await saved("#seg")];
        await page.click("text=Soft tissue");
        seen.window = await text("#shown");
        await page.click("#close");
        await page.waitForSelector("#drop", { state: "visible" });
        seen.closed = !(await page.locator("#slice").isVisible());
        return seen;
        """,
        **given,
    )
    assert seen.errors == [] and seen.elsewhere == []
    found = seen.result
    assert (found["start"], found["wheel"]) == ("slice 6 of 10", "slice 5 of 10")
    assert found["before"] == found["hidden"] == 0 and found["after"] > 20
    for part in ("Nodule 1", "Malignancy: level", "Pathology:", "found at a point", " HU", " %"):
        assert part in found["card"]
    assert "as found: " in found["corrected"] and "drawn" in found["corrected"]
    assert "drawn" in found["drawn"]
    assert found["saved"] == ["report.html", "report.dcm", "outlines.dcm"]
    assert found["window"].startswith("C 40 W 400 HU")
    assert found["closed"]


def test_the_page_works_by_keyboard_alone(
    address: str, given: dict[str, Any], visit: Callable[..., Any]
) -> None:
    seen = visit(
        address,
        TOOLS
        + """
        await go(slice);
        const seen = { place: await place() };
        await press("2");
        seen.window = await text("#shown");
        const move = async (along, back, ahead) => {
          const steps = Math.round(along);
          const key = steps < 0 ? back : ahead;
          for (let k = 0; k < Math.abs(steps); k += 1) await press(`Alt+Shift+${key}`);
        };
        await move(x - 64, "ArrowLeft", "ArrowRight");
        await move(y - 64, "ArrowUp", "ArrowDown");
        await press("Enter");
        await cards(1);
        seen.found = await text(".head");
        await press("c", "]", "Enter");
        await page.waitForSelector(".before");
        seen.circle = await text(".head");
        await press("+", "+");
        await press("Escape", "Backspace");
        await until((text) => document.querySelector(".head").innerText !== text, seen.circle);
        seen.off = await text(".head");
        await press("Delete");
        await cards(0);
        seen.none = await page.locator("#none").isVisible();
        await page.locator("#slice").focus();
        const order = [];
        for (let k = 0; k < 6; k += 1) {
          await press("Tab");
          const { id, name } = await page.evaluate(() =>
            ({ id: document.activeElement.id, name: document.activeElement.innerText }));
          order.push(id || name);
        }
        return { ...seen, order };
        """,
        **given,
    )
    assert seen.errors == []
    found = seen.result
    assert found["place"] == f"slice {given['slice'] + 1} of 10"
    assert found["window"].startswith("C -600 W 1500 HU")
    assert "found at a point" in found["found"] and "drawn" in found["circle"]
    assert found["off"] != found["circle"] and found["none"]
    assert found["order"] == ["index", "Model", "Lung", "Soft tissue", "center", "width"]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_page_fits_a_screen_and_a_phone(
    address: str, given: dict[str, Any], visit: Callable[..., Any], width: int, height: int
) -> None:
    seen = visit(
        address,
        TOOLS
        + """
        await go(slice);
        await page.mouse.click(...at(x, y));
        await cards(1);
        return page.evaluate(() => {
          const sizes = [...document.querySelectorAll("button, p, li, dd, small, label, .bars *")]
            .filter((e) => e.checkVisibility() && e.innerText)
            .map((e) => parseFloat(getComputedStyle(e).fontSize));
          const over = [...document.querySelectorAll("aside *, header *")].filter((e) =>
            e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1);
          return { wide: document.documentElement.scrollWidth, smallest: Math.min(...sizes),
            over: over.map((e) => e.outerHTML.slice(0, 80)),
            use: document.querySelector(".use").innerText, scrolled: scrollY };
        });
        """,
        width=width,
        height=height,
        **given,
    )
    assert seen.errors == []
    assert seen.result["wide"] <= width and seen.result["over"] == []
    assert seen.result["smallest"] >= 12
    assert seen.result["scrolled"] == 0  # the picture is still in sight
    assert seen.result["use"] == "research use, not a medical device"


def test_what_is_no_ct_is_told_on_the_page(
    address: str, given: dict[str, Any], visit: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no CT")
    seen = visit(
        address,
        """
        await page.setInputFiles("#files", given.file);
        await page.waitForSelector("#status.bad");
        return [await page.locator("#status").innerText(), await page.locator("#drop").isVisible()];
        """,
        file=str(tmp_path / "notes.txt"),
    )
    sentence, can_drop = seen.result
    assert sentence.startswith("the upload: expected the slices of a CT series, found none in 1")
    assert can_drop
