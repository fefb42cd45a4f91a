/**
 * The program of a bundle: what cuda/certify is told to do, line by line, and the numbers that it is done with.
 *
 * Whoever runs it knows no op: a line names a kernel, the size of its grid, and arguments. cuda/certify/bundle.hpp reads
 * what is written here, and says what each line means.
 */
import { arrayTypes, type Dtype, type Numbers } from '../../../src/ops/op.ts'
import type { TensorToWrite } from '../../../src/io/safetensors_writer.ts'
import type { Launch } from '../../../src/backends/cuda/launch.ts'
import { storedAs } from '../../../src/parity/op_files.ts'

/** How the numbers of a buffer come about. Of generated ones cuda/certify/numbers.hpp has the same rule as generated.ts. */
export type Fill =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'noise' }
  | { readonly kind: 'data'; readonly numbers: Numbers }
  | { readonly kind: 'numbers'; readonly seed: number }
  | { readonly kind: 'sizes'; readonly seed: number }
  | { readonly kind: 'ids' | 'labels'; readonly seed: number; readonly limit: number }
  | { readonly kind: 'spread' | 'reversed'; readonly limit: number }

/** A buffer of device memory. */
export interface BufferLine {
  readonly name: string
  readonly dtype: Dtype
  readonly length: number
  /** How many numbers past an aligned place it starts. */
  readonly shift?: number
  /** How many there are alike: as many layers. */
  readonly copies?: number
  readonly fill: Fill
}

/** A place in a buffer, counted in numbers. */
export interface Place {
  readonly buffer: string
  readonly start: number
}

/** An argument of a kernel: an array or none, a size, a float32. */
export type Argument = Place | null | { readonly size: number } | { readonly scalar: number }

function placeText({ buffer, start }: Place): string {
  return `@${buffer}${start > 0 ? `+${start}` : ''}`
}

function argumentText(argument: Argument): string {
  if (argument === null) return '-'
  if ('size' in argument) return `#${argument.size}`
  if ('scalar' in argument) {
    // Its bits: the same number, whoever reads it.
    const [bits] = new Uint32Array(Float32Array.of(argument.scalar).buffer)
    return `~${bits.toString(16).padStart(8, '0')}`
  }
  return placeText(argument)
}

/** Writes a program. Equal numbers are stored once. */
export class ProgramWriter {
  readonly #lines: string[] = []
  readonly #pools = new Map<Dtype, { parts: Numbers[]; length: number; known: Map<string, number> }>()

  /** A line of words. */
  line(...words: readonly (string | number)[]): void {
    this.#lines.push(words.join(' '))
  }

  /** Makes a buffer. */
  buffer({ name, dtype, length, shift = 0, copies = 1, fill }: BufferLine): void {
    const { kind } = fill
    const words: (string | number)[] = [kind]
    if (kind === 'data') words.push(this.store(dtype, fill.numbers))
    if (kind === 'numbers' || kind === 'sizes') words.push(fill.seed)
    if (kind === 'ids' || kind === 'labels') words.push(fill.seed, fill.limit)
    if (kind === 'spread' || kind === 'reversed') words.push(fill.limit)
    this.line('buffer', name, dtype, length, shift, copies, ...words)
  }

  /** Runs a kernel. No blocks is no launch. */
  launch(kernel: string, { blocks, threads, shared }: Launch, args: readonly Argument[]): void {
    if (blocks > 0) this.line('launch', kernel, blocks, threads, shared, ...args.map(argumentText))
  }

  /** Numbers of a buffer must be these, bit for bit; NaN is NaN. */
  equal(place: Place, dtype: Dtype, numbers: Numbers): void {
    this.line('equal', placeText(place), numbers.length, this.store(dtype, numbers))
  }

  /** Numbers of a float32 buffer must be these, each as near as is allowed; a number that is Infinity allows anything. */
  near(place: Place, numbers: Float32Array, allowed: Float32Array): void {
    this.line(
      'near',
      placeText(place),
      numbers.length,
      this.store('f32', numbers),
      this.store('f32', allowed),
    )
  }

  /** The bytes of a buffer must have this SHA-256. */
  hash(place: Place, length: number, hash: string): void {
    this.line('hash', placeText(place), length, hash)
  }

  /** Puts numbers where they are found again: where they begin among the numbers of their kind. */
  store(dtype: Dtype, numbers: Numbers): number {
    const pool = this.#pools.get(dtype) ?? { parts: [], length: 0, known: new Map<string, number>() }
    this.#pools.set(dtype, pool)
    const bytes = Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength)
    const key = bytes.toString('latin1')
    const known = pool.known.get(key)
    if (known !== undefined) return known
    const start = pool.length
    pool.parts.push(numbers.slice())
    pool.known.set(key, start)
    pool.length += numbers.length
    return start
  }

  /** The program and its numbers, as tensors. */
  tensors(): Map<string, TensorToWrite> {
    const text = new TextEncoder().encode(`${this.#lines.join('\n')}\n`)
    const tensors = new Map<string, TensorToWrite>([
      ['program', { dtype: 'U8', shape: [text.length], data: text }],
    ])
    for (const [dtype, { parts, length }] of this.#pools) {
      const data = new arrayTypes[dtype](length)
      let at = 0
      for (const part of parts) {
        data.set(part, at)
        at += part.length
      }
      tensors.set(dtype, { dtype: storedAs[dtype], shape: [length], data })
    }
    return tensors
  }
}
