"""Findings as one page to read and to print: self-contained, without a script."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

import lungdx_paddle
from lungdx_paddle.data.labels import LEVEL_WORDS, MALIGNANCY, PATHOLOGY
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.reporting import pictures
from lungdx_paddle.reporting.model_facts import PARTS, SCORES, UNSEEN, model_facts
from lungdx_paddle.reporting.pictures import View

MOST_NODULES = 100
"""Shown in full, with 200 to 500 kB of pictures each: a page of some 30 MB, which browsers open at
once.  The table at the top has all."""

MOST_CROPS = 24
"""Of a nodule's slices that are shown, evenly over all: two rows."""

MEASURES: Mapping[str, tuple[str, str]] = {
    "diameter_mm": ("Diameter", "mm"),
    "volume_mm3": ("Volume", "mm³"),
    "area_mm2": ("Area on the middle slice", "mm²"),
    "mean_hu": ("Mean density", "HU"),
    "slices": ("Slices used", ""),
    "missing_slices": ("Slices marked, but not in the series", ""),
    "marked_by": ("Marked by", ""),
    "distance_mm": ("From the point to the nodule", "mm"),
    "scale": ("Scale of the crop", ""),
    "image": ("Crop", ""),
    "patient_id": ("Patient", ""),
}
"""{key of a finding: what a reader calls it, its unit}."""

IN_THE_HEADING = {"nodule", "name", "series_uid", "place_px", "place_mm", "outline", "reason"}
"""Keys that stand elsewhere than among the measures."""


@dataclass(frozen=True)
class Nodule:
    """A finding as the template draws it: pictures are made when they are drawn."""

    finding: Finding
    number: int
    """Of the findings, from 0."""
    predictor: Predictor

    @property
    def title(self) -> str:
        """The nodule's number, behind the patient's where there is one, or the crop's."""
        about = self.finding.about
        named = f"Nodule {about['nodule']}" if "nodule" in about else f"Crop {self.number}"
        return f"{about['patient_id']}, {named}" if about.get("patient_id") else named

    @property
    def views(self) -> tuple[View, ...]:
        """The slice, and its close-up in two windows; none where there is no CT."""
        region = self.finding.region
        if region is None or not region.areas:
            return ()
        middle = region, region.middle, region.series.slice_hu(region.middle)
        return (
            pictures.whole_slice(*middle, pictures.LUNG),
            pictures.close_up(*middle, pictures.LUNG),
            pictures.close_up(*middle, self.predictor.window),
        )

    @property
    def slices(self) -> Iterator[tuple[str, View | None, bytes]]:
        """(name, close-up in a CT, PNG of the crop) of :data:`MOST_CROPS` slices, in order."""
        images, region = self._images, self.finding.region
        indices = sorted(region.areas) if region else []
        shown = np.linspace(0, len(images) - 1, min(len(images), MOST_CROPS)).round().astype(int)
        for k in shown:
            crop = pictures.png(images[k])
            if region is None:
                yield f"crop {k}", None, crop
                continue
            index = indices[k]
            hu = region.series.slice_hu(index)
            close_up = pictures.close_up(region, index, hu, self.predictor.window)
            yield f"slice {index}", close_up, crop

    @property
    def middle_crop(self) -> bytes:
        """PNG of the crop of its middle slice."""
        return pictures.png(self._images[len(self._images) // 2])

    @property
    def maps(self) -> dict[str, tuple[bytes, float]]:
        """{task: PNG of the middle crop with what speaks for the answer, largest value shown}."""
        middle = self._images[len(self._images) // 2 :]
        return {
            task: (pictures.occlusion_png(middle[0], map_), pictures.full_scale(map_))
            for task, map_ in (self.finding.occlusion or {}).items()
        }

    @property
    def _images(self) -> np.ndarray:
        images = self.finding.images
        return np.zeros((0, 0, 0)) if images is None else images

    @property
    def measures(self) -> Iterator[tuple[str, str, str]]:
        """(what, value, unit), the known ones first."""
        about = self.finding.about
        for key in (*MEASURES, *(key for key in about if key not in MEASURES)):
            if key in about and key not in IN_THE_HEADING:
                what, unit = MEASURES.get(key, (key.replace("_", " "), ""))
                yield what, str(about[key]), unit

    @property
    def place(self) -> str:
        """Where its middle is, as viewers count and in the patient's coordinates."""
        region = self.finding.region
        if region is None or not region.areas:
            return ""
        x, y, index = region.place_px
        instance = region.series.slices[index].instance
        named = f" (instance number {instance})" if instance else ""
        in_mm = ", ".join(f"{mm:.2f}" for mm in region.place_mm)
        return (
            f"slice {index} from the caudal end{named}, column {x:.1f}, row {y:.1f}; "
            f"x, y, z {in_mm} mm"
        )


def report(findings: Sequence[Finding], predictor: Predictor) -> str:
    """An HTML page about findings and the model that made them.

    It asks for nothing outside itself and runs no script; pictures are in it.  It has no patient's
    name or birth date, since no finding has.

    Args:
        findings: of one CT, or of crops.  The CT's slices are read once more, for the pictures.
        predictor: the model.

    Raises:
        LidcError: a slice can no longer be read.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(uri=_uri, path=_path, percent=_percent, fixed=_fixed)
    of_each = [finding.warnings for finding in findings]
    return environment.get_template("page.html").render(
        nodules=[Nodule(finding, k, predictor) for k, finding in enumerate(findings)],
        model=predictor,
        common=[w for w in of_each[0] if all(w in own for own in of_each)] if of_each[1:] else [],
        facts=model_facts(predictor.description, predictor.tasks),
        score_words=SCORES,
        parts=PARTS,
        unseen=UNSEEN,
        level_words=LEVEL_WORDS,
        malignancy=MALIGNANCY,
        pathology=PATHOLOGY,
        use=lungdx_paddle.RESEARCH_USE,
        version=lungdx_paddle.__version__,
        date=datetime.date.today().isoformat(),
        most=MOST_NODULES,
        lung=pictures.LUNG,
    )


def _uri(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


def _path(outlines: Sequence[np.ndarray]) -> str:
    """SVG path of closed polygons."""
    return " ".join(
        "M" + " ".join(f"{x:.2f},{y:.2f}" for x, y in outline) + "Z" for outline in outlines
    )


def _fixed(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}"


def _percent(part: float, digits: int = 0) -> str:
    return f"{100 * part:.{digits}f} %"
