"""Images read pixel by pixel."""

from typing import Any

import numpy as np

from ._recordings import numbered


class SequentialMNIST:
    """Images as sequences of their pixels, row by row: the label is asked for after the last.

    Of each image: `"pixels"`, `(height * width, 1)` in [0, 1], float32; `"label"`. MNIST's are 784 steps long. With a
    seed the pixels are permuted, all images in the same way, which breaks the images' neighbourhoods apart.

    Source: Q. V. Le, N. Jaitly and G. E. Hinton 2015, arXiv:1504.00941.
    """

    def __init__(self, images: Any, labels: Any, *, permuted_by: int | None = None):
        """**Arguments:**

        - `images`: `(n, height, width)`, uint8.
        - `labels`: `(n,)`, integers.
        - `permuted_by`: the seed of the permutation, which is the same in every version of NumPy; `None`, the default,
            for none. Give training and test images the same.
        """
        self.images, self.labels = np.asarray(images), np.asarray(labels)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise ValueError(
                "`data.SequentialMNIST`: `images` must be (n, height, width) in uint8, got "
                f"{self.images.shape} in {self.images.dtype}."
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype.kind not in "iu":
            raise ValueError(
                f"`data.SequentialMNIST`: `labels` must be a whole number for each of {len(self.images)} images, got "
                f"{self.labels.shape} in {self.labels.dtype}."
            )
        pixels = self.images[0].size if len(self.images) else 0
        # Unlike `default_rng`, `RandomState` gives the same numbers for ever (NumPy's NEP 19).
        order = None if permuted_by is None else np.random.RandomState(permuted_by).permutation(pixels)
        self.permutation = np.arange(pixels) if order is None else order

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        index = numbered("data.SequentialMNIST", len(self), index)
        pixels = self.images[index].reshape(-1, 1)[self.permutation]
        return {"pixels": pixels.astype(np.float32) / np.float32(255), "label": np.int32(self.labels[index])}
