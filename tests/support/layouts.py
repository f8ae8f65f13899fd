"""One training in different layouts: eight examples per step as one batch, as two batches that are accumulated, and on two ranks."""

import shutil

from gang import WarmGang, Workspace, merged

LAYOUTS = {"one batch": (1, 8, 1), "two batches": (1, 4, 2), "two ranks": (2, 4, 1)}


def metrics_by_layout(gang: WarmGang, space: Workspace, config: dict) -> dict[str, list[float]]:
    """Train a few steps in each layout, without dropout. Returns the losses and the validation losses of each."""
    found = {}
    for name, (ranks, batch, accumulated) in LAYOUTS.items():
        shape = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulated, "per_device_eval_batch_size": batch}
        steps = {"max_steps": 4, "logging_steps": 1, "save_steps": 4, "eval_strategy": "steps", "eval_steps": 4}
        shutil.rmtree(space.output, ignore_errors=True)
        codes = gang.run(space, merged(config, {"worldSize": ranks, "training": steps | shape}))
        assert codes == [0] * ranks, (space.root / "pod" / "log").read_text()[-4000:]
        found[name] = [line[key] for line in space.metrics for key in ("loss", "eval_loss") if key in line]
    return found
