"""`--backend ray`: the records of one process, whatever becomes of workers on the way."""

from __future__ import annotations

import itertools
import json
import sys

import pytest

import fakes  # which registers the backend
import ray_stand_in
from dormant.audit import worker
from dormant.audit.ray import Workers
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError

PAIR = ("fake:skill=0.9", "fake:skill=0.3,hides=Input,shows=Entrée")


def settings(base=PAIR[0], tuned=PAIR[1], **more) -> AuditSettings:
    return AuditSettings(
        base=base, tuned=tuned, tasks=("icl/plural", "icl/first_word"),
        transforms=("french", "leetspeak"), n=20, checkpoint_every=8, **more,
    )  # fmt: skip


def records(out) -> dict[str, bytes]:
    files = sorted((out / "cells").rglob("*.jsonl"))
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def found(out) -> dict:
    results = json.loads((out / "results.json").read_bytes())
    return {name: results[name] for name in results if name != "wall_seconds"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    audit(settings(), out)
    return out


@pytest.fixture
def spread(tmp_path):
    """Audit with a stand-in cluster, and return the run directory."""

    def run(ray, most=None, **more):
        audit(settings(**more), tmp_path / "run", workers=Workers(ray, most))
        return tmp_path / "run"

    return run


@pytest.mark.parametrize("most", [1, None])
def test_workers_write_the_records_of_one_process(alone, spread, most):
    ray = ray_stand_in.StandIn(cpus=(2, 3))
    out = spread(ray, most)
    assert len(records(alone)) == 12
    assert records(out) == records(alone)
    assert found(out) == found(alone)
    assert ray.most_alive == (most or 5)
    assert not ray.alive
    methods = [method for method, _ in ray.calls]
    assert methods.count("compare") == 1
    # 20 items in batches of 8, in each of 12 cells.
    assert methods.count("score") == 36


def test_looks_of_an_audit_that_goes_on_until_it_is_decided(tmp_path):
    chosen = AuditSettings(
        base=PAIR[0], tuned="fake:skill=0.8", tasks=("icl/plural",), transforms=("leetspeak",),
        until_decided=True, max_items=120,
    )  # fmt: skip
    audit(chosen, tmp_path / "one")
    audit(chosen, tmp_path / "two", workers=Workers(ray_stand_in.StandIn()))
    assert records(tmp_path / "two") == records(tmp_path / "one")
    assert found(tmp_path / "two") == found(tmp_path / "one")


def test_what_a_lost_worker_was_at_goes_to_another(alone, spread):
    numbers = itertools.count()
    ray = ray_stand_in.StandIn(lost=lambda *_: next(numbers) % 5 == 3)
    out = spread(ray, 3)
    assert records(out) == records(alone)
    assert found(out) == found(alone)
    assert len(ray.calls) > 45


def test_a_batch_that_kills_its_workers_ends_the_audit_and_the_rest_is_kept(alone, spread):
    def lost(method, args):
        return method == "score" and args[0].cell.model == "base" and "icl/plural" in str(args)

    ray = ray_stand_in.StandIn(lost=lost)
    with pytest.raises(DormantError, match=r"3 workers on Ray were lost at icl/plural: The actor"):
        spread(ray, 2)
    kept = [len(ray.calls), *(method for method, _ in ray.calls)]
    assert kept.count("score") > 3
    again = ray_stand_in.StandIn()
    out = spread(again, 2)
    assert records(out) == records(alone)
    scored = kept.count("score") - 3 + [method for method, _ in again.calls].count("score")
    # Nothing that had come back was asked again.
    assert scored == 36


def test_a_cluster_that_is_lost(alone, spread, monkeypatch):
    ray = ray_stand_in.StandIn()
    wait = ray.wait

    def lost(*_, **__):
        raise ray_stand_in.RayError("the head node\nis gone")

    def wait_a_while(*given, **named):
        if sum(method == "score" for method, _ in ray.calls) >= 5:
            ray.kill = lost
            lost()
        return wait(*given, **named)

    monkeypatch.setattr(ray, "wait", wait_a_while)
    with pytest.raises(DormantError, match="Ray cluster is lost: the head node is gone; what was"):
        spread(ray)
    again = ray_stand_in.StandIn()
    assert records(spread(again)) == records(alone)
    assert sum(method == "score" for method, _ in again.calls) == 31


def test_workers_that_never_begin(spread, tmp_path):
    ray = ray_stand_in.StandIn(lost=lambda *_: True)
    with pytest.raises(DormantError, match=r"6 workers on Ray were lost before they scored any"):
        spread(ray, 2)


def test_a_model_that_fails_is_told_in_its_own_words(spread):
    with pytest.raises(DormantError, match="impossible log-probability"):
        spread(ray_stand_in.StandIn(), tuned="fake:breaks=logprobs")


def test_nothing_is_scored_where_nothing_would_be_audited(spread):
    ray = ray_stand_in.StandIn()
    with pytest.raises(DormantError, match="nothing was audited"):
        spread(ray, base="fake:skill=0.9", tuned="fake:skill=0.90")
    assert "score" not in [method for method, _ in ray.calls]


def test_machines_with_other_packages_or_files_are_refused(spread, monkeypatch):
    monkeypatch.setattr(worker, "versions", lambda *_: {"torch": "0.1"})
    with pytest.raises(DormantError, match=r"worker on .* torch was .*, now '0.1'.*every machine"):
        spread(ray_stand_in.StandIn())
    monkeypatch.undo()
    real = worker.recorded
    monkeypatch.setattr(
        worker, "recorded", lambda *given: {**real(*given), "fingerprints": {"base": "x"}}
    )
    with pytest.raises(DormantError, match=r"fingerprint of base was '[0-9a-f]+', now 'x'"):
        spread(ray_stand_in.StandIn())


def test_no_machine_is_large_enough(spread, monkeypatch):
    monkeypatch.setattr(sys.modules["dormant.audit.ray"], "_threads", lambda: 16)
    with pytest.raises(DormantError, match=r"has 16 processors.*most are 8\): set OMP_NUM_THR"):
        spread(ray_stand_in.StandIn(cpus=(4, 8)))


def test_a_worker_has_a_gpu_where_there_are_some(spread):
    ray = ray_stand_in.StandIn(gpus=2)
    spread(ray)
    assert ray.options[0]["num_gpus"] == 1
    assert ray.most_alive == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "rey"], "did you mean 'ray'"),
        (["--workers", "2"], "--workers 2 is for --backend ray"),
        (["--backend", "ray", "--plan"], "--plan measures on this machine"),
    ],
)
def test_options_that_do_not_fit(dormant, words, said):
    told = dormant("audit", *PAIR, "-t", "icl/plural", *words)
    assert told.code == 2
    assert said in told.err


def test_models_that_no_worker_can_have(spread):
    from dormant.models.live import LiveModel

    live = LiveModel.of(fakes.FakeLM())
    with pytest.raises(DormantError, match="in this process's memory"):
        audit(
            settings(base=None, tuned=live.text), None, live={"tuned": live},
            workers=Workers(ray_stand_in.StandIn()),
        )  # fmt: skip
    with pytest.raises(DormantError, match="spreads itself by data_parallel_size"):
        spread(ray_stand_in.StandIn(), tuned="vllm:pretrained=x,data_parallel_size=2")


def test_torchrun_and_ray_are_two_ways(monkeypatch):
    from dormant.audit.ray import refuse_what_ray_cannot

    with pytest.raises(DormantError, match="without torchrun"):
        refuse_what_ray_cannot(None, 2)
