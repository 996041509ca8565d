"""A space searched piece by piece, stopped, resumed and spread over a cluster: the same front."""

import json
import threading
import time

import numpy as np
import pytest

from planner import cluster
from planner.errors import MissingExtra, OutputError, SpecError
from planner.questions.recommend import search as searching
from planner.questions.recommend.limits import limits_of
from planner.questions.recommend.recommend import Shapes, recommend, resolve_question
from planner.questions.recommend.search import Spread, search
from planner.questions.recommend.space import space_for
from planner.scenario.evaluate import SHAPE
from planner.scenario.options import question


def asked(**more):
    q = question(1e9, 1e11, on="h100-sxm", **{"align": 32, "layers": "14,16,20", **more})
    return space_for(q), Shapes(resolve_question(q, q.params), limits_of(q))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(searching, "LEAST_SHAPES", 1)


def shapes(left):
    table = left.fronts["front"]
    rows = np.stack([table[n] for n in (*SHAPE, "output_tokens_per_s", "loss")], axis=1)
    return rows[np.lexsort(rows.T)]


def alike(a, b):
    assert a.n == b.n and a.counts[0].tally.n_feasible == b.counts[0].tally.n_feasible
    assert np.allclose(shapes(a), shapes(b), rtol=1e-12, atol=0)


def test_pieces_are_the_space_each_shape_once():
    space, _ = asked(head_dim="64,128", params_kind="total")
    whole = sum(np.size(a.d_model) for a in space.chunks())
    for rows in (1, 3_000, 10**9):
        pieces = list(space.pieces(rows))
        assert sum(np.size(a.d_model) for p in pieces for a in p.chunks()) == whole
        assert len(pieces) >= 6 and len({(p.layers, p.head_dims, p.widths) for p in pieces}) == len(
            pieces
        )


def test_a_search_that_was_stopped_goes_on_from_its_journal(tmp_path, small):
    space, sought = asked()
    whole, spread = search(space, sought), Spread(None, tmp_path / "j", piece_rows=4_000)

    def stop(n):
        if n > 12_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(space, sought, stop, spread)
    kept = (tmp_path / "j").read_bytes()
    on_record = kept.count(b"\n") - 1
    (tmp_path / "j").write_bytes(kept + b'{"search": "cut whi')  # as a power cut leaves it
    assert on_record > 2
    seen = []
    alike(search(space, sought, seen.append, spread), whole)
    assert len(seen) > on_record and seen[on_record - 1] > 12_000
    lines = (tmp_path / "j").read_text().splitlines()
    pieces = [json.loads(line)["piece"] for line in lines[1:]]
    assert sorted(pieces) == list(range(len(pieces))), "no piece twice, none left out"
    other, sought = asked(tpot="5ms")
    alike(search(other, sought, None, spread), search(other, sought))  # nothing of it is on record


def test_the_command_takes_a_journal_and_answers_the_same(tmp_path):
    settings = {"on": "h100-sxm", "align": 256}
    plain = recommend("1B", "100B", **settings)
    for _ in range(2):
        kept = recommend("1B", "100B", journal=tmp_path / "j", **settings)
        assert kept.picks == plain.picks and kept.n_evaluated == plain.n_evaluated


def test_what_is_no_journal_or_cannot_be_one_is_said(tmp_path):
    (tmp_path / "notes").write_text("milk\neggs\n")
    with pytest.raises(SpecError, match="no journal"):
        recommend("1B", "100B", align=512, journal=tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "milk\neggs\n"
    with pytest.raises(OutputError, match="journal"):
        recommend("1B", "100B", align=512, journal=tmp_path / "no" / "where")


def test_without_ray_a_cluster_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra) as caught:
        recommend("1B", "100B", align=512, ray="auto")
    assert "cluster" in caught.value.hint


def test_where_nothing_listens_that_is_said_at_once():
    with pytest.raises(OSError):
        cluster.require_answer("127.0.0.1:9")
    cluster.require_answer("auto")  # Ray's own to find


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_that_loses_a_node_finds_the_same_front_and_is_resumed(
    two_nodes, tmp_path, small
):
    """Pieces that the lost node was at are searched again; a stopped search searches only the rest."""
    nodes, second = two_nodes
    space, sought = asked(align=8)
    whole = search(space, sought)
    spread = Spread(nodes.address, tmp_path / "j", piece_rows=200_000)
    ended = []

    def lose():
        while len(ended) < 4:
            time.sleep(0.02)
        nodes.remove_node(second, allow_graceful=False)

    def stop(n):
        ended.append(n)
        if n > 0.6 * whole.n:
            raise KeyboardInterrupt

    loser = threading.Thread(target=lose)
    loser.start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        search(space, sought, stop, spread)
    loser.join()
    on_record = (tmp_path / "j").read_bytes().count(b"\n") - 1
    alike(search(space, sought, None, spread), whole)
    spent = time.perf_counter() - started
    rows = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()[1:]]
    assert sorted(r["piece"] for r in rows) == list(range(len(rows))) and 4 < on_record < len(rows)
    assert sum(r["n"] for r in rows) == whole.n
    print(f"{whole.n:,} rows in {spent:.1f} s over what was left of two nodes")
