"""TensorBoard's own answers over HTTP, from the server that the command starts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorboard.compat.proto import config_pb2, graph_pb2

import treadle as td
from tests.board.reader import load
from treadle import nn

WAIT = 60  # seconds, on a machine that does other things


def step(w: Any, x: Any) -> Any:
    with td.scope("first"):
        h = td.tanh(x @ w)
    with td.scope("second/part"):
        return td.sum(h * h)


class Server:
    def __init__(self, folder: Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "treadle", "board", ".", "--port", "0", "--no-browser", "--reload", "0.5"],
            cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while not self.lines or not self.lines[-1].startswith("TensorBoard: "):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.lines.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+/", self.lines[-1])
        assert found is not None, self.lines
        self.address = found.group()

    def get(self, route: str, **query: Any) -> Any:
        url = f"{self.address}data/{route}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=WAIT) as answer:
            body = answer.read()
        return json.loads(body) if answer.headers.get_content_type() == "application/json" else body

    def post(self, route: str, **query: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}data/{route}", json.dumps(query).encode(), headers)
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            return json.loads(answer.read())

    def until(self, ask: Any, good: Any) -> Any:
        end = time.monotonic() + WAIT
        while True:
            try:
                answer = ask()
                if good(answer):
                    return answer
            except urllib.error.HTTPError as e:  # not read yet
                answer = e
            assert time.monotonic() < end, answer
            time.sleep(0.1)

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=WAIT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("my runs, all: of them")
    rng = np.random.default_rng(0)
    w, x = td.asarray(rng.normal(size=(64, 64)), dtype=td.float32), td.ones((128, 64))
    with td.board.Writer(folder / "a" / "run") as b:
        b.scalar("loss", 0.5, 1)
        b.histogram("h", [0.0, 1.0, 1.0], 1, bins=2)
        b.image("i", np.eye(4), 1)
        b.audio("s", np.zeros(10), 1, rate=8000)
        b.text("t", "*hello*", 1)
        b.pr_curve("p", [0, 1, 1], [0.2, 0.4, 0.8], 1, thresholds=3)
        b.hparams({"lr": 0.1})
        b.graph(td.graph(step)(w, x), profile=td.profile(step)(w, x))
        b.graph(td.graph(td.grad(step))(w, x), tag="backward", profile=td.profile(td.grad(step))(w, x))
        b.embedding("points", rng.normal(size=(5, 3)), metadata={"name": list("abcde"), "n": range(5)})
        b.embedding("zeros", np.zeros((4, 2)), metadata=["a\tb", "", "c", "d"], images=rng.random((4, 6, 8)))
        b.finished()
    with td.board.Writer(folder / "b" / "run") as b:
        b.scalar("loss", 0.25, 1)
        b.hparams({"lr": 0.2})
    one = Server(folder)
    one.until(lambda: one.get("runs"), lambda names: len(names) == 2)
    yield one
    one.end()


def test_it_says_what_it_shows_and_names_runs_shortly(server: Server) -> None:
    assert server.lines[0] == "2 runs: a/run, b/run\n"
    assert sorted(server.get("runs")) == ["a/run", "b/run"]


def test_pages_tell_the_users_folder_and_not_that_of_the_links(server: Server) -> None:
    for route, key in (("environment", "data_location"), ("logdir", "logdir")):
        request = urllib.request.Request(f"{server.address}data/{route}", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=WAIT) as answer:
            found = json.loads(answer.read())
        assert Path(found[key]).name.startswith("my runs, all: of them")
        assert "treadle-board-" not in json.dumps(found)


def test_scalars_histograms_images_sounds_and_texts(server: Server) -> None:
    query = {"run": "a/run", "tag": "loss"}
    assert [p[1:] for p in server.get("plugin/scalars/scalars", **query)] == [[1, 0.5]]
    ((_, number, table),) = server.get("plugin/histograms/histograms", run="a/run", tag="h")
    assert (number, table) == (1, [[0, 0.5, 1], [0.5, 1, 2]])
    (picture,) = server.get("plugin/images/images", run="a/run", tag="i", sample=0)
    assert picture["step"] == 1
    assert (
        server.get("plugin/images/individualImage", **dict(urllib.parse.parse_qsl(picture["query"])))[:4] == b"\x89PNG"
    )
    (clip,) = server.get("plugin/audio/audio", run="a/run", tag="s", sample=0)
    assert clip["contentType"] == "audio/wav"
    (text,) = server.get("plugin/text/text", run="a/run", tag="t")
    assert text["text"] == "<p><em>hello</em></p>"


def test_pr_curves(server: Server) -> None:
    (curve,) = server.get("plugin/pr_curves/pr_curves", run="a/run", tag="p")["a/run"]
    # The page's own route leaves out precisions of thresholds above which nothing is.
    assert curve["thresholds"][:2] == [0.0, 0.5]
    np.testing.assert_allclose(curve["precision"][:2], [2 / 3, 1])
    np.testing.assert_allclose(curve["recall"][:2], [1, 0.5])


def test_hparams(server: Server) -> None:
    experiment = server.post("plugin/hparams/experiment", experimentName="")
    (setting,) = experiment["hparamInfos"]
    assert setting["name"] == "lr"
    metrics = {(m["name"]["tag"]) for m in experiment["metricInfos"]}
    assert "loss" in metrics
    groups = server.post(
        "plugin/hparams/session_groups", experimentName="", allowedStatuses=["STATUS_SUCCESS", "STATUS_UNKNOWN",
        "STATUS_RUNNING"], colParams=[{"hparam": "lr"}], startIndex=0, sliceSize=10,
    )["sessionGroups"]  # fmt: skip
    assert sorted(g["hparams"]["lr"] for g in groups) == [0.1, 0.2]


def test_graph(server: Server) -> None:
    info = server.get("plugin/graphs/info")["a/run"]
    assert info["run_graph"]
    assert info["tags"]["profile"]["profile"]
    assert info["tags"]["backward"]["op_graph"]
    graph = text_format.Parse(server.get("plugin/graphs/graph", run="a/run").decode(), graph_pb2.GraphDef())
    nodes = {n.name: n for n in graph.node}
    assert list(nodes) == ["w", "x", "first/contract", "first/tanh", "second/part/mul", "second/part/sum", "output"]
    assert list(nodes["first/contract"].input) == ["x", "w"]
    shape = nodes["first/contract"].attr["_output_shapes"].list.shape[0]
    assert [d.size for d in shape.dim] == [128, 64]
    line = step.__code__.co_firstlineno + 2
    assert nodes["first/tanh"].attr["source"].s.decode() == f"{os.path.relpath(__file__)}:{line}"
    assert nodes["second/part/sum"].attr["axes"].s == b"(0, 1)"


def metadata(server: Server, tag: str) -> Any:
    text = server.get("plugin/graphs/run_metadata", run="a/run", tag=tag).decode()
    return text_format.Parse(text, config_pb2.RunMetadata())


def test_time_and_memory_of_nodes(server: Server) -> None:
    (device,) = metadata(server, "profile").step_stats.dev_stats
    stats = {n.node_name: n for n in device.node_stats}
    assert {"first/contract", "first/tanh"} <= set(stats) <= {
        "first/contract", "first/tanh", "second/part/mul", "second/part/sum"
    }  # fmt: skip
    assert sum(n.all_end_rel_micros for n in stats.values()) > 0
    assert sum(n.memory[0].total_bytes for n in stats.values()) >= 128 * 64 * 4
    tagged = metadata(server, "backward")
    (backward,) = tagged.function_graphs
    names = {n.name for n in backward.pre_optimization_graph.node}
    timed = {n.node_name for n in tagged.step_stats.dev_stats[0].node_stats} - {"(other)"}
    assert timed
    assert timed <= names


def test_projector(server: Server) -> None:
    assert server.until(lambda: server.get("plugin/projector/runs"), bool) == ["a/run"]
    config = server.get("plugin/projector/info", run="a/run")
    points, zeros = config["embeddings"]
    assert (points["tensorName"], points["tensorShape"]) == ("points", [5, 3])
    tensor = server.get("plugin/projector/tensor", run="a/run", name="points")
    expected = np.random.default_rng(0)
    expected.normal(size=(64, 64))
    np.testing.assert_allclose(
        np.frombuffer(tensor, "<f4").reshape(5, 3), expected.normal(size=(5, 3)).astype(np.float32)
    )
    tensor = server.get("plugin/projector/tensor", run="a/run", name="zeros")
    assert np.frombuffer(tensor, "<f4").tolist() == [0.0] * 8
    assert server.get("plugin/projector/metadata", run="a/run", name="points").decode().splitlines()[:2] == [
        "name\tn", "a\t0"
    ]  # fmt: skip
    assert server.get("plugin/projector/metadata", run="a/run", name="zeros").decode() == "a b\n-\nc\nd\n"
    assert zeros["sprite"]["singleImageDim"] == [8, 6]
    assert server.get("plugin/projector/sprite_image", run="a/run", name="zeros")[:4] == b"\x89PNG"


def test_it_shows_what_is_written_meanwhile(tmp_path: Path) -> None:
    with td.board.Writer(tmp_path / "one") as first:
        first.scalar("loss", 1, 1)
        one = Server(tmp_path)
        try:
            one.until(lambda: one.get("runs"), lambda names: names == ["one"])
            first.scalar("loss", 2, 2)
            with td.board.Writer(tmp_path / "one") as second, td.board.Writer(tmp_path / "two") as other:
                second.scalar("accuracy", 3, 2)
                other.scalar("loss", 4, 1)
            first.scalar("loss", 5, 3)
            ask = {"run": "one", "tag": "loss"}
            one.until(lambda: one.get("plugin/scalars/scalars", **ask), lambda a: [p[2] for p in a] == [1, 2, 5])
            one.until(lambda: one.get("runs"), lambda names: sorted(names) == ["one", "two"])
        finally:
            one.end()
        assert one.process.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_nothing_behind(tmp_path: Path, how: signal.Signals) -> None:
    with td.board.Writer(tmp_path / "runs" / "one"):
        (tmp_path / "temporary").mkdir()
        one = Server(tmp_path / "runs", TMPDIR=str(tmp_path / "temporary"))
        assert [p.name for p in (tmp_path / "temporary").glob("treadle-board-*/*")] == ["one"]
        one.process.send_signal(how)
        one.process.communicate(timeout=WAIT)
    assert one.process.returncode == 0
    assert not list((tmp_path / "temporary").iterdir())
    assert list((tmp_path / "runs" / "one").iterdir())


def test_a_taken_port_is_told(server: Server, tmp_path: Path) -> None:
    with td.board.Writer(tmp_path):
        port = server.address.rstrip("/").rpartition(":")[2]
        again = subprocess.run(
            [sys.executable, "-m", "treadle", "board", str(tmp_path), "--port", port, "--no-browser"],
            capture_output=True, text=True, timeout=WAIT, check=False,
        )  # fmt: skip
    assert again.returncode == 1
    assert "TensorBoard cannot start:" in again.stderr
    assert port in again.stderr


def test_loops_and_branches_are_groups(tmp_path: Path) -> None:
    def looped(x: Any, flag: Any) -> Any:
        total, _ = td.scan(lambda carry, k: (carry + td.sin(k), carry), x[0], x)
        return td.cond(flag, lambda t: t * 2, lambda t: -t, total)

    graph = td.graph(looped)(td.ones(4), td.asarray(True))
    with td.board.Writer(tmp_path) as w:
        w.graph(graph)
    nodes = {n.name: n for n in td.board.read(tmp_path).graph.node}
    scan = next(n for n in nodes.values() if n.op == "scan")
    inside = [n for n in nodes.values() if n.name.startswith(f"{scan.name}/")]
    assert {"sin", "add", "Input", "Output"} <= {n.op for n in inside}
    assert any(name.startswith("^") for name in scan.input), "what it computes hangs on its body"
    for node in nodes.values():
        for name in node.input:
            assert name.lstrip("^").partition(":")[0] in nodes
    assert load(tmp_path).Graph() is not None


def test_the_backward_pass_has_groups_of_its_own(tmp_path: Path) -> None:
    def recurrent(w: Any, x: Any) -> Any:
        def body(carry: Any, k: Any) -> Any:
            with td.scope("cell"):
                return td.tanh(carry * k), None

        with td.scope("head"):
            return td.exp(td.scan(body, w, x)[0])

    graph = td.compile(td.value_and_grad(recurrent)).graph(td.asarray(0.5), td.ones(3))
    with td.board.Writer(tmp_path) as w:
        w.graph(graph)
    nodes = {n.name: n for n in td.board.read(tmp_path).graph.node}
    phases = {name: n.attr["phase"].s.decode() for name, n in nodes.items()}
    assert "head/exp" in nodes
    assert {phases[name] for name in nodes if name.startswith("head/grad/")} >= {"backward"}
    for name, phase in phases.items():
        assert (phase in ("derivative", "backward")) == ("grad" in name.split("/")[:-1]) or nodes[name].op in (
            "Input", "Output",
        ), name  # fmt: skip
    tied = {name: n.attr["derivative of"].s.decode() for name, n in nodes.items() if "derivative of" in n.attr}
    assert "head/exp" in tied.values()
    assert set(tied.values()) <= set(nodes)
    assert not any("grad" in name.split("/") for name in tied.values())


def test_parameters_stand_with_their_layers(tmp_path: Path) -> None:
    model = nn.Sequential([nn.Sequential([nn.Dense(3)]), nn.Dense(2)])
    model(np.ones((2, 4), np.float32))
    with td.board.Writer(tmp_path) as w:
        w.graph(td.graph(lambda model, x: model(x), dynamic={"x": ("batch", None)})(model, np.ones((2, 4), np.float32)))
    nodes = {n.name: n for n in td.board.read(tmp_path).graph.node}
    assert {"layers.0/layers.0/kernel", "layers.0/layers.0/contract", "layers.1/bias", "x", "output"} <= set(nodes)
    assert [d.size for d in nodes["output"].attr["_output_shapes"].list.shape[0].dim] == [-1, 2]
    assert nodes["output"].attr["shape"].s == b"f32[batch,2]"


def test_messages_of_graphs(tmp_path: Path) -> None:
    x = td.ones(3)
    graph = td.graph(lambda x: td.sin(x))(x)
    with td.board.Writer(tmp_path) as w:
        with pytest.raises(td.errors.ArgumentError, match=r"takes a td.Graph, not function: td.graph\(f\)\(\*args\)"):
            w.graph(step)
        with pytest.raises(td.errors.ArgumentError, match=r"profile= is what td.profile\(f\)\(\*args\) returns"):
            w.graph(graph, profile=3)
        with td.scope("elsewhere"):
            other = td.profile(lambda x: td.exp(x) + 1)(x)
        with pytest.raises(td.errors.ArgumentError, match="fits no operation of the graph"):
            w.graph(graph, profile=other)
