/**
 * One instance of the kernels over a memory. Several may share a memory, one per thread: each works in a scratch of its
 * own, below every buffer (assembly/scratch.ts, rust/src/scratch.rs).
 */
import type { Kernel } from '../door.ts'

/** The kernels as a module exports them, by name; arrays are byte addresses, and null is the null address. */
export interface Instance {
  readonly kernels: Readonly<Record<string, Kernel<number>>>
  /** Bytes of scratch; a multiple of 64. */
  readonly scratchSize: number
}

/** An instance over `memory` whose scratch begins at byte `scratchStart`. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  scratchStart: number,
): Instance {
  // Whatever a compiler calls what it wants, there is only one memory to give, and one number. (Rust's linker asks for a
  // place in a table as well, and has nothing to put there.)
  const imports: Record<string, Record<string, WebAssembly.Memory | number>> = {}
  for (const { module: room, name, kind } of WebAssembly.Module.imports(module))
    (imports[room] ??= {})[name] = kind === 'memory' ? memory : scratchStart
  const { exports } = new WebAssembly.Instance(module, imports)
  const { scratch_size: scratchSize, ...kernels } = exports
  return {
    kernels: kernels as Record<string, Kernel<number>>,
    scratchSize: numberOf(scratchSize as WebAssembly.Global | (() => unknown)),
  }
}

/** A number as a module exports it: a constant in AssemblyScript, what a function gives in Rust. */
function numberOf(exported: WebAssembly.Global | (() => unknown)): number {
  return (typeof exported === 'function' ? exported() : exported.value) as number
}
