"""Trains the model. One command, seeded; a killed run goes on from its last checkpoint.

Usage: python train.py --digits ../../shared/digits --synth work/synth.npz --out work/run
"""
import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F

import corpus
import tokens
from features import LogMel
from model import Model
from windows import FRAME_IGNORE, Settings, Windows

# Short windows first, at random places of the 30 s, for speed; then windows as they are used.
# A step takes `share` batches of `batch` windows; the rate falls from the first to the second figure of `rate`.
STAGES = [dict(seconds=4.0, batch=16, share=2, steps=1200, rate=[2e-3, 1.5e-3], strength=0.4, prompts=0.0, long_prompts=0.0),
          dict(seconds=8.0, batch=4, share=2, steps=3000, rate=[1.4e-3, 9e-4], strength=0.7, prompts=0.1, long_prompts=0.0),
          dict(seconds=30.0, batch=1, share=4, steps=1300, rate=[9e-4, 1e-5], strength=0.85, prompts=0.25, long_prompts=0.1)]
PARTS = ["word", "time", "guide", "frame", "count", "apart", "wrong"]
WARM_UP, WEIGHT_DECAY, AVERAGE = 150, 0.02, 0.998
WORD_WEIGHT, STAMP_WEIGHT, GUIDE_WEIGHT, FRAME_WEIGHT, COUNT_WEIGHT, APART_WEIGHT = 1.0, 0.4, 0.5, 0.5, 0.3, 6.0


class Batches:
    """Makes small batches; each depends on the seed and its number alone."""

    def __init__(self, opt, stage, number):
        self.seed, self.number, self.size = opt.seed, number, stage["batch"]
        digits, others = corpus.synthesised(opt.synth)
        settings = Settings(stage["seconds"], prompts=stage["prompts"], long_prompts=stage["long_prompts"],
                            strength=stage["strength"], recorded=stage.get("recorded", 0.7),
                            single=stage.get("single", 0.12), pauses=stage.get("pauses", 0.0))
        self.source = Windows(opt.seed, corpus.recorded(opt.digits, "train"), digits, others, settings)
        self.log_mel = LogMel(stage["strength"])

    def make(self, k):
        self.source.rng = np.random.default_rng([self.seed, self.number, k])
        gen = torch.Generator().manual_seed(int(self.source.rng.integers(2 ** 62)))
        return collate([self.source.draw() for _ in range(self.size)], self.log_mel, gen, self.source.rng)


def collate(windows, log_mel, gen, rng):
    """Stacks windows into tensors, each window twice if one is padded: in the one way and in the other.

    Tokens are padded, and disturbed a little as in real decoding.
    """
    waveform = torch.stack([torch.from_numpy(w.waveform) for w in windows])
    clip = torch.tensor([w.clip_frames for w in windows])
    n_ways = 2 if any(w.clip_frames < 2 * len(w.labels) for w in windows) else 1
    written = [(w, s) for w in windows for s in w.sequences]
    n, length = len(written), max(len(s.tokens) for _, s in written) - 1
    ids = torch.full((n, length), tokens.EOT)
    target = torch.full((n, length), -1)
    guide = torch.zeros(n, length, 2, dtype=torch.long)
    for i, (w, s) in enumerate(written):
        some = torch.tensor(s.tokens)
        count = len(some) - 1
        target[i, s.first:count] = some[s.first + 1:]
        target[i, s.first] = s.sot_target
        for k, span in enumerate(s.guides):
            if span and span[0] < len(w.labels):
                guide[i, k] = torch.tensor(span)
        given = some[:-1].clone()
        if rng.random() < 0.5:  # what was written before may be wrong
            draw = torch.rand(count, generator=gen)
            word = (given < 10) & (draw < 0.04)
            given[word] = torch.randint(0, 10, (int(word.sum()),), generator=gen)
            stamp = (given >= tokens.TIMESTAMP) & (draw < 0.4)
            moved = given + torch.randint(-2, 3, (count,), generator=gen)
            given = torch.where(stamp, moved.clamp(tokens.TIMESTAMP, tokens.N_COMPACT - 1), given)
        ids[i, :count] = given

    def each_way(x, rows):
        """`rows` rows of each window: the same for the one padding and for the other."""
        return x.unflatten(0, (len(windows), 1, rows)).expand(-1, n_ways, rows, *x.shape[1:]).flatten(0, 2)

    per_window = len(windows[0].sequences)
    return dict(mel=log_mel(waveform, clip, gen)[:, :n_ways].bfloat16().flatten(0, 1), shape=(len(windows), n_ways, -1),
                ids=each_way(ids, per_window), target=each_way(target, per_window), guide=each_way(guide, per_window),
                labels=each_way(torch.stack([torch.from_numpy(w.labels) for w in windows]), 1),
                counts=each_way(torch.stack([torch.from_numpy(w.counts) for w in windows]), 1),
                origin=each_way(torch.tensor([w.origin for w in windows]), 1))


def losses(model, batch):
    """Returns the loss and a dict of its parts."""
    with torch.autocast("cpu", torch.bfloat16):
        audio = model.encoder(batch["mel"], batch["origin"])
        logprob, weights = model.decoder(batch["ids"], audio)
        frames = model.frame_head(audio).float()
        counts = model.count_head(audio).float()[..., 0]
    target = batch["target"]
    used = target >= 0
    target = target.clamp(min=0)

    def at(k):
        return logprob.gather(-1, k[..., None])[..., 0]

    exact = at(target)
    stamp = used & (target >= tokens.TIMESTAMP)
    # Half a step more or less is no error: neighbours of a timestamp count too.
    near = 0.7 * exact + 0.15 * at((target - 1).clamp(min=tokens.TIMESTAMP)) + 0.15 * at((target + 1).clamp(max=tokens.N_COMPACT - 1))
    # In a window without speech <|0.00|> keeps a share, so that decoders that forbid <|nospeech|> write nothing.
    quiet = used & (target == tokens.NO_SPEECH)
    silent = 0.9 * exact + 0.1 * logprob[..., tokens.TIMESTAMP]
    value = torch.where(stamp, near, torch.where(quiet, silent, exact))
    word = -(value * (used & ~stamp)).sum() / (used & ~stamp).sum()
    time_ = -(value * stamp).sum() / stamp.sum().clamp(min=1)

    guided = batch["guide"][..., 1] > 0
    rows = torch.arange(audio.shape[1])
    inside = (rows >= batch["guide"][..., :1]) & (rows < batch["guide"][..., 1:])
    guide = 0.0
    for layer in weights:
        mass = (layer[:, 0] * inside).sum(-1)
        guide = guide - ((mass + 1e-4).log() * guided).sum() / guided.sum().clamp(min=1) / len(weights)
    frame = F.cross_entropy(frames.flatten(0, 1), batch["labels"].flatten(), ignore_index=FRAME_IGNORE, reduction="sum")
    frame = frame / (batch["labels"] >= 0).sum().clamp(min=1)
    count = F.smooth_l1_loss(counts, batch["counts"] / 4)
    apart = distance(logprob, used, batch["shape"])
    parts = dict(word=word, time=time_, guide=guide, frame=frame, count=count, apart=apart)
    total = (WORD_WEIGHT * word + STAMP_WEIGHT * time_ + GUIDE_WEIGHT * guide + FRAME_WEIGHT * frame
             + COUNT_WEIGHT * count + APART_WEIGHT * apart)
    best = logprob.argmax(-1)
    spoken = used & (target < 10)
    parts["wrong"] = ((best != target) & spoken).sum() / spoken.sum().clamp(min=1)
    return total, parts


def distance(logprob, used, shape):
    """How far what is written with the one padding is from what is written with the other: the Kullback-Leibler
    divergence in both directions, a token. `shape`: windows, ways of padding (1: none is padded), the rest."""
    ways = logprob.unflatten(0, shape)
    one, other = ways[:, 0], ways[:, -1]
    divergence = ((one.exp() - other.exp()) * (one - other)).sum(-1)
    used = used.unflatten(0, shape)[:, 0]
    return (divergence * used).sum() / used.sum()


def rate_at(number, stage, step):
    high, low = stage["rate"]
    warm = min(1.0, (step + 1) / WARM_UP) if number == 0 else 1.0
    return warm * (low + (high - low) * 0.5 * (1 + math.cos(math.pi * step / stage["steps"])))


class Crew:
    """What the processes share: a count of batches handed out, their gradients, and a barrier.

    A process takes the next small batch when it is free, so a busy core slows the work but does not stop it.
    """

    def __init__(self, size, n_weights, n_parts):
        self.size = size
        self.taken = mp.Value("q", 0)
        self.barrier = mp.Barrier(size)
        self.gradients = torch.zeros(size, n_weights).share_memory_()
        self.parts = torch.zeros(size, n_parts).share_memory_()

    def take(self, end):
        """The number of the next small batch before `end`, or None."""
        with self.taken.get_lock():
            if self.taken.value >= end:
                return None
            self.taken.value += 1
            return self.taken.value - 1


def work(rank, crew, opt):
    """One of the processes. All hold the same weights and make the same steps."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(opt.seed)
    model = Model()
    if opt.start:
        model.load_state_dict(torch.load(opt.start)["average"], strict=False)
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98), fused=True)
    weights = [p for p in model.parameters()]
    checkpoint, at_stage, at_step = opt.out / "checkpoint.pt", 0, 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        at_stage, at_step = saved["stage"], saved["step"]

    def save(stage, step):
        torch.save(dict(model=model.state_dict(), average=average.state_dict(), optimiser=optimiser.state_dict(),
                        stage=stage, step=step), checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)

    for k in range(at_stage, len(opt.stages)):
        stage = opt.stages[k]
        start, share = (at_step if k == at_stage else 0), stage["share"]
        data = Batches(opt, stage, k)
        crew.barrier.wait()
        crew.taken.value = start * share
        crew.barrier.wait()
        sums, began = torch.zeros(len(PARTS)), time.time()
        for step in range(start, stage["steps"]):
            optimiser.zero_grad(set_to_none=False)
            crew.parts[rank] = 0
            while (number := crew.take((step + 1) * share)) is not None:
                total, parts = losses(model, data.make(number))
                (total / share).backward()
                crew.parts[rank] += torch.stack([parts[n].detach() for n in PARTS]) / share
            crew.gradients[rank] = torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in weights])
            crew.barrier.wait()
            gradient = crew.gradients.sum(0)
            sums += crew.parts.sum(0)
            crew.barrier.wait()
            gradient *= min(1.0, 1.0 / (float(gradient.norm()) + 1e-6))
            for p, g in zip(weights, gradient.split([p.numel() for p in weights])):
                p.grad = g.view_as(p)
            for group in optimiser.param_groups:
                group["lr"] = rate_at(k, stage, step)
            optimiser.step()
            with torch.no_grad():
                keep = min(AVERAGE, 1 - 1 / (step + 2 + 1000 * k))
                torch._foreach_lerp_(list(average.parameters()), weights, 1 - keep)
            if rank:
                continue
            if (step + 1) % 50 == 0:
                row = {n: round(float(v) / 50, 4) for n, v in zip(PARTS, sums)}
                row |= {"stage": k, "step": step + 1, "s_per_step": round((time.time() - began) / 50, 3)}
                print(json.dumps(row), flush=True)
                sums, began = torch.zeros(len(PARTS)), time.time()
            if (step + 1) % 50 == 0 or step + 1 == stage["steps"]:
                save(k, step + 1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--digits", required=True, help="folder with recordings.jsonl and recordings/")
    p.add_argument("--synth", required=True, help="file that synth.py wrote")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--processes", type=int, default=2, help="each works in one thread")
    p.add_argument("--start", help="checkpoint to take the weights from, without the optimiser's state")
    p.add_argument("--stages", type=json.loads, default=STAGES, help="JSON instead of the stages in this file")
    opt = p.parse_args()
    opt.out.mkdir(parents=True, exist_ok=True)
    crew = Crew(opt.processes, sum(p.numel() for p in Model().parameters()), len(PARTS))
    others = [mp.Process(target=work, args=(k, crew, opt), daemon=True) for k in range(1, opt.processes)]
    for process in others:
        process.start()
    work(0, crew, opt)
    for process in others:
        process.join()


if __name__ == "__main__":
    main()
