"""From IR text to callable machine code for the CPU at hand."""

from __future__ import annotations

import llvmlite.binding as llvm
from llvmlite import ir

VBMI, VNNI, AVX2, PLAIN = "vbmi", "vnni", "avx2", "plain"
WIDE = (VBMI, VNNI)  # with 512-bit registers


def paths() -> list[str]:
    """Ways through the kernels this CPU can take, the fastest first.

    'vnni' multiplies bytes four at a time in 512-bit registers, 'vbmi' looks 4-bit codes up there without masking
    them first, 'avx2' looks them up by byte shuffles, 'plain' needs nothing of the CPU but what LLVM finds there.
    """
    features = llvm.get_host_cpu_features()
    found = [PLAIN]
    if features.get("avx2"):
        found.insert(0, AVX2)
    if all(features.get(name) for name in ("avx512f", "avx512bw", "avx512vnni")):
        found.insert(0, VNNI)
        if features.get("avx512vbmi"):
            found.insert(0, VBMI)
    return found


def best_path() -> str:
    """The fastest of `paths`."""
    return paths()[0]


class Library:
    """Compiled functions of one or more modules; alive as long as their addresses are used."""

    def __init__(
        self, modules: list[ir.Module], *, cpu: str | None = None, features: str | None = None
    ) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu = llvm.get_host_cpu_name() if cpu is None else cpu
        features = llvm.get_host_cpu_features().flatten() if features is None else features
        target = llvm.Target.from_default_triple()
        machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
        self.machine = machine
        self._modules = []
        self._engine: llvm.ExecutionEngine | None = None
        for module in modules:
            compiled = llvm.parse_assembly(str(module))
            compiled.verify()
            options = llvm.create_pipeline_tuning_options(speed_level=2)
            options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
            builder = llvm.create_pass_builder(machine, options)
            builder.getModulePassManager().run(compiled, builder)
            self._modules.append(compiled)
            if self._engine is None:
                self._engine = llvm.create_mcjit_compiler(compiled, machine)
            else:
                self._engine.add_module(compiled)
        assert self._engine is not None
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function starts; KeyError if there is none of that name."""
        assert self._engine is not None
        address = self._engine.get_function_address(name)
        if not address:
            raise KeyError(name)
        return int(address)
