"""From IR text to callable machine code for the CPU at hand."""

from __future__ import annotations

import hashlib

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from kb.llm.local.kernels.objects import Objects

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
    """Compiled functions of a module; alive as long as their addresses are used. objects: code kept from other starts."""

    def __init__(
        self,
        module: ir.Module,
        *,
        cpu: str | None = None,
        features: str | None = None,
        objects: Objects | None = None,
    ) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        cpu = llvm.get_host_cpu_name() if cpu is None else cpu
        features = llvm.get_host_cpu_features().flatten() if features is None else features
        target = llvm.Target.from_default_triple()
        self.machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
        text = str(module)
        versions = f"1 {llvmlite.__version__} {llvm.llvm_version_info} {target.triple}"
        name = hashlib.sha256("\n".join((versions, cpu, features, text)).encode()).hexdigest()
        code = None if objects is None else objects.get(name)
        self._engine = self._compiled(text, name, objects) if code is None else self._loaded(code)

    def _loaded(self, code: bytes) -> llvm.ExecutionEngine:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self.machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return engine

    def _compiled(self, text: str, name: str, objects: Objects | None) -> llvm.ExecutionEngine:
        compiled = llvm.parse_assembly(text)
        compiled.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
        builder = llvm.create_pass_builder(self.machine, options)
        builder.getModulePassManager().run(compiled, builder)
        engine = llvm.create_mcjit_compiler(compiled, self.machine)
        if objects is not None:
            engine.set_object_cache(lambda _, code: objects.put(name, code))
        engine.finalize_object()
        return engine

    def address(self, name: str) -> int:
        """Where a function starts; KeyError if there is none of that name."""
        address = self._engine.get_function_address(name)
        if not address:
            raise KeyError(name)
        return int(address)
