"""The low-resolution views: down-sampler and PFE, as cpml_jax/models/resolution.py has them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = {"half": 1, "quarter": 2}  # times that the down-sampler is applied


class BatchNorm(nn.BatchNorm3d):
    """torch's, with right gradients on volumes of one pixel.

    torch 2.15's own are wrong on a CPU where what comes back has another order of axes and H = W = 1, as the tokens of
    configs/synthetic.py have.
    """

    def forward(self, input: Tensor) -> Tensor:
        y = super().forward(input)
        if y.requires_grad and y.shape[3:] == (1, 1) and not torch.compiler.is_compiling():
            y.register_hook(Tensor.contiguous)
        return y


class ConvPool(nn.Sequential):
    """Convolution, batch norm, ReLU, max-pool (1,2,2), in the authors' order."""

    def __init__(self, given: int, made: int, kernel: tuple[int, int, int]) -> None:
        super().__init__()
        time, height, width = kernel
        self.conv = nn.Conv3d(given, made, kernel, padding=(time // 2, height // 2, width // 2))
        self.norm = BatchNorm(made)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool3d((1, 2, 2))


class PFE(nn.Module):
    """Front end for any resolution: (N, 3, T, h, w) -> (N, 3, T, S, S).

    Attributes:
      dense: as the authors have it, the MLP at every pixel of the S x S grid, of neighbourhoods unfolded and sampled.
        Otherwise once a low-resolution pixel, its first layer a convolution of 3 x 3 pixels: the same numbers.
    """

    def __init__(self, size: int, width: int, depth: int, dense: bool = False) -> None:
        super().__init__()
        self.size, self.dense, self.depth = size, dense, depth
        widths = (29, *[width] * depth)
        for i in range(depth):
            self.add_module(f"hidden_{i}", nn.Linear(widths[i], widths[i + 1]))
        self.out = nn.Linear(widths[-1], 3)

    def layers(self) -> list[nn.Linear]:
        """The first one's input is 3 x 3 pixels, each with its colours, and the cell's height and width over S."""
        return [cast(nn.Linear, self.get_submodule(f"hidden_{i}")) for i in range(self.depth)] + [self.out]

    def forward(self, x: Tensor) -> Tensor:
        return self.at_every_pixel(x) if self.dense else self.once_a_cell(x)

    def once_a_cell(self, x: Tensor) -> Tensor:
        first, *others = self.layers()
        height, width = x.shape[3:]
        kernel = first.weight[:, :27].unflatten(1, (1, 3, 3, 3)).permute(0, 4, 1, 2, 3)
        cell = first.weight[:, 27] * (height / self.size) + first.weight[:, 28] * (width / self.size)
        y = F.conv3d(x, kernel, first.bias + cell, padding=(0, 1, 1))
        for layer in others:
            y = F.conv3d(F.relu(y), layer.weight[:, :, None, None, None], layer.bias)
        return F.interpolate(y, scale_factor=(1, self.size // height, self.size // width))

    def at_every_pixel(self, x: Tensor) -> Tensor:
        n, colours, t, height, width = x.shape
        images = x.transpose(1, 2).reshape(n * t, colours, height, width)
        around = F.unfold(images, 3, padding=1).view(n * t, colours * 9, height, width)
        place = (torch.arange(self.size, device=x.device) + 0.5) / self.size * 2 - 1
        rows, columns = torch.meshgrid(place, place, indexing="ij")
        grid = torch.stack([columns, rows], dim=-1).view(1, 1, -1, 2).expand(n * t, -1, -1, -1).to(x.dtype)
        y = F.grid_sample(around, grid, mode="nearest", align_corners=False)[:, :, 0].transpose(1, 2)
        y = y.unflatten(2, (colours, 9)).transpose(2, 3).flatten(2)  # a neighbour's colours side by side, as here
        cell = y.new_tensor([height / self.size, width / self.size]).expand(*y.shape[:2], 2)
        y = torch.cat([y, cell], dim=-1)
        first, *others = self.layers()
        y = first(y)
        for layer in others:
            y = layer(F.relu(y))
        return y.view(n, t, self.size, self.size, 3).permute(0, 4, 1, 2, 3)


class ResolutionViews(nn.Module):
    """One clip -> itself and its low-resolution views, all at full size; pfe_views as in the Flax twin."""

    def __init__(self, size: int, width: int, depth: int, pfe_views: str, dense: bool = False) -> None:
        super().__init__()
        self.pfe_views = pfe_views
        self.down_sampler = ConvPool(3, 3, (1, 5, 5))
        self.pfe = PFE(size, width, depth, dense)

    def forward(self, x: Tensor, names: tuple[str, ...]) -> Tensor:
        """(N, 3, T, S, S) -> (N, V, 3, T, S, S), V = 1 + len(names)."""
        views, low = [self.pfe(x) if self.pfe_views == "all" else x], [x]
        for name in names:
            while len(low) <= STEPS[name]:
                low.append(self.down_sampler(low[-1]))
            views.append(self.pfe(low[STEPS[name]]))
        return torch.stack(views, dim=1)

    def one(self, x: Tensor, name: str) -> Tensor:
        """One view alone, "full" or one of STEPS, as the authors make each in a forward pass of its own."""
        for _ in range(STEPS.get(name, 0)):
            x = self.down_sampler(x)
        return self.pfe(x) if name in STEPS or self.pfe_views == "all" else x
