/**
 * One instance of the kernels over a memory. Several may share a memory, one per thread: each works in a scratch of its
 * own, below every buffer (assembly/scratch.ts, rust/src/scratch.rs).
 */
import type { KernelName } from '../../ops/catalog.ts'
import type { KernelFunction } from '../calls.ts'

/** The kernels as a module exports them, by name; arrays are byte addresses, and null is the null address. */
export interface Instance {
  readonly kernels: Readonly<Record<string, KernelFunction<number>>>
  /** Bytes of scratch; a multiple of 64. */
  readonly scratchSize: number
}

/** The import module of addresses that a linker declares as mutable globals. */
const ADDRESSES = 'GOT.mem'

/** An instance over `memory` whose scratch begins at byte `scratchStart`. */
export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  scratchStart: number,
): Instance {
  const imports = emptyRecord<Record<string, WebAssembly.ImportValue>>()
  for (const wanted of WebAssembly.Module.imports(module))
    (imports[wanted.module] ??= emptyRecord())[wanted.name] = fill(wanted, memory, scratchStart)
  const { exports } = new WebAssembly.Instance(module, imports)
  const { scratch_size: scratchSize, ...kernels } = exports
  return {
    kernels: kernels as Record<string, KernelFunction<number>>,
    scratchSize: numberOf(scratchSize as WebAssembly.Global | (() => unknown)),
  }
}

/** A wide build (wide_trial.ts), and which of its kernels are used. */
export interface WideBuild {
  readonly module: WebAssembly.Module
  isUsed(name: KernelName): boolean
  /** The kernels of two builds (`instantiateBoth`), of which those with a catalogue's name call the wide build where it is used. */
  choose(kernels: Instance['kernels']): Instance['kernels']
}

/** What stands before the names of kernels of a wide build. */
export const WIDE = 'wide '

/** The kernels of a build and of a wide one, if there is one, over one memory and one scratch: one of them runs at a time. */
export function instantiateBoth(
  module: WebAssembly.Module,
  wide: WebAssembly.Module | null,
  memory: WebAssembly.Memory,
  scratchStart: number,
): Instance {
  const { kernels, scratchSize } = instantiate(module, memory, scratchStart)
  if (wide === null) return { kernels, scratchSize }
  const other = instantiate(wide, memory, scratchStart)
  const renamed = Object.entries(other.kernels).map(([name, kernel]) => [WIDE + name, kernel] as const)
  return {
    kernels: { ...kernels, ...Object.fromEntries(renamed) },
    scratchSize: Math.max(scratchSize, other.scratchSize),
  }
}

/** A record without a prototype, in which `__proto__` is a name like any other. */
function emptyRecord<Thing>(): Record<string, Thing> {
  return Object.create(null) as Record<string, Thing>
}

/** The value of an import, whatever its name: the memory, or the start of the scratch in the form that the module declares. */
function fill(
  { kind, module }: WebAssembly.ModuleImportDescriptor,
  memory: WebAssembly.Memory,
  scratchStart: number,
): WebAssembly.ImportValue {
  if (kind === 'memory') return memory
  if (kind === 'function') return () => scratchStart
  return module === ADDRESSES
    ? new WebAssembly.Global({ value: 'i32', mutable: true }, scratchStart)
    : scratchStart
}

/** A number as a module exports it: a constant in AssemblyScript, what a function gives in Rust. */
function numberOf(exported: WebAssembly.Global | (() => unknown)): number {
  return (typeof exported === 'function' ? exported() : exported.value) as number
}
