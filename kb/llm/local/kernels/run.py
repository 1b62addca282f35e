"""Programs of kernels, run by all threads together without going back to Python in between.

A program is a list of steps (function, arguments). Every thread runs every step, taking work from the step's
shared counter; all meet at a barrier before the next. Who waits spins a moment, then lets others run, and, without
a job for some milliseconds, goes back to Python to sleep. Control words, each on a cache line of its own: job number,
program, its length, barrier arrivals, arrivals before this job, threads.
"""

from __future__ import annotations

from llvmlite import ir

from kb.llm.local.kernels.emit import BOOL, I32, I64, PTR, STEP, Fn

LINE = 64  # bytes from one control word, or program entry, to the next
JOB, PROGRAM, LENGTH, ARRIVED, BASE, THREADS = (LINE * i for i in range(6))
CONTROL_BYTES = LINE * 6
FUNCTION, ARGUMENTS, COUNTER = 0, 8, 16  # within a program entry

# Turns of spinning (some 10 µs), then of giving the core away: short at barriers, where a busy machine has the other
# thread waiting for this core, and some milliseconds between jobs, where Python is about to bring the next.
_SPINS, _BARRIER, _JOB = 4000, 100, 3000


def emit(module: ir.Module) -> None:
    """`submit(control, program, length)` for the caller's thread, `serve(control, done)` for the others."""
    _wait(module)
    _steps(module)
    _submit(module)
    _serve(module)


def _wait(module: ir.Module) -> None:
    """wait(word, target, patient): until *word >= target; false once out of patience (patient: naps instead)."""
    f = Fn(module, "wait", ir.FunctionType(BOOL, [PTR, I64, BOOL]), inner=True)
    word, target, patient = f.args
    b = f.b
    turns = f.slot(I64, f.i64(0))
    names = ("head", "met", "again", "slow", "give", "out", "nap", "tired")
    head, met, again, slow, give, out, nap, tired = (f.function.append_basic_block(name) for name in names)
    b.branch(head)
    b.position_at_end(head)
    b.cbranch(b.icmp_signed(">=", b.load_atomic(word, "acquire", 8, typ=I64), target), met, again)
    b.position_at_end(met)
    b.ret(ir.Constant(BOOL, 1))
    b.position_at_end(again)
    turn = b.add(f.get(turns, I64), f.i64(1))
    f.set(turns, turn)
    b.cbranch(b.icmp_signed("<", turn, f.i64(_SPINS)), head, slow)
    b.position_at_end(slow)
    limit = b.select(patient, f.i64(_SPINS + _BARRIER), f.i64(_SPINS + _JOB))
    b.cbranch(b.icmp_signed("<", turn, limit), give, out)
    b.position_at_end(give)
    f.call("sched_yield", I32)
    b.branch(head)
    b.position_at_end(out)
    b.cbranch(patient, nap, tired)
    b.position_at_end(nap)
    f.call("usleep", I32, ir.Constant(I32, 50))
    b.branch(head)
    b.position_at_end(tired)
    b.ret(ir.Constant(BOOL, 0))


def _steps(module: ir.Module) -> None:
    """steps(control): run the published program, meeting the other threads after each step."""
    f = Fn(module, "steps", ir.FunctionType(ir.VoidType(), [PTR]), inner=True)
    control, b = f.args[0], f.b
    program = f.load(PTR, control, PROGRAM, align=8)
    threads = f.load(I64, control, THREADS, align=8)
    base = f.load(I64, control, BASE, align=8)
    with f.loop(0, f.load(I64, control, LENGTH, align=8)) as i:
        entry = f.at(program, (i, LINE))
        function = f.load(I64, entry, FUNCTION, align=8)
        step = b.inttoptr(function, STEP.as_pointer())
        b.call(step, [f.load(PTR, entry, ARGUMENTS, align=8), f.at(entry, COUNTER)])
        b.atomic_rmw("add", f.at(control, ARRIVED), f.i64(1), "acq_rel")
        target = b.add(base, b.mul(threads, b.add(i, f.i64(1))))
        f.call("wait", BOOL, f.at(control, ARRIVED), target, ir.Constant(BOOL, 1))
    f.finish()


def _submit(module: ir.Module) -> None:
    f = Fn(module, "submit", ir.FunctionType(ir.VoidType(), [PTR, PTR, I64]))
    control, program, length = f.args
    b = f.b
    with f.loop(0, length) as i:
        f.store(f.i64(0), program, (i, LINE), COUNTER, align=8)
    f.store(program, control, PROGRAM, align=8)
    f.store(length, control, LENGTH, align=8)
    f.store(b.load_atomic(f.at(control, ARRIVED), "acquire", 8, typ=I64), control, BASE, align=8)
    b.atomic_rmw("add", f.at(control, JOB), f.i64(1), "release")
    f.call("steps", ir.VoidType(), control)
    f.finish()


def _serve(module: ir.Module) -> None:
    """serve(control, done): run jobs after number *done until none comes for a while; *done is kept up to date."""
    f = Fn(module, "serve", ir.FunctionType(ir.VoidType(), [PTR, PTR]))
    control, done = f.args
    b = f.b
    head, go, out = (f.function.append_basic_block(name) for name in ("head", "go", "out"))
    b.branch(head)
    b.position_at_end(head)
    target = b.add(f.load(I64, done, align=8), f.i64(1))
    more = f.call("wait", BOOL, f.at(control, JOB), target, ir.Constant(BOOL, 0))
    b.cbranch(more, go, out)
    b.position_at_end(go)
    f.call("steps", ir.VoidType(), control)
    f.store(target, done, align=8)
    b.branch(head)
    b.position_at_end(out)
    f.finish()
