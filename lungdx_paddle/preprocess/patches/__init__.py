"""The public set of nodule slices (PNG) -> crops and manifest."""
