"""All settings of a run: default, legal values and meaning of each.

:mod:`lungdx_paddle.config` reads these dataclasses from YAML and the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from lungdx_paddle.errors import ConfigError

STAGES: tuple[str, ...] = ("conv1", "pool1", "conv2", "pool2", "fc")
"""The stages of a tower, in order; each is a site where two towers may share."""
FOLD = "fold"
"""Beginning of the names of an ensemble's folders: fold0, fold1, ..."""
TRUNK = "trunk"
"""The site of hard parameter sharing: both tasks use one and the same tower."""


@dataclass(frozen=True)
class DataConfig:
    """Which crops, which labels, which split."""

    manifest: str = field(default="", metadata={"path": True})
    """Path of manifest.csv; empty: make the phantom collection and use that."""
    phantom_patients: int = field(default=55, metadata={"from": 4})
    """Patients of the phantom collection that is made where there is no manifest."""
    split: str = field(default="image", metadata={"choices": ("image", "nodule", "patient")})
    """What stays together on one side; image is the paper's, and it leaks."""
    split_seed: int = field(default=0, metadata={"from": 0, "up_to": 2**32 - 1})
    """Of the split, or of the folds."""
    test_fraction: float = field(default=0.2, metadata={"above": 0.0, "below": 1.0})
    """Part of the images for the test (paper: train : test = 4 : 1)."""
    folds: int = field(default=0, metadata={"from": 0, "up_to": 1000})
    """Cross-validation: deal what ``split`` keeps together into so many parts; 0: one split."""
    fold: int = field(default=-1, metadata={"from": -1})
    """The part that is the test, from 0; -1: each in turn, and all networks are one model."""
    min_readers: int = field(default=3, metadata={"from": 1})
    """Use a slice that at least so many readers outlined."""
    label_set: str = field(
        default="paper6",
        metadata={
            "choices": (
                *("paper6", "tcia4", "binary", "binary_certain", "tissue_proven"),
                *("benign_primary", "benign_metastatic", "none"),
            )
        },
    )
    """Pathology classes: the paper's six; the diagnosis codes; benign against malignant: of all
    diagnosed patients, of those whose nodules each have a diagnosis of their own, of those
    diagnosed from tissue; benign against one kind of cancer.  none: the network has one task,
    malignancy, and needs no diagnosis."""
    batch_size: int = field(default=128, metadata={"from": 2})
    """Images a step; at least 2, since batch normalisation needs a spread."""


@dataclass(frozen=True)
class ModelConfig:
    """The size of one tower (docs/explanation/paper.md has their sources)."""

    conv1: int = field(default=32, metadata={"from": 1})
    """Channels of the first 3x3 convolution."""
    conv2: int = field(default=64, metadata={"from": 1})
    """Channels of the second 3x3 convolution."""
    fc: int = field(default=1024, metadata={"from": 1})
    """Units of the fully connected layer."""
    dropout: float = field(default=0.2, metadata={"from": 0.0, "below": 1.0})
    """Part of the fc units that a training step drops, after the last sharing unit."""
    flips: bool = False
    """Answer with the mean over a crop's eight orientations (quarter turns, mirrored or not), in
    eight times the time; training takes each image once."""


@dataclass(frozen=True)
class SharingConfig:
    """Where and how the two towers share: the only difference between the four methods."""

    sites: tuple[str, ...] = field(
        default=("pool1", "pool2", "fc"), metadata={"choices": (*STAGES, TRUNK)}
    )
    """Single-task: none.  Hard: [trunk].  Soft: all five.  Partial soft: these three.  A network
    of one task (``data.label_set: none``) has one tower and does not use them."""
    unit: str = field(default="channel", metadata={"choices": ("dense", "channel", "scalar")})
    """dense (the paper's matrix, for a GPU), one 2x2 a channel, or one 2x2 in all."""
    cross_floor: float = field(default=0.05, metadata={"from": 0.0, "up_to": 0.5})
    """The least share that a task takes from the other; 0: a free matrix (cross-stitch)."""


@dataclass(frozen=True)
class AugmentConfig:
    """How far a training image is changed at random, each time it is seen; 0: not at all."""

    mirror: float = field(default=0.0, metadata={"from": 0.0, "up_to": 1.0})
    """Part of the images that are mirrored left to right."""
    turn: float = field(default=0.0, metadata={"from": 0.0, "up_to": 1.0})
    """Part of the images that are turned by one, two or three quarters."""
    shift: int = field(default=0, metadata={"from": 0, "up_to": 15})
    """Pixels, along rows and columns."""
    contrast: float = field(default=0.0, metadata={"from": 0.0, "below": 1.0})
    """Part by which gray values move away from the middle gray, or towards it."""
    brightness: float = field(default=0.0, metadata={"from": 0.0, "up_to": 255.0})
    """Gray levels that are added or taken away."""


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation and logging."""

    steps: int = field(default=1400, metadata={"from": 1})
    """Training steps in all (paper: 1400)."""
    learning_rate: float = field(default=1e-3, metadata={"above": 0.0})
    """Adam's; the highest, where it changes."""
    schedule: str = field(default="constant", metadata={"choices": ("constant", "cosine")})
    """Of the learning rate: the same throughout, or down to 0 along half a cosine."""
    soft_labels: float = field(default=0.0, metadata={"from": 0.0, "up_to": 1.0})
    """Part of the malignancy target that is the readers' own ratings, each as likely as it is
    frequent; the rest is the level of their median."""
    weight_decay: float = field(default=1e-5, metadata={"from": 0.0})
    """Factor of the L2 loss on convolution and fc weights; sharing units have none."""
    amp: str = field(default="none", metadata={"choices": ("none", "float16", "bfloat16")})
    """On a GPU: mixed precision, whose convolutions and products take numbers of 16 bit."""
    to_static: bool = False
    """Compile the network into a program before training, for a GPU."""
    log_every: int = field(default=100, metadata={"from": 1})
    """Steps between two rows of Table 2."""


@dataclass(frozen=True)
class Config:
    """All settings of one run."""

    name: str = "partial_soft"
    """The config file's name; it is also the default output folder's."""
    output: str = field(default="", metadata={"path": True})
    """Output folder; empty: output/<name>."""
    seed: int = field(default=0, metadata={"from": 0, "up_to": 2**32 - 1})
    """Of the initial weights, the images' order, their augmentation, and dropout."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    sharing: SharingConfig = field(default_factory=SharingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if TRUNK in self.sharing.sites and len(self.sharing.sites) > 1:
            raise ConfigError(
                "sharing.sites",
                expected="trunk alone, or stages only",
                found=str(list(self.sharing.sites)),
                fix="with one trunk there are no two towers that could share elsewhere",
            )
        folds, fold = self.data.folds, self.data.fold
        if folds == 1 or fold >= max(folds, 0):
            raise ConfigError(
                "data.folds, data.fold",
                expected="two folds or more, and a fold from 0 to below their number (or -1)",
                found=f"{folds}, {fold}",
                fix="set data.folds=5 for five networks; data.folds=0 data.fold=-1 for one",
            )

    @property
    def is_ensemble(self) -> bool:
        """Whether it describes several networks, one for each fold."""
        return self.data.folds > 0 and self.data.fold < 0

    def of_fold(self, fold: int) -> Config:
        """Config of the network that is tested on ``fold``, with a subfolder as its output."""
        folder = str(self.output_folder / f"{FOLD}{fold}")
        return replace(self, output=folder, data=replace(self.data, fold=fold))

    def by_patient(self) -> Config:
        """The same config split by patient, with an output folder beside this one's."""
        folder = f"{self.output_folder}_by_patient"
        return replace(self, output=folder, data=replace(self.data, split="patient"))

    @property
    def output_folder(self) -> Path:
        """Where the run writes."""
        return Path(self.output or f"output/{self.name}")
