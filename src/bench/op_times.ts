/**
 * What the ops of a model take, told apart by the matrix they read: a model like another one, over the same weights, whose
 * calls are watched (backends/watched.ts).
 */
import type { Backend, Buffer } from '../backends/backend.ts'
import { valuesOf, type FlatArgument } from '../backends/calls.ts'
import { watchBackend } from '../backends/watched.ts'
import { LanguageModel } from '../engine/language_model.ts'
import type { ModelWeights } from '../engine/weights.ts'
import { kernels, type KernelName } from '../ops/catalog.ts'
import type { Kernel } from '../ops/op.ts'

/** What the calls of one op on one kind of matrix came to. */
export interface OpTime {
  /** Which matrices; `attention`, `norms` or `rest` where it is none. */
  readonly what: string
  readonly op: KernelName
  calls: number
  milliseconds: number
  /** That had to be touched. */
  bytes: number
}

/** A model whose ops are timed while `recording`. Dispose it; the weights are those of the model it was made from. */
export class WatchedModel {
  readonly model: LanguageModel
  recording = false
  readonly #times = new Map<string, OpTime>()
  readonly #matrices = new WeakMap<Buffer, string>()

  constructor(model: LanguageModel) {
    const { weights } = model
    this.#name(weights)
    const watched = new Map<Backend, Backend>()
    const watch = (backend: Backend): Backend => {
      const known = watched.get(backend) ?? watchBackend(backend, (...call) => this.#onOp(...call))
      watched.set(backend, known)
      return known
    }
    this.model = new LanguageModel(model.config, watch(model.backend), {
      ...weights,
      layers: weights.layers.map(watch),
      dispose: () => {},
    })
  }

  /** The recorded times. */
  get times(): OpTime[] {
    return [...this.#times.values()]
  }

  dispose(): void {
    this.model.dispose()
  }

  #name({ matrices }: ModelWeights): void {
    for (const [name, matrix] of matrices) this.#matrices.set(valuesOf(matrix), shortName(name))
  }

  #onOp(op: KernelName, args: readonly FlatArgument[], milliseconds: number): void {
    // Packing: rows keep the name of the matrix they come from. Its time is known as a whole.
    if (op.startsWith('copy_rows')) return this.#inherit(op, args)
    if (!this.recording) return
    const what = this.#what(op, args)
    const key = `${what} ${op}`
    const time = this.#times.get(key) ?? { what, op, calls: 0, milliseconds: 0, bytes: 0 }
    this.#times.set(key, time)
    time.calls++
    time.milliseconds += milliseconds
    time.bytes += bytesOf(kernels[op], args)
  }

  #inherit(op: KernelName, args: readonly FlatArgument[]): void {
    const of = this.#matrices.get(argument(kernels[op], 'x', args) as Buffer)
    if (of !== undefined) this.#matrices.set(args[0] as Buffer, of)
  }

  #what(op: KernelName, args: readonly FlatArgument[]): string {
    if (op.startsWith('linear'))
      return this.#matrices.get(argument(kernels[op], 'weight', args) as Buffer) ?? 'rest'
    if (op.startsWith('attention') || op.startsWith('cache_append')) return 'attention'
    return op === 'layer_norm' || op === 'rms_norm' ? 'norms' : 'rest'
  }
}

/** A matrix of any layer: `fc1` of `model.decoder.layers.3.fc1.weight`. Products read the table of tokens as the head. */
function shortName(name: string): string {
  const short = name.split('.').at(-2) as string
  if (short === 'embed_tokens') return 'lm_head'
  return /^[qkv]_proj$/.test(short) ? 'q/k/v' : short
}

function argument({ params }: Kernel, name: string, args: readonly FlatArgument[]): unknown {
  return args[params.findIndex((param) => param.name === name)]
}

/** Bytes a call must touch. */
function bytesOf({ params, bytes }: Kernel, args: readonly FlatArgument[]): number {
  const sizes = params.flatMap(({ kind, name }, i): [string, number][] =>
    kind === 'size' ? [[name, args[i] as number]] : [],
  )
  return bytes(Object.fromEntries(sizes))
}
