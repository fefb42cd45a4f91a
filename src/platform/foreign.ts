/**
 * Calls functions of shared libraries, by koffi in Node and by Deno's FFI in Deno.
 *
 * Every function returns an int32. Its arguments are numbers, and typed arrays, whose memory it may use until it returns. Addresses
 * are numbers, because addresses of a process are below 2^53.
 */
import type * as Koffi from 'koffi'
import { builtin, hostProcess } from './builtin.ts'
import { PlatformError } from './platform_error.ts'

/** The type of a parameter: a number, a 64-bit address, or the memory of a typed array. */
export type ForeignType = 'i32' | 'u32' | 'u64' | 'memory'

/** The functions of a library by name, with their parameter types. */
type ForeignTable = Readonly<Record<string, readonly ForeignType[]>>

type ForeignArgument<Type> = Type extends 'memory' ? ArrayBufferView : number

/** An argument. */
type ForeignArguments<Types extends readonly ForeignType[]> = {
  -readonly [I in keyof Types]: ForeignArgument<Types[I]>
}

/** The functions of a table. */
export type ForeignFunctions<Table extends ForeignTable> = {
  readonly [Name in keyof Table]: (...args: ForeignArguments<Table[Name]>) => number
}

/** A loaded library. It stays loaded until the process ends. */
export interface ForeignLibrary<Table extends ForeignTable> {
  readonly functions: ForeignFunctions<Table>
  /** The null-terminated text at an address. */
  text(address: number): string
  /** Memory at a fixed address, for functions that take addresses; it lives as long as the process. */
  reserve(bytes: number): SteadyMemory
}

/** Memory with a known address. */
export interface SteadyMemory {
  readonly address: number
  readonly buffer: ArrayBuffer
}

/** A missing library or function; the message gives the reason in one line. */
export class ForeignError extends Error {
  /** Whether the package that opens libraries is missing, so that nothing is known of the library. */
  readonly isPackage: boolean
  constructor(message: string, isPackage = false) {
    super(message.replace(/\s+/g, ' ').trim())
    this.name = 'ForeignError'
    this.isPackage = isPackage
  }
}

/**
 * Loads a library by path, or by a name that the system resolves.
 * @throws ForeignError if the library, one of its functions, or koffi is missing; PlatformError in a browser.
 */
export function openLibrary<Table extends ForeignTable>(path: string, table: Table): ForeignLibrary<Table> {
  if (hostProcess === null) throw new PlatformError('shared libraries')
  const { Deno } = globalThis as { Deno?: DenoForeign }
  try {
    return Deno === undefined ? openWithKoffi(path, table) : openWithDeno(Deno, path, table)
  } catch (error) {
    if (error instanceof ForeignError) throw error
    throw new ForeignError((error as Error).message)
  }
}

function openWithKoffi<Table extends ForeignTable>(path: string, table: Table): ForeignLibrary<Table> {
  const koffi = loadKoffi()
  const types = { i32: 'int32_t', u32: 'uint32_t', u64: 'uint64_t', memory: 'void *' } as const
  const library = koffi.load(path)
  const functions = Object.entries(table).map(([name, parameters]) => [
    name,
    library.func(
      name,
      'int32_t',
      parameters.map((type) => types[type]),
    ),
  ])
  return {
    functions: Object.fromEntries(functions) as ForeignFunctions<Table>,
    text: (address) => koffi.decode(BigInt(address), 'char', -1) as string,
    reserve(bytes) {
      const memory: unknown = koffi.alloc('uint8_t', bytes)
      return { address: Number(koffi.address(memory)), buffer: koffi.view(memory, bytes) }
    },
  }
}

/** koffi, which not every user has. @throws ForeignError that asks for it */
function loadKoffi(): typeof Koffi.default {
  try {
    return builtin('node:module').createRequire(import.meta.url)('koffi') as typeof Koffi.default
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw cause
    throw new ForeignError('the package koffi is not installed ("npm install koffi")', true)
  }
}

/** The used part of Deno. */
interface DenoForeign {
  dlopen(
    path: string,
    symbols: Record<string, { parameters: string[]; result: string }>,
  ): { symbols: Record<string, unknown> }
  UnsafePointer: {
    of(memory: ArrayBufferView): object | null
    value(pointer: object | null): bigint
    create(address: bigint): object | null
  }
  UnsafePointerView: { getCString(pointer: object): string }
}

function openWithDeno<Table extends ForeignTable>(
  Deno: DenoForeign,
  path: string,
  table: Table,
): ForeignLibrary<Table> {
  const symbols = Object.entries(table).map(([name, parameters]) => {
    const types = parameters.map((type) => (type === 'memory' ? 'buffer' : type))
    return [name, { parameters: types, result: 'i32' }] as const
  })
  const { UnsafePointer, UnsafePointerView } = Deno
  const kept: ArrayBuffer[] = []
  return {
    functions: Deno.dlopen(path, Object.fromEntries(symbols)).symbols as ForeignFunctions<Table>,
    text(address) {
      const pointer = UnsafePointer.create(BigInt(address))
      return pointer === null ? '' : UnsafePointerView.getCString(pointer)
    },
    reserve(bytes) {
      // Array buffers of Deno do not move; this one must not be collected.
      const buffer = new ArrayBuffer(bytes)
      kept.push(buffer)
      return { address: Number(UnsafePointer.value(UnsafePointer.of(new Uint8Array(buffer)))), buffer }
    },
  }
}
