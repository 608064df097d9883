"""Workers: what they take, in what order, together with others, and when they are asked to end."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch

from harness import events
from harness.compute.device import gpus_to_share, machine_kind
from harness.compute.workers import context
from harness.compute.workers.worker import MOST_DEATHS, pause_after
from harness.errors import Interrupted
from harness.report.tables import provenance_notes
from harness.run.outcome import score_stored
from harness.store import claims
from harness.store.claims import claimed
from tests.places import settings_in
from tests.unit import stored
from tests.unit.compute.working import make_workers, taken, work, work_together, write_suite


def test_a_worker_evaluates_what_it_has_trained_before_it_trains_more(tmp_path, monkeypatch):
    models = {name: f'name = "{name}", together = 1' for name in ("a", "b")}
    write_suite(tmp_path, monkeypatch, models, [0, 1])
    seen = []
    first, second = make_workers(tmp_path, 2)
    work(first, lambda event: seen.append((0, event)))
    of = [
        [f"{name} on digits", *(f"{name} on digits, epoch {x}" for x in (0, 1))] for name in "ab"
    ]
    assert taken(seen) == of[0] + of[1]
    finished = [event.job for _, event in seen if isinstance(event, events.JobFinished)]
    assert len(finished) == 2 * (2 + 2 * 7)
    seen.clear()
    work(second, lambda event: seen.append((0, event)))
    assert seen == []  # everything is stored
    again = tmp_path / "again"
    again.mkdir()
    write_suite(again, monkeypatch, models, [0, 1])
    _, second = make_workers(again, 2)
    work(second, lambda event: seen.append((0, event)))
    assert taken(seen) == of[1] + of[0]  # a share is where a worker begins, and not all it does


def test_early_epochs_are_evaluated_while_the_training_goes_on(tmp_path, monkeypatch):
    models = {name: f'name = "{name}"' for name in ("a", "b")}
    write_suite(tmp_path, monkeypatch, models, [0, 1, 2, 6])
    found = [event for seen in work_together(make_workers(tmp_path, 4)) for event in seen]
    trained = {
        event.model: moment
        for moment, event in found
        if isinstance(event, events.EpochFinished) and event.epoch == 6
    }
    early = {
        event.task
        for moment, event in found
        if isinstance(event, events.StepStarted)
        and event.step.startswith("level of")
        and moment < trained[event.task[0]]
    }
    for name in ("a", "b"):  # in a worker that has not trained the model
        assert len({task for task in early if task.startswith(f"{name} on digits, epoch")}) >= 2
    assert {row["status"] for row in stored.results(tmp_path)} == {"ok"}


def test_as_many_workers_as_trainings_do_one_each(tmp_path, monkeypatch):
    models = {f"m{number}": f'name = "m{number}", together = 8' for number in range(8)}
    write_suite(tmp_path, monkeypatch, models, [1])
    found = work_together(make_workers(tmp_path, 8))  # none trains on before all eight train
    trainings = [[task for task in taken(seen) if "," not in task] for seen in found]
    assert [len(tasks) for tasks in trainings] == [1] * 8
    assert len({task for (task,) in trainings}) == 8
    jobs = Counter(
        event.job for seen in found for _, event in seen if isinstance(event, events.JobFinished)
    )
    jobs["epoch 1"] //= 8  # checkpoints are named alike in all chains
    assert len(jobs) == 1 + 8 * 7
    assert max(jobs.values()) == 1


class NoLock:
    """What a faulty file system makes of a lock: everybody gets it."""

    def release(self):
        """Nothing is held."""


def test_with_a_lock_that_does_nothing_work_is_done_twice_with_the_same_results(
    made, tmp_path, monkeypatch
):
    stored.copy(made, tmp_path)
    for kind in ("checkpoints", "statistics"):
        (tmp_path / "store" / kind).rename(tmp_path / kind)
    monkeypatch.setattr(claims, "try_lock", lambda root, name: NoLock())
    found = work_together(make_workers(tmp_path, 2), meet=True)
    epochs = Counter(
        event.epoch
        for seen in found
        for _, event in seen
        if isinstance(event, events.EpochFinished)
    )
    assert epochs[1] == 2  # both have begun the only training
    assert stored.results(tmp_path) == stored.results(made)
    assert not list((tmp_path / "store/tmp").iterdir())


def test_a_worker_that_is_asked_to_end_stores_its_progress_at_once(made, tmp_path):
    (tmp_path / "small.toml").write_text((made / "small.toml").read_text())
    seen = []

    def stop():
        return any(isinstance(event, events.EpochFinished) for event in seen)

    (worker,) = make_workers(tmp_path, 1)
    with pytest.raises(Interrupted):
        work(worker, seen.append, stop)
    (state,) = (tmp_path / "store/rolling").glob("*/step-*")
    assert state.name == "step-000000004"  # the first epoch, which is asked for by no comparison
    assert not list((tmp_path / "store/locks").glob("*.begun"))
    seen.clear()
    work(worker, seen.append)
    assert [event.epoch for event in seen if isinstance(event, events.EpochFinished)] == [2]
    assert stored.results(tmp_path) == stored.results(made)


def test_the_loss_of_an_unnormalised_model_is_in_no_bits(tmp_path, monkeypatch):
    models = {kind: f'likelihood="{kind}"' for kind in ("lower_bound", "unnormalized")}
    write_suite(tmp_path, monkeypatch, models, [0, 1])
    (seen,) = work_together(make_workers(tmp_path, 1))
    units = {event.model: event.unit for _, event in seen if hasattr(event, "train_bits_per_dim")}
    assert units == {"lower_bound": "bits/dim", "unnormalized": "loss"}


def test_a_worker_that_is_asked_to_end_leaves_an_evaluation(made, tmp_path):
    stored.copy(made, tmp_path)
    (tmp_path / "store/statistics").rename(tmp_path / "statistics")
    seen = []
    (worker,) = make_workers(tmp_path, 1)
    with pytest.raises(Interrupted):
        work(worker, seen.append, lambda: any(isinstance(x, events.StepStarted) for x in seen))
    assert not any(isinstance(event, events.JobFinished) for event in seen)
    work(worker)
    assert stored.results(tmp_path) == stored.results(made)


def test_a_pause_is_ten_times_the_look_but_between_half_a_second_and_a_minute():
    assert [pause_after(look) for look in (0.0, 0.04, 2.0, 100.0)] == [0.5, 0.5, 20.0, 60.0]


def test_what_failed_is_tried_once_per_run(tmp_path, monkeypatch):
    write_suite(tmp_path, monkeypatch, {"a": 'name = "a", breaks = true'}, [1])
    first, second = make_workers(tmp_path, 2)
    seen = []
    for worker in (first, second):
        work(worker, seen.append)
    (failed,) = [event for event in seen if isinstance(event, events.JobFailed)]
    assert failed.message == "ValueError: cannot be trained"
    time.sleep(0.02)  # longer than the step of a file system's clock
    (later,) = make_workers(tmp_path, 1)
    work(later, seen.append)
    assert sum(isinstance(event, events.JobFailed) for event in seen) == 2


def test_a_run_leaves_work_at_which_workers_died(made, tmp_path):
    (tmp_path / "small.toml").write_text((made / "small.toml").read_text())
    (worker,) = make_workers(tmp_path, 1)
    training = worker.plan.train_key(next(iter(worker.plan.chains)))
    for deaths in range(MOST_DEATHS):
        with claimed(tmp_path / "store", training) as claim:
            assert claim.deaths(worker.began) == deaths
        with (tmp_path / "store/locks" / f"{training}.begun").open("ab") as mark:
            mark.write(b".")  # as by a process that was killed before it removed the mark
    seen = []
    work(worker, seen.append)
    (told,) = [event for event in seen if isinstance(event, events.Message)]
    assert told.text == "flow on digits: 2 workers died at it, so this run leaves it"
    assert not any(isinstance(event, events.JobFinished) for event in seen)
    time.sleep(0.02)
    (later,) = make_workers(tmp_path, 1)
    work(later)
    assert stored.results(tmp_path) == stored.results(made)


def test_results_from_machines_of_several_kinds_have_notes(made, tmp_path, monkeypatch):
    stored.copy(made, tmp_path)
    plan, _ = stored.plan_of(tmp_path)

    def notes():
        plan.look_again()
        results = score_stored(plan, settings_in(tmp_path), lambda event: None).results
        return provenance_notes([result for result in results if result.status == "ok"])

    assert not any("several kinds" in note for note in notes())
    (epoch,) = (tmp_path / "store/checkpoints").glob("*/epoch-000002")
    shutil.rmtree(epoch)
    for path in sorted((tmp_path / "store/statistics").iterdir())[::2]:
        shutil.rmtree(path)
    monkeypatch.setattr(context, "machine_kind", lambda device: "NVIDIA A100")
    (worker,) = make_workers(tmp_path, 1)
    work(worker)
    own = machine_kind(torch.device("cpu"))
    trained, evaluated = (note for note in notes() if "several kinds" in note)
    kinds = f"(NVIDIA A100, 1 thread; {own}, 1 thread)"
    assert trained.startswith(f"the models were trained on machines of several kinds {kinds}")
    kinds = f"(NVIDIA A100; {own})"
    assert evaluated.startswith(f"statistics were evaluated on machines of several kinds {kinds}")


@pytest.mark.parametrize(("asked", "used"), [(0, 3), (2, 2)])
def test_a_training_keeps_its_number_of_threads_unless_a_number_is_asked_for(
    tmp_path, monkeypatch, asked, used
):
    monkeypatch.delenv("OMP_NUM_THREADS")
    write_suite(tmp_path, monkeypatch, {"a": 'name = "a", together = 1'}, [1])
    (first,) = make_workers(tmp_path, 1)
    work(replace(first, threads=3))
    write_suite(tmp_path, monkeypatch, {"a": 'name = "a", together = 1'}, [1, 2])
    (second,) = make_workers(tmp_path, 1)
    before = torch.get_num_threads()
    work(replace(second, settings=replace(second.settings, threads=asked), threads=asked or 1))
    assert torch.get_num_threads() == before
    store = stored.store(tmp_path)
    threads = [
        store.manifest("checkpoints", key).facts["threads"] for key in store.keys("checkpoints")
    ]
    assert threads == [3, used]


def test_gpus_are_those_that_the_scheduler_has_assigned(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_to_share("auto") == gpus_to_share("cuda") == ["0", "1", "2"]
    assert gpus_to_share("cpu") == gpus_to_share("cuda:1") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8f,6")
    assert gpus_to_share("auto") == ["4", "GPU-8f", "6"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpus_to_share("auto") == []
