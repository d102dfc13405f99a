"""Made `examples.tfrecord`, `examples.tfrecord.gz` and `sequences.tfrecord` with TensorFlow 2.21, as it writes them.

    python tests/data/files/make_tensorflow.py

`example(i)` and `sequence(i)` say what record i holds; the tests read the files and compare.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

N = 20


def example(i: int) -> dict[str, Any]:
    return {
        "image": (np.arange(12, dtype=np.uint8) * (i + 1)).reshape(3, 4),
        "label": i * 37 - 100,
        "numbers": np.float32([i / 3, -i, 1e-30 * i]),
        "tokens": np.arange(i % 4) * 1000 - 1,
        "text": f"text {i} é",
        "words": [f"w{k}" for k in range(i % 3)],
    }


def sequence(i: int) -> tuple[dict[str, Any], list[list[int]]]:
    """Context, and the frames of one list of features."""
    return {"id": i}, [[k, k * i] for k in range(i % 5 + 1)]


def main() -> None:
    import tensorflow as tf

    def feature(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == np.uint8:
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.tobytes()]))
        if isinstance(value, str | list):
            texts = [value] if isinstance(value, str) else value
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[t.encode() for t in texts]))
        values = np.atleast_1d(value)
        if values.dtype == np.float32:
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def features(element: dict[str, Any]) -> Any:
        return tf.train.Features(feature={k: feature(v) for k, v in element.items()})

    folder = Path(__file__).parent
    for name, options in (("examples.tfrecord", None), ("examples.tfrecord.gz", "GZIP")):
        with tf.io.TFRecordWriter(str(folder / name), options) as writer:
            for i in range(N):
                writer.write(tf.train.Example(features=features(example(i))).SerializeToString())
    with tf.io.TFRecordWriter(str(folder / "sequences.tfrecord")) as writer:
        for i in range(N):
            context, frames = sequence(i)
            lists = {"frames": tf.train.FeatureList(feature=[feature(np.array(f)) for f in frames])}
            message = tf.train.SequenceExample(
                context=features(context), feature_lists=tf.train.FeatureLists(feature_list=lists)
            )
            writer.write(message.SerializeToString())


if __name__ == "__main__":
    main()
