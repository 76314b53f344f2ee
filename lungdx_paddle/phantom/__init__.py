"""The phantom: a small synthetic LIDC-shaped collection, used where no data are configured.

:func:`write_phantom` writes it.  What it is made of, in the order in which it is built:
geometry, vessels and chest; diseases and lesions; readers; files.
"""

from lungdx_paddle.phantom.collection import (
    DEFAULT_PATIENTS,
    PhantomSettings,
    true_lung,
    write_phantom,
)

__all__ = ["DEFAULT_PATIENTS", "PhantomSettings", "true_lung", "write_phantom"]
