"""A model of one number a stream, whose score is a weighted sum of them, and records that carry those numbers."""

import numpy as np
from fake_evaluation import FRAMES, FakeRecords, FakeScorer


class StreamScorer(FakeScorer):
    """weights: stream -> its share of the margin. A stream's number stands in its input's first place."""

    def __init__(self, **weights: float):
        super().__init__(wave=False)
        self.weights, self.streams = weights, tuple(weights)

    def score(self, batch):
        return self.score_streams(batch)

    def score_streams(self, batch):
        frames, landmarks = batch["frames"], batch["landmarks"]
        seen = {
            "rppg": frames[:, 0, 0, 0, 0, 0] / 100.0,
            "landmarks": landmarks[:, 0, 0, 0, 0],
            "visual": frames[:, 0, 0, 0, 0, 1] / 100.0,
        }
        # A tree of arrays, as the pulse stream's is.
        streams = {name: (seen[name][:, None], {"unused": np.zeros((len(frames), 2))}) for name in self.streams}
        self.batches.append(len(frames))
        logits = self.fuse(streams)
        return {"logits": logits, "unified": logits.repeat(2, axis=1), "streams": streams}

    def fuse(self, streams):
        margin = sum(self.weights[name] * values[0][:, 0] for name, values in streams.items())
        return np.stack([np.zeros_like(margin), margin], axis=1)


class StreamRecords(FakeRecords):
    """A clip's first pixel is its pulse's number (red) and its picture's (green); its first landmark the landmarks'."""

    def read(self, row, frame_size, stills=(), **_):
        record = super().read(row, frame_size)
        noise = np.random.default_rng(abs(self.score(row)) * 7 + row["label"]).normal(0, 0.05, 3)
        numbers = 1.0 + 0.5 * row["label"] + noise
        record["frames"] = np.zeros((FRAMES, frame_size, frame_size, 3), np.uint8)
        record["frames"][..., 0], record["frames"][..., 1] = (100 * numbers[:2]).astype(int)
        record["landmarks"][:, :, 0] = numbers[2]
        return record
