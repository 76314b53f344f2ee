"""The phantom: a small LIDC-shaped collection, the default data of a machine without any.

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
