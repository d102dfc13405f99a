"""How many bikes will be rented at this hour tomorrow? A GRU that reads a year as one stream, against last week's.

Run: python examples/bike_forecast.py

The state goes on from hour to hour through the whole year; the gradient reaches back one week (tbptt=168). The last
eight weeks are held out: the model goes on reading, and learns no more.
"""

from __future__ import annotations

import numpy as np

import treadle as td

nn = td.nn
DAY, WEEK = 24, 7 * 24


def stream() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is known in each hour `[time, features]`, what is to be said (the root of the bikes a day later, less that
    of six days before), and whether both numbers are recorded."""
    data = td.datasets.bikeshare()
    bikes = np.sqrt(data.bikers) / 10  # the root of a count varies as much for large as for small ones
    hours = np.arange(len(bikes))
    now = slice(WEEK - DAY, len(bikes) - DAY)  # the first hour for which the same hour six days ago is known
    later, week_ago = bikes[WEEK:], bikes[:-WEEK]
    clock = [f(2 * np.pi * hours / period) for period in (DAY, WEEK) for f in (np.sin, np.cos)]
    known = [bikes, data.temperature, data.humidity, data.workingday, *clock]
    x = np.stack([column[now] for column in known] + [data.workingday[WEEK:], week_ago], axis=1).astype(np.float32)
    return x, (later - week_ago)[:, None].astype(np.float32), data.recorded[WEEK:] & data.recorded[:-WEEK]


def main(epochs: int = 50, weeks: int | None = None) -> tuple[float, float]:
    td.random.set_seed(0)
    x, y, recorded = stream() if weeks is None else (a[: weeks * WEEK] for a in stream())
    split = len(x) - 8 * WEEK
    weights = recorded.astype(np.float32)
    model = nn.Sequential([nn.GRU(32, return_sequences=True, stateful=True, dropout=0.1), nn.Dense(1)])
    train = (x[None, :split], y[None, :split], weights[None, :split])
    optimizer = td.optim.AdamW(td.optim.schedules.cosine(4e-3, steps=epochs * (split // WEEK + 1)))
    td.fit(model, train, loss="huber", optimizer=optimizer, epochs=epochs, tbptt=WEEK)

    nn.reset_states(model)
    model(td.asarray(x[None, :split]))  # the state at the end of what was learned from
    said = model(td.asarray(x[None, split:])).numpy()[0]
    before = x[split:, -1:]  # the same hour of the last week
    there = recorded[split:]
    true, forecast, naive = (100 * v[there, 0] ** 2 for v in (before + y[split:], np.maximum(before + said, 0), before))
    error, baseline = np.abs(forecast - true), np.abs(naive - true)
    print(f"held out, 24 hours ahead, mean absolute error of {true.mean():.0f} bikes an hour:")
    print(f"  GRU {error.mean():.1f}, same hour last week {baseline.mean():.1f}")
    return float(error.mean()), float(baseline.mean())


if __name__ == "__main__":
    main()
