"""Compiles a loop for this CPU. Only here is Numba imported; what was compiled before needs nothing of this."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from imgconv.errors import ImgconvError
from imgconv.native import link
from imgconv.native.cpu import cpu, products_at_once

if TYPE_CHECKING:
    from imgconv.native.kept import Function

SYMBOL = "loop"
PASSES = (
    "sroa", "instruction_combine", "simplify_cfg", "loop_rotate", "instruction_combine", "new_gvn",
    "dead_code_elimination", "simplify_cfg", "loop_simplify", "jump_threading", "instruction_combine",
)  # fmt: skip


def compile_loop(function: Function) -> tuple[str, bytes]:
    """(symbol, object file) of a loop for this CPU."""
    symbol, module = module_of(function)
    return symbol, target_machine().emit_object(module)


def module_of(function: Function) -> tuple[str, Any]:
    """(symbol, LLVM module) of the loop, with no reference to anything outside itself.

    Numba compiles a function of integers whose body is an intrinsic, which the loop's own function writes.
    """
    if not link.may_compile():
        raise ImgconvError(
            "this system lets no memory be run that was written (PR_SET_MDWE, seccomp, SELinux), which compiling needs;"
            " kept code can be run: let imgconv doctor warm compile it where that is allowed"
        )
    import llvmlite.binding as llvm
    from numba import types
    from numba.core import compiler
    from numba.core.registry import cpu_target
    from numba.extending import intrinsic

    from imgconv.native.emit import Code

    write = getattr(import_module(function.module), function.name)

    @intrinsic  # type: ignore[untyped-decorator]
    def body(_: Any, numbers: Any) -> Any:
        def emit(_: Any, builder: Any, __: Any, given: Any) -> Any:
            code = Code(builder, given[0], function.prototype, cpu().features)
            return write(code, *code.arguments, *function.arguments).ir

        return types.int64(numbers), emit

    flags = compiler.Flags()
    # no wrapper for Python, no machine code yet, no error that could be raised: the loop needs nothing of Numba
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.error_model = "numpy"
    numbers = types.UniTuple(types.int64, len(function.prototype))
    target, typing = cpu_target.target_context, cpu_target.typing_context
    compiled = compiler.compile_extra(typing, target, lambda numbers: body(numbers), (numbers,), types.int64, flags, {})
    inner = compiled.fndesc.llvm_func_name
    given = [f"i64 %{number}" for number in range(len(function.prototype))]
    # Numba's functions give a status, and what they return through a pointer
    wrapper = f"""
        define i64 @{SYMBOL}({", ".join(given)}) {{
            %result = alloca i64
            %status = call i32 @"{inner}"({", ".join(["ptr %result", "ptr null", *given])})
            %value = load i64, ptr %result
            ret i64 %value
        }}"""
    module = llvm.parse_assembly(compiled.library.get_llvm_str() + wrapper)
    module.get_function(inner).linkage = "internal"
    # vectors are written out, so that few of LLVM's passes have anything to do: all of them take three times as long
    passes = llvm.create_new_module_pass_manager()
    for name in PASSES:
        getattr(passes, f"add_{name}_pass")()
    passes.run(module, llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options(0)))
    return SYMBOL, module


@cache
def target_machine() -> Any:
    """What LLVM compiles for: this CPU, and where code is to lie in memory."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # code that can lie anywhere, with everything it refers to near by, can be linked without LLVM
    kind = {"reloc": "pic", "codemodel": "small"} if link.possible() else {"codemodel": "jitdefault", "jit": True}
    features = llvm.get_host_cpu_features().flatten()
    if products_at_once(cpu().features) == 4:  # which LLVM does not ask every system for
        features += ",+dotprod"
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, **kind
    )
